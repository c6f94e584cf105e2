//! One TOML file is one training run of a face locator.

use crate::files::read_text;
use crate::models::FaceLocatorConfig;
use anyhow::{Context, Result, ensure};
use engine::Preprocess;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Every choice of a run; saved with each checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocatorConfig {
    /// Manifest written by `aware prepare`; its splits are kept, its labels are of no interest here.
    pub manifest: PathBuf,
    /// Data sets of the manifest that are used; all if empty.
    pub datasets: Vec<String>,
    /// CSV of boxes; `--label-by` writes what it lacks.
    pub labels: PathBuf,
    /// Preset of the network.
    pub network: String,
    /// Width and height of the network's input, in pixels.
    pub image_size: u32,
    /// Width and height of training scenes, in pixels: the network takes any, and smaller ones are learned faster.
    pub scene_size: u32,
    /// Rounds of `scenes` scenes each.
    pub epochs: u64,
    /// Scenes of a round.
    pub scenes: u64,
    /// Scenes that choose the best round.
    pub validation_scenes: u64,
    /// Scenes a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decay of matrices, times the learning rate.
    pub weight_decay: f64,
    /// Rounds until the peak learning rate.
    pub warmup_epochs: f64,
    /// Largest norm of the gradient.
    pub clip_norm: f64,
    /// Decay of the moving average of the weights, which is judged and kept.
    pub average_decay: f64,
    /// Weight of the boxes in the loss; the scores have 1.
    pub box_weight: f64,
    /// Seed of weights and scenes.
    pub seed: u64,
    /// What scenes look like.
    pub scene: SceneConfig,
}

/// What training scenes look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SceneConfig {
    /// Share of scenes with one whole portrait, as the engine would letter-box it.
    pub letterboxed: f64,
    /// Share of scenes with one portrait at any size and place, on a background.
    pub portrait: f64,
    /// Share of scenes without a face; the rest are several faces on a background.
    pub empty: f64,
    /// Most faces that are pasted into one scene.
    pub max_faces: usize,
    /// Longer side of the smallest and largest pasted face, in pixels.
    pub pasted: [f64; 2],
    /// Probability that a part of a face is covered.
    pub covered: f64,
    /// Probability of re-encoding as JPEG.
    pub jpeg: f64,
    /// Lowest JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
    /// Largest relative change of brightness, contrast and saturation.
    pub colour: f64,
    /// Probability of a scene without colours.
    pub grey: f64,
    /// Probability of a blur.
    pub blur: f64,
    /// Probability of noise.
    pub noise: f64,
}

impl Default for SceneConfig {
    fn default() -> Self {
        SceneConfig {
            letterboxed: 0.2,
            portrait: 0.25,
            empty: 0.1,
            max_faces: 12,
            pasted: [10.0, 150.0],
            covered: 0.15,
            jpeg: 0.4,
            jpeg_quality: 30,
            colour: 0.4,
            grey: 0.1,
            blur: 0.2,
            noise: 0.2,
        }
    }
}

impl Default for LocatorConfig {
    fn default() -> Self {
        LocatorConfig {
            manifest: "runs/manifest.csv".into(),
            datasets: Vec::new(),
            labels: "runs/boxes.csv".into(),
            network: "face-small".into(),
            image_size: 320,
            scene_size: 256,
            epochs: 20,
            scenes: 1024,
            validation_scenes: 256,
            batch_size: 16,
            learning_rate: 3e-3,
            weight_decay: 0.02,
            warmup_epochs: 0.5,
            clip_norm: 10.0,
            average_decay: 0.998,
            box_weight: 2.0,
            seed: 1,
            scene: SceneConfig::default(),
        }
    }
}

impl LocatorConfig {
    /// The configuration in the TOML file at `path`; absent keys take their defaults.
    ///
    /// # Errors
    /// If the file does not read, has an unknown key or a value out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let config: LocatorConfig =
            toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        config.check().with_context(|| format!("in {}", path.display()))?;
        Ok(config)
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// Naming the field and its range.
    pub fn check(&self) -> Result<()> {
        self.preset()?;
        let sizes = 64..=1024;
        for (name, size) in [("image_size", self.image_size), ("scene_size", self.scene_size)] {
            ensure!(
                sizes.contains(&size) && size.is_multiple_of(32),
                "{name} is {size}, expected a multiple of 32 in {sizes:?}"
            );
        }
        for (name, value, most) in [
            ("epochs", self.epochs, 1_000_000),
            ("scenes", self.scenes, 1_000_000_000),
            ("validation_scenes", self.validation_scenes, 100_000),
            ("batch_size", self.batch_size as u64, 1024),
            ("scene.max_faces", self.scene.max_faces as u64, 100),
        ] {
            ensure!((1..=most).contains(&value), "{name} is {value}, expected 1 to {most}");
        }
        ensure!(
            self.batch_size >= 2 && self.scenes >= self.batch_size as u64,
            "batch_size is {}, expected 2 to the {} scenes of a round",
            self.batch_size,
            self.scenes
        );
        for (name, value) in [
            ("learning_rate", self.learning_rate),
            ("clip_norm", self.clip_norm),
            ("box_weight", self.box_weight),
        ] {
            ensure!(value.is_finite() && value > 0.0, "{name} is {value}, expected a positive number");
        }
        for (name, value) in [("weight_decay", self.weight_decay), ("warmup_epochs", self.warmup_epochs)] {
            ensure!(value.is_finite() && value >= 0.0, "{name} is {value}, expected 0 or more");
        }
        ensure!(
            (0.0..1.0).contains(&self.average_decay),
            "average_decay is {}, expected 0 to below 1",
            self.average_decay
        );
        self.scene.check()
    }

    /// The network's preset.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn preset(&self) -> Result<FaceLocatorConfig> {
        let presets = FaceLocatorConfig::presets();
        let names: Vec<&str> = presets.iter().map(|preset| preset.name).collect();
        let found = presets.iter().find(|preset| preset.name == self.network).cloned();
        found.with_context(|| {
            format!("there is no face network {:?}; known: {}", self.network, names.join(", "))
        })
    }

    /// How scenes become the network's input.
    pub fn preprocess(&self) -> Preprocess {
        Preprocess { size: self.image_size, mean: [0.5; 3], std: [0.5; 3] }
    }
}

impl SceneConfig {
    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("letterboxed", self.letterboxed),
            ("portrait", self.portrait),
            ("empty", self.empty),
            ("covered", self.covered),
            ("jpeg", self.jpeg),
            ("grey", self.grey),
            ("blur", self.blur),
            ("noise", self.noise),
        ] {
            ensure!((0.0..=1.0).contains(&value), "scene.{name} is {value}, expected 0 to 1");
        }
        let shares = self.letterboxed + self.portrait + self.empty;
        ensure!(
            shares <= 1.0,
            "scene.letterboxed, portrait and empty are {shares} together, expected at most 1"
        );
        ensure!((0.0..1.0).contains(&self.colour), "scene.colour is {}, expected 0 to below 1", self.colour);
        ensure!(
            (1..=95).contains(&self.jpeg_quality),
            "scene.jpeg_quality is {}, expected 1 to 95",
            self.jpeg_quality
        );
        let [low, high] = self.pasted;
        ensure!(
            low >= 4.0 && high > low && high <= 1024.0,
            "scene.pasted is [{low}, {high}], expected two rising sizes of 4 to 1024 pixels"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let refused = |text: &str, name: &str| {
            let config: LocatorConfig = toml::from_str(text).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(name), "{text}: {error}");
        };
        refused("image_size = 100", "image_size");
        refused("scene_size = 32", "scene_size");
        refused("network = \"face-none\"", "face-toy");
        refused("batch_size = 1", "batch_size");
        refused("scenes = 4", "batch_size");
        refused("average_decay = 1.0", "average_decay");
        refused("learning_rate = nan", "learning_rate");
        refused("[scene]\nempty = 0.9", "together");
        refused("[scene]\npasted = [20, 10]", "scene.pasted");
        refused("[scene]\njpeg_quality = 100", "jpeg_quality");
        assert!(toml::from_str::<LocatorConfig>("[scene]\nempti = 0.1").is_err());
        assert!(LocatorConfig::default().check().is_ok());
    }
}
