//! `aware faces`.

use anyhow::{Context, Result};
use clap::Args;
use engine::faces::{FaceNotice, MAX_FACES, MIN_FACE_SIDE, QUALITY_THRESHOLD};
use engine::frame::MAX_FILE_BYTES;
use engine::{Face, Faces, Frame};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trainer::faces::{FaceConfig, FaceFinder, Pick};
use trainer::files::{path_bytes, read_limited};

/// Examples of `aware faces --help`.
pub(super) const EXAMPLES: &str = "The detector is a folder as `bundle-face` writes it, or a YuNet file that you have \
    (one with inputs of 320 pixels finds faces that fill a picture, one of 640 smaller ones, too). None is shipped.\n\n\
    Exit codes:\n  0  every picture was looked at\n  1  the detector did not load\n  2  the arguments are wrong\n  \
    3  at least one picture was not looked at\n\n\
    Examples:\n  aware faces --detector runs/face-bundle photo.jpg\n  aware faces --detector yunet.onnx photo.jpg --json";

#[derive(Args)]
pub(super) struct FacesArgs {
    /// Folder of a face detector, or ONNX file of YuNet.
    #[arg(long, value_name = "DETECTOR")]
    detector: PathBuf,
    /// Least score of a face, 0 to 1; the detector's own by default, 0.6 for YuNet.
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,
    /// A face whose picture has a quality below this is marked, 0 to 1.
    #[arg(long, value_name = "QUALITY", default_value_t = QUALITY_THRESHOLD)]
    quality: f64,
    /// JPEG, PNG, WebP or GIF pictures.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// One JSON line a file: {"file", "faces": [{"x", "y", "width", "height", "score", "quality", ...}], "found",
    /// "notices"} or {"file", "error"}.
    #[arg(long)]
    json: bool,
}

pub(super) fn run_faces(args: &FacesArgs) -> Result<ExitCode> {
    let finder = FaceFinder::load(&FaceConfig {
        threshold: args.threshold,
        quality_threshold: args.quality,
        pick: Pick::Every,
        ..FaceConfig::new(args.detector.clone())
    })?;
    let mut output = std::io::stdout().lock();
    let mut all_looked_at = true;
    for file in &args.files {
        let found = look(&finder, file);
        all_looked_at &= found.is_ok();
        let line = if args.json { json_line(file, &found) } else { text(file, &found) };
        match writeln!(output, "{line}").and_then(|()| output.flush()) {
            // Whoever reads has enough, as `head` does.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => written.context("cannot write to standard output")?,
        }
    }
    Ok(if all_looked_at { ExitCode::SUCCESS } else { ExitCode::from(super::NOT_JUDGED) })
}

fn look(finder: &FaceFinder, file: &Path) -> Result<Faces> {
    finder.faces(&Frame::from_encoded(&read_limited(file, MAX_FILE_BYTES as u64)?)?)
}

fn json_line(file: &Path, found: &Result<Faces>) -> String {
    let mut line = json!({ "file": file.to_string_lossy() });
    if let Some(bytes) = path_bytes(file) {
        line["file_bytes"] = bytes.into();
    }
    match found {
        Ok(Faces { faces, found, notices }) => {
            line["faces"] = json!(faces);
            line["found"] = json!(found);
            line["notices"] = json!(notices);
        }
        Err(error) => line["error"] = format!("{error:#}").into(),
    }
    line.to_string()
}

fn text(file: &Path, found: &Result<Faces>) -> String {
    let name = format!("{:?}", file.display().to_string());
    let faces = match found {
        Ok(faces) => faces,
        Err(error) => return format!("{name}: not looked at: {error:#}"),
    };
    let mut text = format!("{name}: {} faces", faces.found);
    if faces.notices.contains(&FaceNotice::TooMany) {
        text += &format!(", the surest {MAX_FACES} of them are");
    }
    faces.faces.iter().for_each(|face| text += &line(face));
    text
}

fn line(face: &Face) -> String {
    let (region, quality) = (face.region, face.quality);
    let marks = [
        face.too_small.then(|| format!(", too small: less than {MIN_FACE_SIDE} pixels")),
        face.low_quality.then(|| ", low quality".to_owned()),
    ];
    format!(
        "\n  {} x {} at ({}, {}), score {:.3}, quality {:.2} (blur {:.2}, brightness {:.2}, contrast {:.2}, noise {:.2}){}",
        region.width,
        region.height,
        region.x,
        region.y,
        face.score,
        quality.score,
        quality.blur,
        quality.brightness,
        quality.contrast,
        quality.noise,
        marks.into_iter().flatten().collect::<String>()
    )
}
