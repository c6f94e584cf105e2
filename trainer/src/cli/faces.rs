//! `aware faces`, and the options of every command that looks for faces.

use anyhow::{Context, Result};
use clap::Args;
use engine::Frame;
use engine::frame::MAX_FILE_BYTES;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trainer::faces::{FaceConfig, FaceFinder, Pick, THRESHOLD};
use trainer::files::{path_bytes, read_limited};
use trainer::yunet::Face;

/// Examples of `aware faces --help`.
pub(super) const EXAMPLES: &str = "The detector is a YuNet file that you have; none is shipped. One with inputs of \
    320 pixels finds faces that fill a picture, one of 640 smaller ones, too.\n\n\
    Exit codes:\n  0  every picture was looked at\n  1  the detector did not load\n  2  the arguments are wrong\n  \
    3  at least one picture was not looked at\n\n\
    Example:\n  aware faces --detector yunet.onnx photo.jpg --json";

#[derive(Args)]
pub(super) struct FacesArgs {
    /// ONNX file of YuNet.
    #[arg(long, value_name = "FILE")]
    detector: PathBuf,
    /// Least score of a face.
    #[arg(long, value_name = "SCORE", default_value_t = THRESHOLD)]
    threshold: f32,
    /// JPEG, PNG or WebP pictures.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// One JSON line a file: {"file", "faces": [{"x", "y", "width", "height", "score"}]} or {"file", "error"}.
    #[arg(long)]
    json: bool,
}

pub(super) fn run_faces(args: &FacesArgs) -> Result<ExitCode> {
    let finder = FaceFinder::load(&FaceConfig {
        threshold: args.threshold,
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

fn look(finder: &FaceFinder, file: &Path) -> Result<Vec<Face>> {
    finder.faces(&Frame::from_encoded(&read_limited(file, MAX_FILE_BYTES as u64)?)?)
}

fn json_line(file: &Path, found: &Result<Vec<Face>>) -> String {
    let mut line = json!({ "file": file.to_string_lossy() });
    if let Some(bytes) = path_bytes(file) {
        line["file_bytes"] = bytes.into();
    }
    match found {
        Ok(faces) => line["faces"] = json!(faces),
        Err(error) => line["error"] = format!("{error:#}").into(),
    }
    line.to_string()
}

fn text(file: &Path, found: &Result<Vec<Face>>) -> String {
    let name = format!("{:?}", file.display().to_string());
    let faces = match found {
        Ok(faces) => faces,
        Err(error) => return format!("{name}: not looked at: {error:#}"),
    };
    let face = |face: &Face| {
        let region = face.region;
        format!(
            "\n  {} x {} at ({}, {}), score {:.3}",
            region.width, region.height, region.x, region.y, face.score
        )
    };
    format!("{name}: {} faces{}", faces.len(), faces.iter().map(face).collect::<String>())
}
