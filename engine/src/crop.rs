//! The region of a frame that is judged: around a face, or the middle where none is known.
//!
//! One recipe for trainer and page: the face's box, [`BOX_SCALE`] times as large about its centre, in
//! whole pixels. [`CropKind::Square`] is what networks are trained on; [`CropKind::Legacy`] repeats
//! the arithmetic of the original AWARE-NET, number by number, to compare with it.

use crate::frame::Frame;
use serde::{Deserialize, Serialize};

/// Sides of the judged region over those of the face's box.
pub const BOX_SCALE: f64 = 1.3;
/// Shortest side of a region around a face, in pixels; a smaller face says too little.
pub const MIN_SIDE: u32 = 80;

/// A face as a detector gives it, in pixels; it may stick out of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceBox {
    /// Left edge.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl FaceBox {
    /// The box between two corners, their fractions cut off.
    pub fn from_corners([left, top]: [f32; 2], [right, bottom]: [f32; 2]) -> Self {
        // Casts cut towards zero, as the original does.
        let (x, y) = (left as i32, top as i32);
        let side = |from: i32, to: f32| (i64::from(to as i32) - i64::from(from)).max(0) as u32;
        FaceBox { x, y, width: side(x, right), height: side(y, bottom) }
    }

    /// Area in pixels.
    pub fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// The shape of the region around a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropKind {
    /// A square about the box, moved into the picture and no larger than it holds.
    #[default]
    Square,
    /// The box itself, cut off at the picture's edges and stretched to a square when resized.
    Legacy,
}

/// How a crop was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropSource {
    /// The largest centred square of the whole picture; no face was looked for, or none found.
    CentreSquare,
    /// [`CropKind::Square`] around a face.
    FaceSquare,
    /// [`CropKind::Legacy`] around a face.
    FaceLegacy,
}

/// A region of a frame, in pixels; a square but for legacy crops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width, and height where that is not given.
    pub side: u32,
    /// Height where it is not the width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How the region was chosen.
    pub source: CropSource,
}

impl Crop {
    /// The largest square in the middle of `frame`.
    pub fn centre_square(frame: &Frame) -> Self {
        let side = frame.width().min(frame.height());
        Crop {
            x: (frame.width() - side) / 2,
            y: (frame.height() - side) / 2,
            side,
            height: None,
            source: CropSource::CentreSquare,
        }
    }

    /// The region around `face` in `frame`, or nothing if a side of it is shorter than [`MIN_SIDE`].
    pub fn of_face(face: &FaceBox, frame: &Frame, kind: CropKind) -> Option<Self> {
        let crop = match kind {
            CropKind::Square => square(face, frame),
            CropKind::Legacy => legacy(face, frame)?,
        };
        (crop.width().min(crop.height()) >= MIN_SIDE).then_some(crop)
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.side
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height.unwrap_or(self.side)
    }
}

fn square(face: &FaceBox, frame: &Frame) -> Crop {
    let side = scaled(face.width.max(face.height)).min(i64::from(frame.width().min(frame.height())));
    let start = |centre: i64, length: u32| (centre - side / 2).clamp(0, i64::from(length) - side) as u32;
    let [x, y] = centre(face);
    Crop {
        x: start(x, frame.width()),
        y: start(y, frame.height()),
        side: side as u32,
        height: None,
        source: CropSource::FaceSquare,
    }
}

fn legacy(face: &FaceBox, frame: &Frame) -> Option<Crop> {
    // Half of a length is cut off before it is doubled: the region has even sides inside the picture.
    let span = |centre: i64, length: u32, limit: u32| {
        let half = scaled(length) / 2;
        let (start, end) = ((centre - half).max(0), (centre + half).min(i64::from(limit)));
        (end > start).then_some((start as u32, (end - start) as u32))
    };
    let [x, y] = centre(face);
    let (x, width) = span(x, face.width, frame.width())?;
    let (y, height) = span(y, face.height, frame.height())?;
    let is_square = width == height;
    Some(Crop { x, y, side: width, height: (!is_square).then_some(height), source: CropSource::FaceLegacy })
}

fn centre(face: &FaceBox) -> [i64; 2] {
    [i64::from(face.x) + i64::from(face.width / 2), i64::from(face.y) + i64::from(face.height / 2)]
}

fn scaled(length: u32) -> i64 {
    (f64::from(length) * BOX_SCALE) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u32, height: u32) -> Frame {
        Frame::from_rgb(width, height, vec![0; (width * height * 3) as usize])
    }

    #[test]
    fn centre_square_is_centred_and_inside() {
        struct Case {
            width: u32,
            height: u32,
            want: (u32, u32, u32),
        }
        let cases = [
            Case { width: 5, height: 5, want: (0, 0, 5) },
            Case { width: 10, height: 4, want: (3, 0, 4) },
            Case { width: 4, height: 9, want: (0, 2, 4) },
            Case { width: 1, height: 1, want: (0, 0, 1) },
        ];
        for case in cases {
            let crop = Crop::centre_square(&frame(case.width, case.height));
            assert_eq!((crop.x, crop.y, crop.side), case.want);
        }
    }

    #[test]
    fn a_report_of_a_square_says_what_it_always_said() {
        let crop = Crop::centre_square(&frame(4, 9));
        let json = r#"{"x":0,"y":2,"side":4,"source":"centre_square"}"#;
        assert_eq!(serde_json::to_string(&crop).unwrap(), json);
        assert_eq!(serde_json::from_str::<Crop>(json).unwrap(), crop);
    }

    #[test]
    fn boxes_from_a_hostile_list_end_inside_or_nowhere() {
        let extremes = [i32::MIN, -1, 0, 150, i32::MAX];
        let sides = [0, 1, 100, u32::MAX];
        let picture = frame(200, 120);
        for (x, y) in extremes.into_iter().flat_map(|x| extremes.map(|y| (x, y))) {
            for (width, height) in sides.into_iter().flat_map(|width| sides.map(|height| (width, height))) {
                for kind in [CropKind::Square, CropKind::Legacy] {
                    let face = FaceBox { x, y, width, height };
                    if let Some(crop) = Crop::of_face(&face, &picture, kind) {
                        assert!(crop.x + crop.width() <= 200 && crop.y + crop.height() <= 120, "{crop:?}");
                    }
                }
            }
        }
        let endless = FaceBox::from_corners([f32::NEG_INFINITY, f32::NAN], [f32::INFINITY, 3.9]);
        assert_eq!((endless.width, endless.height), (u32::MAX, 3));
    }
}
