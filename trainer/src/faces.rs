//! Faces in pictures, found by a YuNet file that the user names; none is shipped.

use crate::files::read_limited;
use crate::yunet::{Canvas, Face};
use anyhow::{Context, Result, ensure};
use engine::crop::{CropKind, FaceBox};
use engine::{Crop, Frame, Session};
use std::path::PathBuf;
use std::sync::Mutex;

/// Largest detector that is read; YuNet has a third of a megabyte.
const MAX_DETECTOR_BYTES: u64 = 64 << 20;
/// Least score of a face; OpenCV's samples ask for 0.9, the publishers' evaluation starts lower.
pub const THRESHOLD: f32 = 0.6;

/// Which faces of a picture are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Pick {
    /// The one with the largest box.
    #[default]
    Largest,
    /// Every one.
    Every,
}

/// How faces are found.
#[derive(Debug, Clone)]
pub struct FaceConfig {
    /// ONNX file of YuNet.
    pub detector: PathBuf,
    /// Least score of a face, 0 to 1.
    pub threshold: f32,
    /// Which faces of each picture or frame.
    pub pick: Pick,
    /// At most so many of a picture, or of all frames of a video.
    pub max_faces: u32,
    /// The shape of the region around each.
    pub crop: CropKind,
}

impl FaceConfig {
    /// The largest face of a picture, at most 50 of a video, in squares, found by the file `detector`.
    pub fn new(detector: PathBuf) -> Self {
        let (pick, crop) = (Pick::Largest, CropKind::Square);
        FaceConfig { detector, threshold: THRESHOLD, pick, max_faces: 50, crop }
    }
}

/// A face detector, ready to look; many threads may use it at once.
pub struct FaceFinder {
    config: FaceConfig,
    onnx: Vec<u8>,
    /// Sessions that no thread uses now.
    idle: Mutex<Vec<Session>>,
}

impl FaceFinder {
    /// The detector that `config` names.
    ///
    /// # Errors
    /// If the file does not read, or is no network that takes a picture.
    pub fn load(config: &FaceConfig) -> Result<Self> {
        let onnx = read_limited(&config.detector, MAX_DETECTOR_BYTES)?;
        let finder = FaceFinder { config: config.clone(), onnx, idle: Mutex::default() };
        finder.give_back(finder.session()?);
        Ok(finder)
    }

    /// The longer side of the network's input, in pixels.
    ///
    /// # Errors
    /// If the detector does not load.
    pub fn side(&self) -> Result<usize> {
        let session = self.session()?;
        let side = session.input_shape().iter().copied().max().unwrap_or(0);
        self.give_back(session);
        Ok(side)
    }

    /// Every face in `frame`, the surest first.
    ///
    /// # Errors
    /// If the network does not run on it, or its outputs are not YuNet's.
    pub fn faces(&self, frame: &Frame) -> Result<Vec<Face>> {
        let mut session = self.session()?;
        let [_, _, height, width] = *session.input_shape() else { unreachable!("checked when loaded") };
        let canvas = Canvas::new(frame, [width, height]);
        let outputs = session.run_all(&[&canvas.input])?;
        let faces = canvas.faces(&outputs, self.config.threshold)?;
        self.give_back(session);
        Ok(faces)
    }

    /// The picked faces of `frame`, large enough to be cropped, the largest first.
    ///
    /// # Errors
    /// As [`FaceFinder::faces`].
    pub fn usable(&self, frame: &Frame) -> Result<Vec<FaceBox>> {
        let is_usable = |face: &FaceBox| Crop::of_face(face, frame, self.config.crop).is_some();
        let mut faces: Vec<FaceBox> = self.faces(frame)?.into_iter().map(|face| face.region).collect();
        faces.sort_by_key(|face| std::cmp::Reverse(face.area()));
        faces.retain(is_usable);
        if self.config.pick == Pick::Largest {
            faces.truncate(1);
        }
        Ok(faces)
    }

    /// The region around the largest face of `frame`, if one is large enough.
    ///
    /// # Errors
    /// As [`FaceFinder::faces`].
    pub fn crop(&self, frame: &Frame) -> Result<Option<Crop>> {
        let largest = self.usable(frame)?.into_iter().next();
        Ok(largest.and_then(|face| Crop::of_face(&face, frame, self.config.crop)))
    }

    fn session(&self) -> Result<Session> {
        let idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
        if let Some(session) = idle {
            return Ok(session);
        }
        let name = self.config.detector.display();
        let session = Session::load(&self.onnx).with_context(|| format!("{name} is no face detector"))?;
        let shape = session.input_shape();
        let is_picture = matches!(shape, [1, 3, height, width] if height % 32 == 0 && width % 32 == 0);
        ensure!(is_picture, "{name} takes {shape:?}, expected [1, 3, H, W] with sides of a multiple of 32");
        Ok(session)
    }

    fn give_back(&self, session: Session) {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(session);
    }
}
