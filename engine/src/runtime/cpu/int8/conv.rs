//! Quantised dense convolution as a matrix product without a matrix: a window's rows lie in memory one by one.

use super::add::Add;
use super::isa::{Isa, Level, dispatch};
use super::{Parameters, Requantise};
use crate::runtime::plan::{Geometry, SLACK};
use std::sync::atomic::{Ordering, compiler_fence};

/// Input bytes that stay in the first cache while all weights pass by.
const BLOCK_BYTES: usize = 16 << 10;
/// Inputs that are multiplied at once.
const GROUP: usize = 4;
/// Groups of a loop without a branch.
const CHUNK: usize = 4;
/// Most outputs of a panel at any level.
const MAX_PANEL: usize = 32;

/// What becomes of the sums.
pub enum Finish {
    /// Bytes.
    Bytes(Requantise),
    /// Bytes, to which another map is added.
    Added(Requantise, Add),
    /// Floats: the sum times a factor for each output.
    Floats(Vec<f32>),
}

/// A layer as the file has it.
pub struct Layer<'a> {
    /// `[C_out, C_in, KH, KW]`
    pub weight: &'a [i8],
    /// `[C_out]`, in units of input scale times weight scale.
    pub bias: &'a [i32],
    /// Channels of the input.
    pub channels: usize,
    /// Sizes.
    pub geometry: Geometry,
    /// What the input's bytes stand for.
    pub x: Parameters,
}

/// A quantised dense convolution.
pub struct Conv {
    level: Level,
    /// For each panel, window row and group of four inputs: four weights of each output.
    weights: Vec<i8>,
    /// Of whole panels, with what the input's zero point adds taken off.
    bias: Vec<i32>,
    /// Factors of whole panels.
    factors: Vec<f32>,
    finish: Finish,
    geometry: Geometry,
    channels: usize,
    cout: usize,
    zero_point: u8,
}

/// Where a row of pixels begins and what lies between them.
#[derive(Clone, Copy)]
struct Rows<'a> {
    x: &'a [u8],
    /// Bytes between two rows of the map.
    line: usize,
    /// Bytes between the windows of neighbours.
    pixel: usize,
}

/// Where the results go.
enum Target<'a> {
    Bytes { out: &'a mut [u8], added: Option<&'a [u8]> },
    Floats(&'a mut [f32]),
}

impl Conv {
    /// The convolution of `layer` with the instructions of `level`.
    pub fn new(layer: &Layer, finish: Finish, level: Level) -> Self {
        let level = level.exact_for(layer.x.high);
        let cout = layer.bias.len();
        let per_output = layer.weight.len() / cout;
        let panel = panel_of(level);
        let mut bias: Vec<i32> = layer.bias.to_vec();
        for (bias, weights) in bias.iter_mut().zip(layer.weight.chunks_exact(per_output)) {
            *bias -= layer.x.zero_point * weights.iter().map(|&w| i32::from(w)).sum::<i32>();
        }
        let whole = cout.next_multiple_of(panel);
        bias.resize(whole, 0);
        let mut factors = match &finish {
            Finish::Bytes(requantise) | Finish::Added(requantise, _) => requantise.multipliers.clone(),
            Finish::Floats(factors) => factors.clone(),
        };
        factors.resize(whole, 0.0);
        Conv {
            level,
            weights: packed(layer, panel, is_wide(level)),
            bias,
            factors,
            finish,
            geometry: layer.geometry,
            channels: layer.channels,
            cout,
            zero_point: layer.x.zero_point as u8,
        }
    }

    /// Bytes that the weights of a layer take once packed at the widest level.
    pub fn packed_bytes(cout: usize, channels: usize, [kh, kw]: [usize; 2]) -> usize {
        let groups = kw.saturating_mul(channels).div_ceil(GROUP).saturating_mul(kh);
        groups.saturating_mul(GROUP * 2).saturating_mul(cout.next_multiple_of(MAX_PANEL))
    }

    /// `out` `[N, OH, OW, C_out]` of `x` `[N, H, W, C_in]` with [`SLACK`] readable bytes behind it; `added` is what
    /// [`Finish::Added`] adds.
    pub fn run(&self, x: &[u8], added: Option<&[u8]>, out: &mut [u8], scratch: &mut Vec<u8>) {
        let size = self.output_elements();
        for (image, out) in out.chunks_exact_mut(size).enumerate() {
            let added = added.map(|added| &added[image * size..][..size]);
            self.run_image(&x[image * self.input_elements()..], Target::Bytes { out, added }, scratch);
        }
    }

    /// The same to floats, for [`Finish::Floats`].
    pub fn run_to_floats(&self, x: &[u8], out: &mut [f32], scratch: &mut Vec<u8>) {
        for (image, out) in out.chunks_exact_mut(self.output_elements()).enumerate() {
            self.run_image(&x[image * self.input_elements()..], Target::Floats(out), scratch);
        }
    }

    fn input_elements(&self) -> usize {
        self.geometry.input[0] * self.geometry.input[1] * self.channels
    }

    fn output_elements(&self) -> usize {
        self.geometry.output[0] * self.geometry.output[1] * self.cout
    }

    fn run_image(&self, x: &[u8], mut target: Target, scratch: &mut Vec<u8>) {
        let geometry = &self.geometry;
        let [rows, columns] = if geometry.is_pointwise() {
            [1, geometry.output[0] * geometry.output[1]]
        } else {
            geometry.output
        };
        let (x, width) = match padded_size(geometry) {
            Some(size) => {
                pad(x, geometry, self.channels, self.zero_point, size, scratch);
                (&scratch[..], size[1])
            }
            None => (x, geometry.input[1]),
        };
        let source = Rows { x, line: width * self.channels, pixel: geometry.strides[1] * self.channels };
        let level = self.level;
        let size = [rows, columns];
        let (conv, target) = (self, &mut target);
        // The last window ends within the map, the groups of the last row within the slack.
        let last = (rows - 1) * geometry.strides[0] * source.line
            + (columns - 1) * source.pixel
            + (geometry.kernel[0] - 1) * source.line
            + (geometry.kernel[1] * self.channels).next_multiple_of(GROUP);
        assert!(last <= x.len(), "a map of {} bytes is read up to {last}", x.len());
        dispatch!(level, run_rows(conv: &Conv, source: Rows, size: [usize; 2], target: &mut Target));
    }
}

fn panel_of(level: Level) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx2Wide => 16,
        #[cfg(target_arch = "x86_64")]
        Level::Vnni => 32,
        _ => 8,
    }
}

fn is_wide(level: Level) -> bool {
    match level {
        #[cfg(target_arch = "wasm32")]
        Level::Simd128 => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2Wide => true,
        _ => false,
    }
}

/// The weights in the order in which a kernel reads them.
fn packed(layer: &Layer, panel: usize, wide: bool) -> Vec<i8> {
    let ([kh, kw], channels, cout) = (layer.geometry.kernel, layer.channels, layer.bias.len());
    let row = kw * channels;
    let groups = row.div_ceil(GROUP);
    let width = if wide { 2 } else { 1 };
    let mut packed = Vec::with_capacity(cout.next_multiple_of(panel) * kh * groups * GROUP * width);
    for first in (0..cout).step_by(panel) {
        for ky in 0..kh {
            for group in 0..groups {
                for output in first..first + panel {
                    for i in group * GROUP..(group + 1) * GROUP {
                        let (kx, channel) = (i / channels, i % channels);
                        let is_there = output < cout && i < row;
                        let at = ((output * channels + channel) * kh + ky) * kw + kx;
                        let weight = if is_there { layer.weight[at] } else { 0 };
                        packed.push(weight);
                        if wide {
                            // The upper byte of the 16-bit integer.
                            packed.push(weight >> 7);
                        }
                    }
                }
            }
        }
    }
    packed
}

/// Height and width of the map with its padding, if a window reaches beyond the map.
pub(super) fn padded_size(geometry: &Geometry) -> Option<[usize; 2]> {
    let reach = |axis: usize| (geometry.output[axis] - 1) * geometry.strides[axis] + geometry.kernel[axis];
    let is_inside = |axis: usize| geometry.pads[axis] == 0 && reach(axis) <= geometry.input[axis];
    if is_inside(0) && is_inside(1) {
        return None;
    }
    Some([0, 1].map(|axis| reach(axis).max(geometry.pads[axis] + geometry.input[axis])))
}

/// Copies the map `x` into the middle of a larger one, in `scratch`, with [`SLACK`] bytes behind it.
pub(super) fn pad(
    x: &[u8],
    geometry: &Geometry,
    channels: usize,
    value: u8,
    [height, width]: [usize; 2],
    scratch: &mut Vec<u8>,
) {
    let [line, row] = [width, geometry.input[1]].map(|pixels| pixels * channels);
    scratch.clear();
    scratch.reserve(height * line + SLACK);
    scratch.resize(geometry.pads[0] * line, value);
    let left = geometry.pads[1] * channels;
    for row in x.chunks_exact(row).take(geometry.input[0]) {
        scratch.resize(scratch.len() + left, value);
        scratch.extend_from_slice(row);
        scratch.resize(scratch.len() + line - left - row.len(), value);
    }
    scratch.resize(height * line + SLACK, value);
}

/// Repeats a block for each row of a tile with the row's number as a constant: sums that are indexed by a variable
/// would go through memory.
macro_rules! for_each_row {
    ($row:ident in $rows:ident $body:block) => {
        for_each_row!($row in $rows, 0 1 2 3 4 5 6 7, $body)
    };
    ($row:ident in $rows:ident, $($number:literal)*, $body:block) => {
        $({
            let $row: usize = $number;
            if $row < $rows $body
        })*
    };
}

/// All outputs of an image, of `rows` by `columns` pixels.
///
/// # Safety
/// Every window of `source` lies within its bytes.
#[inline(always)]
unsafe fn run_rows<I: Isa>(conv: &Conv, source: Rows, size: [usize; 2], target: &mut Target) {
    // SAFETY: as above.
    unsafe {
        match I::ROWS {
            8 => run_tiles::<I, 8>(conv, source, size, target),
            4 => run_tiles::<I, 4>(conv, source, size, target),
            _ => run_tiles::<I, 2>(conv, source, size, target),
        }
    }
}

/// As [`run_rows`], by tiles of `ROWS` pixels.
#[inline(always)]
unsafe fn run_tiles<I: Isa, const ROWS: usize>(
    conv: &Conv,
    source: Rows,
    [rows, columns]: [usize; 2],
    target: &mut Target,
) {
    let block = (BLOCK_BYTES / source.pixel.max(1)).next_multiple_of(ROWS);
    for row in 0..rows {
        for first in (0..columns).step_by(block) {
            let last = columns.min(first + block);
            for panel in 0..conv.bias.len() / (2 * I::LANES) {
                for pixel in (first..last).step_by(ROWS) {
                    let tile = Tile { row, pixel, count: ROWS.min(last - pixel), panel };
                    // SAFETY: as above.
                    unsafe { run_tile::<I, ROWS>(conv, source, &tile, columns, target) };
                }
            }
        }
    }
}

/// Some neighbouring pixels of a row, and some outputs.
struct Tile {
    row: usize,
    pixel: usize,
    /// Pixels.
    count: usize,
    /// Number of the panel of outputs.
    panel: usize,
}

/// The outputs of a tile.
#[inline(always)]
unsafe fn run_tile<I: Isa, const ROWS: usize>(
    conv: &Conv,
    source: Rows,
    tile: &Tile,
    columns: usize,
    target: &mut Target,
) {
    let width = 2 * I::LANES;
    let [kh, kw] = conv.geometry.kernel;
    let groups = (kw * conv.channels).div_ceil(GROUP);
    let bytes = width * GROUP * if I::IS_WIDE { 2 } else { 1 };
    let channel = tile.panel * width;
    // SAFETY: the caller vouches for the windows; weights, bias and factors are of whole panels.
    unsafe {
        let base = source.x.as_ptr().add(tile.row * conv.geometry.strides[0] * source.line);
        let mut windows = [base; ROWS];
        for_each_row!(i in ROWS {
            // Pixels that are missing at the end repeat the last one and are not written.
            windows[i] = base.add((tile.pixel + i.min(tile.count - 1)) * source.pixel);
        });
        let mut sums = [I::start(conv.bias.as_ptr().add(channel)); ROWS];
        let mut weights = conv.weights.as_ptr().add(tile.panel * kh * groups * bytes);
        for _ in 0..kh {
            let mut x = windows;
            for _ in 0..groups / CHUNK {
                for group in 0..CHUNK {
                    for_each_row!(i in ROWS {
                        sums[i] = I::step(sums[i], x[i].add(group * GROUP), weights.add(group * bytes));
                        // Loads stay where they are written: hoisted they would not fit into the registers.
                        compiler_fence(Ordering::SeqCst);
                    });
                }
                for_each_row!(i in ROWS { x[i] = x[i].add(CHUNK * GROUP); });
                weights = weights.add(CHUNK * bytes);
            }
            for group in 0..groups % CHUNK {
                for_each_row!(i in ROWS { sums[i] = I::step(sums[i], x[i].add(group * GROUP), weights); });
                weights = weights.add(bytes);
            }
            for_each_row!(i in ROWS { windows[i] = windows[i].wrapping_add(source.line); });
        }
        let factors = conv.factors.as_ptr().add(channel);
        let factors = [I::load_floats(factors), I::load_floats(factors.add(I::LANES))];
        let first = (tile.row * columns + tile.pixel) * conv.cout + channel;
        let filled = width.min(conv.cout - channel);
        let last = first + (tile.count - 1) * conv.cout + filled;
        match (target, &conv.finish) {
            (Target::Bytes { out, .. }, Finish::Bytes(requantise)) if filled == width => {
                assert!(last <= out.len());
                let out = out.as_mut_ptr().add(first);
                let limits = limits_of::<I>(&requantise.parameters);
                let zero_point = requantise.parameters.zero_point;
                for_each_row!(i in ROWS {
                    let scaled = scaled::<I>(sums[i], factors);
                    if i < tile.count {
                        I::store_bytes(rounded::<I>(scaled, limits, zero_point), out.add(i * conv.cout));
                    }
                });
            }
            (Target::Bytes { out, added: Some(added) }, Finish::Added(requantise, add))
                if filled == width =>
            {
                assert!(last <= out.len() && last <= added.len());
                let (out, added) = (out.as_mut_ptr().add(first), added.as_ptr().add(first));
                let limits = limits_of::<I>(&requantise.parameters);
                let zero_point = requantise.parameters.zero_point;
                for_each_row!(i in ROWS {
                    let scaled = scaled::<I>(sums[i], factors);
                    if i < tile.count {
                        let at = i * conv.cout;
                        let bytes = rounded::<I>(scaled, limits, zero_point);
                        I::store_bytes(add.apply::<I>(bytes, I::load_bytes(added.add(at))), out.add(at));
                    }
                });
            }
            (target, _) => {
                for_each_row!(i in ROWS {
                    let scaled = scaled::<I>(sums[i], factors);
                    if i < tile.count {
                        put_part::<I>(&conv.finish, scaled, first + i * conv.cout, filled, target);
                    }
                });
            }
        }
    }
}

/// The sums of a pixel times the factors of their outputs.
#[inline(always)]
unsafe fn scaled<I: Isa>(sums: I::Sums, factors: [I::Floats; 2]) -> [I::Floats; 2] {
    // SAFETY: no pointers.
    unsafe {
        let [low, high] = I::finish(sums);
        [I::mul(I::to_floats(low), factors[0]), I::mul(I::to_floats(high), factors[1])]
    }
}

/// Smallest and largest rounded value before the zero point is added, in all lanes.
#[inline(always)]
pub(super) unsafe fn limits_of<I: Isa>(parameters: &Parameters) -> [I::Floats; 2] {
    let [low, high] = parameters.limits();
    // SAFETY: no pointers.
    unsafe { [I::splat(low), I::splat(high)] }
}

/// Scaled sums as bytes that are still 32 bits wide.
#[inline(always)]
pub(super) unsafe fn rounded<I: Isa>(
    scaled: [I::Floats; 2],
    limits: [I::Floats; 2],
    zero_point: i32,
) -> [I::Ints; 2] {
    // SAFETY: no pointers.
    unsafe {
        [I::round(I::clamp(scaled[0], limits), zero_point), I::round(I::clamp(scaled[1], limits), zero_point)]
    }
}

/// Writes the first `filled` results of a pixel at element `at`, by way of arrays.
#[inline(always)]
unsafe fn put_part<I: Isa>(
    finish: &Finish,
    scaled: [I::Floats; 2],
    at: usize,
    filled: usize,
    target: &mut Target,
) {
    // SAFETY: the arrays are as long as the longest panel.
    unsafe {
        let (requantise, add) = match finish {
            Finish::Bytes(requantise) => (requantise, None),
            Finish::Added(requantise, add) => (requantise, Some(add)),
            Finish::Floats(_) => {
                let Target::Floats(out) = target else { unreachable!("the plan matches finish and target") };
                let mut values = [0.0; MAX_PANEL];
                I::store_floats(scaled[0], values.as_mut_ptr());
                I::store_floats(scaled[1], values.as_mut_ptr().add(I::LANES));
                out[at..at + filled].copy_from_slice(&values[..filled]);
                return;
            }
        };
        let Target::Bytes { out, added } = target else { unreachable!("the plan matches finish and target") };
        let parameters = &requantise.parameters;
        let mut bytes = rounded::<I>(scaled, limits_of::<I>(parameters), parameters.zero_point);
        if let (Some(add), Some(added)) = (add, added) {
            let mut others = [0; MAX_PANEL];
            others[..filled].copy_from_slice(&added[at..at + filled]);
            bytes = add.apply::<I>(bytes, I::load_bytes(others.as_ptr()));
        }
        let mut values = [0; MAX_PANEL];
        I::store_bytes(bytes, values.as_mut_ptr());
        out[at..at + filled].copy_from_slice(&values[..filled]);
    }
}
