//! Which way of multiplying is the fastest here, and whether the CPU is faster still: by measuring.
//!
//! A row of equal layers stands for a network: as many launches, one upload and one read-back. The same layers run on the
//! CPU. A device in software is not measured; it is chosen only by force.

use super::device::Gpu;
use super::error::GpuError;
use super::layers::dense_call;
use super::program::{Launch, Memory, Output, Program, Upload};
use super::session::GpuSession;
use super::shader::Products;
use crate::runtime::cpu::int8::conv::Layer;
use crate::runtime::cpu::int8::{Conv, Finish, Level, Parameters, Quantise, Requantise, SEVEN_BITS};
use crate::runtime::plan::{Geometry, SLACK};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Layers in a row: about as many as the filter has.
const LAYERS: usize = 40;
/// Channels of a layer: 256 pixels of 96 channels are the middle of the filter.
const CHANNELS: usize = 96;
const SIDE: usize = 16;
/// Values of seven bits, each of which stands for itself.
const BYTES: Parameters = Parameters { scale: 1.0, zero_point: 0, low: 0, high: SEVEN_BITS };
/// Results that are read back.
const READ_BACK: usize = 64;
/// Runs of each, the first one of which is not counted.
const RUNS: usize = 4;
/// No further run begins after so many milliseconds.
const BUDGET_MS: f64 = 100.0;

/// Where networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the CPU.
    Cpu,
    /// On the GPU, integers multiplied so.
    Gpu(Products),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Place::Cpu => "cpu",
            Place::Gpu(Products::Dot) => "gpu i8-dot",
            Place::Gpu(Products::F32) => "gpu f32",
        })
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The fastest.
    pub place: Place,
    /// Fastest run of each place, in milliseconds.
    pub times_ms: Vec<(Place, f64)>,
}

impl Choice {
    /// Times the CPU and every variant that `gpu` runs; `now_ms` is any clock in milliseconds.
    ///
    /// A variant that fails or gives other numbers than the CPU is left out, and one that takes longer than the whole
    /// budget is timed by its first run.
    pub async fn measure(gpu: &Rc<Gpu>, now_ms: &dyn Fn() -> f64) -> Choice {
        let sample = Sample::new();
        let (wanted, cpu_ms) = sample.on_cpu(now_ms);
        let mut times_ms = vec![(Place::Cpu, cpu_ms)];
        for products in variants(gpu) {
            if let Ok(Some(time_ms)) = sample.on_gpu(gpu, products, &wanted, now_ms).await {
                times_ms.push((Place::Gpu(products), time_ms));
            }
        }
        let fastest = times_ms.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        Choice { place: fastest.map_or(Place::Cpu, |fastest| fastest.0), times_ms }
    }
}

/// The variants whose kernels `gpu` compiles.
pub fn variants(gpu: &Gpu) -> Vec<Products> {
    if gpu.has_packed_dot() { vec![Products::Dot, Products::F32] } else { vec![Products::F32] }
}

/// Equal pointwise layers in a row, the last one of which gives floats.
struct Sample {
    weight: Vec<i8>,
    input: Tensor,
}

impl Sample {
    fn new() -> Self {
        let weight = (0..CHANNELS * CHANNELS).map(|i| ((i * 37) % 101) as i8 - 50).collect();
        let values = (0..SIDE * SIDE * CHANNELS).map(|i| ((i * 29) % 128) as f32).collect();
        Sample { weight, input: Tensor::from_vec(vec![1, SIDE, SIDE, CHANNELS], values) }
    }

    fn layer(&self, finish: Finish, level: Level) -> Conv {
        let geometry = Geometry::pointwise([SIDE, SIDE]);
        let layer =
            Layer { weight: &self.weight, bias: &[3; CHANNELS], channels: CHANNELS, geometry, x: BYTES };
        Conv::new(&layer, finish, level)
    }

    fn layers(&self, level: Level) -> [Conv; 2] {
        let multipliers = vec![0.001; CHANNELS];
        let inner = Finish::Bytes(Requantise { multipliers: multipliers.clone(), parameters: BYTES });
        [inner, Finish::Floats(multipliers)].map(|finish| self.layer(finish, level))
    }

    /// The result, and the fastest run.
    fn on_cpu(&self, now_ms: &dyn Fn() -> f64) -> (Vec<f32>, f64) {
        let [inner, last] = self.layers(Level::fastest(now_ms));
        let elements = SIDE * SIDE * CHANNELS;
        let (mut a, mut b) = (vec![0; elements + SLACK], vec![0; elements + SLACK]);
        let (mut out, mut scratch) = (vec![0.0; elements], Vec::new());
        let mut fastest_ms = f64::INFINITY;
        for _ in 0..RUNS {
            let started_ms = now_ms();
            a.iter_mut().zip(self.input.values()).for_each(|(byte, value)| *byte = *value as u8);
            for _ in 1..LAYERS {
                inner.run(&a, None, &mut b[..elements], &mut scratch);
                std::mem::swap(&mut a, &mut b);
            }
            last.run_to_floats(&a, &mut out, &mut scratch);
            fastest_ms = fastest_ms.min(now_ms() - started_ms);
        }
        out.truncate(READ_BACK);
        (out, fastest_ms)
    }

    /// The fastest run, if the results are `wanted`.
    async fn on_gpu(
        &self,
        gpu: &Rc<Gpu>,
        products: Products,
        wanted: &[f32],
        now_ms: &dyn Fn() -> f64,
    ) -> Result<Option<f64>, GpuError> {
        let session = GpuSession::of(gpu, self.program(products))?;
        let began_ms = now_ms();
        let mut fastest_ms = f64::INFINITY;
        for run in 0..RUNS {
            let started_ms = now_ms();
            let result = session.run(&self.input).await?;
            if result.values() != wanted {
                return Ok(None);
            }
            let finished_ms = now_ms();
            let is_over = finished_ms - began_ms > BUDGET_MS;
            // The first run also compiles.
            if run > 0 || is_over {
                fastest_ms = fastest_ms.min(finished_ms - started_ms);
            }
            if is_over {
                break;
            }
        }
        Ok(Some(fastest_ms))
    }

    fn program(&self, products: Products) -> Program {
        let elements = SIDE * SIDE * CHANNELS;
        let [inner, last] = self.layers(Level::Scalar);
        let quantise = Quantise { parameters: BYTES, channels: 1, pixels: elements };
        let upload = Upload { input: 0, quantise: Some(quantise), widened: None, bytes: elements };
        let launch = |index: usize| {
            let conv = if index + 1 < LAYERS { &inner } else { &last };
            let (shader, params, constants, threads) = dense_call(conv, elements, products);
            Launch {
                name: format!("layer {index}"),
                shader,
                params: params.0,
                constants: constants.0,
                x: if index == 0 { Memory::Upload(0) } else { Memory::Planned((index - 1) % 2) },
                second: None,
                out: Memory::Planned(index % 2),
                threads: threads as u32,
                multiply_adds: (elements * CHANNELS) as u64,
                bytes: 2 * elements,
            }
        };
        Program {
            uploads: vec![upload],
            launches: (0..LAYERS).map(launch).collect(),
            buffers: vec![4 * elements; 2],
            constants: Vec::new(),
            outputs: vec![Output { memory: Memory::Planned((LAYERS - 1) % 2), shape: vec![READ_BACK] }],
            inputs: vec![self.input.shape().to_vec()],
        }
    }
}
