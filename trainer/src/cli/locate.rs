//! `aware train-face`, `aware bundle-face` and `aware evaluate-faces`.

use super::progress_bar;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trainer::dataset::{Split, read_manifest};
use trainer::face_points::find_points;
use trainer::faces::{FaceConfig, FaceFinder, Pick};
use trainer::files::{read_limited, write_json};
use trainer::locator::config::LocatorConfig;
use trainer::locator::evaluate::{PictureSet, compare, video_set};
use trainer::locator::labels::{DOUBTFUL_SCORE, Labels, label};
use trainer::locator::learn::{Locator, paths_of, train_locator};
use trainer::locator::write::{LocatorAbout, write_locator};
use trainer::train::{RunFolder, Start};
use trainer::video::{Coverage, FrameConfig};

/// Largest model card.
const MAX_CARD_BYTES: u64 = 1 << 20;

/// Examples of `aware train-face --help`.
pub(super) const TRAIN_HELP: &str = "Boxes that the configuration's `labels` file lacks are found by the YuNet file \
    and kept there; a whole file needs no YuNet.\n\nExamples:\n  \
    aware train-face --config trainer/configs/face.toml --label-by yunet_n_320_320.onnx --output runs/face\n  \
    aware train-face --config trainer/configs/face.toml --output runs/face --resume";

/// Examples of `aware bundle-face --help`.
pub(super) const BUNDLE_HELP: &str = "Example:\n  aware bundle-face --run runs/face --name \"AWARE face\" --version \
    0.1.0 --licence \"research and demonstration, non-commercial\" --card CARD.md --output runs/face-bundle";

/// Examples of `aware evaluate-faces --help`.
pub(super) const EVALUATE_HELP: &str = "Examples:\n  \
    aware evaluate-faces --detector runs/face-bundle --reference yunet_n_320_320.onnx --manifest runs/manifest.csv --split test\n  \
    aware evaluate-faces --detector runs/face-bundle --reference yunet_n_320_320.onnx --videos CLIPS --frames runs/frames --stride 5";

#[derive(Args)]
pub(super) struct TrainFaceArgs {
    /// TOML file with the run's choices; see trainer/configs/face.toml.
    #[arg(long)]
    config: PathBuf,
    /// Folder of the run.
    #[arg(long)]
    output: PathBuf,
    /// Detector that finds the boxes which the labels lack.
    #[arg(long, value_name = "YUNET")]
    label_by: Option<PathBuf>,
    /// Go on from the last checkpoint.
    #[arg(long)]
    resume: bool,
    /// Stop after this many rounds of the run, to --resume later.
    #[arg(long)]
    stop_after: Option<u64>,
}

/// Examples of `aware face-points --help`.
pub(super) const POINTS_HELP: &str = "A run's configuration names the file as `points`; `augment.composite` fits parts of faces by \
    it.\n\nExample:\n  aware face-points --manifest runs/faces.csv --detector yunet_n_320_320.onnx --output runs/points.csv";

#[derive(Args)]
pub(super) struct FacePointsArgs {
    /// Manifest written by `prepare`.
    #[arg(long)]
    manifest: PathBuf,
    /// ONNX file of YuNet.
    #[arg(long, value_name = "YUNET")]
    detector: PathBuf,
    /// CSV file with the points of each face that was seen.
    #[arg(long)]
    output: PathBuf,
}

#[derive(Args)]
pub(super) struct BundleFaceArgs {
    /// Folder of the run.
    #[arg(long)]
    run: PathBuf,
    /// Short name, for people.
    #[arg(long)]
    name: String,
    /// Version of the content.
    #[arg(long)]
    version: String,
    /// Terms under which the weights may be used.
    #[arg(long)]
    licence: String,
    /// Text file that says what it is, what it was trained on, and its limits.
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// Least score of a face, 0 to 1; that of the best F1 on validation scenes by default.
    #[arg(long, value_name = "SCORE", value_parser = share)]
    threshold: Option<f32>,
    /// Folder that is made.
    #[arg(long)]
    output: PathBuf,
}

#[derive(Args)]
pub(super) struct EvaluateFacesArgs {
    /// Detector that is judged: a folder, or ONNX file of YuNet.
    #[arg(long, value_name = "DETECTOR")]
    detector: PathBuf,
    /// Detector that it is judged by.
    #[arg(long, value_name = "DETECTOR")]
    reference: PathBuf,
    /// Least score of a face of the judged one; its own by default.
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,
    /// Judge on pictures of this manifest, each set apart.
    #[arg(long, value_name = "CSV", required_unless_present = "videos")]
    manifest: Option<PathBuf>,
    /// Those of this split.
    #[arg(long, default_value = "test")]
    split: String,
    /// Judge on frames of the videos in this folder.
    #[arg(long, value_name = "FOLDER", requires = "frames")]
    videos: Option<PathBuf>,
    /// Folder for the frames. Needs ffmpeg.
    #[arg(long, value_name = "FOLDER")]
    frames: Option<PathBuf>,
    /// Take every Nth frame.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    stride: u32,
    /// The program that reads videos.
    #[arg(long, default_value = "ffmpeg")]
    ffmpeg: PathBuf,
    /// Write counts, intervals and the pictures with a difference to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// A detector that is asked for what it doubts, too.
fn doubting(detector: &Path) -> Result<FaceFinder> {
    let config = FaceConfig::new(detector.to_owned());
    FaceFinder::load(&FaceConfig { threshold: Some(DOUBTFUL_SCORE), pick: Pick::Every, ..config })
}

/// The labels of the pictures that `config` trains and chooses by.
fn labels_of(config: &LocatorConfig, label_by: Option<&Path>) -> Result<Labels> {
    let finder = label_by.map(doubting).transpose()?;
    let paths = paths_of(config, &[Split::Train, Split::Val])?;
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let progress = progress_bar("picture {pos}/{len}").with_message("labels");
    let labels = label(&config.labels, &paths, finder.as_ref(), &progress)?;
    progress.finish_and_clear();
    Ok(labels)
}

pub(super) fn run_train_face(args: &TrainFaceArgs) -> Result<()> {
    let config = LocatorConfig::read(&args.config)?;
    let labels = labels_of(&config, args.label_by.as_deref())?;
    let folder = RunFolder::new(&args.output);
    let start = if args.resume { Start::Resume } else { Start::Fresh };
    let progress_bar = progress_bar("step {pos}/{len}");
    let progress = train_locator(&config, &labels, &folder, (start, args.stop_after), &progress_bar)?;
    println!(
        "best round {} of {}: average precision {:.4} on validation scenes\n{}",
        progress.best_epoch,
        progress.epochs_done,
        progress.best_average_precision,
        folder.best().display()
    );
    Ok(())
}

fn share(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("{value} is not between 0 and 1")) }
}

pub(super) fn run_bundle_face(args: &BundleFaceArgs) -> Result<()> {
    let run = RunFolder::new(&args.run);
    let (_, progress) = Locator::read(&run.best(), &candle_core::Device::Cpu)?;
    let labels = labels_of(&progress.config, None)?;
    let about = LocatorAbout {
        name: args.name.clone(),
        version: args.version.clone(),
        licence: args.licence.clone(),
        card: read_limited(&args.card, MAX_CARD_BYTES)?,
        score_threshold: args.threshold,
    };
    let figures = write_locator(&run, &labels, &about, &args.output)?;
    println!(
        "{}\n{} validation scenes: average precision {:.4} in integers, {:.4} in floats; at a score of {:.2} recall {}, \
         precision {}",
        args.output.display(),
        figures.scenes,
        figures.average_precision,
        figures.average_precision_float,
        figures.score_threshold,
        figures.agreement.recall.text(),
        figures.agreement.precision.text()
    );
    Ok(())
}

pub(super) fn run_evaluate_faces(args: &EvaluateFacesArgs) -> Result<()> {
    let own = FaceConfig { threshold: args.threshold, ..FaceConfig::new(args.detector.clone()) };
    let detector = FaceFinder::load(&FaceConfig { pick: Pick::Every, ..own })?;
    let reference = doubting(&args.reference)?;
    let mut sets = Vec::new();
    if let Some(manifest) = &args.manifest {
        sets.extend(sets_of(manifest, &args.split)?);
    }
    if let (Some(videos), Some(frames)) = (&args.videos, &args.frames) {
        let frames = FrameConfig {
            folder: frames.clone(),
            ffmpeg: args.ffmpeg.clone(),
            coverage: Coverage::Stride(args.stride),
            max_frames: 100_000,
            timeout: Duration::from_secs(600),
        };
        sets.push(video_set(videos, &frames)?);
    }
    let progress = progress_bar("picture {pos}/{len}");
    progress.set_length(sets.iter().map(|set| set.paths.len() as u64).sum());
    let mut results = Vec::new();
    for set in &sets {
        let result = compare(&detector, &reference, set, &progress)?;
        progress.suspend(|| println!("{}", result.text()));
        results.push(result);
    }
    progress.finish_and_clear();
    if let Some(path) = &args.report {
        write_json(path, &results)?;
    }
    Ok(())
}

pub(super) fn run_face_points(args: &FacePointsArgs) -> Result<()> {
    let samples = read_manifest(&args.manifest)?;
    let bar = progress_bar("face {pos}/{len}");
    bar.set_length(samples.len() as u64);
    let seen = find_points(&samples, &args.detector, &args.output, || bar.inc(1))?;
    bar.finish_and_clear();
    println!("{} of {} faces seen: {}", seen, samples.len(), args.output.display());
    Ok(())
}

/// The pictures of each set of the manifest in the split called `split`.
fn sets_of(manifest: &Path, split: &str) -> Result<Vec<PictureSet>> {
    let known = [Split::Train, Split::Val, Split::Test];
    let split = known.into_iter().find(|known| known.name() == split);
    let split = split.context("--split is none of train, val and test")?;
    let mut sets: Vec<PictureSet> = Vec::new();
    for sample in read_manifest(manifest)?.into_iter().filter(|sample| sample.split == split) {
        let place = sets.iter().position(|set| set.name == sample.dataset);
        let place = place.unwrap_or_else(|| {
            sets.push(PictureSet { name: sample.dataset.clone(), paths: Vec::new() });
            sets.len() - 1
        });
        if sets[place].paths.last() != Some(&sample.image_path) {
            sets[place].paths.push(sample.image_path);
        }
    }
    ensure!(!sets.is_empty(), "the manifest has no picture in the {} split", split.name());
    Ok(sets)
}
