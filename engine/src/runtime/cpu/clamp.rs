//! Limits of a result, alone and behind an addition.

use multiversion::multiversion;

/// Smallest and largest result. A NaN passes through, so that it is seen at the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clamp {
    /// Smallest result.
    pub low: f32,
    /// Largest result.
    pub high: f32,
}

impl Default for Clamp {
    /// No limits.
    fn default() -> Self {
        Clamp { low: f32::NEG_INFINITY, high: f32::INFINITY }
    }
}

impl Clamp {
    /// `value` within the limits.
    // `f32::max` would turn NaN into the limit.
    #[inline(always)]
    pub fn apply(self, value: f32) -> f32 {
        let raised = if value < self.low { self.low } else { value };
        if raised > self.high { self.high } else { raised }
    }
}

/// `out = clamp(a + b)`
#[multiversion(targets("x86_64+avx2"))]
pub fn add(a: &[f32], b: &[f32], limits: Clamp, out: &mut [f32]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = limits.apply(a + b);
    }
}

/// `out = clamp(x)`
#[multiversion(targets("x86_64+avx2"))]
pub fn clamp(x: &[f32], limits: Clamp, out: &mut [f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = limits.apply(*x);
    }
}
