//! The square of a frame that is judged.
//!
//! There is no face detector yet: [`Crop::centre_square`] takes as much of the whole picture as a
//! square holds, and the report says so.

use crate::frame::Frame;
use serde::{Deserialize, Serialize};

/// How a crop was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropSource {
    /// The largest centred square of the whole picture; no face was looked for.
    CentreSquare,
}

/// A square region of a frame, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crop {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width and height.
    pub side: u32,
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
            source: CropSource::CentreSquare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let frame =
                Frame::from_rgb(case.width, case.height, vec![0; (case.width * case.height * 3) as usize]);
            let crop = Crop::centre_square(&frame);
            assert_eq!((crop.x, crop.y, crop.side), case.want);
        }
    }
}
