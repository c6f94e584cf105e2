//! The same arithmetic in plain loops: the referee of the fast kernels.

use super::conv::Layer;
use super::{Parameters, Requantise};

/// Sums `[OH, OW, C_out]` of a convolution in so many groups, on `x` `[H, W, C_in]`; weights are
/// `[C_out, C_in / groups, KH, KW]`. Padding is the input's zero point.
pub fn conv_sums(layer: &Layer, groups: usize, x: &[u8]) -> Vec<i32> {
    let (geometry, cout) = (&layer.geometry, layer.bias.len());
    let [kh, kw] = geometry.kernel;
    let (cin, width) = (layer.channels / groups, cout / groups);
    let mut sums = Vec::new();
    for oy in 0..geometry.output[0] {
        for ox in 0..geometry.output[1] {
            for output in 0..cout {
                let mut sum = layer.bias[output];
                for tap in 0..kh * kw {
                    let row = geometry.source(0, oy, tap / kw);
                    // A padded value stands for 0 and adds nothing.
                    let Some((iy, ix)) = row.zip(geometry.source(1, ox, tap % kw)) else { continue };
                    for channel in 0..cin {
                        let at =
                            (iy * geometry.input[1] + ix) * layer.channels + output / width * cin + channel;
                        let weight = layer.weight[(output * cin + channel) * kh * kw + tap];
                        sum += (i32::from(x[at]) - layer.x.zero_point) * i32::from(weight);
                    }
                }
                sums.push(sum);
            }
        }
    }
    sums
}

/// Bytes of sums `[.., C]`.
pub fn requantised(sums: &[i32], requantise: &Requantise) -> Vec<u8> {
    let channels = requantise.multipliers.len();
    sums.iter().enumerate().map(|(i, &sum)| requantise.apply(sum, i % channels)).collect()
}

/// Sum of two quantised maps, by the formula of [`super::Add`].
pub fn added(a: &[u8], b: &[u8], [pa, pb]: [Parameters; 2], sum: Parameters) -> Vec<u8> {
    let [low, high] = sum.limits();
    let part = |value: u8, of: Parameters| (i32::from(value) - of.zero_point) as f32 * (of.scale / sum.scale);
    let byte = |(&a, &b): (&u8, &u8)| {
        let value = (part(a, pa) + part(b, pb)).max(low).min(high);
        (value.round_ties_even() as i32 + sum.zero_point) as u8
    };
    a.iter().zip(b).map(byte).collect()
}
