//! Steps in integers -> launches.

use super::program::{Builder, CHANNELS, Launch, Memory, refused};
use super::shader::{Products, Shader};
use super::words::Words;
use super::{error::GpuError, floats, moves};
use crate::runtime::constant::Kind;
use crate::runtime::cpu::int8::{self, Finish, Parameters, Parts, SEVEN_BITS};
use crate::runtime::plan::{Geometry, Kernel, Step};

/// Results of neighbours that a thread of a convolution makes.
const TILE: usize = 4;
/// Channels of a word.
const QUAD: usize = 4;
/// Largest magnitude up to which every whole number is a 32-bit float.
const EXACT: u64 = 1 << 24;

/// The launches of `step`, whose operands lie in `inputs`.
///
/// # Errors
/// [`GpuError::Step`] for what has no kernel.
pub fn launches(builder: &mut Builder, step: &Step, inputs: &[Memory]) -> Result<Vec<Launch>, GpuError> {
    let x = inputs[0];
    let is_layer = matches!(step.kernel, Kernel::ConvInt8(_));
    if builder.is_widened(x) && !is_layer {
        return Err(refused(&step.name, "three channels are read by a layer only"));
    }
    let words = step.output.elements.div_ceil(QUAD);
    let (shader, params, constants, threads) = match &step.kernel {
        Kernel::ConvInt8(conv) => dense(builder, step, conv, x)?,
        Kernel::DepthwiseInt8(conv) => depthwise(step, conv)?,
        Kernel::AddInt8(add) => {
            let params = Words::default().ints(add.zero_points).floats(add.factors).uints([words]);
            (Shader::AddInt8, params.rounding(&add.parameters), Words::default(), words)
        }
        Kernel::GlobalAveragePoolInt8(pool) if pool.channels.is_multiple_of(QUAD) => {
            let start = -(pool.zero_point * pool.pixels as i32);
            let params = Words::default().uints([words, pool.channels / QUAD, pool.pixels]).ints([start]);
            let params = params.floats([pool.factor]).rounding(&pool.parameters);
            (Shader::GlobalAveragePoolInt8, params, Words::default(), words)
        }
        Kernel::Lookup(table) => {
            let table = Words(table.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect());
            (Shader::Lookup, Words::default().uints([words]), table, words)
        }
        Kernel::Gather(walk) if step.output.kind != Kind::F32 => moves::gather_bytes(step, walk),
        Kernel::Gather(walk) => moves::gather(step, walk),
        Kernel::Concat(walks) => return moves::concat(builder, step, walks, inputs),
        Kernel::Pad(walk, value) => return moves::pad(builder, step, walk, *value, inputs),
        Kernel::Resize(resampling) if step.output.kind == Kind::F32 => moves::resize(step, resampling),
        other => return floats::launches(builder, step, other, inputs),
    };
    Ok(vec![launch(builder, step, inputs, (shader, params, constants, threads))?])
}

/// Kernel, parameters, constants, threads.
pub type Call = (Shader, Words, Words, usize);

/// A launch of these parts, on the first two of `inputs`.
pub fn launch(
    builder: &Builder,
    step: &Step,
    inputs: &[Memory],
    (shader, params, constants, threads): Call,
) -> Result<Launch, GpuError> {
    let threads = u32::try_from(threads).map_err(|_| refused(&step.name, "it is too large"))?;
    Ok(Launch {
        name: step.name.clone(),
        shader,
        params: params.0,
        constants: constants.0,
        x: inputs[0],
        second: inputs.get(1).copied(),
        out: Memory::Planned(step.output.buffer),
        threads,
        multiply_adds: step.multiply_adds,
        bytes: builder.plan.bytes_of(step),
    })
}

fn dense(builder: &mut Builder, step: &Step, conv: &int8::Conv, x: Memory) -> Result<Call, GpuError> {
    let parts = conv.parts();
    let is_wide = parts.channels == CHANNELS && builder.widen(x, parts.x.zero_point as u8);
    if !parts.channels.is_multiple_of(QUAD) && !is_wide {
        return Err(refused(&step.name, format!("{} channels are no whole words", parts.channels)));
    }
    let outputs = parts.bias.len();
    if step.output.kind != Kind::F32 && !outputs.is_multiple_of(QUAD) {
        return Err(refused(&step.name, format!("{outputs} outputs are no whole words")));
    }
    Ok(dense_call(conv, step.output.elements, builder.products))
}

/// The call of a dense layer that makes so many `elements`; three channels are read as four.
pub fn dense_call(conv: &int8::Conv, elements: usize, products: Products) -> Call {
    let parts = conv.parts();
    let outputs = parts.bias.len();
    let (words, quads) = (parts.channels.div_ceil(QUAD), outputs.div_ceil(QUAD));
    // The dot product takes signed bytes: those above 127 are moved down, which the bias makes up for.
    let flip = if parts.x.high > SEVEN_BITS { 0x80u8 } else { 0 };
    let [kh, kw] = parts.geometry.kernel;
    let weight = |output: usize, [ky, kx]: [usize; 2], channel: usize| {
        let is_there = output < outputs && channel < parts.channels;
        if is_there { conv.weight(output, [ky, kx], channel) } else { 0 }
    };
    let mut weights = Vec::with_capacity(kh * kw * words * quads * QUAD);
    let mut magnitudes = vec![0u64; quads * QUAD];
    let mut totals = vec![0i32; quads * QUAD];
    for tap in (0..kh).flat_map(|ky| (0..kw).map(move |kx| [ky, kx])) {
        for word in 0..words {
            for output in 0..quads * QUAD {
                let bytes: [i8; QUAD] = std::array::from_fn(|i| weight(output, tap, word * QUAD + i));
                for byte in bytes {
                    magnitudes[output] += u64::from(byte.unsigned_abs());
                    totals[output] += i32::from(byte);
                }
                weights.push(u32::from_le_bytes(bytes.map(|byte| byte as u8)));
            }
        }
    }
    let most = u64::from(parts.x.high.max(128)) * magnitudes.iter().copied().max().unwrap_or(0);
    let products = if most < EXACT { products } else { Products::Dot };
    let mut bias = parts.bias.to_vec();
    bias.resize(quads * QUAD, 0);
    bias.iter_mut().zip(&totals).for_each(|(bias, total)| *bias += i32::from(flip) * total);
    let mut factors = parts.factors.to_vec();
    factors.resize(quads * QUAD, 0.0);
    let mut constants = Words::default().ints(bias).floats(factors);
    constants.0.extend(weights);

    let padding = parts.x.zero_point as u8 ^ flip;
    let threads = tiles(&parts.geometry, elements / outputs) * quads;
    let params = sizes(&parts.geometry).uints([words, quads, outputs, threads]);
    let params = params.uints([splat(flip), splat(padding)]);
    (Shader::ConvInt8(products), ending(params, &parts), constants, threads)
}

fn depthwise(step: &Step, conv: &int8::Depthwise) -> Result<Call, GpuError> {
    let parts = conv.parts();
    if !parts.channels.is_multiple_of(QUAD) {
        return Err(refused(&step.name, format!("{} channels are no whole words", parts.channels)));
    }
    let words = parts.channels / QUAD;
    let [kh, kw] = parts.geometry.kernel;
    let mut constants =
        Words::default().ints(parts.bias.iter().copied()).floats(parts.factors.iter().copied());
    for tap in (0..kh).flat_map(|ky| (0..kw).map(move |kx| [ky, kx])) {
        for word in 0..words {
            let bytes: [u8; QUAD] = std::array::from_fn(|i| conv.weight(tap, word * QUAD + i) as u8);
            constants.0.push(u32::from_le_bytes(bytes));
        }
    }
    let threads = tiles(&parts.geometry, step.output.elements / parts.channels) * words;
    let params = sizes(&parts.geometry).uints([words, threads, splat(parts.x.zero_point as u8)]);
    Ok((Shader::DepthwiseInt8, ending(params, &parts), constants, threads))
}

/// Tiles of all maps, which have so many `pixels` together.
fn tiles(geometry: &Geometry, pixels: usize) -> usize {
    let [_, width] = shown(geometry).output;
    pixels / width * width.div_ceil(TILE)
}

/// A convolution without a window as one long row, so that tiles do not end with each line.
fn shown(geometry: &Geometry) -> Geometry {
    match geometry.is_pointwise() && geometry.strides == [1, 1] {
        true => Geometry::pointwise([1, geometry.output[0] * geometry.output[1]]),
        false => *geometry,
    }
}

fn sizes(geometry: &Geometry) -> Words {
    let Geometry { input, output, kernel, strides, pads, .. } = shown(geometry);
    [input, output, kernel, strides, pads].into_iter().fold(Words::default(), Words::uints)
}

/// The same byte four times.
fn splat(byte: u8) -> usize {
    u32::from_le_bytes([byte; QUAD]) as usize
}

/// What becomes of the sums.
fn ending(params: Words, parts: &Parts) -> Words {
    let none = Parameters { scale: 1.0, zero_point: 0, low: 0, high: 0 };
    let params = match parts.finish {
        Finish::Bytes(_) => params.uints([0]).ints([0]),
        Finish::Added(_, add) => params.uints([1]).ints([add.zero_points[1]]),
        Finish::Floats(_) => params.uints([2]).ints([0]),
    };
    // The next member is a pair of floats.
    let params = if params.0.len().is_multiple_of(2) { params } else { params.uints([0]) };
    match parts.finish {
        Finish::Bytes(first) => params.floats([0.0; 2]).rounding(&first.parameters).rounding(&none),
        Finish::Added(first, add) => {
            params.floats(add.factors).rounding(&first.parameters).rounding(&add.parameters)
        }
        Finish::Floats(_) => params.floats([0.0; 2]).rounding(&none).rounding(&none),
    }
}
