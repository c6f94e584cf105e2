//! `aware explain`.

use anyhow::{Context, Result};
use clap::Args;
use engine::frame::MAX_FILE_BYTES;
use engine::{Crop, Frame};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use trainer::detect::load_detector;
use trainer::faces::{FaceConfig, FaceFinder};
use trainer::files::{read_limited, write_whole};
use trainer::heat::{picture, text};

/// Examples of `aware explain --help`.
pub(super) const EXAMPLES: &str = "Each of 8 x 8 parts of the judged region is covered in turn, and the first network looks \
    again: where its answer falls, that part spoke for a fake. It says where the network looked, not what was forged.\n\n\
    Examples:\n  aware explain photo.jpg\n  aware explain photo.jpg --output heat.png\n  \
    aware explain photo.jpg --json";

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// A JPEG, PNG, WebP or GIF picture.
    file: PathBuf,
    /// Folder of the bundle.
    #[arg(long, default_value = "models/cascade", env = "AWARE_BUNDLE")]
    bundle: PathBuf,
    /// Detector that finds the face which is looked at, as in `detect`: the one that decides the verdict.
    #[arg(long, value_name = "DETECTOR", env = "AWARE_FACES")]
    faces: Option<PathBuf>,
    /// Write the region as PNG, red where it spoke for a fake and blue where it spoke for a real face.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print {"stage", "crop", "cells", "log_odds", "shifts"} as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run_explain(args: &ExplainArgs) -> Result<ExitCode> {
    let mut detector = load_detector(&args.bundle)?;
    let finder = FaceConfig::named(args.faces.as_deref()).as_ref().map(FaceFinder::load).transpose()?;
    let context = || args.file.display().to_string();
    let bytes = read_limited(&args.file, MAX_FILE_BYTES as u64).with_context(context)?;
    let frame = Frame::from_encoded(&bytes).with_context(context)?;
    let crop = match finder {
        Some(finder) => {
            let mut find = |frame: &Frame| finder.faces(frame);
            detector.judge_faces(&bytes, &mut find, &|| 0.0).with_context(context)?.crop
        }
        None => Crop::centre_square(&frame),
    };
    let map = detector.heat_map(&frame, crop).with_context(context)?;
    if let Some(path) = &args.output {
        write_whole(path, &picture(&frame, &map)?)?;
    }
    let said = if args.json { serde_json::to_string(&map)? } else { text(&map) };
    match writeln!(std::io::stdout(), "{said}") {
        // Whoever reads has enough, as `head` does.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => written.context("cannot write to standard output").map(|()| ExitCode::SUCCESS),
    }
}
