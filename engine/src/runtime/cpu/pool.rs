//! Pooling of maps `[H, W, C]`.

use crate::runtime::graph::PoolKind;
use crate::runtime::plan::Geometry;

/// Mean of each channel of `x` `[H * W, channels]`.
pub fn global_average(x: &[f32], channels: usize, out: &mut [f32]) {
    out.fill(0.0);
    let mut pixels = 0u32;
    for pixel in x.chunks_exact(channels) {
        out.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        pixels += 1;
    }
    out.iter_mut().for_each(|sum| *sum /= pixels as f32);
}

/// Largest or mean value of each window.
#[derive(Debug, Clone)]
pub struct Pool {
    /// What is made of a window.
    pub kind: PoolKind,
    /// Sizes of map and window.
    pub geometry: Geometry,
    /// Channels of the map.
    pub channels: usize,
}

impl Pool {
    /// `out` `[OH, OW, C]` of `x` `[H, W, C]`.
    pub fn run(&self, x: &[f32], out: &mut [f32]) {
        let start = if self.kind == PoolKind::Max { f32::NEG_INFINITY } else { 0.0 };
        self.for_each_window(x, start, out, |kind, out, value| match kind {
            PoolKind::Max => *out = if value > *out || value.is_nan() { value } else { *out },
            _ => *out += value,
        });
        if self.kind == PoolKind::Max {
            return;
        }
        let [kh, kw] = self.geometry.kernel;
        for (pixel, out) in out.chunks_exact_mut(self.channels).enumerate() {
            let inside = match self.kind {
                PoolKind::AverageWithPads => kh * kw,
                _ => self.taps(pixel).count(),
            };
            out.iter_mut().for_each(|sum| *sum /= inside as f32);
        }
    }

    /// Largest quantised value of each window: order is kept by quantisation.
    pub fn run_quantised(&self, x: &[u8], out: &mut [u8]) {
        self.for_each_window(x, 0, out, |_, out, value| *out = (*out).max(value));
    }

    fn for_each_window<T: Copy>(&self, x: &[T], start: T, out: &mut [T], take: fn(PoolKind, &mut T, T)) {
        for (pixel, out) in out.chunks_exact_mut(self.channels).enumerate() {
            out.fill(start);
            for source in self.taps(pixel) {
                let values = &x[source * self.channels..][..self.channels];
                out.iter_mut().zip(values).for_each(|(out, &value)| take(self.kind, out, value));
            }
        }
    }

    /// The input pixels in the window of output `pixel`.
    fn taps(&self, pixel: usize) -> impl Iterator<Item = usize> {
        let geometry = self.geometry;
        let (oy, ox) = (pixel / geometry.output[1], pixel % geometry.output[1]);
        let rows = (0..geometry.kernel[0]).filter_map(move |ky| geometry.source(0, oy, ky));
        rows.flat_map(move |iy| {
            (0..geometry.kernel[1])
                .filter_map(move |kx| geometry.source(1, ox, kx))
                .map(move |ix| iy * geometry.input[1] + ix)
        })
    }
}
