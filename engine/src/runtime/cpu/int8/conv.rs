//! Quantised dense convolution as a matrix product without a matrix: a window's rows lie in memory one by one.

use super::add::Add;
use super::isa::{Isa, Level, dispatch};
use super::{Parameters, Requantise};
use crate::runtime::plan::{Geometry, SLACK};

/// Input bytes that stay in the first cache while all weights pass by.
const BLOCK_BYTES: usize = 16 << 10;
/// Inputs that are multiplied at once.
const GROUP: usize = 4;
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

/// All outputs of an image, of `rows` by `columns` pixels.
///
/// # Safety
/// Every window of `source` lies within its bytes.
#[inline(always)]
unsafe fn run_rows<I: Isa>(conv: &Conv, source: Rows, [rows, columns]: [usize; 2], target: &mut Target) {
    let block = (BLOCK_BYTES / source.pixel.max(1)).next_multiple_of(I::ROWS);
    for row in 0..rows {
        for first in (0..columns).step_by(block) {
            let last = columns.min(first + block);
            for panel in 0..conv.bias.len() / (2 * I::LANES) {
                for pixel in (first..last).step_by(I::ROWS) {
                    let at = [row, pixel];
                    let count = I::ROWS.min(last - pixel);
                    // SAFETY: as above.
                    unsafe {
                        match I::ROWS {
                            8 => tile::<I, 8>(conv, source, at, columns, count, panel, target),
                            4 => tile::<I, 4>(conv, source, at, columns, count, panel, target),
                            _ => tile::<I, 2>(conv, source, at, columns, count, panel, target),
                        }
                    }
                }
            }
        }
    }
}

/// The outputs of one panel for `count` pixels of a row from `pixel` on.
#[inline(always)]
unsafe fn tile<I: Isa, const ROWS: usize>(
    conv: &Conv,
    source: Rows,
    [row, pixel]: [usize; 2],
    columns: usize,
    count: usize,
    panel: usize,
    target: &mut Target,
) {
    let width = 2 * I::LANES;
    let [kh, kw] = conv.geometry.kernel;
    let groups = (kw * conv.channels).div_ceil(GROUP);
    let bytes = width * GROUP * if I::IS_WIDE { 2 } else { 1 };
    // SAFETY: the caller vouches for the windows; weights, bias and factors are of whole panels.
    unsafe {
        let base = source.x.as_ptr().add(row * conv.geometry.strides[0] * source.line);
        // Pixels that are missing at the end repeat the last one and are not written.
        let mut windows: [*const u8; ROWS] =
            std::array::from_fn(|i| base.add((pixel + i.min(count - 1)) * source.pixel));
        let mut sums = [I::start(conv.bias.as_ptr().add(panel * width)); ROWS];
        let mut weights = conv.weights.as_ptr().add(panel * kh * groups * bytes);
        for _ in 0..kh {
            for group in 0..groups {
                for i in 0..ROWS {
                    sums[i] = I::step(sums[i], windows[i].add(group * GROUP), weights);
                }
                weights = weights.add(bytes);
            }
            windows = windows.map(|window| window.wrapping_add(source.line));
        }
        let factors = conv.factors.as_ptr().add(panel * width);
        let factors = [I::load_floats(factors), I::load_floats(factors.add(I::LANES))];
        for i in 0..count {
            let sums = I::finish(sums[i]);
            let scaled = [0, 1].map(|half| I::mul(I::to_floats(sums[half]), factors[half]));
            let at = (row * columns + pixel + i) * conv.cout + panel * width;
            put::<I>(conv, scaled, at, panel * width, target);
        }
    }
}

/// Writes the results of one pixel and panel at element `at`.
#[inline(always)]
unsafe fn put<I: Isa>(conv: &Conv, scaled: [I::Floats; 2], at: usize, channel: usize, target: &mut Target) {
    let width = 2 * I::LANES;
    let filled = width.min(conv.cout - channel);
    // SAFETY: whole panels are written in place, parts of panels by way of an array.
    unsafe {
        match (target, &conv.finish) {
            (Target::Floats(out), _) => {
                let mut values = [0.0; MAX_PANEL];
                I::store_floats(scaled[0], values.as_mut_ptr());
                I::store_floats(scaled[1], values.as_mut_ptr().add(I::LANES));
                out[at..at + filled].copy_from_slice(&values[..filled]);
            }
            (Target::Bytes { out, added }, Finish::Bytes(requantise) | Finish::Added(requantise, _)) => {
                let mut bytes = rounded::<I>(scaled, &requantise.parameters);
                if let (Finish::Added(_, add), Some(added)) = (&conv.finish, added) {
                    let added = &added[at..at + filled];
                    let mut others = [0; MAX_PANEL];
                    let others = if filled == width {
                        added.as_ptr()
                    } else {
                        others[..filled].copy_from_slice(added);
                        others.as_ptr()
                    };
                    bytes = add.apply::<I>(bytes, I::load_bytes(others));
                }
                let out = &mut out[at..at + filled];
                if filled == width {
                    I::store_bytes(bytes, out.as_mut_ptr());
                } else {
                    let mut values = [0; MAX_PANEL];
                    I::store_bytes(bytes, values.as_mut_ptr());
                    out.copy_from_slice(&values[..filled]);
                }
            }
            (Target::Bytes { .. }, Finish::Floats(_)) => unreachable!("the plan matches finish and target"),
        }
    }
}

/// Scaled sums as bytes that are still 32 bits wide.
#[inline(always)]
pub(super) unsafe fn rounded<I: Isa>(scaled: [I::Floats; 2], parameters: &Parameters) -> [I::Ints; 2] {
    // SAFETY: no pointers.
    unsafe {
        let limits = parameters.limits().map(|limit| I::splat(limit));
        scaled.map(|scaled| I::round(I::clamp(scaled, limits), parameters.zero_point))
    }
}
