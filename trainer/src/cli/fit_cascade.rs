//! `aware fit-cascade`.

use super::judge::print;
use super::progress_bar;
use anyhow::{Context, Result};
use clap::Args;
use engine::stability::View;
use engine::uncertainty::Uncertainty;
use std::path::PathBuf;
use trainer::bundle::Existing;
use trainer::deployment::DeploymentConfig;
use trainer::files::read_limited;
use trainer::fit_cascade::{CascadePlan, Naming, fit_cascade};
use trainer::judged_by::JudgedBy;
use trainer::stacking::{Search, SearchConfig};

/// Help and examples of `aware fit-cascade --help`.
pub(super) const EXAMPLES: &str = "A network is the folder of a bundle, or an ONNX file whose pictures are normalised as \
    ImageNet's. Directions of embeddings are learned on the train split, temperatures, thresholds and meta-model on the \
    validation split; the test split is judged once, at the end. Answers and trials are kept in the work folder, and a \
    command that was broken off goes on there.\n\n\
    Example:\n  aware fit-cascade --pictures runs/manifest.csv --datasets ciplab stylegan2 --filter models/first-int8 \\\n      \
    --experts runs/efficientnet.onnx runs/genconvit.onnx --work runs/cascade --name AWARE --version 0.2.0 \\\n      \
    --licence \"research and demonstration, non-commercial\" --card CARD.md --output models/cascade";

/// Largest model card.
const MAX_CARD_BYTES: u64 = 1 << 20;

#[derive(Args)]
pub(super) struct FitCascadeArgs {
    /// Manifest of pictures that `prepare` wrote.
    #[arg(long, value_name = "CSV")]
    pictures: PathBuf,
    /// Data sets in it; all if none is named.
    #[arg(long, num_args = 1..)]
    datasets: Vec<String>,
    /// The network that looks at every picture.
    #[arg(long, value_name = "NETWORK")]
    filter: PathBuf,
    /// The networks that look where the filter is not sure.
    #[arg(long, value_name = "NETWORK", num_args = 1.., required = true)]
    experts: Vec<PathBuf>,
    /// Least side of a crop, in pixels, that the experts are asked about; that of the filter's input if absent.
    #[arg(long, value_name = "PIXELS")]
    min_side: Option<u32>,
    /// Main directions of each expert's embedding that the meta-model sees, at most.
    #[arg(long, default_value_t = 8)]
    directions: usize,
    /// Folds of the validation split.
    #[arg(long, default_value_t = SearchConfig::default().folds)]
    folds: usize,
    /// Kinds of trees that are tried for each strategy.
    #[arg(long, default_value_t = SearchConfig::default().trials)]
    trials: usize,
    /// Take the kinds of trees from a fixed grid instead of drawing them.
    #[arg(long)]
    grid: bool,
    /// Three folds and four kinds of trees: shows that it works, not what it can do.
    #[arg(long, conflicts_with_all = ["folds", "trials"])]
    quick: bool,
    /// What the validation split is read by: which meta-model is the best, and which answers are sure.
    #[arg(long, value_enum, default_value = "sets")]
    judged_by: JudgedBy,
    /// Draws folds, kinds of trees and rows.
    #[arg(long, default_value_t = SearchConfig::default().seed)]
    seed: u64,
    /// Variants of the picture that an answer must hold in; each costs a run of the filter.
    #[arg(long, num_args = 0.., value_parser = view, default_values = ["closer", "softened", "recompressed"])]
    views: Vec<View>,
    /// By how many log-odds the thresholds move for each log-odds between views.
    #[arg(long, default_value_t = 1.0)]
    gain: f64,
    /// Folder for answers, trials and the report.
    #[arg(long, value_name = "FOLDER")]
    work: PathBuf,
    /// JSON file with the choices of a deployment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the bundle.
    #[arg(long)]
    name: String,
    /// Version of the bundle.
    #[arg(long)]
    version: String,
    /// Terms of the weights.
    #[arg(long)]
    licence: String,
    /// Model card in Markdown.
    #[arg(long)]
    card: PathBuf,
    /// Folder of the bundle.
    #[arg(long)]
    output: PathBuf,
    /// Replace the bundle that is there.
    #[arg(long)]
    force: bool,
}

/// The view called `name`.
fn view(name: &str) -> Result<View, String> {
    let names = View::ALL.map(View::name).join(", ");
    View::ALL.into_iter().find(|view| view.name() == name).ok_or(format!("expected one of {names}"))
}

pub(super) fn run_fit_cascade(args: &FitCascadeArgs) -> Result<()> {
    let config = match &args.config {
        Some(path) => DeploymentConfig::read(path)?,
        None => DeploymentConfig::default(),
    };
    let search = match args.quick {
        true => SearchConfig { seed: args.seed, ..SearchConfig::quick() },
        false => SearchConfig {
            folds: args.folds,
            trials: args.trials,
            seed: args.seed,
            ..SearchConfig::default()
        },
    };
    let plan = CascadePlan {
        pictures: args.pictures.clone(),
        datasets: args.datasets.clone(),
        filter: args.filter.clone(),
        experts: args.experts.clone(),
        min_side: args.min_side,
        directions: args.directions,
        search: SearchConfig {
            search: if args.grid { Search::Grid } else { Search::Random },
            judged_by: args.judged_by,
            ..search
        },
        uncertainty: Uncertainty { views: args.views.clone(), gain: args.gain },
        work: args.work.clone(),
    };
    let naming = Naming {
        name: args.name.clone(),
        version: args.version.clone(),
        licence: args.licence.clone(),
        card: read_limited(&args.card, MAX_CARD_BYTES).context("the model card")?,
        folder: args.output.clone(),
        existing: if args.force { Existing::Replace } else { Existing::Refuse },
    };
    let report = fit_cascade(&plan, &naming, &config, &progress_bar("{pos}/{len}"))?;
    eprintln!("{}", args.work.join("report.json").display());
    print(&report.text())
}
