//! Quantised dense convolution as a matrix product without a matrix: a window's rows lie in memory one by one.

use super::add::Add;
use super::isa::{Level, dispatch};
use super::tile::{Rows, Target, run_rows};
use super::{Parameters, Requantise};
use crate::runtime::plan::{Geometry, SLACK};

/// Inputs that are multiplied at once.
pub(super) const GROUP: usize = 4;
/// Largest sum of positive weights, and of negative ones, whose products with seven-bit values stay within 16 bits.
pub(super) const MAX_SHORT: i32 = 32767 / 127;
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

impl Finish {
    /// What a sum is multiplied by, of whole panels.
    pub(super) fn factors(&self, panel: usize) -> Vec<f32> {
        let mut factors = match self {
            Finish::Bytes(requantise) | Finish::Added(requantise, _) => requantise.multipliers.clone(),
            Finish::Floats(factors) => factors.clone(),
        };
        factors.resize(factors.len().next_multiple_of(panel), 0.0);
        factors
    }
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

impl Layer<'_> {
    /// The bias with what the input's zero point adds to a sum taken off, of whole panels.
    pub(super) fn centred_bias(&self, panel: usize) -> Vec<i32> {
        let weights = self.weight.chunks_exact(self.weight.len() / self.bias.len());
        let sums = weights.map(|weights| weights.iter().map(|&w| i32::from(w)).sum::<i32>());
        let mut bias: Vec<i32> =
            self.bias.iter().zip(sums).map(|(bias, sum)| bias - self.x.zero_point * sum).collect();
        bias.resize(bias.len().next_multiple_of(panel), 0);
        bias
    }
}

/// A quantised dense convolution.
pub struct Conv {
    pub(super) level: Level,
    /// For each panel, window row and group of four inputs: four weights of each output.
    pub(super) weights: Vec<i8>,
    /// Rows of a window that lie apart.
    pub(super) window_rows: usize,
    /// Groups of inputs in such a row.
    pub(super) groups: usize,
    /// Weights that [`super::isa::Isa::step_short`] would exceed 16 bits with; none at levels without it.
    pub(super) extras: Extras,
    /// Of whole panels, with what the input's zero point adds taken off.
    pub(super) bias: Vec<i32>,
    /// Factors of whole panels.
    pub(super) factors: Vec<f32>,
    pub(super) finish: Finish,
    pub(super) geometry: Geometry,
    pub(super) channels: usize,
    pub(super) cout: usize,
    /// What the input's bytes stand for.
    pub(super) x: Parameters,
}

impl Conv {
    /// The convolution of `layer` with the instructions of `level`.
    pub fn new(layer: &Layer, finish: Finish, level: Level) -> Self {
        let level = level.exact_for(layer.x.high);
        let cout = layer.bias.len();
        let per_output = layer.weight.len() / cout;
        let panel = level.panel();
        let window_rows = window_rows(layer);
        let groups = (per_output / window_rows).div_ceil(GROUP);
        let mut weights = packed(layer, window_rows, level);
        let extras = match has_short_step(level) {
            true => take_extras(&mut weights, panel, window_rows, groups),
            false => Extras::default(),
        };
        Conv {
            level,
            weights,
            window_rows,
            groups,
            extras,
            bias: layer.centred_bias(panel),
            factors: finish.factors(panel),
            finish,
            geometry: layer.geometry,
            channels: layer.channels,
            cout,
            x: layer.x,
        }
    }

    /// Bytes that the weights of a layer take once packed at the widest level.
    pub fn packed_bytes(cout: usize, channels: usize, [kh, kw]: [usize; 2]) -> usize {
        let groups = kw.saturating_mul(channels).div_ceil(GROUP).saturating_mul(kh);
        groups.saturating_mul(GROUP * 2).saturating_mul(cout.next_multiple_of(MAX_PANEL))
    }

    /// Bytes of its packed weights, biases and factors.
    pub fn weight_bytes(&self) -> usize {
        self.weights.len() + 4 * (self.bias.len() + self.factors.len())
    }

    /// Bytes that a run needs.
    pub fn scratch_bytes(&self) -> usize {
        let padded = padded_size(&self.geometry).map_or(0, |size| padded_bytes(size, self.channels));
        let is_gathered = self.window_rows < self.geometry.kernel[0];
        padded.saturating_add(if is_gathered { self.strip_bytes() } else { 0 })
    }

    /// Bytes of the windows that are put together at once.
    fn strip_bytes(&self) -> usize {
        self.strip() * self.window_bytes() + SLACK
    }

    /// `out` `[N, OH, OW, C_out]` of `x` `[N, H, W, C_in]` with [`SLACK`] readable bytes behind it; `added` is what
    /// [`Finish::Added`] adds.
    ///
    /// # Panics
    /// If a slice is shorter than its shape.
    pub fn run(&self, x: &[u8], added: Option<&[u8]>, out: &mut [u8], scratch: &mut Vec<u8>) {
        let size = self.output_elements();
        for (image, out) in out.chunks_exact_mut(size).enumerate() {
            let target = match (&self.finish, added) {
                (Finish::Bytes(requantise), None) => Target::Bytes(out.as_mut_ptr(), requantise),
                (Finish::Added(requantise, add), Some(added)) => {
                    let added = added[image * size..][..size].as_ptr();
                    Target::Added(out.as_mut_ptr(), requantise, add, added)
                }
                _ => unreachable!("the plan matches what a layer finishes with and what it is given"),
            };
            self.run_image(&x[image * self.input_elements()..], target, scratch);
        }
    }

    /// The same to floats, for [`Finish::Floats`].
    ///
    /// # Panics
    /// If a slice is shorter than its shape.
    pub fn run_to_floats(&self, x: &[u8], out: &mut [f32], scratch: &mut Vec<u8>) {
        assert!(matches!(self.finish, Finish::Floats(_)), "the plan matches what a layer finishes with");
        for (image, out) in out.chunks_exact_mut(self.output_elements()).enumerate() {
            self.run_image(&x[image * self.input_elements()..], Target::Floats(out.as_mut_ptr()), scratch);
        }
    }

    fn input_elements(&self) -> usize {
        self.geometry.input[0] * self.geometry.input[1] * self.channels
    }

    fn output_elements(&self) -> usize {
        self.geometry.output[0] * self.geometry.output[1] * self.cout
    }

    /// One image; `target` has room for [`Conv::output_elements`].
    fn run_image(&self, x: &[u8], target: Target, scratch: &mut Vec<u8>) {
        let geometry = &self.geometry;
        scratch.clear();
        let (width, padded) = match padded_size(geometry) {
            Some(size) => {
                pad(x, geometry, self.channels, self.x.zero_point as u8, size, scratch);
                (size[1], Some(scratch.len()))
            }
            None => (geometry.input[1], None),
        };
        let is_gathered = self.window_rows < geometry.kernel[0];
        if is_gathered {
            scratch.resize(scratch.len() + self.strip_bytes(), 0);
        }
        let (padding, strip) = scratch.split_at_mut(padded.unwrap_or(0));
        let x = if padded.is_some() { padding } else { x };
        let line = width * self.channels;
        let (pixel, down) = (geometry.strides[1] * self.channels, geometry.strides[0] * line);
        let size = if geometry.is_pointwise() {
            [1, geometry.output[0] * geometry.output[1]]
        } else {
            geometry.output
        };
        // The last window ends within the map, the groups of the last row within the slack, and so do copies of rows.
        let kernel =
            (geometry.kernel[0] - 1) * line + (geometry.kernel[1] * self.channels).next_multiple_of(COPIED);
        let last = (size[0] - 1) * down + (size[1] - 1) * pixel + kernel;
        assert!(last <= x.len(), "a map of {} bytes is read up to {last}", x.len());
        if !is_gathered {
            let rows = Rows { x: x.as_ptr(), line, pixel, down, size };
            return self.run_level(rows, target);
        }
        for row in 0..size[0] {
            for first in (0..size[1]).step_by(self.strip()) {
                let columns = self.strip().min(size[1] - first);
                // SAFETY: the assertion above, and the strip's length.
                unsafe {
                    self.gather(x.as_ptr().add(row * down + first * pixel), [line, pixel], columns, strip)
                };
                let (x, pixel) = (strip.as_ptr(), self.window_bytes());
                let rows = Rows { x, line: 0, pixel, down: 0, size: [1, columns] };
                self.run_level(rows, target.behind((row * size[1] + first) * self.cout));
            }
        }
    }

    fn run_level(&self, rows: Rows, target: Target) {
        let (level, conv) = (self.level, self);
        dispatch!(level, run_rows(conv: &Conv, rows: Rows, target: Target));
    }

    /// Bytes of a window whose rows were put together.
    fn window_bytes(&self) -> usize {
        self.groups * GROUP
    }

    /// Windows that are put together at once: as many as stay in the first cache, whatever the width of the map.
    fn strip(&self) -> usize {
        (STRIP_BYTES / self.window_bytes()).clamp(1, self.geometry.output[1])
    }

    /// Puts the rows of each of `columns` neighbouring windows together.
    ///
    /// # Safety
    /// The windows can be read, each row filled up to a multiple of [`COPIED`] bytes.
    unsafe fn gather(&self, x: *const u8, [line, pixel]: [usize; 2], columns: usize, strip: &mut [u8]) {
        let [kh, kw] = self.geometry.kernel;
        let row = kw * self.channels;
        assert!(columns * self.window_bytes() + COPIED <= strip.len());
        let (mut window, mut gathered) = (x, strip.as_mut_ptr());
        for _ in 0..columns {
            let (mut from, mut to) = (window, gathered);
            for _ in 0..kh {
                let mut at = 0;
                loop {
                    // SAFETY: what is copied beyond the row is overwritten by the next one, or lies within the slack.
                    unsafe {
                        let bytes = from.add(at).cast::<[u8; COPIED]>().read_unaligned();
                        to.add(at).cast::<[u8; COPIED]>().write_unaligned(bytes);
                    }
                    at = at.wrapping_add(COPIED);
                    if at >= row {
                        break;
                    }
                }
                from = from.wrapping_add(line);
                to = to.wrapping_add(row);
            }
            window = window.wrapping_add(pixel);
            gathered = gathered.wrapping_add(self.window_bytes());
        }
    }
}

/// Bytes of windows that were put together.
const STRIP_BYTES: usize = 16 << 10;

/// Bytes that are copied at once.
const COPIED: usize = 16;

/// Rows of a window that are read where they lie: one if it pays to put them together first, since each row is filled up
/// to whole groups.
fn window_rows(layer: &Layer) -> usize {
    let [kh, kw] = layer.geometry.kernel;
    let row = kw * layer.channels;
    let (apart, together) = (kh * row.div_ceil(GROUP), (kh * row).div_ceil(GROUP));
    if together * 8 <= apart * 7 { 1 } else { kh }
}

fn is_wide(level: Level) -> bool {
    match level {
        #[cfg(target_arch = "wasm32")]
        Level::Simd128 => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2Wide => true,
        #[cfg(target_arch = "aarch64")]
        Level::NeonWide => true,
        _ => false,
    }
}

fn has_short_step(level: Level) -> bool {
    match level {
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        Level::RelaxedPairs => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => true,
        _ => false,
    }
}

/// Groups of weights that are multiplied one by one, sorted by panel.
#[derive(Default)]
pub(super) struct Extras {
    /// Where each panel's begin, and where the last one's end.
    first: Vec<usize>,
    /// Window row, and byte offset in it.
    places: Vec<[u32; 2]>,
    /// As in [`Conv::weights`].
    weights: Vec<i8>,
}

impl Extras {
    /// Window row, and byte offset in it, of each group of a panel.
    pub(super) fn of_panel(&self, panel: usize) -> &[[u32; 2]] {
        &self.places[self.first[panel]..self.first[panel + 1]]
    }

    /// Their weights.
    pub(super) fn weights_of(&self, panel: usize) -> &[i8] {
        // A group has as many bytes everywhere.
        let bytes = self.weights.len().checked_div(self.places.len()).unwrap_or(0);
        &self.weights[self.first[panel] * bytes..self.first[panel + 1] * bytes]
    }
}

/// Takes weights out of `packed` until two groups and any seven-bit values make sums within 16 bits.
fn take_extras(packed: &mut [i8], panel: usize, rows: usize, groups: usize) -> Extras {
    let width = panel * GROUP;
    let mut extras = Extras::default();
    for of_panel in packed.chunks_exact_mut(rows * groups * width) {
        extras.first.push(extras.places.len());
        for (row, of_row) in of_panel.chunks_exact_mut(groups * width).enumerate() {
            for (pair, both) in of_row.chunks_exact_mut(2 * width).enumerate() {
                let (first, second) = both.split_at_mut(width);
                let mut taken = vec![0; width];
                // Inputs 0 and 1 of both groups meet in one 16-bit sum, and so do 2 and 3; one group's always fit.
                let lanes =
                    first.chunks_exact(2).zip(second.chunks_exact_mut(2)).zip(taken.chunks_exact_mut(2));
                for ((a, b), taken) in lanes {
                    let side = |sign: i32| -> i32 {
                        a.iter().chain(&*b).map(|&weight| (i32::from(weight) * sign).max(0)).sum()
                    };
                    if side(1) > MAX_SHORT || side(-1) > MAX_SHORT {
                        taken.swap_with_slice(b);
                    }
                }
                if taken.iter().any(|&weight| weight != 0) {
                    extras.places.push([row as u32, ((2 * pair + 1) * GROUP) as u32]);
                    extras.weights.extend(taken);
                }
            }
        }
    }
    extras.first.push(extras.places.len());
    extras
}

/// The weights in the order in which a kernel reads them: windows in the order of rows, columns and channels, cut into
/// `rows` parts.
fn packed(layer: &Layer, rows: usize, level: Level) -> Vec<i8> {
    let panel = level.panel();
    let ([kh, kw], channels, cout) = (layer.geometry.kernel, layer.channels, layer.bias.len());
    let (taps, window) = (kh * kw, kh * kw * channels);
    let row = window / rows;
    let groups = row.div_ceil(GROUP);
    // Millions of weights, in code that a browser has not optimised yet: no divisions, whole groups.
    let mut ordered = vec![0; if taps == 1 { 0 } else { window }];
    let mut packed = vec![0; cout.next_multiple_of(panel) * rows * groups * GROUP];
    for (output, weights) in layer.weight.chunks_exact(window).enumerate() {
        let weights = if taps == 1 {
            weights
        } else {
            for (channel, weights) in weights.chunks_exact(taps).enumerate() {
                ordered
                    .iter_mut()
                    .skip(channel)
                    .step_by(channels)
                    .zip(weights)
                    .for_each(|(to, &from)| *to = from);
            }
            &ordered
        };
        let (number, lane) = (output / panel, output % panel);
        let first = number * rows * groups * panel * GROUP + lane * GROUP;
        let mut places = packed[first..].chunks_mut(panel * GROUP);
        for row in weights.chunks_exact(row) {
            for group in row.chunks(GROUP) {
                if let Some(place) = places.next() {
                    place[..group.len()].copy_from_slice(group);
                }
            }
        }
    }
    if is_wide(level) {
        // The upper byte of each 16-bit integer.
        packed = packed.iter().flat_map(|&weight| [weight, weight >> 7]).collect();
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

/// Bytes of a map with its padding, and [`SLACK`] bytes behind it.
fn padded_bytes([height, width]: [usize; 2], channels: usize) -> usize {
    height.saturating_mul(width).saturating_mul(channels).saturating_add(SLACK)
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
    scratch.reserve(padded_bytes([height, width], channels));
    scratch.resize(geometry.pads[0] * line, value);
    let left = geometry.pads[1] * channels;
    for row in x.chunks_exact(row).take(geometry.input[0]) {
        scratch.resize(scratch.len() + left, value);
        scratch.extend_from_slice(row);
        scratch.resize(scratch.len() + line - left - row.len(), value);
    }
    scratch.resize(padded_bytes([height, width], channels), value);
}
