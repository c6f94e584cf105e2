//! Five points of each face of a manifest, as YuNet finds them: by these composites are fitted.

use crate::dataset::Sample;
use crate::faces::MAX_DETECTOR_BYTES;
use crate::files::{WholeFile, open_regular, read_limited};
use crate::yunet::{Canvas, Marked};
use anyhow::{Context, Result, bail, ensure};
use engine::crop::FaceBox;
use engine::frame::MAX_FILE_BYTES;
use engine::{Frame, Session};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// The eyes, the tip of the nose and the corners of the mouth, each pair from the left of the picture to the right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Points(pub [[f32; 2]; 5]);

impl Points {
    /// Where they are, in shares of the side, if nothing is known: in a face that fills four fifths of a picture. Read off the mean
    /// of 300 real faces.
    pub const MIDDLE: Points = Points([[0.34, 0.41], [0.66, 0.41], [0.5, 0.54], [0.41, 0.71], [0.59, 0.71]]);

    /// Middle of some of the points.
    pub fn mean(&self, which: &[usize]) -> [f32; 2] {
        let sum = |axis: usize| which.iter().map(|&point| self.0[point][axis]).sum::<f32>();
        [sum(0), sum(1)].map(|sum| sum / which.len().max(1) as f32)
    }

    /// About the height of the face's box: by the eyes' distance or their distance to the mouth, which of the two the pose
    /// shortens less.
    pub fn unit(&self) -> f32 {
        let distance = |[a, b]: [f32; 2], [x, y]: [f32; 2]| (a - x).hypot(b - y);
        let [left, right, ..] = self.0;
        let (eyes, mouth) = (self.mean(&[0, 1]), self.mean(&[3, 4]));
        (distance(left, right) / 0.4).max(distance(eyes, mouth) / 0.375).max(f32::MIN_POSITIVE)
    }

    /// Direction from the left eye to the right one, of length 1.
    pub fn eye_line(&self) -> [f32; 2] {
        let [[left, top], [right, bottom], ..] = self.0;
        let length = (right - left).hypot(bottom - top);
        if length > 0.0 { [(right - left) / length, (bottom - top) / length] } else { [1.0, 0.0] }
    }

    /// Factor of size and turn (degrees, counter-clockwise on the screen) that bring these points onto `other`'s with the least
    /// squared distances, each set around its own mean.
    pub fn similarity(&self, other: &Points) -> (f32, f32) {
        const ALL: [usize; 5] = [0, 1, 2, 3, 4];
        let (from, to) = (self.mean(&ALL), other.mean(&ALL));
        let (mut along, mut across, mut size) = (0.0f32, 0.0f32, f32::MIN_POSITIVE);
        for (a, b) in self.0.iter().zip(&other.0) {
            let ([x, y], [u, v]) = ([a[0] - from[0], a[1] - from[1]], [b[0] - to[0], b[1] - to[1]]);
            along += x * u + y * v;
            across += y * u - x * v;
            size += x * x + y * y;
        }
        (along.hypot(across) / size, across.atan2(along).to_degrees())
    }

    /// How much the faces differ in pose: the squared distances left after the best fit, in squares of `other`'s unit.
    pub fn difference(&self, other: &Points) -> f32 {
        let (scale, degrees) = self.similarity(other);
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (from, to, unit) = (self.mean(&[0, 1, 2, 3, 4]), other.mean(&[0, 1, 2, 3, 4]), other.unit());
        let left = |(a, b): (&[f32; 2], &[f32; 2])| {
            let (x, y) = (a[0] - from[0], a[1] - from[1]);
            let put = [(cos * x + sin * y) * scale, (cos * y - sin * x) * scale];
            (put[0] - b[0] + to[0]).hypot(put[1] - b[1] + to[1]).powi(2)
        };
        self.0.iter().zip(&other.0).map(left).sum::<f32>() / (unit * unit)
    }
}

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

    /// [`Points::MIDDLE`], enlarged, turned and moved.
    fn moved(scale: f32, degrees: f32) -> Points {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let put = |[x, y]: [f32; 2]| [(cos * x + sin * y) * scale + 7.0, (cos * y - sin * x) * scale - 3.0];
        Points(Points::MIDDLE.0.map(put))
    }

    #[test]
    fn a_similar_face_is_recognised_as_similar() {
        for (scale, degrees) in [(1.0, 0.0), (2.5, 30.0), (0.4, -75.0), (1.2, 170.0)] {
            let (found, turn) = Points::MIDDLE.similarity(&moved(scale, degrees));
            assert!((found - scale).abs() < 1e-4 && (turn - degrees).abs() < 1e-2, "{found}, {turn}");
            assert!(Points::MIDDLE.difference(&moved(scale, degrees)) < 1e-6);
            assert!((moved(scale, degrees).unit() / Points::MIDDLE.unit() / scale - 1.0).abs() < 1e-4);
        }
    }

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

    #[test]
    fn a_turned_head_differs() {
        let mut turned = Points::MIDDLE;
        turned.0[2][0] += 0.1;
        let mut more = turned;
        more.0[2][0] += 0.1;
        let (little, much) = (Points::MIDDLE.difference(&turned), Points::MIDDLE.difference(&more));
        assert!(little > 0.005 && much > 2.0 * little, "{little}, {much}");
    }
}
