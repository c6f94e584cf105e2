//! `aware prepare` and `aware validate`.

use super::progress_bar;
use anyhow::{Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trainer::dataset::write_manifest;
use trainer::files::{back_up, write_json};
use trainer::prepare::{PrepareConfig, prepare_with};
use trainer::readers::Layout;
use trainer::report::{Report, problems};
use trainer::splits::SplitMode;
use trainer::video::{Coverage, FrameConfig};

/// Lines of one kind on standard error; `--report` has them all.
const MAX_LINES: usize = 20;

/// Examples of `aware prepare --help`.
pub(super) const EXAMPLES: &str = "Sets are found by how they lie: Celeb-DF v2, FaceForensics++, DFDC \
    (metadata.json, or real/ and fake/), DF40, Deepfake-Eval-2024, or any SET/{real,fake}.\n\n\
    Exit codes:\n  0  the manifest is written\n  1  it is not: no set, a broken list, or more errors than --max-errors\n  \
    2  the arguments are wrong\n\n\
    Examples:\n  aware prepare DATA --dry-run\n  aware prepare DATA --report runs/report.json --max-errors 100\n  \
    aware prepare DATA/Celeb-DF-v2 --frames runs/frames --stride 10 --max-frames 100\n  \
    aware prepare DATA --dataset ffpp --hold-out FaceShifter\n  \
    aware prepare DATA --split legacy --output runs/legacy.csv";

#[derive(Args)]
pub(super) struct PrepareArgs {
    /// A data set, or a folder that holds some.
    root: PathBuf,
    /// Use this set only, by its folder or its name; may be repeated.
    #[arg(long = "dataset")]
    datasets: Vec<String>,
    /// Read every set as this layout, instead of finding out.
    #[arg(long)]
    layout: Option<Layout>,
    /// How train, val and test are chosen.
    #[arg(long, default_value = "identity")]
    split: SplitMode,
    /// Test fakes of this method only, and train on none of them.
    #[arg(long, value_name = "METHOD")]
    hold_out: Option<String>,
    /// Where the manifest goes; one that is there already is kept as NAME.bak-1, NAME.bak-2, ...
    #[arg(long, default_value = "runs/manifest.csv")]
    output: PathBuf,
    /// Seed of the split.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Look at names only and write nothing; near duplicates and broken files stay unknown.
    #[arg(long)]
    dry_run: bool,
    /// Write counts, imbalance and everything that was left out to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Fail, without a manifest, if more files than this cannot be used.
    #[arg(long, value_name = "N")]
    max_errors: Option<usize>,
    #[command(flatten)]
    frames: FrameArgs,
}

#[derive(Args)]
struct FrameArgs {
    /// Folder for frames of videos; without it videos are skipped. Needs ffmpeg.
    #[arg(long, value_name = "FOLDER")]
    frames: Option<PathBuf>,
    /// Take every Nth frame, from the start.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    stride: u32,
    /// Take frames from the whole video, evenly, instead.
    #[arg(long, conflicts_with = "stride")]
    whole_video: bool,
    /// Take at most this many frames of a video.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_frames: u32,
    /// The program that reads videos.
    #[arg(long, value_name = "PROGRAM", default_value = "ffmpeg", env = "AWARE_FFMPEG")]
    ffmpeg: PathBuf,
    /// Give a video up after this many seconds.
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    video_timeout: u64,
}

impl FrameArgs {
    fn config(&self) -> Option<FrameConfig> {
        Some(FrameConfig {
            folder: self.frames.clone()?,
            ffmpeg: self.ffmpeg.clone(),
            coverage: if self.whole_video { Coverage::Whole } else { Coverage::Stride(self.stride) },
            max_frames: self.max_frames,
            timeout: Duration::from_secs(self.video_timeout),
        })
    }
}

pub(super) fn run_prepare(args: &PrepareArgs) -> Result<()> {
    let config = PrepareConfig {
        datasets: args.datasets.clone(),
        layout: args.layout,
        seed: args.seed,
        split: args.split,
        hold_out: args.hold_out.clone(),
        frames: args.frames.config(),
        names_only: args.dry_run,
    };
    let prepared = prepare_with(&args.root, &config, &progress_bar("{pos}/{len} files"))?;
    let report = Report::new(&prepared);
    for (set, splits) in &report.sets {
        for (split, classes) in splits {
            println!("{set:18} {split:5}  {:7} real  {:7} fake", classes.real, classes.fake);
        }
    }
    for (split, classes) in &report.splits {
        println!("{:18} {split:5}  {:7} real  {:7} fake", "all", classes.real, classes.fake);
    }
    println!("{:18} {:5}  {:7} real  {:7} fake", "all", "all", report.total.real, report.total.fake);
    if let Some(imbalance) = report.total.imbalance {
        println!("imbalance: 1 to {imbalance:.2}");
    }
    for lack in &report.missing {
        eprintln!("warning: {lack}");
    }
    print_files("skipped", &prepared.skipped);
    print_files("left out", &prepared.left_out);
    if let Some(path) = &args.report {
        write_json(path, &report)?;
    }
    if let Some(limit) = args.max_errors.filter(|limit| prepared.skipped.len() > *limit) {
        bail!(
            "{} files cannot be used, more than --max-errors {limit}; no manifest is written",
            prepared.skipped.len()
        );
    }
    let outcome = format!("({} skipped, {} left out)", prepared.skipped.len(), prepared.left_out.len());
    if args.dry_run {
        println!("dry run: nothing is written {outcome}");
        return Ok(());
    }
    if let Some(backup) = back_up(&args.output)? {
        println!("the manifest before is {}", backup.display());
    }
    write_manifest(&args.output, &prepared.samples)?;
    println!("{} {outcome}", args.output.display());
    Ok(())
}

fn print_files(what: &str, files: &[(PathBuf, String)]) {
    for (path, reason) in files.iter().take(MAX_LINES) {
        // Names of files may hold what a terminal would obey.
        eprintln!("{what} {:?}: {reason}", path.display().to_string());
    }
    if let Some(more) = files.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        eprintln!("{what} {more} more; --report FILE lists them");
    }
}

#[derive(Args)]
pub(super) struct ValidateArgs {
    /// Manifest of `aware prepare`.
    manifest: PathBuf,
}

pub(super) fn run_validate(args: &ValidateArgs) -> Result<()> {
    let manifest: &Path = &args.manifest;
    let found = problems(manifest, &progress_bar("{pos}/{len} pictures"))?;
    for (path, problem) in &found {
        println!("{:?}: {problem}", path.display().to_string());
    }
    if !found.is_empty() {
        bail!("{} problems in {}", found.len(), manifest.display());
    }
    println!("{} holds", manifest.display());
    Ok(())
}
