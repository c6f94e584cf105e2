//! Where faces are in the frames of a video: by a detector, or the middle where there is none.

use crate::faces::FaceFinder;
use anyhow::Result;
use engine::crop::{CropKind, FaceBox};
use engine::{Crop, Frame};

/// A face and the region around it that is judged.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    /// The face.
    pub face: FaceBox,
    /// What is judged; nothing for a face that is too small.
    pub crop: Option<Crop>,
}

/// Finds faces in frames.
pub trait FaceSource {
    /// The faces of `frame`.
    ///
    /// # Errors
    /// If the detector fails.
    fn regions(&mut self, frame: &Frame) -> Result<Vec<Region>>;

    /// Whether these are faces, and not just the middle of each frame.
    fn looks_for_faces(&self) -> bool;
}

/// No detector: the largest square in the middle of each frame.
pub struct WholeFrame;

impl FaceSource for WholeFrame {
    fn regions(&mut self, frame: &Frame) -> Result<Vec<Region>> {
        let crop = Crop::centre_square(frame);
        let face = FaceBox { x: crop.x as i32, y: crop.y as i32, width: crop.side, height: crop.side };
        Ok(vec![Region { face, crop: Some(crop) }])
    }

    fn looks_for_faces(&self) -> bool {
        false
    }
}

impl FaceSource for &FaceFinder {
    fn regions(&mut self, frame: &Frame) -> Result<Vec<Region>> {
        let region = |face: FaceBox| Region { face, crop: Crop::of_face(&face, frame, CropKind::Square) };
        Ok(self.faces(frame)?.faces.iter().map(|face| region(face.region)).collect())
    }

    fn looks_for_faces(&self) -> bool {
        true
    }
}
