//! What the integers of a quantised file stand for: bits, scales, zero points.

use super::ranges::Range;
use std::collections::HashMap;

/// Smallest scale: of a value that is always 0.
pub const MIN_SCALE: f32 = 1e-8;

/// How many bits an activation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
pub enum ActivationBits {
    /// 0 to 127, by a `Clip`: exact on every machine.
    #[value(name = "7")]
    Seven,
    /// 0 to 255: the form that onnxruntime fuses.
    #[value(name = "8")]
    Eight,
}

impl ActivationBits {
    /// The largest byte.
    pub fn steps(self) -> f32 {
        match self {
            ActivationBits::Seven => 127.0,
            ActivationBits::Eight => 255.0,
        }
    }
}

/// How a layer's weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightBits {
    /// -7 to 7, two in a byte.
    Four,
    /// -127 to 127.
    Eight,
    /// As they are; the layer computes in floats.
    Float,
}

impl WeightBits {
    /// The largest magnitude; none of floats.
    pub fn limit(self) -> Option<f32> {
        match self {
            WeightBits::Four => Some(7.0),
            WeightBits::Eight => Some(127.0),
            WeightBits::Float => None,
        }
    }

    /// Bits of one weight in a file.
    pub fn width(self) -> u64 {
        match self {
            WeightBits::Four => 4,
            WeightBits::Eight => 8,
            WeightBits::Float => 32,
        }
    }
}

/// Scale and zero point of an activation.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Parameters {
    /// Difference between neighbours.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: u8,
}

impl Parameters {
    /// Those that cover `range`, widened to hold 0, which padding needs exactly.
    pub fn of(range: Range, bits: ActivationBits) -> Self {
        let (low, high) = (range.low.min(0.0), range.high.max(0.0));
        let scale = ((high - low) / bits.steps()).max(MIN_SCALE);
        let zero_point = (-low / scale).round().clamp(0.0, bits.steps()) as u8;
        Parameters { scale, zero_point }
    }

    /// Those that cover `range` with as many steps below 0 as above it; nothing below 0 needs no steps there.
    pub fn symmetric(range: Range, bits: ActivationBits) -> Self {
        if range.low >= 0.0 {
            return Self::of(range, bits);
        }
        let half = (bits.steps() / 2.0).ceil();
        let scale = (range.high.max(-range.low) / (bits.steps() - half)).max(MIN_SCALE);
        Parameters { scale, zero_point: half as u8 }
    }

    /// The same range in steps of `to`, where `self` has those of `from`.
    pub fn resampled(self, from: ActivationBits, to: ActivationBits) -> Self {
        let ratio = to.steps() / from.steps();
        let zero_point = (f32::from(self.zero_point) * ratio).round() as u8;
        Parameters { scale: self.scale / ratio, zero_point }
    }
}

/// How the weights of one layer become integers.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerScheme {
    /// How many bits each has.
    pub bits: WeightBits,
    /// The scale of each output; empty if floats.
    pub scales: Vec<f32>,
}

/// How a whole network becomes integers.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheme {
    /// Bits of every activation.
    pub activation_bits: ActivationBits,
    /// Values that become bytes, by their name in the FP32 graph.
    pub points: HashMap<String, Parameters>,
    /// Layers by name; one that is not listed stays in floats.
    pub layers: HashMap<String, LayerScheme>,
}

impl Scheme {
    /// The same with activations of other bits over the same ranges.
    pub fn with_activation_bits(&self, bits: ActivationBits) -> Self {
        let resampled = |(name, parameters): (&String, &Parameters)| {
            (name.clone(), parameters.resampled(self.activation_bits, bits))
        };
        Scheme {
            activation_bits: bits,
            points: self.points.iter().map(resampled).collect(),
            layers: self.layers.clone(),
        }
    }

    /// Bits of the weights of the layer called `name`.
    pub fn bits(&self, name: &str) -> WeightBits {
        self.layers.get(name).map_or(WeightBits::Float, |layer| layer.bits)
    }
}

/// The largest magnitude of `weights` over `limit`: the scale with which none is cut off.
pub fn covering_scale(weights: &[f32], limit: f32) -> f32 {
    weights.iter().fold(MIN_SCALE, |scale, weight| scale.max(weight.abs() / limit))
}

/// The scale with the smallest squared error of weights in `[-limit, limit]` steps: at few bits it pays to cut off the
/// largest.
pub fn nearest_scale(weights: &[f32], limit: f32) -> f32 {
    const TRIED: usize = 40;
    let covering = covering_scale(weights, limit);
    let error = |scale: f32| -> f32 {
        let square = |weight: &f32| {
            let nearest = (weight / scale).round_ties_even().clamp(-limit, limit) * scale;
            (weight - nearest) * (weight - nearest)
        };
        weights.iter().map(square).sum()
    };
    let tried = (0..TRIED).map(|i| covering * (1.0 - 0.6 * i as f32 / TRIED as f32));
    tried
        .map(|scale| (scale, error(scale)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(covering, |best| best.0)
}

/// A bias in units of a layer's sums; the same arithmetic in training, file and engine.
pub fn bias_integer(bias: f32, unit: f32) -> i32 {
    (bias / unit).round_ties_even().clamp(-MAX_BIAS, MAX_BIAS) as i32
}

/// Largest bias: floats below it are exact integers.
pub const MAX_BIAS: f32 = 16_777_216.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_zero_exactly() {
        let of = |low, high, bits| Parameters::of(Range { low, high }, bits);
        let hundredth = 1.27 / 127.0;
        assert_eq!(of(0.5, 1.27, ActivationBits::Seven), Parameters { scale: hundredth, zero_point: 0 });
        assert_eq!(of(-1.0, 1.0, ActivationBits::Eight).zero_point, 127);
        assert_eq!(of(-1.27, -0.2, ActivationBits::Seven), Parameters { scale: hundredth, zero_point: 127 });
        assert_eq!(of(0.0, 0.0, ActivationBits::Seven).scale, MIN_SCALE);
    }

    #[test]
    fn symmetric_ranges_have_their_zero_in_the_middle() {
        let of = |low, high| Parameters::symmetric(Range { low, high }, ActivationBits::Seven);
        assert_eq!(of(-6.3, 1.0), Parameters { scale: 6.3 / 63.0, zero_point: 64 });
        assert_eq!(of(0.0, 1.27).zero_point, 0);
    }

    #[test]
    fn other_bits_cover_the_same_range() {
        let seven = Parameters::of(Range { low: -1.0, high: 3.0 }, ActivationBits::Seven);
        let eight = seven.resampled(ActivationBits::Seven, ActivationBits::Eight);
        assert!((seven.scale * 127.0 - eight.scale * 255.0).abs() < 1e-5);
        assert_eq!((seven.zero_point, eight.zero_point), (32, 64));
    }

    #[test]
    fn at_few_bits_the_nearest_scale_cuts_off_what_stands_out() {
        let mut weights: Vec<f32> = (0..200).map(|i| (i as f32 * 0.7).sin() * 0.1).collect();
        weights.push(0.3);
        let covering = covering_scale(&weights, 7.0);
        let nearest = nearest_scale(&weights, 7.0);
        assert!(nearest < 0.8 * covering, "{nearest} of {covering}");
        assert_eq!(nearest_scale(&[0.7; 4], 7.0), 0.7 / 7.0);
    }
}
