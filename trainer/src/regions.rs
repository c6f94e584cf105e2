//! Where faces are in the frames of a video: by a detector, or the middle where there is none.

use crate::faces::FaceFinder;
use anyhow::Result;
use engine::Frame;
use engine::video::Region;

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
        Ok(vec![Region::middle(frame)])
    }

    fn looks_for_faces(&self) -> bool {
        false
    }
}

impl FaceSource for &FaceFinder {
    fn regions(&mut self, frame: &Frame) -> Result<Vec<Region>> {
        Ok(Region::of_faces(frame, &self.faces(frame)?))
    }

    fn looks_for_faces(&self) -> bool {
        true
    }
}
