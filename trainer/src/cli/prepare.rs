//! `aware prepare`.

use super::progress_bar;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use engine::crop::CropKind;
use std::path::PathBuf;
use std::time::Duration;
use trainer::dataset::{Columns, ManifestWriter};
use trainer::faces::{FaceConfig, Pick};
use trainer::files::{back_up, write_json};
use trainer::paths::DataPaths;
use trainer::prepare::{PrepareConfig, prepare_into};
use trainer::readers::{Compression, Layout, Place, find_sets};
use trainer::report::{Listing, Report};
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
    aware prepare DATA --dataset ffpp --compression c23,c40 --hold-out FaceShifter\n  \
    aware prepare --config runs/paths.json --faces yunet.onnx --drop-duplicates\n  \
    aware prepare DATA --split legacy --output runs/legacy.csv";

#[derive(Args)]
pub(super) struct PrepareArgs {
    /// A data set, or a folder that holds some.
    #[arg(required_unless_present = "config")]
    root: Option<PathBuf>,
    /// Prepare the sets that this file of `aware paths` names.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["root", "layout"])]
    config: Option<PathBuf>,
    /// Use this set only, by its folder or its name; may be repeated.
    #[arg(long = "dataset")]
    datasets: Vec<String>,
    /// Read every set as this layout, instead of finding out.
    #[arg(long)]
    layout: Option<Layout>,
    /// Use these compressions of FaceForensics++ only.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    compression: Vec<Compression>,
    /// Leave out all but one of pictures with the same pixels, and all where they are called real and fake.
    #[arg(long)]
    drop_duplicates: bool,
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
    #[command(flatten)]
    faces: FaceArgs,
}

#[derive(Args)]
struct FaceArgs {
    /// Look for faces with this detector (a folder of `bundle-face`, or a YuNet file), and use those of at least 80 pixels
    /// with their surroundings.
    #[arg(long = "faces", value_name = "DETECTOR")]
    detector: Option<PathBuf>,
    /// Which faces of a picture or frame are used.
    #[arg(long, default_value = "largest", requires = "detector")]
    pick: Pick,
    /// Use at most this many faces of a picture, or of all frames of a video.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_faces: u32,
    /// The shape of the region around a face.
    #[arg(long, default_value = "square", requires = "detector")]
    crop: CropShape,
    /// Least score of a face, 0 to 1; the detector's own by default, 0.6 for YuNet.
    #[arg(long, value_name = "SCORE")]
    face_threshold: Option<f32>,
}

/// [`CropKind`] on the command line, which the engine knows nothing of.
#[derive(Clone, Copy, clap::ValueEnum)]
enum CropShape {
    /// A square about the face, moved into the picture.
    Square,
    /// As the original AWARE-NET: the face's box, cut off at the edges and stretched.
    Legacy,
}

impl FaceArgs {
    fn config(&self) -> Option<FaceConfig> {
        Some(FaceConfig {
            threshold: self.face_threshold,
            pick: self.pick,
            max_faces: self.max_faces,
            crop: match self.crop {
                CropShape::Square => CropKind::Square,
                CropShape::Legacy => CropKind::Legacy,
            },
            ..FaceConfig::new(self.detector.clone()?)
        })
    }
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

impl PrepareArgs {
    /// The sets, and the compressions of FaceForensics++ to use.
    fn sets(&self) -> Result<(Vec<Place>, Vec<Compression>)> {
        let Some(file) = &self.config else {
            let root = self.root.as_ref().context("neither a folder nor --config")?;
            return Ok((find_sets(root, &self.datasets, self.layout)?, self.compression.clone()));
        };
        let paths = DataPaths::read(file)?;
        let mut places = paths.places().with_context(|| format!("in {}", file.display()))?;
        for name in &self.datasets {
            let is_there = places.iter().any(|place| place.dataset == *name);
            ensure!(is_there, "{} has no path for {name:?}", file.display());
        }
        places.retain(|place| self.datasets.is_empty() || self.datasets.contains(&place.dataset));
        let is_asked = !self.compression.is_empty();
        Ok((places, if is_asked { self.compression.clone() } else { paths.compressions }))
    }
}

pub(super) fn run_prepare(args: &PrepareArgs) -> Result<()> {
    let (places, compressions) = args.sets()?;
    let config = PrepareConfig {
        seed: args.seed,
        split: args.split,
        hold_out: args.hold_out.clone(),
        compressions,
        frames: args.frames.config(),
        faces: args.faces.config(),
        drop_duplicates: args.drop_duplicates,
        names_only: args.dry_run,
    };
    let columns = if config.faces.is_some() { Columns::Faces } else { Columns::Pictures };
    let mut manifest = match args.dry_run {
        true => None,
        false => Some(ManifestWriter::create(&args.output, columns)?),
    };
    let mut report = Report::default();
    let rest = prepare_into(places, &config, &progress_bar("{pos}/{len} files"), &mut |sample| {
        report.count(&sample);
        manifest.as_mut().map_or(Ok(()), |manifest| manifest.push(&sample))
    })?;
    report.finish(rest);
    print_report(&report);
    if let Some(path) = &args.report {
        write_json(path, &report)?;
    }
    let (skipped, left_out) = (report.rest.skipped.count, report.rest.left_out.count);
    if let Some(limit) = args.max_errors.filter(|limit| skipped > *limit) {
        bail!("{skipped} files cannot be used, more than --max-errors {limit}; no manifest is written");
    }
    let outcome = format!("({skipped} skipped, {left_out} left out)");
    let Some(manifest) = manifest else {
        println!("dry run: nothing is written {outcome}");
        return Ok(());
    };
    if let Some(backup) = back_up(&args.output)? {
        println!("the manifest before is {}", backup.display());
    }
    manifest.finish()?;
    println!("{} {outcome}", args.output.display());
    Ok(())
}

fn print_report(report: &Report) {
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
    if report.rest.duplicates.count > 0 {
        println!("duplicates: {} left out", report.rest.duplicates.count);
    }
    for lack in &report.missing {
        eprintln!("warning: {lack}");
    }
    print_files("skipped", &report.rest.skipped);
    print_files("left out", &report.rest.left_out);
    print_files("duplicate", &report.rest.duplicates);
}

pub(super) fn print_files(what: &str, listing: &Listing) {
    for file in listing.files.iter().take(MAX_LINES) {
        // Names of files may hold what a terminal would obey.
        eprintln!("{what} {:?}: {}", file.path, file.reason);
    }
    if let Some(more) = listing.count.checked_sub(MAX_LINES).filter(|more| *more > 0) {
        eprintln!("{what} {more} more; --report FILE lists them");
    }
}
