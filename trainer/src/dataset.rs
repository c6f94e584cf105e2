//! The manifest of a data set: one CSV row a picture, or a face of one.

use crate::files::{WholeFile, open_regular};
use anyhow::{Context, Result, bail, ensure};
use engine::Frame;
use engine::crop::{Crop, CropKind, FaceBox, MIN_SIDE};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Columns of a manifest; the last five only where faces are known.
const COLUMNS: [&str; 11] = [
    "image_path",
    "label",
    "dataset",
    "split",
    "group",
    "dhash",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "face_crop",
];
/// Columns without faces.
const PLAIN_COLUMNS: usize = 6;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The face that is meant; without it the middle of the picture is.
    pub face: Option<FaceBox>,
    /// The shape of the region around the face.
    pub crop: CropKind,
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

    /// What tells it from every other sample: the path, and the face if one is meant.
    pub fn name(&self) -> String {
        let path = self.image_path.display();
        match self.face {
            None => path.to_string(),
            Some(FaceBox { x, y, width, height }) => format!("{path}#face={x},{y},{width},{height}"),
        }
    }

    /// The region of the picture, decoded to `frame`, that is looked at.
    ///
    /// # Errors
    /// If the face is too small.
    pub fn crop(&self, frame: &Frame) -> Result<Crop> {
        let Some(face) = &self.face else { return Ok(Crop::centre_square(frame)) };
        Crop::of_face(face, frame, self.crop).with_context(|| {
            format!("{}: less than {MIN_SIDE} pixels around the face {face:?}", self.image_path.display())
        })
    }
}

/// One row as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    image_path: PathBuf,
    label: u8,
    dataset: String,
    split: Split,
    group: String,
    dhash: String,
    face_x: Option<i32>,
    face_y: Option<i32>,
    face_width: Option<u32>,
    face_height: Option<u32>,
    /// Square, where it is not said.
    face_crop: Option<CropKind>,
}

impl Row {
    fn sample(self) -> Result<Sample> {
        ensure!(self.label <= 1, "label {} is neither 0 nor 1", self.label);
        let face = match (self.face_x, self.face_y, self.face_width, self.face_height) {
            (Some(x), Some(y), Some(width), Some(height)) => Some(FaceBox { x, y, width, height }),
            (None, None, None, None) => None,
            _ => bail!("a face needs all of face_x, face_y, face_width and face_height"),
        };
        Ok(Sample {
            image_path: self.image_path,
            label: self.label,
            dataset: self.dataset,
            split: self.split,
            group: self.group,
            dhash: self.dhash,
            face,
            crop: self.face_crop.unwrap_or_default(),
        })
    }
}

/// Every sample of the manifest at `path`.
///
/// # Errors
/// If the file does not read, a column is unknown, a label is not 0 or 1, a face lacks a number, or a
/// group is in two splits.
pub fn read_manifest(path: &Path) -> Result<Vec<Sample>> {
    let file = open_regular(path).with_context(|| {
        format!("cannot read the manifest {}; make one with `aware prepare`", path.display())
    })?;
    let mut reader = csv::Reader::from_reader(file);
    let headers = reader.headers().with_context(|| format!("in {}", path.display()))?.clone();
    let mut samples = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("in {}", path.display()))?;
        let place =
            || format!("{} line {}", path.display(), record.position().map_or(0, csv::Position::line));
        let row: Row = record.deserialize(Some(&headers)).with_context(place)?;
        samples.push(row.sample().with_context(place)?);
    }
    check_groups(&samples)?;
    Ok(samples)
}

/// Which columns a manifest gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Whole pictures.
    Pictures,
    /// Pictures, and the face that is meant.
    Faces,
}

/// Writes a manifest row by row; the file gets its name at the end.
pub struct ManifestWriter {
    rows: csv::Writer<WholeFile>,
    columns: Columns,
}

impl ManifestWriter {
    /// A manifest with its headers.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path, columns: Columns) -> Result<Self> {
        let mut rows = csv::WriterBuilder::new().has_headers(false).from_writer(WholeFile::create(path)?);
        rows.write_record(match columns {
            Columns::Pictures => &COLUMNS[..PLAIN_COLUMNS],
            Columns::Faces => &COLUMNS,
        })?;
        Ok(ManifestWriter { rows, columns })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// If it cannot be written, or has a face that there are no columns for.
    pub fn push(&mut self, sample: &Sample) -> Result<()> {
        let Sample { image_path, label, dataset, split, group, dhash, face, crop } = sample;
        let plain = (image_path, label, dataset, split, group, dhash);
        match (self.columns, face) {
            (Columns::Pictures, None) => self.rows.serialize(plain)?,
            (Columns::Pictures, Some(_)) => bail!("{}: a face without columns for it", image_path.display()),
            (Columns::Faces, face) => {
                let corner = (face.map(|face| face.x), face.map(|face| face.y));
                let sides = (face.map(|face| face.width), face.map(|face| face.height));
                self.rows.serialize((plain, corner, sides, face.map(|_| crop)))?;
            }
        }
        Ok(())
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// If it cannot be written whole.
    pub fn finish(self) -> Result<()> {
        let file = self.rows.into_inner().map_err(|error| error.into_error());
        file.context("cannot finish the manifest")?.finish()
    }
}

/// Writes `samples` to `path`.
///
/// # Errors
/// If the file cannot be written whole.
pub fn write_manifest(path: &Path, samples: &[Sample]) -> Result<()> {
    let has_faces = samples.iter().any(|sample| sample.face.is_some());
    let columns = if has_faces { Columns::Faces } else { Columns::Pictures };
    let mut writer = ManifestWriter::create(path, columns)?;
    samples.iter().try_for_each(|sample| writer.push(sample))?;
    writer.finish()
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
            face: None,
            crop: CropKind::Square,
        }
    }

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("aware-dataset-{}-{name}.csv", std::process::id()))
    }

    #[test]
    fn faces_are_kept_and_half_a_face_is_refused() {
        let path = file("faces");
        let face = Some(FaceBox { x: -3, y: 4, width: 100, height: 120 });
        let legacy = Sample { face, crop: CropKind::Legacy, ..sample("a", Split::Train) };
        let samples = [legacy, sample("b", Split::Val)];
        write_manifest(&path, &samples).unwrap();
        assert_eq!(read_manifest(&path).unwrap(), samples);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("-3,4,100,120,legacy", "-3,4,100,,")).unwrap();
        let error = format!("{:#}", read_manifest(&path).unwrap_err());
        assert!(error.contains("line 2") && error.contains("face_height"), "{error}");
        // Without a word on the shape it is a square.
        let plain = text.replace(",face_crop", "").replace(",legacy", "").replace(",,,,,", ",,,,");
        std::fs::write(&path, plain).unwrap();
        assert_eq!(read_manifest(&path).unwrap()[0].crop, CropKind::Square);

        write_manifest(&path, &samples[1..]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("face"), "old programs know no such columns: {text}");
        std::fs::remove_file(&path).unwrap();
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
