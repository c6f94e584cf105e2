//! How much the picture of a face says: [`Quality`] of what the frame shows of it.

use crate::crop::FaceBox;
use crate::frame::Frame;
use crate::grey::Grey;
use crate::quality::{Quality, SIDE};
use serde::{Deserialize, Serialize};

/// How much the picture of a face says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FaceQuality {
    /// The shorter side of the face's box, in pixels of the frame; the score knows nothing of it.
    pub side: u32,
    /// 0 sharp, 1 without edges.
    pub blur: f64,
    /// 1 neither dark nor bright.
    pub brightness: f64,
    /// 0 flat, 1 enough.
    pub contrast: f64,
    /// 0 smooth, 1 all noise.
    pub noise: f64,
    /// All of it, 0 to 1: [`Quality::overall`].
    pub score: f64,
}

impl FaceQuality {
    /// Of what `frame` shows of `face`, at most [`SIDE`] pixels a side: what no network sees needs no measuring. A face outside
    /// of it is as bad as can be.
    pub fn of_face(frame: &Frame, face: &FaceBox) -> Self {
        let side = face.width.min(face.height);
        let Some(grey) = Grey::of_region(frame, face, SIDE) else {
            return FaceQuality { side, blur: 1.0, brightness: 0.0, contrast: 0.0, noise: 1.0, score: 0.0 };
        };
        let Quality { blur, brightness, contrast, noise, overall } = Quality::of(&grey);
        FaceQuality { side, blur, brightness, contrast, noise, score: overall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_outside_or_without_area_is_as_bad_as_can_be() {
        let frame = Frame::from_rgb(20, 10, vec![120; 600]);
        for (x, width) in [(20, 10), (-10, 10), (3, 0), (i32::MIN, 1 << 31), (i32::MAX, u32::MAX)] {
            let quality = FaceQuality::of_face(&frame, &FaceBox { x, y: 0, width, height: 10 });
            assert_eq!(quality.score, 0.0, "{x}");
        }
        let one = FaceQuality::of_face(&frame, &FaceBox { x: 19, y: 9, width: 500, height: 500 });
        assert_eq!((one.side, one.blur, one.brightness), (500, 1.0, 1.0));
    }
}
