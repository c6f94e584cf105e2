//! Faces in pictures, found by a folder that `aware bundle-face` wrote, or by a YuNet file that the user names.

use crate::files::read_limited;
use crate::locator::folder::read_face_files;
use crate::yunet::Canvas;
use anyhow::{Context, Result, ensure};
use engine::crop::{CropKind, FaceBox};
use engine::faces::{FACE_MANIFEST_NAME, FaceFiles, QUALITY_THRESHOLD};
use engine::{Crop, Face, FaceDetector, Faces, Frame, Session};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Largest YuNet file that is read; YuNet has a third of a megabyte.
pub const MAX_DETECTOR_BYTES: u64 = 64 << 20;
/// Least score of a face for YuNet; OpenCV's samples ask for 0.9, the publishers' evaluation starts lower.
pub const YUNET_THRESHOLD: f32 = 0.6;

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
    /// Folder of a face detector of ours, or ONNX file of YuNet.
    pub detector: PathBuf,
    /// Least score of a face, 0 to 1; the detector's own if absent.
    pub threshold: Option<f32>,
    /// A face whose quality is below is marked, 0 to 1.
    pub quality_threshold: f64,
    /// Which faces of each picture or frame.
    pub pick: Pick,
    /// At most so many of a picture, or of all frames of a video.
    pub max_faces: u32,
    /// The shape of the region around each.
    pub crop: CropKind,
}

/// Where the detector of this project lies, from the root of the repository.
pub const OWN_DETECTOR: &str = "models/face";

impl FaceConfig {
    /// The detector that somebody named: nothing for "none", and the project's own, if it is there, where nobody named one.
    pub fn named(detector: Option<&Path>) -> Option<Self> {
        match detector {
            Some(name) if name == Path::new("none") => None,
            Some(name) => Some(Self::new(name.to_owned())),
            None => {
                let own = Path::new(OWN_DETECTOR);
                own.join(FACE_MANIFEST_NAME).is_file().then(|| Self::new(own.to_owned()))
            }
        }
    }

    /// The largest face of a picture, at most 50 of a video, in squares, found by `detector`.
    pub fn new(detector: PathBuf) -> Self {
        let (pick, crop) = (Pick::Largest, CropKind::Square);
        let quality_threshold = QUALITY_THRESHOLD;
        FaceConfig { detector, threshold: None, quality_threshold, pick, max_faces: 50, crop }
    }
}

/// A face detector, ready to look; many threads may use it at once.
pub struct FaceFinder {
    config: FaceConfig,
    network: Network,
}

/// What looks, and what of it no thread uses now.
enum Network {
    Own { files: Box<FaceFiles>, idle: Mutex<Vec<FaceDetector>> },
    Yunet { onnx: Vec<u8>, idle: Mutex<Vec<Session>> },
}

impl FaceFinder {
    /// The detector that `config` names.
    ///
    /// # Errors
    /// If the folder or file does not read, or is no network that takes a picture.
    pub fn load(config: &FaceConfig) -> Result<Self> {
        let network = if config.detector.is_dir() {
            Network::Own { files: Box::new(read_face_files(&config.detector)?), idle: Mutex::default() }
        } else {
            let onnx = read_limited(&config.detector, MAX_DETECTOR_BYTES)?;
            Network::Yunet { onnx, idle: Mutex::default() }
        };
        let finder = FaceFinder { config: config.clone(), network };
        finder.side()?;
        Ok(finder)
    }

    /// The longer side of the network's input, in pixels.
    ///
    /// # Errors
    /// If the detector does not load.
    pub fn side(&self) -> Result<usize> {
        match &self.network {
            Network::Own { files, idle } => {
                give_back(idle, self.own(files, idle)?);
                Ok(files.manifest().preprocess.size as usize)
            }
            Network::Yunet { onnx, idle } => {
                let session = self.yunet(onnx, idle)?;
                let side = session.input_shape().iter().copied().max().unwrap_or(0);
                give_back(idle, session);
                Ok(side)
            }
        }
    }

    /// The faces in `frame`, the surest first, with what is to be said about them.
    ///
    /// # Errors
    /// If the network does not run on it, or its outputs are not a face detector's.
    pub fn faces(&self, frame: &Frame) -> Result<Faces> {
        let quality_threshold = self.config.quality_threshold;
        match &self.network {
            Network::Own { files, idle } => {
                let mut detector = self.own(files, idle)?;
                let threshold = self.config.threshold.unwrap_or(files.manifest().score_threshold);
                let faces = detector.faces_above(frame, threshold, quality_threshold)?;
                give_back(idle, detector);
                Ok(faces)
            }
            Network::Yunet { onnx, idle } => {
                let mut session = self.yunet(onnx, idle)?;
                let [_, _, height, width] = *session.input_shape() else {
                    unreachable!("checked when loaded")
                };
                let canvas = Canvas::new(frame, [width, height]);
                let outputs = session.run_all(&[&canvas.input])?;
                let found = canvas.faces(&outputs, self.config.threshold.unwrap_or(YUNET_THRESHOLD))?;
                give_back(idle, session);
                let face = |found: &crate::yunet::Face| {
                    Face::new(frame, found.region, found.score, quality_threshold)
                };
                Ok(Faces::new(found.iter().map(face).collect()))
            }
        }
    }

    /// The picked faces of `frame`, large enough to be cropped, the largest first.
    ///
    /// # Errors
    /// As [`FaceFinder::faces`].
    pub fn usable(&self, frame: &Frame) -> Result<Vec<FaceBox>> {
        let is_usable = |face: &FaceBox| Crop::of_face(face, frame, self.config.crop).is_some();
        let mut faces: Vec<FaceBox> = self.faces(frame)?.faces.into_iter().map(|face| face.region).collect();
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

    fn own(&self, files: &FaceFiles, idle: &Mutex<Vec<FaceDetector>>) -> Result<FaceDetector> {
        match take(idle) {
            Some(detector) => Ok(detector),
            None => FaceDetector::load(files)
                .with_context(|| format!("{} is no face detector", self.config.detector.display())),
        }
    }

    fn yunet(&self, onnx: &[u8], idle: &Mutex<Vec<Session>>) -> Result<Session> {
        if let Some(session) = take(idle) {
            return Ok(session);
        }
        let name = self.config.detector.display();
        let session = Session::load(onnx).with_context(|| format!("{name} is no face detector"))?;
        let shape = session.input_shape();
        let is_picture = matches!(shape, [1, 3, height, width] if height % 32 == 0 && width % 32 == 0);
        ensure!(is_picture, "{name} takes {shape:?}, expected [1, 3, H, W] with sides of a multiple of 32");
        Ok(session)
    }
}

fn take<T>(idle: &Mutex<Vec<T>>) -> Option<T> {
    idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn give_back<T>(idle: &Mutex<Vec<T>>, one: T) {
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(one);
}
