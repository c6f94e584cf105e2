//! The manifest of a data set: one CSV row a picture.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a picture is used for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Weights are fitted here.
    Train,
    /// The best epoch, the temperature and the thresholds are chosen here.
    Val,
    /// Looked at once, when nothing is chosen any more.
    Test,
}

impl Split {
    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }
}

/// One row of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Where the picture lies, as `prepare` was given it.
    pub image_path: PathBuf,
    /// 0 real, 1 fake.
    pub label: u8,
    /// Name of the data set.
    pub dataset: String,
    /// What the picture is used for.
    pub split: Split,
    /// Pictures of one group share a source or nearly all pixels, and stay in one split.
    pub group: String,
    /// Difference hash of the picture, 16 hexadecimal digits.
    pub dhash: String,
}

impl Sample {
    /// Whether the picture is a fake.
    pub fn is_fake(&self) -> bool {
        self.label == 1
    }

    /// The group, told apart from groups of other data sets: their names may happen to be the same.
    pub fn source(&self) -> String {
        format!("{}/{}", self.dataset, self.group)
    }
}

/// Every sample of the manifest at `path`.
///
/// # Errors
/// If the file does not read, a column is unknown, a label is not 0 or 1, or a group is in two splits.
pub fn read_manifest(path: &Path) -> Result<Vec<Sample>> {
    let mut reader = csv::Reader::from_path(path).with_context(|| {
        format!("cannot read the manifest {}; make one with `aware prepare`", path.display())
    })?;
    let mut samples = Vec::new();
    for row in reader.deserialize() {
        let sample: Sample = row.with_context(|| format!("in {}", path.display()))?;
        ensure!(sample.label <= 1, "{}: label {} is neither 0 nor 1", path.display(), sample.label);
        samples.push(sample);
    }
    check_groups(&samples)?;
    Ok(samples)
}

/// Writes `samples` to `path`.
///
/// # Errors
/// If the file cannot be written whole.
pub fn write_manifest(path: &Path, samples: &[Sample]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for sample in samples {
        writer.serialize(sample)?;
    }
    crate::files::write_whole(path, &writer.into_inner().context("cannot finish the manifest")?)
}

/// A group or picture in two splits would let the test split be learnt by heart.
fn check_groups(samples: &[Sample]) -> Result<()> {
    let mut split_of = std::collections::HashMap::new();
    let mut split_of_path = std::collections::HashMap::new();
    for sample in samples {
        let first = *split_of_path.entry(&sample.image_path).or_insert(sample.split);
        if first != sample.split {
            bail!(
                "{} is in both {} and {}: the splits leak",
                sample.image_path.display(),
                first.name(),
                sample.split.name()
            );
        }
        let first = *split_of.entry((&sample.dataset, &sample.group)).or_insert(sample.split);
        if first != sample.split {
            bail!(
                "group {:?} of {} is in both {} and {}: the splits leak",
                sample.group,
                sample.dataset,
                first.name(),
                sample.split.name()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(group: &str, split: Split) -> Sample {
        Sample {
            image_path: format!("{group}-{}.jpg", split.name()).into(),
            label: 0,
            dataset: "set".into(),
            split,
            group: group.into(),
            dhash: "0".repeat(16),
        }
    }

    #[test]
    fn a_group_in_two_splits_is_refused() {
        assert!(check_groups(&[sample("a", Split::Train), sample("a", Split::Train)]).is_ok());
        let error = check_groups(&[sample("a", Split::Train), sample("a", Split::Test)]).unwrap_err();
        assert!(error.to_string().contains("leak"), "{error}");
    }

    #[test]
    fn a_picture_in_two_splits_is_refused() {
        let image_path = PathBuf::from("a.jpg");
        let row = |group, split| Sample { image_path: image_path.clone(), ..sample(group, split) };
        let error = check_groups(&[row("a", Split::Train), row("b", Split::Test)]).unwrap_err();
        assert!(error.to_string().contains("a.jpg"), "{error}");
    }
}
