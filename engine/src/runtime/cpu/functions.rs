//! Functions of one element, made of additions and multiplications alone: the same bits everywhere.

use super::clamp::{self, Clamp};
use crate::runtime::graph::Unary;
use multiversion::multiversion;

/// Adding and subtracting it rounds to the nearest integer, ties to even, for |x| below 2^22.
pub const ROUNDING: f32 = 12_582_912.0;
const SQRT_2_OVER_PI: f32 = 0.797_884_6;

/// `exp(x)`, relative error below 2e-7; clamped to the normal range (Cephes' `expf`: reduction by multiples of
/// ln 2, then a polynomial of degree 6).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x < -87.336 { -87.336 } else { x };
    let x = if x > 88.376 { 88.376 } else { x };
    let n = (x * std::f32::consts::LOG2_E + ROUNDING) - ROUNDING;
    // ln 2 in two parts, of which the first has few digits: n times it is exact.
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + coefficient;
    }
    let fraction = (p * r * r + r) + 1.0;
    fraction * f32::from_bits((((n as i32) + 127) as u32) << 23)
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Error function, absolute error below 4e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * magnitude);
    let mut p = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = p * t + coefficient;
    }
    let y = 1.0 - p * t * exp(-magnitude * magnitude);
    if x < 0.0 { -y } else { y }
}

/// `tanh(x)`
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

impl Unary {
    /// The function of one value.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        let limited = |x: f32, low: f32, high: f32| Clamp { low, high }.apply(x);
        match self {
            Unary::Identity => x,
            Unary::Clip { low, high } => limited(x, low, high),
            Unary::LeakyRelu(slope) => {
                if x < 0.0 {
                    slope * x
                } else {
                    x
                }
            }
            Unary::HardSigmoid { alpha, beta } => limited(alpha * x + beta, 0.0, 1.0),
            Unary::HardSwish => x * limited(x * (1.0 / 6.0) + 0.5, 0.0, 1.0),
            Unary::Sigmoid => sigmoid(x),
            Unary::Silu => x * sigmoid(x),
            Unary::Tanh => tanh(x),
            Unary::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            Unary::GeluTanh => 0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + 0.044715 * x * x * x))),
            Unary::Erf => erf(x),
            Unary::Exp => exp(x),
            Unary::Sqrt => x.sqrt(),
            Unary::Reciprocal => 1.0 / x,
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
        }
    }
}

/// `out = function(x)`, element by element.
pub fn unary(function: Unary, x: &[f32], out: &mut [f32]) {
    // One loop a function, so that each becomes vectors.
    match function {
        Unary::Clip { low, high } => clamp::clamp(x, Clamp { low, high }, out),
        Unary::Sigmoid => sigmoids(x, out),
        Unary::Silu => silus(x, out),
        Unary::Gelu => gelus(x, out),
        Unary::GeluTanh => gelus_by_tanh(x, out),
        Unary::HardSwish => hard_swishes(x, out),
        other => out.iter_mut().zip(x).for_each(|(out, &x)| *out = other.apply(x)),
    }
}

macro_rules! loops {
    ($($name:ident: $function:expr;)*) => {$(
        #[multiversion(targets("x86_64+avx2"))]
        fn $name(x: &[f32], out: &mut [f32]) {
            out.iter_mut().zip(x).for_each(|(out, &x)| *out = $function.apply(x));
        }
    )*};
}

loops! {
    sigmoids: Unary::Sigmoid;
    silus: Unary::Silu;
    gelus: Unary::Gelu;
    gelus_by_tanh: Unary::GeluTanh;
    hard_swishes: Unary::HardSwish;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_near_their_definitions() {
        for i in -4000..=4000 {
            let x = i as f32 / 100.0;
            let wide = f64::from(x);
            assert!((f64::from(exp(x)) / wide.exp() - 1.0).abs() < 3e-7, "exp({x})");
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-wide).exp())).abs() < 2e-7, "sigmoid({x})");
            assert!((f64::from(tanh(x)) - wide.tanh()).abs() < 3e-7, "tanh({x})");
            assert!((f64::from(erf(x)) - libm::erf(wide)).abs() < 5e-7, "erf({x})");
        }
    }

    #[test]
    fn extremes_stay_numbers_and_a_nan_stays_one() {
        assert_eq!((sigmoid(-1e30), sigmoid(1e30), tanh(1e30), erf(-1e30)), (sigmoid(-90.0), 1.0, 1.0, -1.0));
        assert!(exp(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
    }
}
