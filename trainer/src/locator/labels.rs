//! Boxes of faces in pictures by another detector, kept in a CSV.
//!
//! Columns `image_path,x,y,width,height,score`, a row a box; a picture without a face has one row without numbers, so
//! that it is known to have been looked at.

use crate::faces::FaceFinder;
use crate::files::{WholeFile, open_regular, read_limited};
use anyhow::{Context, Result, bail, ensure};
use engine::Frame;
use engine::crop::FaceBox;
use engine::frame::MAX_FILE_BYTES;
use indicatif::ProgressBar;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Least score of a box that counts as a face.
pub const FACE_SCORE: f32 = 0.6;
/// Least score of a box that may be a face; between both nothing is learned, and nothing counted.
pub const DOUBTFUL_SCORE: f32 = 0.3;

const COLUMNS: [&str; 6] = ["image_path", "x", "y", "width", "height", "score"];

/// A box, and how sure the labelling detector was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labelled {
    /// Where the face is, in pixels of the picture.
    pub region: FaceBox,
    /// [`DOUBTFUL_SCORE`] to 1.
    pub score: f32,
}

/// Boxes by picture.
pub type Labels = BTreeMap<PathBuf, Vec<Labelled>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    image_path: PathBuf,
    x: Option<i32>,
    y: Option<i32>,
    width: Option<u32>,
    height: Option<u32>,
    score: Option<f32>,
}

impl Row {
    fn labelled(&self) -> Result<Option<Labelled>> {
        match (self.x, self.y, self.width, self.height, self.score) {
            (Some(x), Some(y), Some(width), Some(height), Some(score)) => {
                ensure!((0.0..=1.0).contains(&score), "the score is {score}, expected 0 to 1");
                ensure!(width > 0 && height > 0, "the box is {width} x {height}");
                Ok(Some(Labelled { region: FaceBox { x, y, width, height }, score }))
            }
            (None, None, None, None, None) => Ok(None),
            _ => bail!("a box needs all of x, y, width, height and score"),
        }
    }
}

/// The boxes in the CSV at `path`.
///
/// # Errors
/// If it does not read, or a row is no box; with the line.
pub fn read_labels(path: &Path) -> Result<Labels> {
    let mut reader = csv::Reader::from_reader(open_regular(path)?);
    let headers = reader.headers().with_context(|| format!("in {}", path.display()))?.clone();
    let mut labels = Labels::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("in {}", path.display()))?;
        let place =
            || format!("{} line {}", path.display(), record.position().map_or(0, csv::Position::line));
        let row: Row = record.deserialize(Some(&headers)).with_context(place)?;
        let labelled = row.labelled().with_context(place)?;
        labels.entry(row.image_path).or_default().extend(labelled);
    }
    Ok(labels)
}

/// Writes `labels` to `path`.
///
/// # Errors
/// If the file cannot be written whole.
pub fn write_labels(path: &Path, labels: &Labels) -> Result<()> {
    let mut rows = csv::WriterBuilder::new().has_headers(false).from_writer(WholeFile::create(path)?);
    rows.write_record(COLUMNS)?;
    for (picture, boxes) in labels {
        for Labelled { region: FaceBox { x, y, width, height }, score } in boxes {
            rows.serialize((picture, x, y, width, height, score))?;
        }
        if boxes.is_empty() {
            rows.serialize((picture, "", "", "", "", ""))?;
        }
    }
    let file = rows.into_inner().map_err(|error| error.into_error());
    file.context("cannot finish the labels")?.finish()
}

/// The labels at `path` with those of `pictures` that are missing there, found by `finder`, which looks for boxes of
/// [`DOUBTFUL_SCORE`] and up; the file is written anew if any were.
///
/// # Errors
/// If a picture does not load, the detector does not run on it, or the file fails; without a finder if any is missing.
pub fn label(
    path: &Path,
    pictures: &[&Path],
    finder: Option<&FaceFinder>,
    progress: &ProgressBar,
) -> Result<Labels> {
    let mut labels = if path.exists() { read_labels(path)? } else { Labels::new() };
    let missing: Vec<&Path> =
        pictures.iter().copied().filter(|picture| !labels.contains_key(*picture)).collect();
    let Some(first) = missing.first() else { return Ok(labels) };
    let Some(finder) = finder else {
        bail!(
            "{} lacks {} pictures, the first is {}; name a YuNet file with --label-by",
            path.display(),
            missing.len(),
            first.display()
        )
    };
    progress.set_length(missing.len() as u64);
    for picture in missing {
        let context = || format!("cannot label {}", picture.display());
        let frame =
            Frame::from_encoded(&read_limited(picture, MAX_FILE_BYTES as u64)?).with_context(context)?;
        let found = finder.faces(&frame).with_context(context)?;
        let labelled = found
            .faces
            .iter()
            .filter(|face| face.region.area() > 0)
            .map(|face| Labelled { region: face.region, score: face.score });
        labels.insert(picture.to_owned(), labelled.collect());
        progress.inc(1);
    }
    write_labels(path, &labels)?;
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_and_half_a_box_is_refused_with_its_line() {
        let path = std::env::temp_dir().join(format!("aware-labels-{}.csv", std::process::id()));
        let region = FaceBox { x: -3, y: 4, width: 50, height: 60 };
        let boxes = vec![Labelled { region, score: 0.875 }, Labelled { region, score: 0.5 }];
        let labels = Labels::from([("a.jpg".into(), boxes), ("none.jpg".into(), Vec::new())]);
        write_labels(&path, &labels).unwrap();
        assert_eq!(read_labels(&path).unwrap(), labels);
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to, want) in
            [(",0.5\n", ",\n", "all of"), ("0.875", "1.5", "expected 0 to 1"), ("50", "0", "0 x 60")]
        {
            std::fs::write(&path, text.replace(from, to)).unwrap();
            let error = format!("{:#}", read_labels(&path).unwrap_err());
            assert!(error.contains(want) && error.contains("line"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        let error =
            label(&path, &[Path::new("b.jpg")], None, &ProgressBar::hidden()).unwrap_err().to_string();
        assert!(error.contains("b.jpg") && error.contains("--label-by"), "{error}");
    }
}
