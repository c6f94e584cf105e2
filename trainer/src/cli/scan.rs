//! `aware scan` and `aware merge`.

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use trainer::bundle::Existing;
use trainer::faces::FaceConfig;
use trainer::interrupt::Interrupt;
use trainer::scan::done::Counts;
use trainer::scan::merge::merge;
use trainer::scan::shard::Shard;
use trainer::scan::{LINES_A_PART, ScanConfig, ScanEnd, scan};

/// Exit code of `scan` where another process works on the shard (EX_TEMPFAIL of sysexits.h).
const BUSY: u8 = 75;

pub(super) const SCAN_HELP: &str = "Every regular file gets one line: a judgement, or why there is none. Shards know \
    nothing of each other; a process that is killed is started again and goes on. docs/scan.md has the contract, with \
    examples for Kubernetes, Slurm and Ray.\n\n\
    Exit codes:\n  0    the shard is done, now or before\n  1    the bundle did not load, or the output is another scan's or \
    takes no files\n  2    the arguments are wrong\n  75   another process works on this shard\n  \
    130  stopped by Ctrl-C, 143 by SIGTERM; what was judged is kept\n\n\
    Examples:\n  aware scan photos --output runs/photos\n  aware scan photos --shard 3/16 --output runs/photos";

pub(super) const MERGE_HELP: &str = "Refused are parts of different bundles, engines or numbers of shards, shards that are \
    missing, not done, altered or there twice.\n\nExample:\n  aware merge runs/photos --output photos.jsonl";

#[derive(Args)]
pub(super) struct ScanArgs {
    /// Folder with pictures.
    #[arg(value_name = "DIR")]
    root: PathBuf,
    /// Which part of the files, I from 0.
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: Shard,
    /// Folder of the scan, the same for all shards or one for each.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Folder of the bundle.
    #[arg(long, default_value = "models/cascade", env = "AWARE_BUNDLE")]
    bundle: PathBuf,
    /// Detector that finds the faces which are judged, as in `detect`; "none" for the middle of each picture.
    #[arg(long, value_name = "DETECTOR", env = "AWARE_FACES")]
    faces: Option<PathBuf>,
    /// Lines of a file of the output; so many judgements are made again after a kill.
    #[arg(long, value_name = "LINES", default_value_t = LINES_A_PART,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    part_lines: u64,
}

#[derive(Args)]
pub(super) struct MergeArgs {
    /// Folders of the scan.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Where all lines go.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if there is one.
    #[arg(long)]
    force: bool,
}

pub(super) fn run_scan(args: &ScanArgs) -> Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let style = ProgressStyle::with_template("{spinner} {pos} files, {per_sec}");
    let progress =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    let config = ScanConfig {
        root: args.root.clone(),
        shard: args.shard,
        output: args.output.clone(),
        bundle: args.bundle.clone(),
        faces: FaceConfig::named(args.faces.as_deref()),
        lines_a_part: args.part_lines,
    };
    let end = scan(&config, &interrupt, &progress)?;
    progress.finish_and_clear();
    let shard = args.shard;
    match end {
        ScanEnd::Done(done) => say(&format!("shard {shard}: {}", done.counts.text())),
        ScanEnd::WasDone(done) => say(&format!("shard {shard} was done: {}", done.counts.text())),
        ScanEnd::Stopped { stop, files } => {
            eprintln!("shard {shard}: stopped; {files} files have their line, the next run goes on");
            Ok(stop.exit_code())
        }
        ScanEnd::Busy => {
            eprintln!("shard {shard}: another process works on it");
            Ok(ExitCode::from(BUSY))
        }
    }
}

pub(super) fn run_merge(args: &MergeArgs) -> Result<ExitCode> {
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let merged = merge(&args.folders, &args.output, existing)?;
    let counts: &Counts = &merged.counts;
    say(&format!("{}: {}", args.output.display(), counts.text()))
}

fn say(line: &str) -> Result<ExitCode> {
    match writeln!(std::io::stdout(), "{line}") {
        // Whoever reads has enough; the work is done.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to standard output")?,
    }
    Ok(ExitCode::SUCCESS)
}
