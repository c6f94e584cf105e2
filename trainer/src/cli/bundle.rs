//! `aware bundle`.

use anyhow::Result;
use clap::{ArgGroup, Args};
use std::path::PathBuf;
use trainer::bundle::Existing;
use trainer::deployment::DeploymentConfig;
use trainer::export::{BundleSource, Origin, write_bundle};
use trainer::train::RunFolder;

/// Examples of `aware bundle --help`.
pub(super) const EXAMPLES: &str = "What is written is read back, run on the golden pictures and compared with the origin's \
    network before it gets its name: a float network within logit_tolerance, one in integers within \
    int8_probability_tolerance of the configuration (trainer/configs/deployment.json).\n\n\
    Examples:\n  aware bundle --run runs/first --name mine --version 1.0.0 --licence mine --card CARD.md --output models/mine\n  \
    aware bundle --run runs/first --model runs/first/stage1.int8.onnx --also runs/first/stage1.tflite \\\n      \
    --config trainer/configs/deployment.json --name mine --version 1.0.0 --licence mine --card CARD.md --output models/mine\n  \
    aware bundle --from models/first --output models/first --force\n  \
    aware bundle --from models/first --optimized runs/optimized/stage1 --output models/first --force";

#[derive(Args)]
#[command(group = ArgGroup::new("origin").required(true))]
pub(super) struct BundleArgs {
    /// Folder of a finished run: network, thresholds, temperature and figures.
    #[arg(long, group = "origin")]
    run: Option<PathBuf>,
    /// Earlier bundle: the same, and card, name, version and licence, unless given here.
    #[arg(long, value_name = "BUNDLE", group = "origin")]
    from: Option<PathBuf>,
    /// ONNX file in place of the origin's network: the same one, say, in integers.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Folder of one network that `aware optimize` wrote: its integers, with the temperature and thresholds fitted for
    /// them.
    #[arg(long, value_name = "FOLDER", conflicts_with = "model")]
    optimized: Option<PathBuf>,
    /// File of the same network for other runtimes (.onnx, .tflite); may be repeated.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    also: Vec<PathBuf>,
    /// JSON file with the choices of a deployment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the bundle.
    #[arg(long)]
    name: Option<String>,
    /// Version of the bundle.
    #[arg(long)]
    version: Option<String>,
    /// Terms of the weights.
    #[arg(long)]
    licence: Option<String>,
    /// Model card in Markdown.
    #[arg(long)]
    card: Option<PathBuf>,
    /// Folder of the bundle.
    #[arg(long)]
    output: PathBuf,
    /// Replace the bundle that is there.
    #[arg(long)]
    force: bool,
}

pub(super) fn run_bundle(args: &BundleArgs) -> Result<()> {
    let config = match &args.config {
        Some(path) => DeploymentConfig::read(path)?,
        None => DeploymentConfig::default(),
    };
    let run = args.run.as_ref().map(RunFolder::new);
    let origin = match (&run, &args.from) {
        (Some(run), _) => Origin::Run(run),
        // The arguments have one of the two.
        (None, from) => Origin::Bundle(from.as_deref().unwrap_or(&args.output)),
    };
    let source = BundleSource {
        origin,
        model: args.model.as_deref(),
        optimized: args.optimized.as_deref(),
        also: &args.also,
        name: args.name.as_deref(),
        version: args.version.as_deref(),
        licence: args.licence.as_deref(),
        card: args.card.as_deref(),
    };
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let manifest = write_bundle(&source, &config, existing, &args.output)?;
    for file in &manifest.files {
        println!("{:12} {}  {}", file.bytes, file.sha256, args.output.join(&file.name).display());
    }
    Ok(())
}
