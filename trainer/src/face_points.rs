//! The points of each face of a manifest: YuNet -> a CSV file -> [`PointsByFace`]. By these composites are fitted.

use crate::dataset::Sample;
use crate::faces::MAX_DETECTOR_BYTES;
use crate::files::{WholeFile, open_regular, read_limited};
use crate::points::Points;
use crate::yunet::{Canvas, Marked};
use anyhow::{Context, Result, bail, ensure};
use engine::crop::FaceBox;
use engine::frame::MAX_FILE_BYTES;
use engine::{Frame, Session};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// One row of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    face: String,
    x0: f32,
    y0: f32,
    x1: f32,
    y1: f32,
    x2: f32,
    y2: f32,
    x3: f32,
    y3: f32,
    x4: f32,
    y4: f32,
}

/// Points by [`Sample::name`], in pixels of the picture.
pub type PointsByFace = HashMap<String, Points>;

/// Farthest that a point may lie from a picture's corner.
const MAX_PIXELS: f32 = 1e6;

/// The points in the file at `path`.
///
/// # Errors
/// If the file does not read, or a point cannot be of a picture.
pub fn read_points(path: &Path) -> Result<PointsByFace> {
    let file = open_regular(path).with_context(|| {
        format!("cannot read the points {}; find them with `aware face-points`", path.display())
    })?;
    let mut points = PointsByFace::new();
    for (line, row) in csv::Reader::from_reader(file).deserialize().enumerate() {
        let place = || format!("{} line {}", path.display(), line + 2);
        let Row { face, x0, y0, x1, y1, x2, y2, x3, y3, x4, y4 } = row.with_context(place)?;
        let found = Points([[x0, y0], [x1, y1], [x2, y2], [x3, y3], [x4, y4]]);
        let is_near = |value: &f32| value.abs() <= MAX_PIXELS;
        ensure!(found.0.as_flattened().iter().all(is_near), "{}: a point of no picture", place());
        points.insert(face, found);
    }
    Ok(points)
}

/// Finds the points of `samples`' faces by the YuNet file `detector`, tells `seen` after each, and writes them to `path`; gives
/// the number of faces that YuNet saw.
///
/// # Errors
/// If a picture does not load, or the file is no YuNet.
pub fn find_points(samples: &[Sample], detector: &Path, path: &Path, seen: impl Fn()) -> Result<usize> {
    let name = detector.display();
    let onnx = read_limited(detector, MAX_DETECTOR_BYTES)?;
    let mut session = Session::load(&onnx).with_context(|| format!("{name} is no face detector"))?;
    let [_, 3, height, width] = *session.input_shape() else {
        bail!("{name} takes {:?}, expected [1, 3, H, W]", session.input_shape())
    };
    let mut rows = csv::Writer::from_writer(WholeFile::create(path)?);
    let mut count = 0;
    for sample in samples {
        let place = || format!("in {}", sample.image_path.display());
        let frame = Frame::from_encoded(&read_limited(&sample.image_path, MAX_FILE_BYTES as u64)?)
            .with_context(place)?;
        let canvas = Canvas::new(&frame, [width, height]);
        let marked = canvas.marked(&session.run_all(&[&canvas.input])?, THRESHOLD)?;
        if let Some(Points([a, b, c, d, e])) = of_face(sample, &frame, &marked) {
            let face = sample.name();
            let ([x0, y0], [x1, y1], [x2, y2], [x3, y3], [x4, y4]) = (a, b, c, d, e);
            rows.serialize(Row { face, x0, y0, x1, y1, x2, y2, x3, y3, x4, y4 })?;
            count += 1;
        }
        seen();
    }
    rows.into_inner().map_err(|error| error.into_error())?.finish()?;
    Ok(count)
}

/// Surer faces only: points of doubtful ones lie anywhere.
const THRESHOLD: f32 = 0.7;

/// The points within the sample's face, or in the middle of the picture where none is meant: of the surest that is there.
fn of_face(sample: &Sample, frame: &Frame, marked: &[Marked]) -> Option<Points> {
    let whole = FaceBox { x: 0, y: 0, width: frame.width(), height: frame.height() };
    let FaceBox { x, y, width, height } = sample.face.unwrap_or(whole);
    let [left, top] = [x as f32, y as f32];
    let inside = |[px, py]: [f32; 2]| {
        (left..left + width as f32).contains(&px) && (top..top + height as f32).contains(&py)
    };
    marked.iter().map(|face| face.points).find(|points| points.0.iter().all(|&point| inside(point)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_point_is_refused_with_its_line() -> Result<()> {
        let path = std::env::temp_dir().join(format!("aware-points-{}.csv", std::process::id()));
        let head = "face,x0,y0,x1,y1,x2,y2,x3,y3,x4,y4";
        let line =
            |last: &str| format!("{head}\na.png,1,2,3,4,5,6,7,8,9,10\nb.png,1,2,3,4,5,6,7,8,9,{last}\n");
        std::fs::write(&path, line("-3.5"))?;
        assert_eq!(read_points(&path)?["b.png"].0[4], [9.0, -3.5]);
        for (last, said) in [("NaN", "no picture"), ("1e30", "no picture"), ("", "line 3"), ("9,9", "line 3")]
        {
            std::fs::write(&path, line(last))?;
            let error = format!("{:#}", read_points(&path).unwrap_err());
            assert!(error.contains("line 3") && error.contains(said), "{last}: {error}");
        }
        std::fs::remove_file(&path)?;
        let error = format!("{:#}", read_points(&path).unwrap_err());
        assert!(error.contains("face-points"), "{error}");
        Ok(())
    }
}
