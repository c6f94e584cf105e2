//! Steps in floats -> launches.

use super::error::GpuError;
use super::layers::{Call, launch};
use super::program::{Builder, CHANNELS, Launch, Memory, PIXEL, refused};
use super::shader::Shader;
use super::words::Words;
use crate::runtime::constant::Kind;
use crate::runtime::cpu::clamp::Clamp;
use crate::runtime::cpu::matrix::Panels;
use crate::runtime::cpu::normalise::Stretch;
use crate::runtime::cpu::pool::Pool;
use crate::runtime::graph::{PoolKind, Unary};
use crate::runtime::plan::{Geometry, Kernel, Step};

/// Results of neighbours that a thread of a convolution makes, and outputs.
const TILE: usize = 4;

/// The launches of `step`.
///
/// # Errors
/// [`GpuError::Step`] for what has no kernel.
pub fn launches(
    builder: &Builder,
    step: &Step,
    kernel: &Kernel,
    inputs: &[Memory],
) -> Result<Vec<Launch>, GpuError> {
    let elements = step.output.elements;
    let no_constants = Words::default;
    let call: Call = match kernel {
        Kernel::Conv(conv) => {
            let channels = [conv.channels(), conv.channels_out()];
            let dense = Dense {
                geometry: *conv.geometry(),
                channels,
                of: channels,
                first: [0, 0],
                limits: conv.clamp(),
            };
            dense.call(step, conv.panels(), conv.bias(), inputs)
        }
        Kernel::Linear(linear) => {
            let [k, m] = linear.sizes();
            let geometry = Geometry::pointwise([1, elements / m]);
            let dense =
                Dense { geometry, channels: [k, m], of: [k, m], first: [0, 0], limits: Clamp::default() };
            dense.call(step, linear.panels(), linear.bias(), inputs)
        }
        Kernel::GroupedConv(grouped) => {
            let groups = grouped.groups();
            let group = |(index, conv): (usize, &crate::runtime::cpu::conv::Conv)| {
                let channels = [conv.channels(), conv.channels_out()];
                let dense = Dense {
                    geometry: *conv.geometry(),
                    channels,
                    of: channels.map(|channels| channels * groups.len()),
                    first: channels.map(|channels| channels * index),
                    limits: conv.clamp(),
                };
                launch(builder, step, inputs, dense.call(step, conv.panels(), conv.bias(), inputs))
            };
            return groups.iter().enumerate().map(group).collect();
        }
        Kernel::Depthwise(conv) => {
            let channels = conv.bias().len();
            let params = sizes(conv.geometry()).uints([channels, elements, usize::from(inputs.len() > 1), 0]);
            let constants = no_constants().floats(conv.bias().iter().copied());
            let constants = constants.floats(conv.weight().iter().copied());
            (Shader::Depthwise, limits(params, conv.clamp()), constants, elements)
        }
        Kernel::ConvTranspose(conv) => {
            // That of the convolution which leads back.
            let back = conv.geometry();
            let geometry = Geometry { input: back.output, output: back.input, ..*back };
            let params = sizes(&geometry).uints([conv.channels(), conv.bias().len(), elements, 0]);
            let constants = filled(no_constants().floats(conv.bias().iter().copied()));
            let constants = constants.floats(conv.panels().values().iter().copied());
            (Shader::ConvTranspose, limits(params, conv.clamp()), constants, elements)
        }
        Kernel::MatMul(product) => {
            let [m, k, n] = product.sizes;
            let pairs = product.pairs.iter().fold(no_constants(), |words, &pair| words.uints(pair));
            (Shader::MatMul, no_constants().uints([m, k, n, elements]), pairs, elements)
        }
        Kernel::Add(clamp) => {
            let params = limits(no_constants(), *clamp).uints([elements]);
            (Shader::Add, params, no_constants(), elements)
        }
        Kernel::Binary(broadcast) => {
            let axes: Vec<[usize; 3]> = broadcast.axes();
            let constants = axes.iter().fold(no_constants(), |words, &axis| words.uints(axis));
            let function = broadcast.function() as usize;
            (Shader::Binary, no_constants().uints([elements, axes.len(), function]), constants, elements)
        }
        Kernel::Unary(function) => {
            let (code, parameters) = code(*function);
            let params = no_constants().floats(parameters).uints([elements, code]);
            (Shader::Unary, params, no_constants(), elements)
        }
        Kernel::Pool(pool) => return pooled(builder, step, pool, inputs),
        Kernel::GlobalAveragePool(channels) => {
            let extent = step_elements(builder, step) / elements;
            mean(elements, Stretch { extent, inner: *channels })
        }
        Kernel::Mean(stretch) => mean(elements, *stretch),
        Kernel::Softmax(stretch) => {
            let threads = elements / stretch.extent;
            let params = no_constants().uints([threads, stretch.extent, stretch.inner]);
            (Shader::Softmax, params, no_constants(), threads)
        }
        Kernel::LayerNorm(stretch, epsilon) => {
            let threads = elements / stretch.extent;
            let params = no_constants().uints([threads, stretch.extent, stretch.inner]).floats([*epsilon]);
            let of = |input: usize| match inputs.get(input) {
                None => Ok(vec![0.0; stretch.extent]),
                Some(Memory::Constant(index)) => Ok(builder.plan.constants[*index].clone()),
                Some(_) => Err(refused(&step.name, "its scale and bias must be constants")),
            };
            let constants = no_constants().floats(of(1)?).floats(of(2)?);
            return Ok(vec![launch(
                builder,
                step,
                &inputs[..1],
                (Shader::LayerNorm, params, constants, threads),
            )?]);
        }
        Kernel::Quantise(quantise) => {
            let is_widened = builder.writes_widened(step);
            // Planes in turn, or channels that lie together already.
            let (channels, pixels, strides) = match quantise.channels {
                1 if is_widened => (CHANNELS, elements / CHANNELS, [1, CHANNELS]),
                1 => (1, elements, [0, 1]),
                channels => (channels, quantise.pixels, [quantise.pixels, 1]),
            };
            let width = if is_widened { PIXEL } else { channels };
            let bytes = elements / channels * width;
            let threads = bytes.div_ceil(TILE);
            let params = no_constants().uints([threads, bytes, channels, width, pixels]).uints(strides);
            let params = params.floats([quantise.parameters.scale]).rounding(&quantise.parameters);
            (Shader::Quantise, params, no_constants(), threads)
        }
        Kernel::Dequantise(dequantise) => {
            let threads = elements.div_ceil(TILE);
            let params = no_constants().uints([threads, elements]).ints([dequantise.0.zero_point]);
            (Shader::Dequantise, params.floats([dequantise.0.scale]), no_constants(), threads)
        }
        other => return Err(refused(&step.name, format!("there is no kernel for {}", other.name()))),
    };
    Ok(vec![launch(builder, step, inputs, call)?])
}

/// A dense convolution of some channels of a map to some channels of another.
struct Dense {
    geometry: Geometry,
    /// Channels that are read and made.
    channels: [usize; 2],
    /// Of so many of a pixel.
    of: [usize; 2],
    /// The first ones.
    first: [usize; 2],
    limits: Clamp,
}

impl Dense {
    fn call(&self, step: &Step, panels: Panels, bias: &[f32], inputs: &[Memory]) -> Call {
        let [channels, outputs] = self.channels;
        let geometry = match self.geometry.is_pointwise() {
            true => Geometry::pointwise([1, self.geometry.output[0] * self.geometry.output[1]]),
            false => self.geometry,
        };
        let [_, width] = geometry.output;
        let rows = step.output.elements / self.of[1] / width;
        let threads = rows * width.div_ceil(TILE) * outputs.div_ceil(TILE);
        let params = sizes(&geometry).uints([channels, self.of[0], self.first[0]]);
        let params =
            params.uints([outputs, self.of[1], self.first[1], threads, usize::from(inputs.len() > 1)]);
        let constants = filled(Words::default().floats(bias.iter().copied()));
        let constants = constants.floats(panels.values().iter().copied());
        (Shader::Conv, limits(params, self.limits), constants, threads)
    }
}

/// Up to a multiple of four words.
fn filled(mut words: Words) -> Words {
    words.0.resize(words.0.len().next_multiple_of(TILE), 0);
    words
}

fn sizes(geometry: &Geometry) -> Words {
    let Geometry { input, output, kernel, strides, dilations, pads } = *geometry;
    [input, output, kernel, strides, dilations, pads].into_iter().fold(Words::default(), Words::uints)
}

fn limits(params: Words, clamp: Clamp) -> Words {
    params.floats([clamp.low, clamp.high])
}

fn mean(threads: usize, stretch: Stretch) -> Call {
    let params = Words::default().uints([threads, stretch.extent, stretch.inner]);
    (Shader::Mean, params, Words::default(), threads)
}

/// Elements of the first operand.
fn step_elements(builder: &Builder, step: &Step) -> usize {
    match step.inputs[0] {
        crate::runtime::plan::Source::Buffer(place) => place.elements,
        crate::runtime::plan::Source::Constant(index) => builder.plan.constants[index].len(),
    }
}

fn pooled(builder: &Builder, step: &Step, pool: &Pool, inputs: &[Memory]) -> Result<Vec<Launch>, GpuError> {
    let Geometry { input, output, kernel, strides, pads, .. } = pool.geometry;
    let params = [input, output, kernel, strides, pads].into_iter().fold(Words::default(), Words::uints);
    let elements = step.output.elements;
    let call = if step.output.kind == Kind::F32 {
        let kind = match pool.kind {
            PoolKind::Max => 0,
            PoolKind::AverageWithPads => 2,
            _ => 1,
        };
        (Shader::Pool, params.uints([pool.channels, elements, kind]), Words::default(), elements)
    } else if pool.channels.is_multiple_of(TILE) {
        let threads = elements / TILE;
        (Shader::PoolInt8, params.uints([pool.channels / TILE, threads]), Words::default(), threads)
    } else {
        return Err(refused(&step.name, format!("{} channels are no whole words", pool.channels)));
    };
    Ok(vec![launch(builder, step, inputs, call)?])
}

/// The number of a function in `unary.wgsl`, and its parameters.
fn code(function: Unary) -> (usize, [f32; 2]) {
    match function {
        Unary::Identity => (0, [0.0; 2]),
        Unary::Clip { low, high } => (1, [low, high]),
        Unary::LeakyRelu(slope) => (2, [slope, 0.0]),
        Unary::HardSigmoid { alpha, beta } => (3, [alpha, beta]),
        Unary::HardSwish => (4, [0.0; 2]),
        Unary::Sigmoid => (5, [0.0; 2]),
        Unary::Silu => (6, [0.0; 2]),
        Unary::Tanh => (7, [0.0; 2]),
        Unary::Gelu => (8, [0.0; 2]),
        Unary::GeluTanh => (9, [0.0; 2]),
        Unary::Erf => (10, [0.0; 2]),
        Unary::Exp => (11, [0.0; 2]),
        Unary::Sqrt => (12, [0.0; 2]),
        Unary::Reciprocal => (13, [0.0; 2]),
        Unary::Neg => (14, [0.0; 2]),
        Unary::Abs => (15, [0.0; 2]),
    }
}
