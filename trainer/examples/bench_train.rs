//! One training step, forward and backward: ours beside stock candle.
//!
//! The same walk over the same layers runs on two executors: [`Compute`] with this crate's operations, and
//! [`Stock`] with candle's own `conv2d` and `BatchNorm`. They take turns in one process.

use anyhow::{Context, Result, ensure};
use candle_core::{D, Device, Tensor};
use candle_nn::{BatchNorm, ModuleT};
use clap::Parser;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;
use trainer::models::{Compute, ConvKind, ConvNorm, Executor, Linear, Mode, PointConv};
use trainer::ops::Activation;
use trainer::train::Network;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    /// Preset of the network.
    #[arg(long, default_value = "mobilenetv4-conv-small")]
    network: String,
    /// Width and height of the pictures, in pixels.
    #[arg(long, default_value_t = 160)]
    size: usize,
    /// Pictures a step.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Measured steps of each.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Also write the results to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Executor on candle's own operations, on maps `[N, C, H, W]`.
struct Stock;

impl Executor for Stock {
    type Value = Tensor;

    fn conv_norm(&mut self, layer: &ConvNorm, x: &Tensor) -> candle_core::Result<Tensor> {
        let groups = match layer.kind {
            ConvKind::Dense => 1,
            ConvKind::Depthwise => layer.channels_out(),
        };
        let (_, _, height, width) = x.dims4()?;
        let [[top, bottom], [left, right]] = [height, width].map(|extent| layer.window.pads(extent));
        let y = if [top, bottom, left] == [right; 3] {
            x.conv2d(&layer.weight, top, layer.window.stride, 1, groups)?
        } else {
            let padded = x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)?;
            padded.conv2d(&layer.weight, 0, layer.window.stride, 1, groups)?
        };
        let norm = BatchNorm::new(
            layer.channels_out(),
            layer.running_mean.clone(),
            layer.running_variance.clone(),
            layer.gamma.clone(),
            layer.beta.clone(),
            layer.epsilon,
        )?;
        let y = norm.forward_t(&y, true)?;
        match layer.activation {
            Activation::Relu => y.relu(),
            Activation::Relu6 => y.clamp(0f32, 6f32),
            Activation::Silu => y.silu(),
            Activation::Identity => Ok(y),
        }
    }

    fn add(&mut self, a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
        a + b
    }

    fn point_conv(&mut self, layer: &PointConv, x: &Tensor) -> candle_core::Result<Tensor> {
        x.conv2d(&layer.weight, 0, 1, 1, 1)?.broadcast_add(&layer.bias.reshape((1, (), 1, 1))?)
    }

    fn silu(&mut self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.silu()
    }

    fn sigmoid(&mut self, x: &Tensor) -> candle_core::Result<Tensor> {
        candle_nn::ops::sigmoid(x)
    }

    fn gate(&mut self, x: &Tensor, factor: &Tensor) -> candle_core::Result<Tensor> {
        x.broadcast_mul(factor)
    }

    fn global_average_pool(&mut self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.mean_keepdim(D::Minus1)?.mean_keepdim(D::Minus2)
    }

    fn linear(&mut self, layer: &Linear, x: &Tensor) -> candle_core::Result<Tensor> {
        let (n, c, _, _) = x.dims4()?;
        let y = x.reshape((n, c))?.matmul(&layer.weight.t()?)?.broadcast_add(&layer.bias)?;
        let (n, cout) = y.dims2()?;
        y.reshape((n, cout, 1, 1))
    }
}

#[derive(Serialize)]
struct Results {
    network: String,
    size: usize,
    batch: usize,
    runs: usize,
    candle_threads: Option<String>,
    ours: Times,
    stock_candle: Times,
    /// Stock candle's median through ours.
    speed_up: f64,
    largest_logit_difference: f32,
}

#[derive(Serialize)]
struct Times {
    median_s: f64,
    min_s: f64,
    all_s: Vec<f64>,
}

impl Times {
    fn of(all_s: Vec<f64>) -> Self {
        let mut sorted = all_s.clone();
        sorted.sort_by(f64::total_cmp);
        Times { median_s: sorted[sorted.len() / 2], min_s: sorted[0], all_s }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.size >= 32 && args.batch > 0 && args.runs > 0, "--size from 32, --batch and --runs from 1");
    let network = Network::new(&args.network, 1, &Device::Cpu)?;
    let nchw = Tensor::randn(0f32, 1.0, (args.batch, 3, args.size, args.size), &Device::Cpu)?;
    let chwn = nchw.permute((1, 2, 3, 0))?.contiguous()?;

    let ours = || -> Result<Tensor> {
        let logits = network.model.run(&mut Compute { mode: Mode::Train }, &chwn)?.flatten_all()?;
        logits.sqr()?.sum_all()?.backward()?;
        Ok(logits)
    };
    let stock = || -> Result<Tensor> {
        let logits = network.model.run(&mut Stock, &nchw)?.flatten_all()?;
        logits.sqr()?.sum_all()?.backward()?;
        Ok(logits)
    };
    // The first turn warms up, and shows that both compute the same.
    let difference = (ours()? - stock()?)?.abs()?.max(0)?.to_scalar::<f32>()?;
    ensure!(difference < 1e-3, "the logits differ by {difference}");
    let steps: [(&str, &dyn Fn() -> Result<Tensor>); 2] = [("ours", &ours), ("stock candle", &stock)];
    let mut times = [Vec::new(), Vec::new()];
    for run in 1..=args.runs {
        for ((name, step), times) in steps.iter().zip(&mut times) {
            let started = Instant::now();
            step()?;
            times.push(started.elapsed().as_secs_f64());
            eprintln!("run {run}: {name} {:.3} s", started.elapsed().as_secs_f64());
        }
    }
    let [ours, stock] = times.map(Times::of);
    let results = Results {
        network: args.network,
        size: args.size,
        batch: args.batch,
        runs: args.runs,
        candle_threads: std::env::var("CANDLE_NUM_THREADS").ok(),
        speed_up: stock.median_s / ours.median_s,
        ours,
        stock_candle: stock,
        largest_logit_difference: difference,
    };
    println!(
        "{} px, batch {}: {:.3} s a step, stock candle {:.3} s: {:.1} times as fast",
        args.size, args.batch, results.ours.median_s, results.stock_candle.median_s, results.speed_up
    );
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&results)? + "\n";
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
