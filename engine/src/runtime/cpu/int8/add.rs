//! Sum of two quantised maps.

use super::Parameters;
use super::isa::Isa;
use super::write::Rounding;
use crate::runtime::cpu::functions::ROUNDING;
use multiversion::multiversion;

/// `clamp(round_half_even((a - za) * fa + (b - zb) * fb)) + z`, with `fa` the scale of `a` over that of the sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Add {
    /// Bytes that stand for 0, of both maps.
    pub zero_points: [i32; 2],
    /// Scale of each map over that of the sum.
    pub factors: [f32; 2],
    /// What the bytes of the sum stand for.
    pub parameters: Parameters,
}

impl Add {
    /// The sum of maps `a` and `b`, in bytes that stand for `sum`.
    pub fn new([a, b]: [Parameters; 2], sum: Parameters) -> Self {
        Add {
            zero_points: [a.zero_point, b.zero_point],
            factors: [a.scale / sum.scale, b.scale / sum.scale],
            parameters: sum,
        }
    }

    /// `out` of maps `a` and `b`, of `out`'s length or longer.
    pub fn run(&self, a: &[u8], b: &[u8], out: &mut [u8]) {
        add(self, a, b, out);
    }
}

/// An [`Add`] to what a convolution makes, in vectors.
#[derive(Clone, Copy)]
pub(super) struct Adding<I: Isa> {
    factors: [I::Floats; 2],
    /// What is taken off the second map, as a float: bytes are exact there.
    zero_point: I::Floats,
    rounding: Rounding<I>,
}

impl<I: Isa> Adding<I> {
    /// # Safety
    /// The instructions of `I` are there.
    #[inline(always)]
    pub unsafe fn new(add: &Add) -> Self {
        // SAFETY: no pointers.
        unsafe {
            Adding {
                factors: add.factors.map(|factor| I::splat(factor)),
                zero_point: I::splat(-add.zero_points[1] as f32),
                rounding: Rounding::new(&add.parameters),
            }
        }
    }

    /// The bytes, still 32 bits wide, for `a` from which its zero point was taken off and widened bytes `b`.
    ///
    /// # Safety
    /// The instructions of `I` are there.
    #[inline(always)]
    pub unsafe fn apply(&self, a: [I::Floats; 2], b: [I::Ints; 2]) -> [I::Ints; 2] {
        // SAFETY: no pointers.
        unsafe {
            let sum = |half: usize| {
                let b = I::add(I::to_floats(b[half]), self.zero_point);
                I::add(I::mul(a[half], self.factors[0]), I::mul(b, self.factors[1]))
            };
            self.rounding.bytes([sum(0), sum(1)])
        }
    }
}

#[multiversion(targets("x86_64+avx2"))]
fn add(sum: &Add, a: &[u8], b: &[u8], out: &mut [u8]) {
    let [low, high] = sum.parameters.limits();
    let offset = sum.parameters.zero_point.wrapping_sub(ROUNDING.to_bits() as i32);
    let part = |value: u8, side: usize| (i32::from(value) - sum.zero_points[side]) as f32 * sum.factors[side];
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        let value = (part(a, 0) + part(b, 1)).max(low).min(high);
        *out = ((value + ROUNDING).to_bits() as i32).wrapping_add(offset) as u8;
    }
}
