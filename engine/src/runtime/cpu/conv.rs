//! Dense convolution: tiles of windows times the packed weights, without a full column matrix.

use super::clamp::Clamp;
use super::matrix::{Finish, PackedMatrix, Panels, ROWS, multiply, multiply_tile, tile_elements};
use crate::runtime::plan::Geometry;

/// A dense convolution with bias, optional addition and clamp.
pub struct Conv {
    matrix: PackedMatrix,
    bias: Vec<f32>,
    geometry: Geometry,
    channels: usize,
    clamp: Clamp,
}

impl Conv {
    /// A convolution by `weight` `[C_out, C_in, KH, KW]` of `channels` input channels.
    pub fn new(weight: &[f32], channels: usize, bias: Vec<f32>, geometry: Geometry, clamp: Clamp) -> Self {
        let [kh, kw] = geometry.kernel;
        let k = kh * kw * channels;
        // Rows in the order of a window's memory: down, right, channel.
        let element = |row: usize, cout: usize| {
            let (tap, channel) = (row / channels, row % channels);
            weight[(cout * channels + channel) * kh * kw + tap]
        };
        let matrix = PackedMatrix::new(k, bias.len(), element);
        Conv { matrix, bias, geometry, channels, clamp }
    }

    /// Channels of the input.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Channels of the result.
    pub fn channels_out(&self) -> usize {
        self.bias.len()
    }

    /// Sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Limits of the result.
    pub fn clamp(&self) -> Clamp {
        self.clamp
    }

    /// Of each output.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Weights, in the order of a window's memory.
    pub fn panels(&self) -> Panels<'_> {
        self.matrix.panels()
    }

    /// Elements of one image of the input.
    pub fn input_elements(&self) -> usize {
        self.geometry.input[0] * self.geometry.input[1] * self.channels
    }

    /// Elements of one image of the result.
    pub fn output_elements(&self) -> usize {
        self.geometry.output[0] * self.geometry.output[1] * self.bias.len()
    }

    /// Elements of its packed weights and biases.
    pub fn weight_elements(&self) -> usize {
        self.matrix.elements() + self.bias.len()
    }

    /// Elements that a run needs.
    pub fn scratch_elements(&self) -> usize {
        tile_elements(self.matrix.k())
    }

    /// `out` `[OH, OW, C_out]` of `x` `[H, W, C_in]`, plus `added` of the output's shape; `scratch` holds
    /// [`Conv::scratch_elements`].
    pub fn run(&self, x: &[f32], added: Option<&[f32]>, out: &mut [f32], scratch: &mut [f32]) {
        let finish = Finish { bias: &self.bias, added, clamp: self.clamp };
        if self.geometry.is_pointwise() {
            return multiply(x, self.matrix.panels(), &finish, out, scratch);
        }
        let k = self.matrix.k();
        let tile = &mut scratch[..k * ROWS];
        let pixels = self.geometry.output[0] * self.geometry.output[1];
        for first in (0..pixels).step_by(ROWS) {
            let count = ROWS.min(pixels - first);
            for row in 0..count {
                self.pack_window(x, first + row, row, tile);
            }
            multiply_tile(tile, self.matrix.panels(), &finish, first, count, out);
        }
    }

    /// Writes what output `pixel` sees into column `row` of the tile `[K][ROWS]`.
    fn pack_window(&self, x: &[f32], pixel: usize, row: usize, tile: &mut [f32]) {
        let geometry = &self.geometry;
        let (oy, ox) = (pixel / geometry.output[1], pixel % geometry.output[1]);
        let [kh, kw] = geometry.kernel;
        let mut taps = tile.chunks_exact_mut(self.channels * ROWS);
        for ky in 0..kh {
            let iy = geometry.source(0, oy, ky);
            for kx in 0..kw {
                let Some(target) = taps.next() else { return };
                let target = target.chunks_exact_mut(ROWS);
                match iy.zip(geometry.source(1, ox, kx)) {
                    None => target.for_each(|column| column[row] = 0.0),
                    Some((iy, ix)) => {
                        let source = &x[(iy * geometry.input[1] + ix) * self.channels..][..self.channels];
                        target.zip(source).for_each(|(column, value)| column[row] = *value);
                    }
                }
            }
        }
    }
}
