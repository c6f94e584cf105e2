//! `aware evaluate`, `leave-one-out`, `features` and `compare`.

use super::progress_bar;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use trainer::complementarity::{compare, feature_dimensions};
use trainer::config::RunConfig;
use trainer::dataset::Split;
use trainer::device::{DeviceKind, explain};
use trainer::evaluate::{Reading, evaluate, text, with_interval};
use trainer::features::{Features, extract};
use trainer::judge::{Judge, keep_selection};
use trainer::leave_one_out::{leave_one_out, text as folds_text};
use trainer::pipeline::Pipeline;
use trainer::report_page::write_evaluation;
use trainer::scores::{ScoreRow, read_scores};
use trainer::train::{RunFolder, RunMetrics};

pub(super) const EVALUATE_HELP: &str = "A file of scores has the columns path,label,dataset,group,logit and, if the \
    control was asked, trivial_cues.\n\nThe cascade's threshold is chosen on the validation split alone; that of a run is then \
    kept in its metrics.json, and judged on the other splits.\n\nExamples:\n  \
    aware evaluate --run runs/first --output runs/first/test\n  \
    aware evaluate --run runs/first --split val --output runs/first/val\n  \
    aware evaluate --scores runs/first/test/scores.csv --json | jq .all.auc";
pub(super) const LEAVE_ONE_OUT_HELP: &str = "A set of one class is judged by the network that all the others made, and \
    trained on in no fold. The command goes on where it was broken off.\n\nExample:\n  \
    aware leave-one-out --config trainer/configs/first.toml --output runs/left-out";
pub(super) const FEATURES_HELP: &str = "The file is safetensors: embedding [N, D], and with a pipeline reduced [N, K]; what each \
    row is stands in its metadata as JSON. A pipeline standardises and keeps the main directions; it is fitted on the \
    train split alone.\n\nExamples:\n  \
    aware features --run runs/first --split train --output train.safetensors --fit pipeline.safetensors\n  \
    aware features --run runs/first --split test --output test.safetensors --pipeline pipeline.safetensors";
pub(super) const COMPARE_HELP: &str = "What both know together is a logistic regression on both logits: fitted on the scores of \
    the validation split if they are given, else cross-validated with groups kept whole.\n\nExamples:\n  \
    aware compare runs/a/test/scores.csv runs/b/test/scores.csv\n  \
    aware compare a/test/scores.csv b/test/scores.csv --fit a/val/scores.csv b/val/scores.csv \
    --features a.safetensors b.safetensors";

#[derive(Args)]
pub(super) struct EvaluateArgs {
    /// Folder of a finished run.
    #[arg(long, required_unless_present = "scores")]
    run: Option<PathBuf>,
    /// CSV file of scores, judged instead of a run.
    #[arg(long, conflicts_with = "run")]
    scores: Option<PathBuf>,
    /// Split of the run's manifest, or the one that the scores are of.
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// Divisor of the logits of scores; a run brings its own.
    #[arg(long, conflicts_with = "run", default_value_t = 1.0)]
    temperature: f64,
    /// The cascade's threshold on P(fake) for scores, chosen elsewhere; a run brings its own.
    #[arg(long, conflicts_with = "run")]
    threshold: Option<f64>,
    /// JSON by data set instead of text.
    #[arg(long)]
    json: bool,
    /// Folder for scores.csv, metrics.json, plots and report.html.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct LeaveOneOutArgs {
    /// TOML file with the choices of every fold.
    #[arg(long)]
    config: PathBuf,
    /// Folder for the runs, folds.json and report.html.
    #[arg(long)]
    output: PathBuf,
    /// What computes; `cuda` needs a build with --features cuda, see docs/cuda.md.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceKind,
}

#[derive(Args)]
pub(super) struct FeaturesArgs {
    /// Folder of a finished run.
    #[arg(long)]
    run: PathBuf,
    /// Split of the run's manifest.
    #[arg(long, value_enum, default_value = "test")]
    split: Split,
    /// Where the features go.
    #[arg(long)]
    output: PathBuf,
    /// Fit a pipeline on them, write it here, and reduce them with it.
    #[arg(long, value_name = "FILE", conflicts_with = "pipeline")]
    fit: Option<PathBuf>,
    /// Share of the variance that a fitted pipeline keeps.
    #[arg(long, default_value_t = 0.99, requires = "fit")]
    variance: f64,
    /// Reduce them with this pipeline.
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct CompareArgs {
    /// Scores of the first run.
    first: PathBuf,
    /// Scores of the second run.
    second: PathBuf,
    /// Scores of both on the validation split.
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    fit: Option<Vec<PathBuf>>,
    /// Features of both, for the number of their directions.
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    features: Option<Vec<PathBuf>>,
}

pub(super) fn run_evaluate(args: &EvaluateArgs) -> Result<()> {
    let (rows, reading) = match &args.run {
        Some(run) => {
            let judge = Judge::open(&RunFolder::new(run))?;
            let chosen = judge.metrics.cascade.as_ref().map(|chosen| chosen.threshold);
            let temperature = judge.metrics.temperature;
            let rows = judge.score(judge.samples(args.split))?;
            (rows, Reading { temperature, split: args.split, threshold: chosen })
        }
        None => {
            let rows = read_scores(args.scores.as_ref().context("neither a run nor scores")?)?;
            let (temperature, threshold) = (args.temperature, args.threshold);
            ensure!(temperature.is_finite() && temperature > 0.0, "--temperature must be positive");
            (rows, Reading { temperature, split: args.split, threshold })
        }
    };
    let reports = evaluate(&rows, &reading);
    if let (Some(run), Split::Val) = (&args.run, args.split) {
        keep_selection(&RunFolder::new(run), reports["all"].selection.clone())?;
    }
    if let Some(folder) = &args.output {
        write_evaluation(folder, &rows, &reports, &reading)?;
        eprintln!("{}", folder.join("report.html").display());
    }
    match args.json {
        true => print(&(serde_json::to_string_pretty(&reports)? + "\n")),
        false => print(&text(&reports, &reading)),
    }
}

pub(super) fn run_leave_one_out(args: &LeaveOneOutArgs) -> Result<()> {
    let config = RunConfig::read(&args.config)?;
    config.check()?;
    let device = args.device.open()?;
    let folds =
        leave_one_out(&config, &args.output, &device, &progress_bar("step {pos}/{len}")).map_err(explain)?;
    eprintln!("{}", args.output.join("report.html").display());
    print(&folds_text(&folds))
}

pub(super) fn run_features(args: &FeaturesArgs) -> Result<()> {
    let judge = Judge::open(&RunFolder::new(&args.run))?;
    let features = extract(&judge, args.split)?;
    let pipeline = match (&args.fit, &args.pipeline) {
        (Some(path), _) => {
            let pipeline = Pipeline::fit(&features, args.variance)?;
            pipeline.write(path)?;
            Some(pipeline)
        }
        (None, Some(path)) => Some(Pipeline::read(path)?),
        (None, None) => None,
    };
    let reduced = pipeline.map(|pipeline| pipeline.apply(&features)).transpose()?;
    features.write(&args.output, reduced.as_ref())?;
    let columns = reduced.map_or(String::new(), |reduced| format!(", reduced to {}", reduced.ncols()));
    let (count, size) = features.embedding.shape();
    print(&format!("{}: {count} pictures, {size} values each{columns}\n", args.output.display()))
}

pub(super) fn run_compare(args: &CompareArgs) -> Result<()> {
    let [first, second] = [read_scores(&args.first)?, read_scores(&args.second)?];
    let fitted: Option<Vec<Vec<ScoreRow>>> =
        args.fit.as_ref().map(|files| files.iter().map(|file| read_scores(file)).collect()).transpose()?;
    let fitted = match fitted.as_deref() {
        Some([first, second]) => Some([first.as_slice(), second.as_slice()]),
        _ => None,
    };
    let mut comparison = compare(&first, &second, fitted)?;
    if let Some([first, second]) = args.features.as_deref() {
        comparison.dimensions = Some(feature_dimensions(&Features::read(first)?, &Features::read(second)?)?);
    }
    print(&(serde_json::to_string_pretty(&comparison)? + "\n"))
}

/// What a finished run is worth, set by set, each AUC beside its control.
pub(super) fn run_text(metrics: &RunMetrics) -> String {
    let mut text =
        format!("best epoch {}, temperature {:.4}\n", metrics.progress.best_epoch, metrics.temperature);
    let splits = [
        ("val", &metrics.val, &metrics.val_trivial_cues),
        ("test", &metrics.test, &metrics.test_trivial_cues),
    ];
    for (split, sets, controls) in splits {
        for (name, metrics) in sets {
            let control = controls.get(name).map(|control| with_interval(control.auc, control.auc_interval));
            text += &format!(
                "{split:4}  {name}: AUC {}, trivial cues {}, F1 {:.4}, ECE {:.4}\n",
                with_interval(metrics.auc, metrics.auc_interval),
                control.unwrap_or("-".into()),
                metrics.f1,
                metrics.ece
            );
        }
    }
    text
}

/// Prints `text`; a reader that leaves early, as `head` does, has enough.
pub(super) fn print(text: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
