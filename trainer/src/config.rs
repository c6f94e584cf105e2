//! One TOML file is one training run.

use crate::augment::Augment;
use crate::face_points::{PointsByFace, read_points};
use crate::files::read_text;
use crate::judged_by::JudgedBy;
use crate::loss::LossWeights;
use crate::teacher::TeacherConfig;
use anyhow::{Context, Result, ensure};
use engine::Preprocess;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Every choice of a training run; saved with each checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Manifest written by `aware prepare`.
    pub manifest: PathBuf,
    /// Points of the manifest's faces, as `aware face-points` found them: composites are fitted by these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<PathBuf>,
    /// Data sets of the manifest that are used; all if empty.
    pub datasets: Vec<String>,
    /// Preset of the network.
    pub network: String,
    /// Checkpoint of the same network that the weights begin at, as `aware import` or a run wrote it; drawn by `seed` if
    /// absent.
    pub initial: Option<PathBuf>,
    /// Width and height of the network's input, in pixels.
    pub image_size: u32,
    /// Passes over the training split.
    pub epochs: u64,
    /// Pictures a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decay of matrices, times the learning rate.
    pub weight_decay: f64,
    /// Epochs until the peak learning rate.
    pub warmup_epochs: f64,
    /// Largest norm of the gradient.
    pub clip_norm: f64,
    /// Share of certainty taken off the labels.
    pub label_smoothing: f64,
    /// Decay of the moving average of the weights, which is judged and kept; 0 keeps the weights themselves.
    pub average_decay: f64,
    /// Whether each class counts alike in the loss, however many pictures it has.
    pub balance_classes: bool,
    /// Steps between two checkpoints within an epoch; 0 saves at the end of each epoch only.
    pub checkpoint_steps: u64,
    /// Seed of weights, order and augmentation.
    pub seed: u64,
    /// Weights of the terms of the loss that some networks bring along.
    pub loss: LossWeights,
    /// A finished network to learn from beside the labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
    /// What the validation split is read by: which epoch is better, and which answers are sure.
    pub judged_by: JudgedBy,
    /// Variation of the training pictures.
    pub augment: Augment,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig {
            manifest: "runs/manifest.csv".into(),
            points: None,
            datasets: Vec::new(),
            network: "mobilenetv4-conv-small".into(),
            initial: None,
            image_size: 160,
            epochs: 30,
            batch_size: 32,
            learning_rate: 2e-3,
            weight_decay: 0.05,
            warmup_epochs: 2.0,
            clip_norm: 5.0,
            label_smoothing: 0.05,
            average_decay: 0.0,
            balance_classes: false,
            checkpoint_steps: 500,
            seed: 1,
            loss: LossWeights::default(),
            teacher: None,
            judged_by: JudgedBy::default(),
            augment: Augment::default(),
        }
    }
}

impl RunConfig {
    /// The configuration in the TOML file at `path`; absent keys take their defaults.
    ///
    /// # Errors
    /// If the file does not read, has an unknown key or a value out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let config: RunConfig = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        Ok(config)
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// Naming the field and its range.
    pub fn check(&self) -> Result<()> {
        ensure!(
            Preprocess::SIZES.contains(&self.image_size) && self.image_size.is_multiple_of(32),
            "image_size is {}, expected a multiple of 32 in {:?}",
            self.image_size,
            Preprocess::SIZES
        );
        ensure!(self.epochs > 0, "epochs must be at least 1");
        ensure!(
            (2..=4096).contains(&self.batch_size),
            "batch_size is {}, expected 2 to 4096",
            self.batch_size
        );
        for (name, value) in [("learning_rate", self.learning_rate), ("clip_norm", self.clip_norm)] {
            ensure!(value.is_finite() && value > 0.0, "{name} is {value}, expected a positive number");
        }
        for (name, value) in
            [("label_smoothing", self.label_smoothing), ("average_decay", self.average_decay)]
        {
            ensure!((0.0..1.0).contains(&value), "{name} is {value}, expected 0 to below 1");
        }
        ensure!(
            self.weight_decay >= 0.0 && self.warmup_epochs >= 0.0,
            "weight_decay and warmup_epochs must not be negative"
        );
        for (name, value) in [("loss.reconstruction", self.loss.reconstruction), ("loss.kl", self.loss.kl)] {
            ensure!(value.is_finite() && value >= 0.0, "{name} is {value}, expected 0 or more");
        }
        if let Some(teacher) = &self.teacher {
            teacher.check()?;
        }
        let augment = &self.augment;
        ensure!(augment.min_crop > 0.0 && augment.min_crop <= 1.0, "augment.min_crop must be in (0, 1]");
        ensure!(
            augment.min_downscale > 0.0 && augment.min_downscale <= 1.0,
            "augment.min_downscale must be in (0, 1]"
        );
        ensure!((1..=95).contains(&augment.jpeg_quality), "augment.jpeg_quality must be 1 to 95");
        for (name, value) in [
            ("jpeg", augment.jpeg),
            ("downscale", augment.downscale),
            ("colour", augment.colour),
            ("hue", augment.hue),
            ("translate", augment.translate),
            ("blur", augment.blur),
            ("self_blend", augment.self_blend),
            ("composite", augment.composite),
        ] {
            ensure!((0.0..=1.0).contains(&value), "augment.{name} is {value}, expected 0 to 1");
        }
        ensure!((0.0..=180.0).contains(&augment.rotation), "augment.rotation must be 0 to 180 degrees");
        ensure!(
            (0.0..0.9).contains(&augment.scale),
            "augment.scale is {}, expected 0 to below 0.9",
            augment.scale
        );
        ensure!((0.1..=20.0).contains(&augment.blur_sigma), "augment.blur_sigma must be 0.1 to 20 pixels");
        ensure!(
            augment.self_blend + augment.composite <= 1.0,
            "augment.self_blend and augment.composite are shares of the same real pictures: at most 1 together"
        );
        ensure!(
            !augment.makes_fakes() || self.batch_size.is_multiple_of(2),
            "augment.self_blend and augment.composite pair pictures, so batch_size must be even; it is {}",
            self.batch_size
        );
        Ok(())
    }

    /// The points of faces that the run names; none if it names none.
    ///
    /// # Errors
    /// Those of [`read_points`].
    pub fn points_by_face(&self) -> Result<PointsByFace> {
        self.points.as_deref().map_or_else(|| Ok(PointsByFace::new()), read_points)
    }

    /// How pictures become the network's input.
    pub fn preprocess(&self) -> Preprocess {
        Preprocess::imagenet(self.image_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_of_the_repository_is_sound() -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let mut count = 0;
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            if path.file_stem().is_some_and(|stem| stem == "face") {
                crate::locator::config::LocatorConfig::read(&path)?;
                continue;
            }
            let config = RunConfig::read(&path)?;
            config.check().with_context(|| path.display().to_string())?;
            assert!(crate::models::Model::presets().contains(&config.network.as_str()), "{}", config.network);
            count += 1;
        }
        assert!(count >= 4, "{count} configurations");
        Ok(())
    }
}
