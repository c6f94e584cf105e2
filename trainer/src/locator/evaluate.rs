//! A face detector beside another one, on pictures of a manifest and on frames of videos.

use super::agreement::{Agreement, Detection, Matches};
use super::labels::FACE_SCORE;
use super::portrait::Corners;
use crate::faces::FaceFinder;
use crate::files::read_limited;
use crate::readers::{Item, Media};
use crate::video::FrameConfig;
use anyhow::{Context, Result};
use engine::crop::FaceBox;
use engine::frame::MAX_FILE_BYTES;
use engine::{Face, Frame};
use indicatif::ProgressBar;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Names of so many pictures with a miss are kept.
const MAX_NAMED: usize = 20;

/// Pictures that are judged together.
#[derive(Debug, Clone)]
pub struct PictureSet {
    /// Name in the report.
    pub name: String,
    /// Where they lie.
    pub paths: Vec<PathBuf>,
}

/// Two detectors on one set.
#[derive(Debug, Clone, Serialize)]
pub struct SetAgreement {
    /// Name of the set.
    pub name: String,
    /// Pictures that were looked at.
    pub pictures: usize,
    /// Pictures in which the reference finds a face.
    pub with_faces: usize,
    /// Recall and precision beside the reference, at an overlap of 0.5.
    pub agreement: Agreement,
    /// The first pictures of which a face of the reference was missed.
    pub missed: Vec<String>,
    /// The first pictures in which a box is no face of the reference.
    pub unknown: Vec<String>,
}

/// The boxes of `detector` beside those of `reference` in the pictures of `set`. What the reference finds with a score
/// below [`FACE_SCORE`] counts neither way, so it should be asked for more.
///
/// # Errors
/// If a picture does not load or a detector does not run on it.
pub fn compare(
    detector: &FaceFinder,
    reference: &FaceFinder,
    set: &PictureSet,
    progress: &ProgressBar,
) -> Result<SetAgreement> {
    let (mut all, mut missed, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for path in &set.paths {
        let context = || path.display().to_string();
        let frame = Frame::from_encoded(&read_limited(path, MAX_FILE_BYTES as u64)?).with_context(context)?;
        let found = detector.faces(&frame).with_context(context)?;
        let known = reference.faces(&frame).with_context(context)?;
        let found =
            found.faces.iter().map(|face| Detection { corners: corners(&face.region), score: face.score });
        let (wanted, doubtful): (Vec<Face>, Vec<Face>) =
            known.faces.into_iter().partition(|face| face.score >= FACE_SCORE);
        let boxes =
            |faces: &[Face]| -> Vec<Corners> { faces.iter().map(|face| corners(&face.region)).collect() };
        let matches = Matches::of(found.collect(), &boxes(&wanted), &boxes(&doubtful));
        let right = matches.counted.iter().filter(|(_, is_right)| *is_right).count();
        if right < matches.wanted && missed.len() < MAX_NAMED {
            missed.push(context());
        }
        if right < matches.counted.len() && unknown.len() < MAX_NAMED {
            unknown.push(context());
        }
        all.push(matches);
        progress.inc(1);
    }
    Ok(SetAgreement {
        name: set.name.clone(),
        pictures: all.len(),
        with_faces: all.iter().filter(|matches| matches.wanted > 0).count(),
        agreement: Agreement::of(&all, 0.0),
        missed,
        unknown,
    })
}

fn corners(region: &FaceBox) -> Corners {
    let [x, y] = [region.x as f32, region.y as f32];
    [x, y, x + region.width as f32, y + region.height as f32]
}

/// Frames of every video in `folder`, as one set.
///
/// # Errors
/// If the folder cannot be listed, holds no video, or `ffmpeg` fails on one.
pub fn video_set(folder: &Path, frames: &FrameConfig) -> Result<PictureSet> {
    frames.check()?;
    let context = || format!("cannot list {}", folder.display());
    let mut videos = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if matches!(extension.as_str(), "mp4" | "mov" | "mkv" | "webm" | "avi") {
            videos.push(path);
        }
    }
    videos.sort();
    anyhow::ensure!(!videos.is_empty(), "{} holds no video", folder.display());
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut paths = Vec::new();
    for path in videos {
        let video = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let item = Item {
            path: path.clone(),
            name: video.clone(),
            media: Media::Video,
            label: 0,
            video,
            identities: Vec::new(),
            method: None,
            compression: None,
            official: None,
            legacy_key: String::new(),
        };
        let taken = frames.frames(&name, &item).with_context(|| path.display().to_string())?;
        paths.extend(taken.into_iter().map(|frame| frame.path));
    }
    Ok(PictureSet { name, paths })
}

impl SetAgreement {
    /// One line for people.
    pub fn text(&self) -> String {
        format!(
            "{:16} {:5} pictures, {:5} with a face: recall {}, precision {}",
            self.name,
            self.pictures,
            self.with_faces,
            self.agreement.recall.text(),
            self.agreement.precision.text()
        )
    }
}
