//! Quantised dense convolution as a matrix product without a matrix: a window's rows lie in memory one by one.

use super::add::Add;
use super::isa::{Level, dispatch};
use super::tile::{Rows, Target, run_rows};
use super::{Parameters, Requantise};
use crate::runtime::plan::{Geometry, SLACK};

/// Inputs that are multiplied at once.
pub(super) const GROUP: usize = 4;
/// Most outputs of a panel at any level.
pub(super) const MAX_PANEL: usize = 32;

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
    pub(super) weights: Vec<i8>,
    /// Of whole panels, with what the input's zero point adds taken off.
    pub(super) bias: Vec<i32>,
    /// Factors of whole panels.
    pub(super) factors: Vec<f32>,
    pub(super) finish: Finish,
    pub(super) geometry: Geometry,
    pub(super) channels: usize,
    pub(super) cout: usize,
    zero_point: u8,
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
