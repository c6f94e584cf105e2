//! What `prepare` found, in numbers, as JSON; and whether a manifest still holds.

use crate::dataset::{Sample, Split, read_manifest};
use crate::files::path_bytes;
use crate::pictures::difference_hash;
use crate::prepare::Rest;
use anyhow::Result;
use engine::crop::FaceBox;
use indicatif::{ParallelProgressIterator, ProgressBar};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Files of one kind that are named at most; all are counted.
const MAX_LISTED: usize = 10_000;

/// Pictures of each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Classes {
    /// How many are real.
    pub real: usize,
    /// How many are fake.
    pub fake: usize,
    /// The larger class over the smaller; absent where one is empty.
    pub imbalance: Option<f64>,
}

impl Classes {
    fn count(&mut self, is_fake: bool) {
        *(if is_fake { &mut self.fake } else { &mut self.real }) += 1;
        let (small, large) = (self.real.min(self.fake), self.real.max(self.fake));
        self.imbalance = (small > 0).then(|| large as f64 / small as f64);
    }
}

/// Files of one kind that are not in the manifest: all counted, some named.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// How many.
    pub count: usize,
    /// The first ten thousand of them.
    pub files: Vec<ListedFile>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedFile {
    /// Where it lies; bytes that are no UTF-8 are replaced.
    pub path: String,
    /// The bytes of `path` in hexadecimal, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Why it is not used.
    pub reason: String,
}

impl Listing {
    /// How many files there are, named or not.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds the file at `path`.
    pub fn push(&mut self, path: &Path, reason: String) {
        self.count += 1;
        if self.files.len() < MAX_LISTED {
            let text = path.to_string_lossy().into_owned();
            self.files.push(ListedFile { path: text, path_bytes: path_bytes(path), reason });
        }
    }
}

/// Numbers of a manifest.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// All pictures.
    pub total: Classes,
    /// By split.
    pub splits: BTreeMap<&'static str, Classes>,
    /// By set and split.
    pub sets: BTreeMap<String, BTreeMap<&'static str, Classes>>,
    /// Classes that a split lacks, in words.
    pub missing: Vec<String>,
    /// What is not in the manifest.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Report {
    /// Counts a picture of the manifest.
    pub fn count(&mut self, sample: &Sample) {
        let split = sample.split.name();
        let of_set = self.sets.entry(sample.dataset.clone()).or_default();
        for classes in
            [&mut self.total, self.splits.entry(split).or_default(), of_set.entry(split).or_default()]
        {
            classes.count(sample.is_fake());
        }
    }

    /// Completes the numbers by `rest` and by what is missing.
    pub fn finish(&mut self, rest: Rest) {
        for split in [Split::Train, Split::Val, Split::Test] {
            let classes = *self.splits.entry(split.name()).or_default();
            for (name, count) in [("real", classes.real), ("fake", classes.fake)] {
                if count == 0 {
                    self.missing.push(format!("{} has no {name} picture", split.name()));
                }
            }
        }
        self.rest = rest;
    }
}

/// What is wrong with the pictures of the manifest at `path`: absent, twice, broken or changed.
///
/// # Errors
/// If the manifest itself does not hold; see [`read_manifest`].
pub fn problems(path: &Path, progress: &ProgressBar) -> Result<Vec<(PathBuf, String)>> {
    let samples = read_manifest(path)?;
    progress.inc_length(samples.len() as u64);
    let mut problems: Vec<(PathBuf, String)> = samples
        .par_iter()
        .progress_with(progress.clone())
        .filter_map(|sample| {
            let problem = match difference_hash(&sample.image_path) {
                Ok(hash) if format!("{hash:016x}") == sample.dhash => return None,
                Ok(_) => "not the picture that it was when the manifest was made".into(),
                Err(error) => format!("{error:#}"),
            };
            Some((sample.image_path.clone(), problem))
        })
        .collect();
    let mut rows: HashMap<(&Path, Option<FaceBox>), usize> = HashMap::new();
    for sample in &samples {
        *rows.entry((&sample.image_path, sample.face)).or_default() += 1;
    }
    let twice = rows.into_iter().filter(|(_, count)| *count > 1);
    problems.extend(twice.map(|((path, _), count)| (path.to_owned(), format!("in {count} rows"))));
    problems.sort();
    Ok(problems)
}
