//! `aware export` and `aware profile`: networks as ONNX files, and how fast the engine runs such files.

use anyhow::{Result, ensure};
use candle_core::Device;
use clap::Args;
use engine::{Preprocess, Tensor};
use std::path::PathBuf;
use trainer::checkpoint::Checkpoint;
use trainer::config::RunConfig;
use trainer::dataset::{Split, read_manifest};
use trainer::export::{ActivationBits, Metadata, onnx_bytes, quantise, tflite_bytes};
use trainer::files::{read_limited, write_whole};
use trainer::loader::{Loader, View};
use trainer::profile::profile;
use trainer::train::{Network, select};

pub const EXAMPLES: &str = "Examples:
  aware export --checkpoint runs/first/best.safetensors --output runs/first/stage1.onnx
  aware export --checkpoint runs/first/best.safetensors --int8 --output runs/first/stage1.int8.onnx
  aware export --network efficientnetv2-lite --int8 --activation-bits 8 --output /tmp/timing.onnx
  aware export --checkpoint runs/first/best.safetensors --format tflite --int8 --output runs/first/stage1.int8.tflite";

#[derive(Args)]
pub struct ExportArgs {
    /// Checkpoint of `train`; without it a network with random weights, for timing.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Preset of a network without checkpoint.
    #[arg(long, default_value = "mobilenetv4-conv-small", conflicts_with = "checkpoint")]
    network: String,
    /// Width and height of the input; the checkpoint's by default.
    #[arg(long)]
    image_size: Option<usize>,
    /// Integers in place of floats: bytes for weights and activations, with ranges observed on pictures.
    #[arg(long)]
    int8: bool,
    /// Bits of an activation: 7 is exact on every machine, 8 is what onnxruntime fuses; 7 for ONNX, 8 for TFLite, which has
    /// no other.
    #[arg(long, value_enum, requires = "int8")]
    activation_bits: Option<ActivationBits>,
    /// What the file is: ONNX, which the engine reads, or TFLite for LiteRT.
    #[arg(long, value_enum, default_value = "onnx")]
    format: Format,
    /// Pictures of the checkpoint's validation split to observe ranges on.
    #[arg(long, default_value_t = 128, requires = "int8")]
    pictures: usize,
    /// Where the file goes.
    #[arg(long)]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Onnx,
    Tflite,
}

impl Format {
    /// How many bits an activation has in such a file.
    fn activation_bits(self, wanted: Option<ActivationBits>) -> Result<ActivationBits> {
        match (self, wanted) {
            (Format::Onnx, wanted) => Ok(wanted.unwrap_or(ActivationBits::Seven)),
            (Format::Tflite, wanted) => {
                ensure!(
                    wanted != Some(ActivationBits::Seven),
                    "a TFLite file has activations of 8 bits, not of 7"
                );
                Ok(ActivationBits::Eight)
            }
        }
    }
}

#[derive(Args)]
pub struct ProfileArgs {
    /// ONNX file.
    model: PathBuf,
    /// Timed runs.
    #[arg(long, default_value_t = 100)]
    runs: usize,
    /// Runs before the timed ones.
    #[arg(long, default_value_t = 10)]
    warm_ups: usize,
    /// JSON in place of a table.
    #[arg(long)]
    json: bool,
}

pub fn run_export(args: &ExportArgs) -> Result<()> {
    let bits = args.format.activation_bits(args.activation_bits)?;
    let (network, config, origin) = match &args.checkpoint {
        Some(path) => {
            let checkpoint = Checkpoint::read(path)?;
            let network = Network::from_checkpoint(&checkpoint, &Device::Cpu)?;
            (network, Some(checkpoint.progress.config), "trained")
        }
        None => (Network::new(&args.network, 0, &Device::Cpu)?, None, "random weights, for timing"),
    };
    let name = config.as_ref().map_or(&args.network, |config| &config.network);
    let own_size = config.as_ref().map_or(256, |config| config.image_size as usize);
    let image_size = args.image_size.unwrap_or(own_size);
    let mut onnx = onnx_bytes(&network.model, image_size, metadata(name, origin))?;
    if args.int8 {
        let seen = match &config {
            Some(config) => calibration_inputs(config, image_size, args.pictures)?,
            None => vec![patterned_input(image_size)],
        };
        onnx = quantise(&onnx, &seen, bits)?;
    }
    let file = match args.format {
        Format::Onnx => onnx,
        Format::Tflite => tflite_bytes(&onnx)?,
    };
    write_whole(&args.output, &file)?;
    println!("{} ({} bytes)", args.output.display(), file.len());
    Ok(())
}

/// What a file says of itself.
fn metadata(network: &str, origin: &str) -> Metadata {
    let description = "Picture of a face in normalised RGB to the logit of a fake: P(fake) = sigmoid(logit)";
    [
        ("name", network),
        ("version", env!("CARGO_PKG_VERSION")),
        ("description", description),
        ("origin", origin),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

/// Up to `count` inputs from the validation split, which neither trains nor tests.
fn calibration_inputs(config: &RunConfig, image_size: usize, count: usize) -> Result<Vec<Tensor>> {
    let mut samples = select(read_manifest(&config.manifest)?, &config.datasets)?;
    samples.retain(|sample| sample.split == Split::Val);
    // Spread over the whole list, so that every set and class is seen.
    let step = samples.len().div_ceil(count.max(1)).max(1);
    let samples: Vec<_> = samples.into_iter().step_by(step).collect();
    let preprocess = Preprocess { size: u32::try_from(image_size)?, ..config.preprocess() };
    let loader = Loader::new(samples, preprocess);
    let mut inputs = Vec::new();
    for batch in loader.batches(View::Plain, 1, 0) {
        let picture = batch?.pictures.flatten_all()?.to_vec1()?;
        inputs.push(Tensor::from_vec(vec![1, 3, image_size, image_size], picture));
    }
    Ok(inputs)
}

/// An input whose values run through the range of normalised pictures.
fn patterned_input(image_size: usize) -> Tensor {
    let values = (0..3 * image_size * image_size).map(|i| (i as f32 * 0.37).sin() * 2.0).collect();
    Tensor::from_vec(vec![1, 3, image_size, image_size], values)
}

pub fn run_profile(args: &ProfileArgs) -> Result<()> {
    let onnx = read_limited(&args.model, engine::runtime::onnx::MAX_BYTES as u64)?;
    let profile = profile(&onnx, args.warm_ups, args.runs)?;
    let text = if args.json { serde_json::to_string_pretty(&profile)? + "\n" } else { profile.text() };
    print!("{text}");
    Ok(())
}
