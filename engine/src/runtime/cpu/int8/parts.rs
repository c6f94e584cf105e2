//! What a packed layer is made of, for backends that pack it another way.

use super::conv::{Conv, Finish, GROUP};
use super::depthwise::Depthwise;
use super::{Level, Parameters};
use crate::runtime::plan::Geometry;

/// A layer without its weights.
pub struct Parts<'a> {
    /// Sizes.
    pub geometry: Geometry,
    /// Channels of the input.
    pub channels: usize,
    /// Of each output, with what the input's zero point adds taken off.
    pub bias: &'a [i32],
    /// What the sum of each output is multiplied by.
    pub factors: &'a [f32],
    /// What becomes of the sums.
    pub finish: &'a Finish,
    /// What the input's bytes stand for.
    pub x: Parameters,
}

impl Conv {
    /// Everything but the weights.
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            geometry: self.geometry,
            channels: self.channels,
            bias: &self.bias[..self.cout],
            factors: &self.factors[..self.cout],
            finish: &self.finish,
            x: self.x,
        }
    }

    /// The weight of output `output` for input channel `channel` at tap `[ky, kx]`.
    ///
    /// # Panics
    /// If the layer was packed for vectors, not at [`Level::Scalar`].
    pub fn weight(&self, output: usize, [ky, kx]: [usize; 2], channel: usize) -> i8 {
        assert!(self.level == Level::Scalar, "only plain weights can be read one by one");
        let panel = self.level.panel();
        let row = kx * self.channels + channel;
        let (row, at) = match self.window_rows {
            1 => (0, ky * self.geometry.kernel[1] * self.channels + row),
            _ => (ky, row),
        };
        let group = (output / panel * self.window_rows + row) * self.groups + at / GROUP;
        self.weights[(group * panel + output % panel) * GROUP + at % GROUP]
    }
}

impl Depthwise {
    /// Everything but the weights.
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            geometry: self.geometry,
            channels: self.channels,
            bias: &self.bias[..self.channels],
            factors: &self.factors[..self.channels],
            finish: &self.finish,
            x: self.x,
        }
    }

    /// The weight of `channel` at tap `[ky, kx]`.
    ///
    /// # Panics
    /// If the layer was packed for vectors, not at [`Level::Scalar`].
    pub fn weight(&self, [ky, kx]: [usize; 2], channel: usize) -> i8 {
        assert!(self.level == Level::Scalar, "only plain weights can be read one by one");
        let (panel, [kh, kw]) = (self.level.panel(), self.geometry.kernel);
        // Taps go by two, a row is filled up to whole pairs, and a weight has 16 bits.
        let pairs = kw.div_ceil(2);
        let pair = channel / panel * kh * pairs + ky * pairs + kx / 2;
        self.weights[((pair * panel + channel % panel) * 2 + kx % 2) * 2]
    }
}

#[cfg(test)]
mod tests {
    use super::super::conv::Layer;
    use super::*;

    #[test]
    fn weights_come_back_as_they_were_given() {
        for (channels, cout, kernel) in [(3, 5, [3, 3]), (8, 17, [1, 1]), (4, 9, [2, 5]), (64, 8, [3, 3])] {
            let count = cout * channels * kernel[0] * kernel[1];
            let weight: Vec<i8> = (0..count).map(|i| (i * 37 % 251) as u8 as i8).collect();
            let bias = vec![0; cout];
            let layer = layer(&weight, &bias, channels, kernel);
            let conv = Conv::new(&layer, Finish::Floats(vec![1.0; cout]), Level::Scalar);
            let mut place = 0;
            for output in 0..cout {
                for channel in 0..channels {
                    for tap in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| [ky, kx])) {
                        assert_eq!(conv.weight(output, tap, channel), weight[place], "{output} {tap:?}");
                        place += 1;
                    }
                }
            }
        }
        for (channels, kernel) in [(5, [3, 3]), (24, [5, 5]), (8, [1, 4])] {
            let count = channels * kernel[0] * kernel[1];
            let weight: Vec<i8> = (0..count).map(|i| (i * 37 % 251) as u8 as i8).collect();
            let bias = vec![0; channels];
            let layer = layer(&weight, &bias, channels, kernel);
            let conv = Depthwise::new(&layer, Finish::Floats(vec![1.0; channels]), Level::Scalar);
            let mut place = 0;
            for channel in 0..channels {
                for tap in (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| [ky, kx])) {
                    assert_eq!(conv.weight(tap, channel), weight[place], "{channel} {tap:?}");
                    place += 1;
                }
            }
        }
    }

    fn layer<'a>(weight: &'a [i8], bias: &'a [i32], channels: usize, kernel: [usize; 2]) -> Layer<'a> {
        let geometry = Geometry {
            input: [8, 8],
            output: [9 - kernel[0], 9 - kernel[1]],
            kernel,
            strides: [1, 1],
            dilations: [1, 1],
            pads: [0, 0],
        };
        let x = Parameters { scale: 1.0, zero_point: 0, low: 0, high: 127 };
        Layer { weight, bias, channels, geometry, x }
    }
}
