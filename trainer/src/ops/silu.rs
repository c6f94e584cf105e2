//! The activation `z * sigmoid(z)` (Elfwing et al., arXiv 1702.03118) in vectors: the standard library's `exp` takes
//! one value at a time.

use multiversion::multiversion;

/// Replaces each `z` by `z * sigmoid(z)`.
#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
pub(super) fn silu(values: &mut [f32]) {
    for z in values {
        *z *= sigmoid(*z);
    }
}

/// Writes `grad` times the slope at `z = x * scale + shift`, which is `s (1 + z (1 - s))` with `s = sigmoid(z)`.
#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
pub(super) fn silu_grad(x: &[f32], [scale, shift]: [f32; 2], grad: &[f32], out: &mut [f32]) {
    for ((x, grad), out) in x.iter().zip(grad).zip(out) {
        let z = x * scale + shift;
        let s = sigmoid(z);
        *out = grad * (s * (1.0 + z * (1.0 - s)));
    }
}

#[inline(always)]
fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + exp(-z))
}

/// `e^x` to 2e-7 of its value, for `x` clamped to where the result is a normal number.
///
/// `e^x = 2^n e^r` with `n` the integer next to `x / ln 2`, so that `|r| <= ln 2 / 2`, where the Taylor polynomial of
/// degree 7 is exact to the last bit.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding it rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    // ln 2 in two parts: `n` times the first one is exact.
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let terms = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let power = terms.iter().fold(1.0 / 5040.0, |sum, term| sum * r + term);
    let exponent = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32).wrapping_add(127);
    power * f32::from_bits((exponent as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_the_standard_librarys() {
        for step in -87_000..=88_000 {
            let x = step as f32 / 1000.0;
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) / want - 1.0).abs();
            assert!(error < 2e-7, "exp({x}) is off by {error:e}");
        }
    }

    #[test]
    fn extreme_values_stay_finite() {
        let mut values = [-1e30, -200.0, 0.0, 200.0, 1e30, f32::NAN];
        silu(&mut values);
        assert!(values[0].abs() < 1e-6 && values[1].abs() < 1e-30, "{values:?}");
        assert_eq!(values[2..5], [0.0, 200.0, 1e30]);
        assert!(values[5].is_nan());
    }
}
