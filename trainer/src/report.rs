//! What `prepare` found, in numbers, as JSON; and whether a manifest still holds.

use crate::dataset::{Split, read_manifest};
use crate::prepare::{Prepared, difference_hash};
use anyhow::Result;
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

/// Files that are not in the manifest.
#[derive(Debug, Default, Serialize)]
pub struct Listing {
    /// How many.
    pub count: usize,
    /// The first ten thousand of them.
    pub files: Vec<ListedFile>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct ListedFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Why it is not used.
    pub reason: String,
}

impl Listing {
    fn new(files: &[(PathBuf, String)]) -> Self {
        let listed = |(path, reason): &(PathBuf, String)| ListedFile {
            path: path.to_string_lossy().into_owned().into(),
            reason: reason.clone(),
        };
        Listing { count: files.len(), files: files.iter().take(MAX_LISTED).map(listed).collect() }
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
    /// What could not be used.
    pub skipped: Listing,
    /// What the split left out.
    pub left_out: Listing,
}

impl Report {
    /// The numbers of `prepared`.
    pub fn new(prepared: &Prepared) -> Self {
        let mut report = Report {
            skipped: Listing::new(&prepared.skipped),
            left_out: Listing::new(&prepared.left_out),
            ..Report::default()
        };
        for sample in &prepared.samples {
            let split = sample.split.name();
            let of_set = report.sets.entry(sample.dataset.clone()).or_default();
            for classes in
                [&mut report.total, report.splits.entry(split).or_default(), of_set.entry(split).or_default()]
            {
                classes.count(sample.is_fake());
            }
        }
        for split in [Split::Train, Split::Val, Split::Test] {
            let classes = *report.splits.entry(split.name()).or_default();
            for (name, count) in [("real", classes.real), ("fake", classes.fake)] {
                if count == 0 {
                    report.missing.push(format!("{} has no {name} picture", split.name()));
                }
            }
        }
        report
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
    let mut rows: HashMap<&Path, usize> = HashMap::new();
    for sample in &samples {
        *rows.entry(&sample.image_path).or_default() += 1;
    }
    let twice = rows.into_iter().filter(|(_, count)| *count > 1);
    problems.extend(twice.map(|(path, count)| (path.to_owned(), format!("in {count} rows"))));
    problems.sort();
    Ok(problems)
}
