//! Mean of each channel of quantised maps.

use super::Parameters;

/// Channels that are summed at once.
const BLOCK: usize = 16;

/// `clamp(round_half_even((sum - n * zx) * (sx / (sy * n)))) + zy` of the `n` bytes of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GlobalAverage {
    /// Channels of a map.
    pub channels: usize,
    /// Pixels of a map.
    pub pixels: usize,
    /// The byte of a map that stands for 0.
    pub zero_point: i32,
    /// What the sum of a channel is multiplied by.
    pub factor: f32,
    /// What the bytes of the means stand for.
    pub parameters: Parameters,
}

impl GlobalAverage {
    /// The mean of maps of so many `pixels` and `channels`, bytes that stand for `x`, as bytes that stand for `y`.
    pub fn new(pixels: usize, channels: usize, x: Parameters, y: Parameters) -> Self {
        let factor = x.scale / (y.scale * pixels as f32);
        GlobalAverage { channels, pixels, zero_point: x.zero_point, factor, parameters: y }
    }

    /// `out` `[N, C]` of `x` `[N, H, W, C]`.
    pub fn run(&self, x: &[u8], out: &mut [u8]) {
        let [low, high] = self.parameters.limits();
        let start = -(self.zero_point * self.pixels as i32);
        let maps = x.chunks(self.pixels * self.channels);
        for (map, out) in maps.zip(out.chunks_exact_mut(self.channels)) {
            // A few channels at a time, so that their sums stay where they are.
            for first in (0..self.channels).step_by(BLOCK) {
                let width = BLOCK.min(self.channels - first);
                let mut sums = [start; BLOCK];
                for pixel in map.chunks_exact(self.channels).take(self.pixels) {
                    match pixel[first..].first_chunk::<BLOCK>() {
                        Some(bytes) => {
                            (0..BLOCK).for_each(|i| sums[i] = sums[i].wrapping_add(i32::from(bytes[i])))
                        }
                        None => {
                            let bytes = &pixel[first..];
                            sums.iter_mut().zip(bytes).for_each(|(sum, &byte)| *sum += i32::from(byte));
                        }
                    }
                }
                for (out, sum) in out[first..first + width].iter_mut().zip(sums) {
                    let scaled = (sum as f32 * self.factor).max(low).min(high);
                    *out = (scaled.round_ties_even() as i32 + self.parameters.zero_point) as u8;
                }
            }
        }
    }
}
