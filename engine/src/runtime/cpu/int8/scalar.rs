//! Arrays in place of vectors, for machines without others.

use super::isa::Isa;
use crate::runtime::cpu::functions::ROUNDING;

/// Four lanes, element by element.
pub struct Scalar;

const LANES: usize = 4;

impl Isa for Scalar {
    const LANES: usize = LANES;
    const ROWS: usize = 2;
    const IS_WIDE: bool = false;
    type Ints = [i32; LANES];
    type Floats = [f32; LANES];
    type Sums = [[i32; LANES]; 2];

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> Self::Sums {
        unsafe {
            [
                bias.cast::<Self::Ints>().read_unaligned(),
                bias.add(LANES).cast::<Self::Ints>().read_unaligned(),
            ]
        }
    }

    #[inline(always)]
    unsafe fn step(mut sums: Self::Sums, x: *const u8, weights: *const i8) -> Self::Sums {
        let x = unsafe { x.cast::<[u8; 4]>().read_unaligned() };
        let weights = unsafe { weights.cast::<[[[i8; 4]; LANES]; 2]>().read_unaligned() };
        for (sums, weights) in sums.iter_mut().zip(weights) {
            for (sum, weights) in sums.iter_mut().zip(weights) {
                for i in 0..4 {
                    *sum += i32::from(x[i]) * i32::from(weights[i]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn finish(sums: Self::Sums) -> [Self::Ints; 2] {
        sums
    }

    #[inline(always)]
    unsafe fn load_ints(from: *const i32) -> Self::Ints {
        unsafe { from.cast::<Self::Ints>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn pair(mut sums: [Self::Ints; 2], x: [*const u8; 2], weights: *const i16) -> [Self::Ints; 2] {
        for channel in 0..2 * LANES {
            let product = |tap: usize| unsafe {
                i32::from(*x[tap].add(channel)) * i32::from(*weights.add(2 * channel + tap))
            };
            sums[channel / LANES][channel % LANES] += product(0) + product(1);
        }
        sums
    }

    #[inline(always)]
    unsafe fn load_floats(from: *const f32) -> Self::Floats {
        unsafe { from.cast::<Self::Floats>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_floats(values: Self::Floats, to: *mut f32) {
        unsafe { to.cast::<Self::Floats>().write_unaligned(values) };
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Floats {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn to_floats(values: Self::Ints) -> Self::Floats {
        values.map(|value| value as f32)
    }

    #[inline(always)]
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn clamp(values: Self::Floats, [low, high]: [Self::Floats; 2]) -> Self::Floats {
        std::array::from_fn(|i| values[i].max(low[i]).min(high[i]))
    }

    #[inline(always)]
    unsafe fn round(values: Self::Floats, offset: i32) -> Self::Ints {
        values.map(|value| {
            ((value + ROUNDING).to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32) + offset
        })
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> [Self::Ints; 2] {
        let bytes = unsafe { from.cast::<[[u8; LANES]; 2]>().read_unaligned() };
        bytes.map(|half| half.map(i32::from))
    }

    #[inline(always)]
    unsafe fn store_bytes(values: [Self::Ints; 2], to: *mut u8) {
        let bytes = values.map(|half| half.map(|value| value as u8));
        unsafe { to.cast::<[[u8; LANES]; 2]>().write_unaligned(bytes) };
    }
}
