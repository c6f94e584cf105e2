//! WebAssembly's 128-bit vectors.

use super::isa::Isa;
use crate::runtime::cpu::functions::ROUNDING;
use core::arch::wasm32::*;

const LANES: usize = 4;

/// What the levels have in common.
macro_rules! common {
    () => {
        const LANES: usize = LANES;
        type Ints = v128;
        type Floats = v128;

        #[inline(always)]
        unsafe fn load_ints(from: *const i32) -> v128 {
            unsafe { v128_load(from.cast()) }
        }

        #[inline(always)]
        unsafe fn pair(sums: [v128; 2], x: [*const u8; 2], weights: *const i16) -> [v128; 2] {
            let [a, b] = x.map(|x| unsafe { v128_load64_zero(x.cast()) });
            let both = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
            let weights = unsafe { [v128_load(weights.cast()), v128_load(weights.add(8).cast())] };
            [
                i32x4_add(sums[0], i32x4_dot_i16x8(i16x8_extend_low_u8x16(both), weights[0])),
                i32x4_add(sums[1], i32x4_dot_i16x8(i16x8_extend_high_u8x16(both), weights[1])),
            ]
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> v128 {
            unsafe { v128_load(from.cast()) }
        }

        #[inline(always)]
        unsafe fn store_floats(values: v128, to: *mut f32) {
            unsafe { v128_store(to.cast(), values) };
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> v128 {
            f32x4_splat(value)
        }

        #[inline(always)]
        unsafe fn to_floats(values: v128) -> v128 {
            f32x4_convert_i32x4(values)
        }

        #[inline(always)]
        unsafe fn mul(a: v128, b: v128) -> v128 {
            f32x4_mul(a, b)
        }

        #[inline(always)]
        unsafe fn add(a: v128, b: v128) -> v128 {
            f32x4_add(a, b)
        }

        // `pmax(a, b)` is `a < b ? b : a`, one instruction on x86; a NaN ends at the lower limit.
        #[inline(always)]
        unsafe fn clamp(values: v128, [low, high]: [v128; 2]) -> v128 {
            f32x4_pmin(high, f32x4_pmax(low, values))
        }

        #[inline(always)]
        unsafe fn round(values: v128, offset: i32) -> v128 {
            let rounded = f32x4_add(values, f32x4_splat(ROUNDING));
            i32x4_add(rounded, i32x4_splat(offset.wrapping_sub(ROUNDING.to_bits() as i32)))
        }

        #[inline(always)]
        unsafe fn load_bytes(from: *const u8) -> [v128; 2] {
            let halves = unsafe { i16x8_load_extend_u8x8(from) };
            [i32x4_extend_low_u16x8(halves), i32x4_extend_high_u16x8(halves)]
        }

        #[inline(always)]
        unsafe fn store_bytes(values: [v128; 2], to: *mut u8) {
            let halves = i16x8_narrow_i32x4(values[0], values[1]);
            unsafe { v128_store64_lane::<0>(u8x16_narrow_i16x8(halves, halves), to.cast()) };
        }
    };
}

/// 16-bit products: right for all bytes.
pub struct Simd128;

impl Isa for Simd128 {
    const ROWS: usize = 2;
    const IS_WIDE: bool = true;
    /// Two outputs in a vector, the products of inputs 0 and 1 apart from those of 2 and 3.
    type Sums = [v128; 4];
    common!();

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [v128; 4] {
        let zero = i32x4_splat(0);
        let [a, b] = unsafe { [v128_load(bias.cast()), v128_load(bias.add(LANES).cast())] };
        [
            i32x4_shuffle::<0, 4, 1, 4>(a, zero),
            i32x4_shuffle::<2, 4, 3, 4>(a, zero),
            i32x4_shuffle::<0, 4, 1, 4>(b, zero),
            i32x4_shuffle::<2, 4, 3, 4>(b, zero),
        ]
    }

    #[inline(always)]
    unsafe fn step(sums: [v128; 4], x: *const u8, weights: *const i8) -> [v128; 4] {
        let x = unsafe { i16x8_extend_low_u8x16(v128_load32_splat(x.cast())) };
        std::array::from_fn(|i| {
            let weights = unsafe { v128_load(weights.add(16 * i).cast()) };
            i32x4_add(sums[i], i32x4_dot_i16x8(x, weights))
        })
    }

    #[inline(always)]
    unsafe fn finish(sums: [v128; 4]) -> [v128; 2] {
        [[sums[0], sums[1]], [sums[2], sums[3]]]
            .map(|[a, b]| i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b)))
    }
}

/// What the relaxed levels have in common; `$dot` adds the products of signed weights and seven-bit values.
#[cfg(target_feature = "relaxed-simd")]
macro_rules! relaxed {
    ($(#[$doc:meta])* $name:ident, $dot:expr) => {
        $(#[$doc])*
        pub struct $name;

        impl Isa for $name {
            const ROWS: usize = 4;
            const IS_WIDE: bool = false;
            type Sums = [v128; 2];
            common!();

            #[inline(always)]
            unsafe fn start(bias: *const i32) -> [v128; 2] {
                unsafe { [v128_load(bias.cast()), v128_load(bias.add(LANES).cast())] }
            }

            #[inline(always)]
            unsafe fn step(sums: [v128; 2], x: *const u8, weights: *const i8) -> [v128; 2] {
                let x = unsafe { v128_load32_splat(x.cast()) };
                std::array::from_fn(|i| $dot(sums[i], x, unsafe { v128_load(weights.add(16 * i).cast()) }))
            }

            #[inline(always)]
            unsafe fn finish(sums: [v128; 2]) -> [v128; 2] {
                sums
            }
        }
    };
}

#[cfg(target_feature = "relaxed-simd")]
relaxed!(
    /// One instruction where the processor has it (ARM's dot product, AVX-VNNI).
    RelaxedDot,
    |sum, x, weights| i32x4_relaxed_dot_i8x16_i7x16_add(weights, x, sum)
);

#[cfg(target_feature = "relaxed-simd")]
relaxed!(
    /// Three instructions, which older x86 processors do faster than their translation of the one.
    RelaxedPairs,
    |sum, x, weights| {
        let pairs = i16x8_relaxed_dot_i8x16_i7x16(weights, x);
        i32x4_add(sum, i32x4_dot_i16x8(pairs, i16x8_splat(1)))
    }
);
