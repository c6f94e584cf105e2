//! Transposed convolution: every input pixel adds its window to the output.

use super::clamp::Clamp;
use super::matrix::{Finish, PackedMatrix, Panels, multiply, tile_elements};
use crate::runtime::plan::Geometry;

/// A transposed convolution with bias and clamp.
pub struct ConvTranspose {
    /// `[C_in, KH * KW * C_out]`
    matrix: PackedMatrix,
    bias: Vec<f32>,
    /// What is added to the windows before they are added up: nothing.
    zeros: Vec<f32>,
    /// Of the convolution that leads from the output back to the input.
    geometry: Geometry,
    clamp: Clamp,
}

impl ConvTranspose {
    /// A transposed convolution by `weight` `[C_in, C_out, KH, KW]`; `geometry.input` is the size of the result.
    pub fn new(weight: &[f32], channels: usize, bias: Vec<f32>, geometry: Geometry, clamp: Clamp) -> Self {
        let (taps, cout) = (geometry.kernel[0] * geometry.kernel[1], bias.len());
        let element = |cin: usize, column: usize| weight[(cin * cout + column % cout) * taps + column / cout];
        let matrix = PackedMatrix::new(channels, taps * cout, element);
        ConvTranspose { matrix, bias, zeros: vec![0.0; taps * cout], geometry, clamp }
    }

    /// Channels of the input.
    pub fn channels(&self) -> usize {
        self.matrix.k()
    }

    /// Sizes of the convolution that leads from the output back to the input.
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

    /// Weights `[C_in, KH * KW * C_out]`.
    pub fn panels(&self) -> Panels<'_> {
        self.matrix.panels()
    }

    /// Elements of the windows before they are added up.
    pub fn window_elements(geometry: &Geometry, cout: usize) -> usize {
        let [kernel, pixels] = [geometry.kernel, geometry.output].map(|[h, w]| h.saturating_mul(w));
        kernel.saturating_mul(pixels).saturating_mul(cout)
    }

    /// Elements of one image of the input.
    pub fn input_elements(&self) -> usize {
        self.geometry.output[0] * self.geometry.output[1] * self.matrix.k()
    }

    /// Elements of its packed weights and biases.
    pub fn weight_elements(&self) -> usize {
        self.matrix.elements() + self.bias.len()
    }

    /// Elements that a run needs.
    pub fn scratch_elements(&self) -> usize {
        Self::window_elements(&self.geometry, self.bias.len()).saturating_add(tile_elements(self.matrix.k()))
    }

    /// `out` `[OH, OW, C_out]` of `x` `[H, W, C_in]`; `scratch` holds [`ConvTranspose::scratch_elements`].
    pub fn run(&self, x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let cout = self.bias.len();
        let (windows, tile) = scratch.split_at_mut(Self::window_elements(&self.geometry, cout));
        let finish = Finish { bias: &self.zeros, added: None, clamp: Clamp::default() };
        multiply(x, self.matrix.panels(), &finish, windows, tile);
        out.chunks_exact_mut(cout).for_each(|pixel| pixel.copy_from_slice(&self.bias));
        let [kh, kw] = self.geometry.kernel;
        // Input by input, tap by tap: the sums of an output have one order.
        for (pixel, windows) in windows.chunks_exact(self.matrix.m()).enumerate() {
            let (iy, ix) = (pixel / self.geometry.output[1], pixel % self.geometry.output[1]);
            for (tap, values) in windows.chunks_exact(cout).enumerate().take(kh * kw) {
                let row = self.geometry.source(0, iy, tap / kw);
                let Some((oy, ox)) = row.zip(self.geometry.source(1, ix, tap % kw)) else { continue };
                let out = &mut out[(oy * self.geometry.input[1] + ox) * cout..][..cout];
                out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
            }
        }
        out.iter_mut().for_each(|out| *out = self.clamp.apply(*out));
    }
}
