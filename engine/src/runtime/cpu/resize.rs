//! Larger and smaller maps `[H, W, C]`.

use crate::runtime::graph::{Coordinates, Resize, ResizeMode, ResizeTarget};

/// For each row or column of the result the two of the input around it, and the share of the second.
#[derive(Debug, Clone)]
pub struct Resampling {
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    height: usize,
    width: usize,
    channels: usize,
    mode: ResizeMode,
}

/// Two neighbours and the share of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

impl Resampling {
    /// From a map of size `input` to one of size `output`.
    pub fn new(resize: &Resize, input: [usize; 2], output: [usize; 2], channels: usize) -> Self {
        let axis = |axis: usize| {
            let scale = match resize.target {
                ResizeTarget::Scales(scales) => scales[axis],
                ResizeTarget::Sizes(sizes) => sizes[axis] as f32 / input[axis] as f32,
            };
            (0..output[axis]).map(|i| tap(resize, i, scale, input[axis], output[axis])).collect()
        };
        let [height, width] = input;
        Resampling { rows: axis(0), columns: axis(1), height, width, channels, mode: resize.mode }
    }

    /// Height and width of the map and of the result.
    pub fn sizes(&self) -> [[usize; 2]; 2] {
        [[self.height, self.width], [self.rows.len(), self.columns.len()]]
    }

    /// Channels of the map.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// For each row, then for each column of the result: two of the map, and the share of the second.
    pub fn taps(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        self.rows.iter().chain(&self.columns).map(|tap| (tap.first, tap.second, tap.share))
    }

    /// Elements of one image of the result.
    pub fn output_elements(&self) -> usize {
        self.rows.len() * self.columns.len() * self.channels
    }

    /// `out` `[OH, OW, C]` of `x` `[H, W, C]`.
    pub fn run(&self, x: &[f32], out: &mut [f32]) {
        if self.mode != ResizeMode::Linear {
            return self.copy(x, out);
        }
        let pixel =
            |row: usize, column: usize| &x[(row * self.width + column) * self.channels..][..self.channels];
        let mut outputs = out.chunks_exact_mut(self.channels);
        for row in &self.rows {
            for column in &self.columns {
                let Some(out) = outputs.next() else { return };
                let corners =
                    [row.first, row.second].map(|y| [column.first, column.second].map(|x| pixel(y, x)));
                for (channel, out) in out.iter_mut().enumerate() {
                    let between = |[a, b]: [f32; 2], share: f32| a * (1.0 - share) + b * share;
                    let lines = corners.map(|line| between(line.map(|pixel| pixel[channel]), column.share));
                    *out = between(lines, row.share);
                }
            }
        }
    }

    /// The nearest pixels, of floats or of bytes.
    pub fn copy<T: Copy>(&self, x: &[T], out: &mut [T]) {
        let mut outputs = out.chunks_exact_mut(self.channels);
        for row in &self.rows {
            for column in &self.columns {
                let Some(out) = outputs.next() else { return };
                let at = (row.first * self.width + column.first) * self.channels;
                out.copy_from_slice(&x[at..at + self.channels]);
            }
        }
    }
}

fn tap(resize: &Resize, index: usize, scale: f32, input: usize, output: usize) -> Tap {
    let i = index as f32;
    let position = match resize.coordinates {
        Coordinates::Asymmetric => i / scale,
        Coordinates::PytorchHalfPixel if output == 1 => 0.0,
        Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
        Coordinates::AlignCorners => i * (input - 1) as f32 / (output - 1) as f32,
    };
    let last = input - 1;
    let nearest = |rounded: f32| {
        let first = (rounded.max(0.0) as usize).min(last);
        Tap { first, second: first, share: 0.0 }
    };
    match resize.mode {
        ResizeMode::NearestFloor => nearest(position.floor()),
        ResizeMode::NearestPreferFloor => nearest((position - 0.5).ceil()),
        ResizeMode::Linear => {
            let position = position.clamp(0.0, last as f32);
            let first = position as usize;
            Tap { first, second: (first + 1).min(last), share: position - first as f32 }
        }
    }
}
