//! What of a frame is judged: the faces in it, or its middle where nobody looks for faces.

use crate::crop::{Crop, CropKind, FaceBox};
use crate::faces::Faces;
use crate::frame::Frame;

/// A face and the region around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// The face, in pixels of the frame.
    pub face: FaceBox,
    /// What is judged; nothing for a face that is too small.
    pub crop: Option<Crop>,
}

impl Region {
    /// The largest square in the middle of `frame`, as if it were a face.
    pub fn middle(frame: &Frame) -> Self {
        let crop = Crop::centre_square(frame);
        let face = FaceBox { x: crop.x as i32, y: crop.y as i32, width: crop.side, height: crop.side };
        Region { face, crop: Some(crop) }
    }

    /// Those of `faces` in `frame`.
    pub fn of_faces(frame: &Frame, faces: &Faces) -> Vec<Self> {
        let region = |face: FaceBox| Region { face, crop: Crop::of_face(&face, frame, CropKind::Square) };
        faces.faces.iter().map(|face| region(face.region)).collect()
    }
}
