//! Sum of two quantised maps.

use super::Parameters;
use super::isa::Isa;
use crate::runtime::cpu::functions::ROUNDING;
use multiversion::multiversion;

/// `clamp(round_half_even((a - za) * fa + (b - zb) * fb)) + z`, with `fa` the scale of `a` over that of the sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Add {
    zero_points: [i32; 2],
    factors: [f32; 2],
    parameters: Parameters,
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

    /// Sums of widened bytes.
    ///
    /// # Safety
    /// The instructions of `I` are there.
    #[inline(always)]
    pub(super) unsafe fn apply<I: Isa>(&self, a: [I::Ints; 2], b: [I::Ints; 2]) -> [I::Ints; 2] {
        // SAFETY: no pointers.
        unsafe {
            let limits = super::tile::limits_of::<I>(&self.parameters);
            let low = I::add(self.part::<I>(a[0], 0), self.part::<I>(b[0], 1));
            let high = I::add(self.part::<I>(a[1], 0), self.part::<I>(b[1], 1));
            super::tile::rounded::<I>([low, high], limits, self.parameters.zero_point)
        }
    }

    /// The share of one side in a sum. The zero point is taken off as a float: bytes are exact there.
    #[inline(always)]
    unsafe fn part<I: Isa>(&self, values: I::Ints, side: usize) -> I::Floats {
        // SAFETY: no pointers.
        unsafe {
            let centred = I::add(I::to_floats(values), I::splat(-self.zero_points[side] as f32));
            I::mul(centred, I::splat(self.factors[side]))
        }
    }

    /// `out` of maps `a` and `b`, of `out`'s length or longer.
    pub fn run(&self, a: &[u8], b: &[u8], out: &mut [u8]) {
        add(self, a, b, out);
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
