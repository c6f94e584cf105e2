//! A teacher, and the pictures of its run: those that ranges are observed on, that are learned, that choose and that judge.

use super::config::{QatConfig, Target};
use super::report::PictureCounts;
use super::run::Task;
use crate::checkpoint::Checkpoint;
use crate::config::RunConfig;
use crate::dataset::{Sample, Split, read_manifest};
use crate::files::read_limited;
use crate::loader::Loader;
use crate::train::{Network, select};
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::{Display, Formatter};
use std::path::Path;

/// Largest checkpoint of a teacher, in bytes.
const MAX_TEACHER_BYTES: u64 = 4 << 30;
/// A teacher and the pictures of its run.
pub(super) struct School {
    pub teacher: Network,
    /// The run that it is from.
    pub config: RunConfig,
    /// SHA-256 of its checkpoint.
    pub digest: String,
    pub calibration: Vec<Sample>,
    pub train: Loader,
    pub val: Loader,
    pub test: Loader,
}

impl Display for School {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let PictureCounts { train, val, test, .. } = self.counts();
        let RunConfig { network, image_size, .. } = &self.config;
        write!(f, "{network} at {image_size} px, {train} training, {val} validation, {test} test pictures")
    }
}

impl School {
    /// Pictures of each kind.
    pub fn counts(&self) -> PictureCounts {
        let [train, val, test] = [&self.train, &self.val, &self.test].map(|loader| loader.samples().len());
        PictureCounts { calibration: self.calibration.len(), train, val, test }
    }

    /// Reads the teacher of `task` and the pictures of its run.
    pub fn enrol(task: Task) -> Result<Self> {
        let Task { target, config, benchmark, device } = task;
        let path = config.teacher(target);
        let of = || format!("the teacher of {}", target.name());
        let bytes = read_limited(path, MAX_TEACHER_BYTES)
            .with_context(|| format!("{} is missing; train it with `aware train`", of()))?;
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        drop(bytes);
        let checkpoint = Checkpoint::read(path).with_context(of)?;
        let run = checkpoint.progress.config.clone();
        ensure!(
            run.network.starts_with(target.family()),
            "{} is {} in {}, expected one of {}",
            of(),
            run.network,
            path.display(),
            target.family()
        );
        if let Some(size) = config.image_size {
            ensure!(
                size == run.image_size,
                "image_size is {size}, but {} was trained with pictures of {} px",
                of(),
                run.image_size
            );
        }
        let teacher = Network::from_checkpoint(&checkpoint, device).with_context(of)?;
        let samples = select(read_manifest(&run.manifest)?, &run.datasets)?;
        let of_split = |split| -> Vec<Sample> {
            samples.iter().filter(|sample| sample.split == split).cloned().collect()
        };
        let [train, val, test] = [Split::Train, Split::Val, Split::Test].map(of_split);
        let test = benchmark.chosen(test)?;
        for (name, samples) in [("train", &train), ("val", &val), ("test", &test)] {
            let fakes = samples.iter().filter(|sample| sample.is_fake()).count();
            ensure!(fakes > 0 && fakes < samples.len(), "the {name} split needs real and fake pictures");
        }
        let calibration = spread(&train, config.calibration_dataset_size);
        ensure_apart(&calibration, &[&val, &test])?;
        let points = run.points_by_face()?;
        let loader = |samples| Loader::new(samples, run.preprocess()).with_points(&points);
        let (train, val, test) = (loader(train), loader(val), loader(test));
        Ok(School { teacher, config: run, digest, calibration, train, val, test })
    }
}

/// At most `count` of `samples`, spread over the whole list, so that every set and class is among them.
pub(super) fn spread(samples: &[Sample], count: usize) -> Vec<Sample> {
    let step = samples.len().div_ceil(count.max(1)).max(1);
    samples.iter().step_by(step).cloned().collect()
}

/// Fails if a picture or source of `calibration` is among `others`.
fn ensure_apart(calibration: &[Sample], others: &[&[Sample]]) -> Result<()> {
    let names: BTreeSet<String> = calibration.iter().map(Sample::name).collect();
    let sources: BTreeSet<String> = calibration.iter().map(Sample::source).collect();
    for sample in others.iter().flat_map(|samples| samples.iter()) {
        ensure!(
            !names.contains(&sample.name()) && !sources.contains(&sample.source()),
            "{} is in the calibration pictures and in the {} split",
            sample.name(),
            sample.split.name()
        );
    }
    Ok(())
}

/// The temperature that came with the teacher of the filter, if its file is named.
pub(super) fn teacher_temperature(target: Target, config: &QatConfig) -> Result<Option<f64>> {
    let Some(path) = config.stage1_temp_path.as_deref().filter(|_| target == Target::Stage1) else {
        return Ok(None);
    };
    read_temperature(path).map(Some)
}

fn read_temperature(path: &Path) -> Result<f64> {
    let of = || format!("the temperature in {}", path.display());
    let value: serde_json::Value =
        serde_json::from_slice(&read_limited(path, crate::files::MAX_TEXT_BYTES)?).with_context(of)?;
    let temperature = value.get("temperature").and_then(serde_json::Value::as_f64).with_context(of)?;
    ensure!(temperature.is_finite() && temperature > 0.0, "{} is {temperature}", of());
    Ok(temperature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::crop::CropKind;

    fn sample(index: usize, split: Split) -> Sample {
        Sample {
            image_path: format!("{index}.png").into(),
            label: (index % 2) as u8,
            dataset: "toy".into(),
            split,
            group: index.to_string(),
            dhash: String::new(),
            face: None,
            crop: CropKind::Square,
        }
    }

    #[test]
    fn calibration_pictures_are_spread_and_few() {
        let samples: Vec<Sample> = (0..100).map(|i| sample(i, Split::Train)).collect();
        for (count, wanted) in [(1000, 100), (100, 100), (30, 25), (1, 1)] {
            assert_eq!(spread(&samples, count).len(), wanted);
        }
    }

    #[test]
    fn a_calibration_picture_that_is_tested_is_refused() {
        let train: Vec<Sample> = (0..10).map(|i| sample(i, Split::Train)).collect();
        let test: Vec<Sample> = (10..20).map(|i| sample(i, Split::Test)).collect();
        assert!(ensure_apart(&train, &[&test]).is_ok());
        let same_source = Sample { image_path: "other.png".into(), ..sample(3, Split::Test) };
        let error = ensure_apart(&train, &[&test, &[same_source]]).unwrap_err().to_string();
        assert!(error.contains("other.png") && error.contains("test"), "{error}");
    }
}
