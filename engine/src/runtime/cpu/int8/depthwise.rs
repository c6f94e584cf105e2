//! Quantised depthwise convolution: vectors over channels, neighbouring taps two by two, or four by four.
//!
//! The rows that a row of results reads are copied first, with their padding, block of channels by block, each byte
//! beside that of the next pixel: so two taps of a block are one vector, or four are two. A window of such rows moves
//! down the map.

use super::Parameters;
use super::add::Adding;
use super::conv::{Finish, Layer, MAX_SHORT};
use super::isa::{Isa, Level, MAX_TAPS, dispatch};
use super::tile::for_each_row;
use super::write::{Rounding, ToBytes, ToSum, Write};
use crate::runtime::plan::Geometry;
use std::ops::Range;

/// Most channels that are summed at once.
const MAX_BLOCK: usize = 32;

/// Most taps between two ends, so that looking for them takes no time to speak of.
const MAX_OPEN: usize = 128;

/// Results of neighbours that are summed at once.
const TILE: usize = 4;

/// Bytes of copied rows that stay in a cache; wider maps are done in strips.
const MAX_ROWS_BYTES: usize = 256 << 10;

/// A quantised depthwise convolution.
pub struct Depthwise {
    pub(super) level: Level,
    /// For each block of channels and group of neighbouring taps: the weights of each channel.
    pub(super) weights: Vec<i8>,
    /// For each block of channels and group of taps: the sums leave 16 bits behind it.
    ends: Vec<bool>,
    /// Of whole blocks, with what the input's zero point adds taken off.
    pub(super) bias: Vec<i32>,
    /// Factors of whole blocks.
    pub(super) factors: Vec<f32>,
    pub(super) finish: Finish,
    pub(super) geometry: Geometry,
    pub(super) channels: usize,
    /// What the input's bytes stand for.
    pub(super) x: Parameters,
    zero_point: u8,
    slots: Slots,
    /// Where the groups of taps lie, row by row, in windows whose first row was copied first; then all of them once more, so
    /// that a window may begin at any row.
    taps: Vec<usize>,
}

impl Depthwise {
    /// The convolution of `layer`, whose weight is `[C, 1, KH, KW]`.
    pub fn new(layer: &Layer, finish: Finish, level: Level) -> Self {
        let level = level.exact_for(layer.x.high);
        let [kh, kw] = layer.geometry.kernel;
        let channels = layer.channels;
        let (weights, ends) = packed(layer, level);
        let (bias, factors) = (layer.centred_bias(level.panel()), finish.factors(level.panel()));
        let (geometry, zero_point) = (layer.geometry, layer.x.zero_point as u8);
        let width = taps_at_once(level);
        let slots = Slots::new(&geometry, channels, level);
        let tap =
            |row: usize, group: usize| row % kh * slots.row + group * (width / slots.step) * slots.bytes;
        let taps =
            (0..2 * kh).flat_map(|row| (0..kw.div_ceil(width)).map(move |group| tap(row, group))).collect();
        let x = layer.x;
        Depthwise {
            level,
            weights,
            ends,
            bias,
            factors,
            finish,
            geometry,
            channels,
            x,
            zero_point,
            slots,
            taps,
        }
    }

    /// Bytes that the weights of a layer take once packed.
    pub fn packed_bytes(channels: usize, [kh, kw]: [usize; 2]) -> usize {
        let pairs = kh.saturating_mul(kw.div_ceil(2));
        pairs.saturating_mul(4).saturating_mul(channels.next_multiple_of(MAX_BLOCK))
    }

    /// Bytes of its packed weights, biases and factors.
    pub fn weight_bytes(&self) -> usize {
        self.weights.len() + 4 * (self.bias.len() + self.factors.len())
    }

    /// Bytes that a run needs.
    pub fn scratch_bytes(&self) -> usize {
        self.geometry.kernel[0].saturating_mul(self.slots.row)
    }

    /// `out` `[N, OH, OW, C]` of `x` `[N, H, W, C]` with [`crate::runtime::plan::SLACK`] readable bytes behind it; `added` is what
    /// [`Finish::Added`] adds.
    ///
    /// # Panics
    /// If a slice is shorter than its shape.
    pub fn run(&self, x: &[u8], added: Option<&[u8]>, out: &mut [u8], scratch: &mut Vec<u8>) {
        let input = self.geometry.input[0] * self.geometry.input[1] * self.channels;
        let output = self.geometry.output[0] * self.geometry.output[1] * self.channels;
        for (image, out) in out.chunks_exact_mut(output).enumerate() {
            let added = added.map(|added| &added[image * output..][..output]);
            let x = &x[image * input..];
            assert!(input + MAX_BLOCK <= x.len(), "a map of {input} bytes has too few behind it");
            let (level, conv) = (self.level, self);
            dispatch!(level, run_map(conv: &Depthwise, x: &[u8], added: Option<&[u8]>, out: &mut [u8], scratch: &mut Vec<u8>));
        }
    }
}

/// The weights of blocks of channels, group by group of taps, and behind which groups the sums leave 16 bits.
fn packed(layer: &Layer, level: Level) -> (Vec<i8>, Vec<bool>) {
    let (channels, block, [kh, kw]) = (layer.channels, level.panel(), layer.geometry.kernel);
    // Each row of taps is filled up to whole groups.
    let width = taps_at_once(level);
    let row = kw.next_multiple_of(width);
    let taps = kh * row;
    let weight = |channel: usize, tap: usize| {
        let is_there = channel < channels && tap < taps && tap % row < kw;
        if is_there { layer.weight[(channel * kh + tap / row) * kw + tap % row] } else { 0 }
    };
    // Largest and smallest sum of a channel that seven-bit values can make, in units of 127.
    let side = |channel: usize, taps: Range<usize>, sign: i32| {
        taps.map(|tap| (i32::from(weight(channel, tap)) * sign).max(0)).sum::<i32>()
    };
    let (mut weights, mut ends) = (Vec::new(), Vec::new());
    for first in (0..channels).step_by(block) {
        let mut open = 0;
        for group in (0..taps).step_by(width) {
            for channel in first..first + block {
                for weight in (group..group + width).map(|tap| weight(channel, tap)) {
                    weights.push(weight);
                    if !has_byte_weights(level) {
                        // The upper byte of the 16-bit integer.
                        weights.push(weight >> 7);
                    }
                }
            }
            // The sums leave where the next group might not fit.
            let next = group + 2 * width;
            let fits =
                |channel: usize| [1, -1].into_iter().all(|sign| side(channel, open..next, sign) <= MAX_SHORT);
            let is_end = group + width >= taps || next - open > MAX_OPEN || !(first..first + block).all(fits);
            ends.push(is_end);
            if is_end {
                open = group + width;
            }
        }
    }
    (weights, ends)
}

/// Neighbouring taps that are multiplied at once.
fn taps_at_once(level: Level) -> usize {
    match level {
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        Level::RelaxedDot => 4,
        _ => 2,
    }
}

/// Weights are signed bytes, not 16-bit integers.
fn has_byte_weights(level: Level) -> bool {
    match level {
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        Level::RelaxedDot | Level::RelaxedPairs => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => true,
        #[cfg(target_arch = "aarch64")]
        Level::NeonDot => true,
        _ => false,
    }
}

/// How copied rows are laid out.
struct Slots {
    /// Columns of results whose rows are copied at once.
    strip: usize,
    /// Pixels from one group to the next: more than one where no window begins between them.
    step: usize,
    /// Groups of neighbouring pixels in a row.
    count: usize,
    /// Bytes of a group.
    bytes: usize,
    /// Bytes of a row: all groups of the first block of channels, then those of the next.
    row: usize,
}

impl Slots {
    /// For as many columns as fit; one column's rows are no more than its weights.
    fn new(geometry: &Geometry, channels: usize, level: Level) -> Self {
        let ([kh, kw], right) = (geometry.kernel, geometry.strides[1]);
        let (block, width) = (level.panel(), taps_at_once(level));
        let step = [4, 2].into_iter().find(|step| width % step == 0 && right % step == 0).unwrap_or(1);
        let (blocks, bytes) = (channels.div_ceil(block), width * block);
        let of_strip = |strip: usize| {
            let count = (strip - 1) * (right / step) + (kw.div_ceil(width) - 1) * (width / step) + 1;
            Slots { strip, step, count, bytes, row: blocks * count * bytes }
        };
        let mut slots = of_strip(geometry.output[1]);
        while slots.strip > 1 && kh * slots.row > MAX_ROWS_BYTES {
            slots = of_strip(slots.strip.div_ceil(2));
        }
        slots
    }
}

/// All outputs of a map.
///
/// # Safety
/// The instructions of `I` are there; `x` is a whole map with [`MAX_BLOCK`] bytes behind it, `out` and `added` are whole
/// maps.
#[inline(always)]
unsafe fn run_map<I: Isa>(
    conv: &Depthwise,
    x: &[u8],
    added: Option<&[u8]>,
    out: &mut [u8],
    rows: &mut Vec<u8>,
) {
    let out = out.as_mut_ptr();
    // SAFETY: as above.
    unsafe {
        match (&conv.finish, added) {
            (Finish::Bytes(requantise), None) => {
                let rounding = Rounding::new(&requantise.parameters);
                run_to::<I, _>(conv, x, rows, &ToBytes { out, rounding });
            }
            (Finish::Added(requantise, add), Some(added)) => {
                let rounding = Rounding::new(&requantise.parameters);
                let (add, added) = (Adding::new(add), added.as_ptr());
                run_to::<I, _>(conv, x, rows, &ToSum { out, rounding, add, added });
            }
            _ => unreachable!("the plan makes bytes of depthwise convolutions"),
        }
    }
}

/// As [`run_map`], strip by strip.
#[inline(always)]
unsafe fn run_to<I: Isa, W: Write<I>>(conv: &Depthwise, x: &[u8], rows: &mut Vec<u8>, writer: &W) {
    let Slots { strip, row: bytes, .. } = conv.slots;
    let [height, width] = conv.geometry.output;
    let (kh, down) = (conv.geometry.kernel[0], conv.geometry.strides[0]);
    let pairs = conv.taps.len() / (2 * kh);
    rows.clear();
    rows.resize(kh * bytes, conv.zero_point);
    for first in (0..width).step_by(strip) {
        let columns = strip.min(width - first);
        let mut next = 0;
        for row in 0..height {
            let top = row * down;
            for index in next.max(top)..top + kh {
                // SAFETY: the caller's.
                unsafe { copy_row::<I>(conv, x, [index, first], &mut rows[index % kh * bytes..][..bytes]) };
            }
            next = top + kh;
            let taps = &conv.taps[top % kh * pairs..][..kh * pairs];
            let at = (row * width + first) * conv.channels;
            // SAFETY: every tap of every block lies within the rows.
            unsafe {
                match columns {
                    0..TILE => run_row::<I, W, 1>(conv, rows, taps, columns, at, writer),
                    _ => run_row::<I, W, TILE>(conv, rows, taps, columns, at, writer),
                }
            }
        }
    }
}

/// Copies row `index` of the padded map from the first window of results in `column` on.
#[inline(always)]
unsafe fn copy_row<I: Isa>(conv: &Depthwise, x: &[u8], [index, column]: [usize; 2], to: &mut [u8]) {
    let slots = &conv.slots;
    let [height, width] = conv.geometry.input;
    let [above, left] = conv.geometry.pads;
    let Some(y) = index.checked_sub(above).filter(|&y| y < height) else {
        return to.fill(conv.zero_point);
    };
    let padding = [conv.zero_point; MAX_BLOCK];
    let line = &x[y * width * conv.channels..];
    let first = column * conv.geometry.strides[1];
    // Slots all of whose pixels lie within the map.
    let inside = left.saturating_sub(first).div_ceil(slots.step)
        ..((left + width).saturating_sub(first + I::TAPS - 1)).div_ceil(slots.step).min(slots.count);
    for (number, to) in to.chunks_exact_mut(slots.count * slots.bytes).enumerate() {
        let channel = number * 2 * I::LANES;
        let pixel = |at: usize| match at.checked_sub(left).filter(|&at| at < width) {
            // SAFETY: a block's bytes behind the last pixel of the map can be read.
            Some(at) => unsafe { line.as_ptr().add(at * conv.channels + channel) },
            None => padding.as_ptr(),
        };
        for slot in (0..inside.start.min(slots.count)).chain(inside.end.max(inside.start)..slots.count) {
            let at = first + slot * slots.step;
            let pixels = std::array::from_fn(|tap| pixel(at + tap.min(I::TAPS - 1)));
            // SAFETY: as above, and a slot's bytes.
            unsafe { I::interleave(pixels, to[slot * slots.bytes..].as_mut_ptr()) };
        }
        let mut x = pixel(first + inside.start * slots.step);
        let mut to = to.as_mut_ptr().wrapping_add(inside.start.wrapping_mul(slots.bytes));
        for _ in inside.clone() {
            // SAFETY: as above.
            unsafe { I::interleave(neighbours(x, conv.channels), to) };
            x = x.wrapping_add(slots.step.wrapping_mul(conv.channels));
            to = to.wrapping_add(slots.bytes);
        }
    }
}

/// The places of a pixel and of those to the right of it.
#[inline(always)]
fn neighbours(x: *const u8, channels: usize) -> [*const u8; MAX_TAPS] {
    let next = x.wrapping_add(channels);
    let third = next.wrapping_add(channels);
    [x, next, third, third.wrapping_add(channels)]
}

/// A row of results, which begins at element `at`, by tiles of `TILE` pixels, of which there is at least one.
#[inline(always)]
unsafe fn run_row<I: Isa, W: Write<I>, const TILE: usize>(
    conv: &Depthwise,
    rows: &[u8],
    taps: &[usize],
    columns: usize,
    at: usize,
    writer: &W,
) {
    let (block, slots) = (2 * I::LANES, &conv.slots);
    let bytes = block * I::TAPS * I::TAP_BYTES;
    let pixel = conv.geometry.strides[1] / slots.step * slots.bytes;
    for (number, first) in (0..conv.channels).step_by(block).enumerate() {
        let filled = block.min(conv.channels - first);
        // SAFETY: the caller's; weights, ends, bias and factors are of whole blocks.
        unsafe {
            let weights = conv.weights.as_ptr().add(number * taps.len() * bytes);
            let ends = conv.ends.get_unchecked(number * taps.len()..);
            let bias = conv.bias.as_ptr().add(first);
            let bias = [I::load_ints(bias), I::load_ints(bias.add(I::LANES))];
            let factors = conv.factors.as_ptr().add(first);
            let factors = [I::load_floats(factors), I::load_floats(factors.add(I::LANES))];
            let mut x = rows.as_ptr().add(number * slots.count * slots.bytes);
            let (mut at, mut left) = (at + first, columns);
            loop {
                let (mut sums, mut shorts) = ([bias; TILE], [I::shorts(); TILE]);
                let mut weight = weights;
                for (index, tap) in taps.iter().enumerate() {
                    let x = x.add(*tap);
                    for_each_row!(i in TILE { shorts[i] = I::taps(shorts[i], x.add(i.wrapping_mul(pixel)), weight); });
                    weight = weight.add(bytes);
                    if I::IS_SHORT && *ends.get_unchecked(index) {
                        for_each_row!(i in TILE {
                            sums[i] = I::widen(sums[i], shorts[i]);
                            shorts[i] = I::shorts();
                        });
                    }
                }
                for_each_row!(i in TILE {
                    if !I::IS_SHORT {
                        sums[i] = I::widen(sums[i], shorts[i]);
                    }
                    let [low, high] = sums[i].map(|sums| I::to_floats(sums));
                    let scaled = [I::mul(low, factors[0]), I::mul(high, factors[1])];
                    writer.put(scaled, at.wrapping_add(i.wrapping_mul(conv.channels)), filled);
                });
                // The last tile repeats some of the one before it rather than reach beyond the end.
                let step = left.wrapping_sub(TILE).min(TILE);
                if step == 0 {
                    break;
                }
                x = x.wrapping_add(step.wrapping_mul(pixel));
                at = at.wrapping_add(step.wrapping_mul(conv.channels));
                left = left.wrapping_sub(step);
            }
        }
    }
}
