//! Frame -> faces, by a small network of our own: where each is, how sure the network is, how good the picture of it is.
//!
//! One type to the next: [`FaceManifest`] and the files it names, every byte checked; [`Letterbox`], the frame as large as
//! fits on the network's input; [`boxes`], the network's maps as faces, one box a face; [`FaceQuality`] of each. All of it
//! is whole numbers, IEEE `+ - * /` and one `exp`: the same bits natively and as WebAssembly.

pub mod boxes;
mod letterbox;
mod manifest;
mod quality;

pub use crate::quality::THRESHOLD as QUALITY_THRESHOLD;
pub use letterbox::Letterbox;
pub use manifest::{FACE_MANIFEST_NAME, FACE_SCHEMA_VERSION, FaceFiles, FaceManifest, MAX_FACE_FILE_BYTES};
pub use quality::FaceQuality;

use crate::crop::FaceBox;
use crate::error::Error;
use crate::frame::Frame;
use crate::order::{descending, of_number};
use crate::runtime::{ModelError, Session};
use boxes::{Levels, VALUES};
use serde::{Deserialize, Serialize};

/// Most faces of one frame; the surest stay.
pub const MAX_FACES: usize = 50;
/// A face whose box has no side of so many pixels of the frame is too small to judge.
pub const MIN_FACE_SIDE: u32 = 64;

/// A face in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// Where it is, in pixels of the frame; it may stick out.
    #[serde(flatten)]
    pub region: FaceBox,
    /// How sure the network is, 0 to 1.
    pub score: f32,
    /// How much the picture of it says.
    pub quality: FaceQuality,
    /// Whether both sides of the box are shorter than [`MIN_FACE_SIDE`].
    pub too_small: bool,
    /// Whether the quality is below the threshold that was asked for.
    pub low_quality: bool,
}

impl Face {
    /// The face in `region` of `frame`, with its quality beside `quality_threshold`.
    pub fn new(frame: &Frame, region: FaceBox, score: f32, quality_threshold: f64) -> Self {
        let quality = FaceQuality::of_face(frame, &region);
        Face {
            region,
            score,
            quality,
            too_small: region.width.max(region.height) < MIN_FACE_SIDE,
            low_quality: quality.score < quality_threshold,
        }
    }
}

/// What is to be said about the faces of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaceNotice {
    /// No face was found.
    NoFace,
    /// At least one face is too small to judge.
    TooSmall,
    /// There are more than [`MAX_FACES`]; the surest are listed.
    TooMany,
    /// The picture of at least one face says little.
    LowQuality,
}

/// The faces of a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Faces {
    /// At most [`MAX_FACES`], the surest first.
    pub faces: Vec<Face>,
    /// How many were found, those that are not listed as well.
    pub found: usize,
    /// What is to be said about them.
    pub notices: Vec<FaceNotice>,
}

impl Faces {
    /// The surest of `faces`, with what is to be said about them.
    pub fn new(faces: Vec<Face>) -> Self {
        let found = faces.len();
        let order = descending(faces.iter().map(|face| of_number(face.score.into())));
        let faces: Vec<Face> = order.into_iter().take(MAX_FACES).map(|at| faces[at]).collect();
        let says = |notice, is_said: bool| is_said.then_some(notice);
        let notices = [
            says(FaceNotice::NoFace, found == 0),
            says(FaceNotice::TooSmall, faces.iter().any(|face| face.too_small)),
            says(FaceNotice::TooMany, found > MAX_FACES),
            says(FaceNotice::LowQuality, faces.iter().any(|face| face.low_quality)),
        ];
        Faces { faces, found, notices: notices.into_iter().flatten().collect() }
    }

    /// The faces that are large enough to judge, the largest first.
    pub fn usable(&self) -> Vec<Face> {
        let order = descending(self.faces.iter().map(|face| face.region.area()));
        order.into_iter().map(|at| self.faces[at]).filter(|face| !face.too_small).collect()
    }
}

/// The network, ready to look.
pub struct FaceDetector {
    manifest: FaceManifest,
    session: Session,
}

impl FaceDetector {
    /// Loads the network of `files`.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime refuses the network, [`Error::Manifest`] if its input or outputs are others than a
    /// face detector's.
    pub fn load(files: &FaceFiles) -> Result<Self, Error> {
        Self::load_with(files, Session::load)
    }

    /// As [`FaceDetector::load`], with the fastest kernels for this machine; `now_ms` is any clock in milliseconds.
    ///
    /// # Errors
    /// Those of [`FaceDetector::load`].
    pub fn load_fastest(files: &FaceFiles, now_ms: &dyn Fn() -> f64) -> Result<Self, Error> {
        Self::load_with(files, |onnx| Session::load_fastest(onnx, now_ms))
    }

    fn load_with(
        files: &FaceFiles,
        load: impl Fn(&[u8]) -> Result<Session, ModelError>,
    ) -> Result<Self, Error> {
        let manifest = files.manifest().clone();
        let file = manifest.network.clone();
        let session = load(files.network()).map_err(|source| Error::Model { file: file.clone(), source })?;
        let side = manifest.preprocess.size as usize;
        let (inputs, outputs) = (&session.plan().inputs, &session.plan().outputs);
        let shapes: Vec<&[usize]> = outputs.iter().map(|output| &output.shape[..]).collect();
        let wanted = boxes::STRIDES.map(|stride| [1, VALUES, side / stride, side / stride]);
        if inputs.len() != 1 || session.input_shape() != [1, 3, side, side] || shapes != wanted {
            let detail = format!(
                "{file:?} makes {shapes:?} of {:?}, a face detector of {side} pixels makes {wanted:?} of [1, 3, {side}, \
                 {side}]",
                session.input_shape()
            );
            return Err(Error::Manifest { detail });
        }
        Ok(FaceDetector { manifest, session })
    }

    /// What the loaded files say of themselves.
    pub fn manifest(&self) -> &FaceManifest {
        &self.manifest
    }

    /// The faces in `frame` with a score of at least the manifest's threshold.
    ///
    /// # Errors
    /// [`Error::Numeric`] if the network gives something that is no number.
    pub fn faces(&mut self, frame: &Frame) -> Result<Faces, Error> {
        self.faces_above(frame, self.manifest.score_threshold, QUALITY_THRESHOLD)
    }

    /// The faces in `frame` with a score of at least `score_threshold`, their quality beside `quality_threshold`.
    ///
    /// # Errors
    /// [`Error::Numeric`] if the network gives something that is no number.
    pub fn faces_above(
        &mut self,
        frame: &Frame,
        score_threshold: f32,
        quality_threshold: f64,
    ) -> Result<Faces, Error> {
        let letterbox = Letterbox::new(frame, self.manifest.preprocess.size);
        let input = self.manifest.preprocess.normalise(letterbox.rgb());
        let outputs = self
            .session
            .run_all(&[&input])
            .map_err(|source| Error::Model { file: self.manifest.network.clone(), source })?;
        let numeric = || Error::Numeric { stage: "faces".into() };
        let levels = Levels::new(&outputs).ok_or_else(numeric)?;
        let found = boxes::distinct(levels.candidates(score_threshold), self.manifest.max_overlap);
        let face = |found: &boxes::Found| {
            let region = letterbox.in_frame(found.corners);
            (region.area() > 0).then(|| Face::new(frame, region, found.score, quality_threshold))
        };
        Ok(Faces::new(found.iter().filter_map(face).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(score: f32, side: u32) -> Face {
        let frame = Frame::from_rgb(200, 200, vec![90; 200 * 200 * 3]);
        Face::new(&frame, FaceBox { x: 3, y: 4, width: side - 10, height: side }, score, QUALITY_THRESHOLD)
    }

    #[test]
    fn i11_no_face_small_faces_and_too_many_are_said() {
        assert_eq!(Faces::new(Vec::new()).notices, [FaceNotice::NoFace]);
        let small = Faces::new(vec![face(0.5, MIN_FACE_SIDE - 1), face(0.9, MIN_FACE_SIDE)]);
        assert_eq!(small.notices, [FaceNotice::TooSmall, FaceNotice::LowQuality]);
        assert_eq!(small.faces.iter().map(|face| face.too_small).collect::<Vec<_>>(), [false, true]);
        assert_eq!(small.usable(), small.faces[..1]);

        let many: Vec<Face> = (0..=MAX_FACES).map(|i| face(i as f32 / 100.0, 80)).collect();
        let many = Faces::new(many);
        assert_eq!((many.faces.len(), many.found), (MAX_FACES, MAX_FACES + 1));
        assert!(many.notices.contains(&FaceNotice::TooMany));
        assert_eq!(many.faces[MAX_FACES - 1].score, 0.01, "the least sure one is left out");
        let exactly = Faces::new(many.faces);
        assert!(!exactly.notices.contains(&FaceNotice::TooMany));
    }
}
