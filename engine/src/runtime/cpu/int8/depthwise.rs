//! Quantised depthwise convolution: vectors over channels, taps two by two.

use super::add::Add;
use super::conv::{Finish, Layer, pad, padded_size};
use super::isa::{Isa, Level, dispatch};
use super::tile::{limits_of, rounded};
use crate::runtime::plan::Geometry;
use std::ops::Range;

/// Most channels that are summed at once.
const MAX_BLOCK: usize = 32;

/// Largest sum of positive weights, and of negative ones, whose products with seven-bit values stay within 16 bits.
const MAX_SHORT: i32 = 32767 / 127;

/// Most taps between two ends, so that looking for them takes no time to speak of.
const MAX_OPEN: usize = 128;

/// A quantised depthwise convolution.
pub struct Depthwise {
    level: Level,
    /// For each block of channels and pair of taps: two weights of each channel.
    weights: Vec<i8>,
    /// For each block of channels and pair of taps: the sums leave 16 bits behind this pair.
    ends: Vec<bool>,
    /// Of whole blocks, with what the input's zero point adds taken off.
    bias: Vec<i32>,
    /// Factors of whole blocks.
    factors: Vec<f32>,
    finish: Finish,
    geometry: Geometry,
    channels: usize,
    zero_point: u8,
    /// Byte offset of each tap, and the last one again if they are odd.
    taps: Vec<usize>,
}

impl Depthwise {
    /// The convolution of `layer`, whose weight is `[C, 1, KH, KW]`.
    pub fn new(layer: &Layer, finish: Finish, level: Level) -> Self {
        let level = level.exact_for(layer.x.high);
        let [kh, kw] = layer.geometry.kernel;
        let (taps, channels) = (kh * kw, layer.channels);
        let pairs = taps.div_ceil(2);
        let block = block_of(level);
        let whole = channels.next_multiple_of(block);
        let (weights, ends) = packed(layer, taps, level);
        let mut bias: Vec<i32> = layer.bias.to_vec();
        for (bias, weights) in bias.iter_mut().zip(layer.weight.chunks_exact(taps)) {
            *bias -= layer.x.zero_point * weights.iter().map(|&w| i32::from(w)).sum::<i32>();
        }
        bias.resize(whole, 0);
        let mut factors = match &finish {
            Finish::Bytes(requantise) | Finish::Added(requantise, _) => requantise.multipliers.clone(),
            Finish::Floats(factors) => factors.clone(),
        };
        factors.resize(whole, 0.0);
        let width = padded_size(&layer.geometry).map_or(layer.geometry.input[1], |size| size[1]);
        let offset = |tap: usize| (tap / kw * width + tap % kw) * channels;
        let taps = (0..2 * pairs).map(|tap| offset(tap.min(taps - 1))).collect();
        Depthwise {
            level,
            weights,
            ends,
            bias,
            factors,
            finish,
            geometry: layer.geometry,
            channels,
            zero_point: layer.x.zero_point as u8,
            taps,
        }
    }

    /// Bytes that the weights of a layer take once packed.
    pub fn packed_bytes(channels: usize, [kh, kw]: [usize; 2]) -> usize {
        kh.saturating_mul(kw).next_multiple_of(2).saturating_mul(2 * channels.next_multiple_of(MAX_BLOCK))
    }

    /// `out` `[N, OH, OW, C]` of `x` `[N, H, W, C]` with [`crate::runtime::plan::SLACK`] readable bytes behind it; `added` is what
    /// [`Finish::Added`] adds.
    pub fn run(&self, x: &[u8], added: Option<&[u8]>, out: &mut [u8], scratch: &mut Vec<u8>) {
        let input = self.geometry.input[0] * self.geometry.input[1] * self.channels;
        let output = self.geometry.output[0] * self.geometry.output[1] * self.channels;
        for (image, out) in out.chunks_exact_mut(output).enumerate() {
            let added = added.map(|added| &added[image * output..][..output]);
            self.run_image(&x[image * input..], added, out, scratch);
        }
    }

    fn run_image(&self, x: &[u8], added: Option<&[u8]>, out: &mut [u8], scratch: &mut Vec<u8>) {
        let x = match padded_size(&self.geometry) {
            Some(size) => {
                pad(x, &self.geometry, self.channels, self.zero_point, size, scratch);
                &scratch[..]
            }
            None => x,
        };
        let width = padded_size(&self.geometry).map_or(self.geometry.input[1], |size| size[1]);
        let [oh, ow] = self.geometry.output.map(|extent| extent - 1);
        let [down, right] = self.geometry.strides;
        let last_window = (oh * down * width + ow * right) * self.channels;
        let last_tap = self.taps.iter().max().copied().unwrap_or(0);
        let last = last_window + last_tap + self.channels + MAX_BLOCK;
        assert!(last <= x.len(), "a map of {} bytes is read up to {last}", x.len());
        let (level, conv) = (self.level, self);
        dispatch!(level, run_map(conv: &Depthwise, x: &[u8], width: usize, added: Option<&[u8]>, out: &mut [u8]));
    }
}

/// The weights of blocks of channels, pair by pair of taps, and behind which pairs the sums leave 16 bits.
fn packed(layer: &Layer, taps: usize, level: Level) -> (Vec<i8>, Vec<bool>) {
    let (channels, block) = (layer.channels, block_of(level));
    let weight = |channel: usize, tap: usize| {
        if channel < channels && tap < taps { layer.weight[channel * taps + tap] } else { 0 }
    };
    // Largest and smallest sum of a channel that seven-bit values can make, in units of 127.
    let side = |channel: usize, taps: Range<usize>, sign: i32| {
        taps.map(|tap| (i32::from(weight(channel, tap)) * sign).max(0)).sum::<i32>()
    };
    let (mut weights, mut ends) = (Vec::new(), Vec::new());
    for first in (0..channels).step_by(block) {
        let mut open = 0;
        for pair in (0..taps).step_by(2) {
            for channel in first..first + block {
                for weight in [weight(channel, pair), weight(channel, pair + 1)] {
                    weights.push(weight);
                    if !is_short(level) {
                        // The upper byte of the 16-bit integer.
                        weights.push(weight >> 7);
                    }
                }
            }
            // The sums leave where the next pair might not fit.
            let next = pair + 4;
            let fits =
                |channel: usize| [1, -1].into_iter().all(|sign| side(channel, open..next, sign) <= MAX_SHORT);
            let is_end = pair + 2 >= taps || next - open > MAX_OPEN || !(first..first + block).all(fits);
            ends.push(is_end);
            if is_end {
                open = pair + 2;
            }
        }
    }
    (weights, ends)
}

fn block_of(level: Level) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx2Wide => 16,
        #[cfg(target_arch = "x86_64")]
        Level::Vnni => 32,
        _ => 8,
    }
}

/// The sums of few products have 16 bits.
fn is_short(level: Level) -> bool {
    match level {
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        Level::RelaxedDot | Level::RelaxedPairs => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => true,
        _ => false,
    }
}

/// All outputs of a map.
///
/// # Safety
/// Every window lies within `x`, and [`MAX_BLOCK`] bytes behind it can be read.
#[inline(always)]
unsafe fn run_map<I: Isa>(conv: &Depthwise, x: &[u8], width: usize, added: Option<&[u8]>, out: &mut [u8]) {
    let block = 2 * I::LANES;
    let pairs = conv.taps.len() / 2;
    let [down, right] = conv.geometry.strides;
    let [oh, ow] = conv.geometry.output;
    let (Finish::Bytes(requantise) | Finish::Added(requantise, _)) = &conv.finish else {
        unreachable!("the plan makes bytes of depthwise convolutions");
    };
    let parameters = &requantise.parameters;
    for row in 0..oh {
        for first in (0..conv.channels).step_by(block) {
            let filled = block.min(conv.channels - first);
            // SAFETY: as above; weights, bias and factors are of whole blocks.
            unsafe {
                let limits = limits_of::<I>(parameters);
                let bytes = block * 2 * if I::IS_SHORT { 1 } else { 2 };
                let weights = conv.weights.as_ptr().add(first / block * pairs * bytes);
                let ends = &conv.ends[first / block * pairs..][..pairs];
                let bias = conv.bias.as_ptr().add(first);
                let bias = [I::load_ints(bias), I::load_ints(bias.add(I::LANES))];
                let factors = conv.factors.as_ptr().add(first);
                let factors = [I::load_floats(factors), I::load_floats(factors.add(I::LANES))];
                let mut window = x.as_ptr().add(row * down * width * conv.channels + first);
                let mut at = row * ow * conv.channels + first;
                for _ in 0..ow {
                    let (mut sums, mut shorts) = (bias, I::shorts());
                    for (pair, is_end) in ends.iter().enumerate() {
                        let taps = [
                            window.add(*conv.taps.get_unchecked(2 * pair)),
                            window.add(*conv.taps.get_unchecked(2 * pair + 1)),
                        ];
                        shorts = I::pair(shorts, taps, weights.add(pair * bytes));
                        if *is_end {
                            sums = I::widen(sums, shorts);
                            shorts = I::shorts();
                        }
                    }
                    let scaled = [
                        I::mul(I::to_floats(sums[0]), factors[0]),
                        I::mul(I::to_floats(sums[1]), factors[1]),
                    ];
                    let bytes = rounded::<I>(scaled, limits, parameters.zero_point);
                    match &conv.finish {
                        Finish::Added(_, add) => put::<I>(
                            bytes,
                            &mut out[at..at + filled],
                            added.map(|a| (add, &a[at..at + filled])),
                        ),
                        _ => put::<I>(bytes, &mut out[at..at + filled], None),
                    }
                    window = window.wrapping_add(right * conv.channels);
                    at += conv.channels;
                }
            }
        }
    }
}

/// Writes the results of one pixel and block, to which another map may be added.
#[inline(always)]
unsafe fn put<I: Isa>(mut bytes: [I::Ints; 2], out: &mut [u8], added: Option<(&Add, &[u8])>) {
    // SAFETY: whole blocks are written in place, parts of blocks and what is added by way of an array.
    unsafe {
        if let Some((add, added)) = added {
            let mut others = [0; MAX_BLOCK];
            others[..added.len()].copy_from_slice(added);
            bytes = add.apply::<I>(bytes, I::load_bytes(others.as_ptr()));
        }
        if out.len() == 2 * I::LANES {
            I::store_bytes(bytes, out.as_mut_ptr());
        } else {
            let mut values = [0; MAX_BLOCK];
            I::store_bytes(bytes, values.as_mut_ptr());
            out.copy_from_slice(&values[..out.len()]);
        }
    }
}
