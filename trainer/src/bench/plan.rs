//! What is benchmarked: bundles, pictures, parts.

use super::mobile::MobileConfig;
use crate::dataset::{Sample, Split, read_manifest};
use crate::faces::FaceConfig;
use crate::optimize::BenchmarkConfig;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What the verdicts on the split are worth.
    Accuracy,
    /// How long they take.
    Speed,
    /// What they are worth on changed pictures.
    Robustness,
    /// How the built page bears a simulated phone; it needs no pictures, and is done only if somebody asks for it.
    #[value(skip)]
    Mobile,
}

impl Part {
    /// Every part on pictures, in its order.
    pub const ON_PICTURES: [Part; 3] = [Part::Accuracy, Part::Speed, Part::Robustness];
    /// Every part, in its order.
    pub const ALL: [Part; 4] = [Part::Accuracy, Part::Speed, Part::Robustness, Part::Mobile];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Part::Accuracy => "accuracy",
            Part::Speed => "speed",
            Part::Robustness => "robustness",
            Part::Mobile => "mobile",
        }
    }
}

/// What is benchmarked, and on what.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The bundle that would be shipped.
    pub bundle: PathBuf,
    /// The bundle with the same networks in floats, to compare with.
    pub original: Option<PathBuf>,
    /// The manifest of the pictures; none where no part needs one.
    pub pictures: Option<PathBuf>,
    /// Which of them are judged.
    pub split: Split,
    /// What finds faces; without it the regions of the manifest are judged, the middle where it has none.
    pub faces: Option<FaceConfig>,
    /// Which parts.
    pub parts: Vec<Part>,
    /// How many pictures and runs.
    pub config: BenchmarkConfig,
    /// The simulated phone, if that part is asked for.
    pub mobile: Option<MobileConfig>,
}

/// The pictures of a plan.
#[derive(Default)]
pub(super) struct Pictures {
    /// Judged.
    pub judged: Vec<Sample>,
    /// Of the training split, which the control learns from.
    pub learned: Vec<Sample>,
}

impl Plan {
    /// The pictures, checked to be of both classes.
    ///
    /// # Errors
    /// If the manifest does not read, lacks a set, or the split has no picture, or pictures of one class alone.
    pub(super) fn read_pictures(&self) -> Result<Pictures> {
        self.config.check()?;
        let Some(path) = &self.pictures else {
            let needs = self.parts.iter().find(|part| Part::ON_PICTURES.contains(part));
            ensure!(needs.is_none(), "the part {} needs pictures", needs.map_or("", |part| part.name()));
            return Ok(Pictures::default());
        };
        let (name, split) = (path.display(), self.split.name());
        let samples = read_manifest(path)?;
        let of = |wanted: Split| samples.iter().filter(|sample| sample.split == wanted).cloned().collect();
        let in_split: Vec<Sample> = of(self.split);
        ensure!(!in_split.is_empty(), "{name} has no picture in its {split} split");
        let judged =
            self.config.chosen(in_split).with_context(|| format!("in the {split} split of {name}"))?;
        let fakes = judged.iter().filter(|sample| sample.is_fake()).count();
        let reals = judged.len() - fakes;
        ensure!(
            fakes > 0 && reals > 0,
            "{name} has {reals} real and {fakes} fake pictures in its {split} split; an AUC needs both"
        );
        let sets = &self.config.datasets_to_test;
        let mut learned: Vec<Sample> = of(Split::Train);
        learned.retain(|sample| sets.is_empty() || sets.contains(&sample.dataset));
        Ok(Pictures { judged, learned })
    }
}
