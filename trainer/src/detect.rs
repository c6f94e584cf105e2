//! Pictures on disk -> reports, one at a time.

use crate::bundle::read_bundle;
use crate::faces::FaceFinder;
use crate::files::path_bytes;
use crate::timeline;
use anyhow::Result;
use engine::frame::MAX_FILE_BYTES;
use engine::video::VideoReport;
use engine::{Detector, Error, Frame, Label, Report};
use serde::Serialize;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

/// What became of one file, as one line of `detect --json`.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The file as it was named; bytes that are no UTF-8 are replaced.
    pub file: String,
    /// The bytes of the name in hexadecimal, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<String>,
    /// The judgement, or why there is none.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A judgement, or why there is none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The judgement.
    Report(Box<Report>),
    /// The judgement on a video.
    Video(Box<VideoReport>),
    /// Why there is none.
    Error(Failure),
}

/// Why a file was not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The engine's code, "io", "faces" if the face detector failed; of videos also "no_video", "timeout", "ffmpeg" and
    /// "ffmpeg_missing".
    pub code: String,
    /// What to do about it.
    pub message: String,
}

/// Loads the bundle in `folder`.
///
/// # Errors
/// If it is not a verified bundle that the engine runs.
pub fn load_detector(folder: &Path) -> Result<Detector> {
    Ok(Detector::load(&read_bundle(folder)?)?)
}

/// Judges the picture at `path`.
pub fn detect(detector: &mut Detector, path: &Path) -> Finding {
    detect_face(detector, None, path)
}

/// Judges every face of the picture at `path` that `finder` sees, or its middle without a finder.
pub fn detect_face(detector: &mut Detector, finder: Option<&FaceFinder>, path: &Path) -> Finding {
    let judged = read_picture(path).and_then(|bytes| judge_bytes(detector, finder, &bytes));
    Finding::new(path, judged)
}

/// Judges the picture in `bytes`; see [`detect_face`].
pub(crate) fn judge_bytes(
    detector: &mut Detector,
    finder: Option<&FaceFinder>,
    bytes: &[u8],
) -> Result<Report, Failure> {
    let started = Instant::now();
    let now_ms = || started.elapsed().as_secs_f64() * 1e3;
    let Some(finder) = finder else {
        return detector.judge(bytes, &now_ms).map_err(Failure::from);
    };
    let mut find = |frame: &Frame| {
        let failure = |error| Failure { code: "faces".into(), message: format!("{error:#}") };
        finder.faces(frame).map_err(failure)
    };
    detector.judge_faces(bytes, &mut find, &now_ms)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { code: code_of(&error), message: error.to_string() }
    }
}

/// At most one byte more than the engine takes: it then names the limit itself.
pub(crate) fn read_picture(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = || -> std::io::Result<Vec<u8>> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| Failure { code: "io".into(), message: error.to_string() })
}

pub(crate) fn code_of(error: &Error) -> String {
    let json = serde_json::to_value(error.code()).unwrap_or_default();
    json.as_str().unwrap_or("unknown").to_owned()
}

impl Finding {
    /// What became of the picture at `path`.
    pub(crate) fn new(path: &Path, judged: Result<Report, Failure>) -> Self {
        let outcome = judged.map_or_else(Outcome::Error, |report| Outcome::Report(Box::new(report)));
        Finding { file: path.to_string_lossy().into_owned(), file_bytes: path_bytes(path), outcome }
    }

    /// The finding as a line for people.
    pub fn text(&self) -> String {
        // Control characters in a name must not reach the terminal.
        let file: String = self.file.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        match &self.outcome {
            Outcome::Error(failure) => format!("{file}: not judged: {}", failure.message),
            Outcome::Video(report) => {
                let notices: String =
                    report.notices.iter().map(|notice| format!("\n  {}", notice.text())).collect();
                format!("{file}: {}{notices}", timeline::text_of(report))
            }
            Outcome::Report(report) => {
                let verdict = &report.verdict;
                let label = match verdict.label {
                    Label::Real => "REAL",
                    Label::Fake => "FAKE",
                    Label::Uncertain => "UNCERTAIN",
                };
                let missing = match report.missing.as_slice() {
                    [] => String::new(),
                    names => format!(", {} missing", names.join(", ")),
                };
                let faces = match report.faces.len() {
                    0 | 1 => String::new(),
                    count => format!(", {count} faces"),
                };
                format!(
                    "{file}: {label}  P(fake) {:.3}  by {} of {} {}{faces}{missing}, {:.1} ms",
                    verdict.probability_fake,
                    verdict.decided_by,
                    report.model.name,
                    report.model.version,
                    report.total_ms
                )
            }
        }
    }
}
