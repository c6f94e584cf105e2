//! Depthwise convolution: vectors over channels, the sum of each output in registers.

use super::clamp::Clamp;
use crate::runtime::plan::Geometry;
use multiversion::multiversion;

/// Channels that are summed at once.
const LANES: usize = 8;

/// A tap inside the map: first element of its pixel and of its weights.
pub type Tap = [usize; 2];

/// A depthwise convolution with bias, optional addition and clamp.
pub struct Depthwise {
    /// `[KH * KW][C]`
    weight: Vec<f32>,
    bias: Vec<f32>,
    geometry: Geometry,
    clamp: Clamp,
}

impl Depthwise {
    /// A convolution by `weight` `[C, 1, KH, KW]`.
    pub fn new(weight: &[f32], bias: Vec<f32>, geometry: Geometry, clamp: Clamp) -> Self {
        let (taps, channels) = (geometry.kernel[0] * geometry.kernel[1], bias.len());
        let packed = (0..taps * channels).map(|i| weight[i % channels * taps + i / channels]).collect();
        Depthwise { weight: packed, bias, geometry, clamp }
    }

    /// Sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Limits of the result.
    pub fn clamp(&self) -> Clamp {
        self.clamp
    }

    /// Of each channel.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// `[KH, KW, C]`
    pub fn weight(&self) -> &[f32] {
        &self.weight
    }

    /// Elements of one image of the input.
    pub fn input_elements(&self) -> usize {
        self.geometry.input[0] * self.geometry.input[1] * self.bias.len()
    }

    /// Elements of its weights and biases.
    pub fn weight_elements(&self) -> usize {
        self.weight.len() + self.bias.len()
    }

    /// Taps of a window.
    pub fn taps(&self) -> usize {
        self.geometry.kernel[0] * self.geometry.kernel[1]
    }

    /// `out` `[OH, OW, C]` of `x` `[H, W, C]`, plus `added` of the output's shape; `taps` has room for
    /// [`Depthwise::taps`].
    pub fn run(&self, x: &[f32], added: Option<&[f32]>, out: &mut [f32], taps: &mut Vec<Tap>) {
        let channels = self.bias.len();
        let [kh, kw] = self.geometry.kernel;
        for (pixel, out) in out.chunks_exact_mut(channels).enumerate() {
            let (oy, ox) = (pixel / self.geometry.output[1], pixel % self.geometry.output[1]);
            taps.clear();
            for ky in 0..kh {
                let Some(iy) = self.geometry.source(0, oy, ky) else { continue };
                for kx in 0..kw {
                    let Some(ix) = self.geometry.source(1, ox, kx) else { continue };
                    taps.push([(iy * self.geometry.input[1] + ix) * channels, (ky * kw + kx) * channels]);
                }
            }
            sum_taps(x, &self.weight, taps, &self.bias, out);
            match added {
                None => out.iter_mut().for_each(|out| *out = self.clamp.apply(*out)),
                Some(added) => {
                    let added = &added[pixel * channels..][..channels];
                    out.iter_mut().zip(added).for_each(|(out, added)| *out = self.clamp.apply(*out + added));
                }
            }
        }
    }
}

/// `out[c] = sum over taps of x[tap][c] * weight[tap][c], + bias[c]`
#[multiversion(targets("x86_64+avx2"))]
fn sum_taps(x: &[f32], weight: &[f32], taps: &[Tap], bias: &[f32], out: &mut [f32]) {
    let whole = out.len() - out.len() % LANES;
    for first in (0..whole).step_by(LANES) {
        let mut sums = [0f32; LANES];
        for &[pixel, tap] in taps {
            let x = &x[pixel + first..][..LANES];
            let weight = &weight[tap + first..][..LANES];
            for i in 0..LANES {
                sums[i] += x[i] * weight[i];
            }
        }
        for i in 0..LANES {
            out[first + i] = sums[i] + bias[first + i];
        }
    }
    for channel in whole..out.len() {
        let sum =
            taps.iter().fold(0.0, |sum, &[pixel, tap]| sum + x[pixel + channel] * weight[tap + channel]);
        out[channel] = sum + bias[channel];
    }
}
