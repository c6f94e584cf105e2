//! Means and normalisations along one stretch of axes: `[outer, extent, inner]`.

use super::functions::exp;

/// How the axes of an array fall apart around those that are summed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Elements of the axes that are summed over.
    pub extent: usize,
    /// Elements of the axes behind them.
    pub inner: usize,
}

impl Stretch {
    /// Calls `each` with every (start of the stretch, index of the result).
    fn for_each(self, elements: usize, mut each: impl FnMut(usize, usize)) {
        for outer in 0..elements / (self.extent * self.inner) {
            for inner in 0..self.inner {
                each(outer * self.extent * self.inner + inner, outer * self.inner + inner);
            }
        }
    }

    /// Indices of a stretch that starts at `start`.
    fn indices(self, start: usize) -> impl Iterator<Item = usize> + Clone {
        (0..self.extent).map(move |i| start + i * self.inner)
    }

    /// Mean of each stretch.
    pub fn mean(self, x: &[f32], out: &mut [f32]) {
        self.for_each(x.len(), |start, result| {
            out[result] = self.indices(start).fold(0.0, |sum, i| sum + x[i]) / self.extent as f32;
        });
    }

    /// `exp(x - max) / sum` of each stretch.
    pub fn softmax(self, x: &[f32], out: &mut [f32]) {
        self.for_each(x.len(), |start, _| {
            let indices = self.indices(start);
            // A NaN in a stretch makes all of it NaN through the sum.
            let max = indices.clone().fold(f32::NEG_INFINITY, |max, i| if x[i] > max { x[i] } else { max });
            let mut sum = 0.0;
            for i in indices.clone() {
                out[i] = exp(x[i] - max);
                sum += out[i];
            }
            indices.for_each(|i| out[i] /= sum);
        });
    }

    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias` of each stretch; constants of one stretch.
    pub fn layer_norm(self, x: &[f32], scale: &[f32], bias: Option<&[f32]>, epsilon: f32, out: &mut [f32]) {
        self.for_each(x.len(), |start, _| {
            let indices = self.indices(start);
            let count = self.extent as f32;
            let mean = indices.clone().fold(0.0, |sum, i| sum + x[i]) / count;
            let variance = indices.clone().fold(0.0, |sum, i| sum + (x[i] - mean) * (x[i] - mean)) / count;
            let factor = 1.0 / (variance + epsilon).sqrt();
            for (place, i) in indices.enumerate() {
                out[i] = (x[i] - mean) * factor * scale[place] + bias.map_or(0.0, |bias| bias[place]);
            }
        });
    }
}
