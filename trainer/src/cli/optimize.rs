//! `aware optimize` and `aware quantize`: networks in integers, learned or after training.

use super::judge::print;
use super::progress_bar;
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use engine::frame::MAX_FILE_BYTES;
use engine::{Crop, Frame, Preprocess, Tensor};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use trainer::checkpoint::Checkpoint;
use trainer::device::{DeviceKind, explain};
use trainer::export::{ActivationBits, quantise};
use trainer::files::{read_limited, write_whole};
use trainer::optimize::{
    Begin, BenchmarkConfig, OptimizationReport, OptimizationResult, PageFigures, QatConfig, Target, Task,
    TestDevice, keep_result, optimize, write_report,
};

pub const OPTIMIZE_HELP: &str = "The teacher is a finished run of `aware train`. Ranges are observed on pictures of its \
    training split, the best epoch is chosen on its validation split, and the report is of its test split. Options win \
    over the configuration file, whose fields are described in docs/optimize.md.\n\n\
    Exit codes:\n  0  every network was optimised, and under --gate every demand is met\n  1  a network failed, or a \
    demand is missed under --gate\n  2  the arguments are wrong\n\n\
    Examples:\n  aware optimize --model stage1 --config trainer/configs/qat.json\n  \
    aware optimize --model all --epochs 10 --gate\n  aware optimize --model stage1 --epochs 3 --batch-size 16 --force";

pub const QUANTIZE_HELP: &str = "Quantisation after training, the baseline of `aware optimize`: ranges are observed on \
    pictures, nothing is learned.\n\nExample:\n  \
    aware quantize runs/first/stage1.onnx --calibration photos/ --output runs/first/stage1.int8.onnx";

/// Most pictures that ranges are observed on.
const MAX_PICTURES: usize = 1000;

/// Which networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Models {
    /// The filter.
    Stage1,
    /// The expert EfficientNet, of the second generation or Lite.
    #[value(alias = "stage2_effnet")]
    Efficientnet,
    /// The expert GenConViT.
    #[value(alias = "stage2_genconvit")]
    Genconvit,
    /// All of them.
    All,
}

impl Models {
    fn targets(self) -> Vec<Target> {
        match self {
            Models::Stage1 => vec![Target::Stage1],
            Models::Efficientnet => vec![Target::Efficientnet],
            Models::Genconvit => vec![Target::Genconvit],
            Models::All => Target::ALL.to_vec(),
        }
    }
}

#[derive(Args)]
pub struct OptimizeArgs {
    /// Which networks.
    #[arg(long, value_enum, default_value = "all")]
    model: Models,
    /// JSON file with every choice, as trainer/configs/qat.json.
    #[arg(long)]
    config: Option<PathBuf>,
    /// JSON file that says how it is measured, as trainer/configs/benchmark.json.
    #[arg(long, value_name = "FILE")]
    benchmark_config: Option<PathBuf>,
    /// Passes over the training split.
    #[arg(long)]
    epochs: Option<u64>,
    /// Pictures a step.
    #[arg(long, alias = "batch_size")]
    batch_size: Option<usize>,
    /// Peak learning rate of weights and biases.
    #[arg(long, alias = "learning_rate")]
    learning_rate: Option<f64>,
    /// Divisor of both logits in the soft term of the loss.
    #[arg(long)]
    temperature: Option<f64>,
    /// Folder of everything that is written.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Go on from the last epoch.
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Throw away what the folder holds of these networks.
    #[arg(long)]
    force: bool,
    /// Fail if a demand is missed: size, speed, AUC, memory.
    #[arg(long)]
    gate: bool,
    /// Result of `cargo xtask bench page --json`, whose times in a page then stand in the report of the only network.
    #[arg(long, value_name = "FILE")]
    page_bench: Option<PathBuf>,
    /// The report as JSON on standard output, in place of tables.
    #[arg(long)]
    json: bool,
    /// What computes; `cuda` needs a build with --features cuda.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

impl OptimizeArgs {
    fn config(&self) -> Result<QatConfig> {
        let mut config = match &self.config {
            Some(path) => QatConfig::read(path)?,
            None => QatConfig::default(),
        };
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.batch_size = self.batch_size.unwrap_or(config.batch_size);
        config.learning_rate = self.learning_rate.unwrap_or(config.learning_rate);
        config.distillation_temperature = self.temperature.unwrap_or(config.distillation_temperature);
        config.output_dir = self.output.clone().unwrap_or(config.output_dir);
        config.check()?;
        Ok(config)
    }

    fn begin(&self) -> Begin {
        match (self.resume, self.force) {
            (true, _) => Begin::Resume,
            (_, true) => Begin::Force,
            _ => Begin::Fresh,
        }
    }
}

pub fn run_optimize(args: &OptimizeArgs) -> Result<ExitCode> {
    let config = args.config()?;
    let benchmark = match &args.benchmark_config {
        Some(path) => BenchmarkConfig::read(path)?,
        None => BenchmarkConfig::default(),
    };
    benchmark.check()?;
    if benchmark.test_devices.contains(&TestDevice::Cuda) {
        eprintln!(
            "test_devices: integers are timed on the processor; on a GPU there is no engine for them yet"
        );
    }
    let targets = args.model.targets();
    ensure!(
        args.page_bench.is_none() || targets.len() == 1,
        "--page-bench is of one network; name it with --model"
    );
    let page = args.page_bench.as_deref().map(PageFigures::read).transpose()?;
    if let (Some(page), &[target]) = (&page, &targets[..]) {
        // Before the work, not behind it.
        page.check(&Checkpoint::read(config.teacher(target))?.progress.config)?;
    }
    let device = args.device.open()?;
    let mut results = Vec::new();
    for target in targets {
        let started = Instant::now();
        let bar = progress_bar("step {pos}/{len}");
        let say = |text: &str| bar.suspend(|| eprintln!("{text}"));
        let task = Task { target, config: &config, benchmark: &benchmark, device: &device };
        let result = optimize(task, args.begin(), &bar, &say).map_err(explain);
        bar.finish_and_clear();
        let result = result.unwrap_or_else(|error| {
            eprintln!("error: {}: {error:#}", target.name());
            OptimizationResult::failed(target, &error, started.elapsed().as_secs_f64() / 60.0)
        });
        results.push(measured(result, task, page.clone())?);
    }
    let report = OptimizationReport::new(results, &config, &benchmark);
    write_report(&report)?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&report)?,
        false => format!("{}{}", report.text(), config.comparison().display()),
    };
    print(&format!("{text}\n"))?;
    let has_failed = report.optimization_summary.failed_optimizations > 0;
    let is_refused = args.gate && !report.is_passed();
    Ok(if has_failed || is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `result` with what is measured outside of this process, kept in the network's folder.
fn measured(result: OptimizationResult, task: Task, page: Option<PageFigures>) -> Result<OptimizationResult> {
    let Task { config, target, benchmark, .. } = task;
    let Some(details) = result.details.as_deref() else { return Ok(result) };
    let file = config.output_dir.join(target.name()).join(&details.files.optimized.name);
    let memory = if benchmark.memory_profiling { peak_memory(&file)? } else { None };
    let mut result = match memory {
        Some(bytes) => result.with_peak_memory(bytes),
        None => result,
    };
    if let Some(page) = page {
        result = result.with_page(page);
    }
    keep_result(config, target, &result)?;
    Ok(result)
}

/// Most bytes that a process of this program takes to load and run the ONNX file at `path`.
fn peak_memory(path: &Path) -> Result<Option<u64>> {
    let program = std::env::current_exe().context("this program has no path")?;
    let output = std::process::Command::new(program)
        .args(["profile", "--json", "--runs", "10", "--warm-ups", "1"])
        .arg(path)
        .output()
        .context("cannot run this program once more, to measure its memory")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let profile: serde_json::Value = serde_json::from_slice(&output.stdout).context("its profile")?;
    Ok(profile.get("peak_memory_bytes").and_then(serde_json::Value::as_u64))
}

#[derive(Args)]
pub struct QuantizeArgs {
    /// ONNX file in floats, as `aware export` writes it.
    model: PathBuf,
    /// Folder of pictures to observe ranges on: faces, as they will be judged.
    #[arg(long, value_name = "DIR")]
    calibration: PathBuf,
    /// Bits of an activation: 7 is exact on every machine, 8 is what onnxruntime fuses.
    #[arg(long, value_enum, default_value = "7")]
    activation_bits: ActivationBits,
    /// Where the file goes.
    #[arg(long)]
    output: PathBuf,
}

pub fn run_quantize(args: &QuantizeArgs) -> Result<()> {
    let onnx = read_limited(&args.model, engine::runtime::onnx::MAX_BYTES as u64)?;
    let session = engine::Session::load(&onnx).with_context(|| args.model.display().to_string())?;
    let &[1, 3, side, width] = session.input_shape() else {
        anyhow::bail!(
            "{} takes {:?}, expected one picture [1, 3, S, S]",
            args.model.display(),
            session.input_shape()
        )
    };
    ensure!(side == width, "{} takes pictures of {width} x {side}, expected a square", args.model.display());
    let preprocess = Preprocess::imagenet(u32::try_from(side)?);
    preprocess.check()?;
    let inputs = calibration_inputs(&args.calibration, &preprocess)?;
    let quantised = quantise(&onnx, &inputs, args.activation_bits)?;
    write_whole(&args.output, &quantised)?;
    print(&format!(
        "{} ({} -> {} bytes, ranges of {} pictures)\n",
        args.output.display(),
        onnx.len(),
        quantised.len(),
        inputs.len()
    ))
}

/// The pictures of `folder`, in the order of their names.
fn calibration_inputs(folder: &Path, preprocess: &Preprocess) -> Result<Vec<Tensor>> {
    let context = || format!("cannot list {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(context)?;
    let mut paths =
        entries.map(|entry| Ok(entry.with_context(context)?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    let mut inputs = Vec::new();
    for path in paths.iter().take(MAX_PICTURES) {
        let bytes = read_limited(path, MAX_FILE_BYTES as u64)?;
        match Frame::from_encoded(&bytes) {
            Ok(frame) => inputs.push(preprocess.tensor(&frame, &Crop::centre_square(&frame))),
            Err(error) => eprintln!("{}: {error}", path.display()),
        }
    }
    ensure!(!inputs.is_empty(), "{} holds no picture to observe ranges on", folder.display());
    Ok(inputs)
}
