//! WebAssembly's 128-bit vectors.

use super::isa::{Isa, MAX_PARTS};
use crate::runtime::cpu::functions::ROUNDING;
use core::arch::wasm32::*;

const LANES: usize = 4;

/// What the levels have in common.
macro_rules! common {
    () => {
        const LANES: usize = LANES;
        const PART_BYTES: usize = 16;
        const CHUNK: usize = 1;
        type Ints = v128;
        type Floats = v128;

        #[inline(always)]
        unsafe fn load_ints(from: *const i32) -> v128 {
            unsafe { v128_load(from.cast()) }
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

/// Eight bytes of two places in turns.
#[inline(always)]
unsafe fn in_turns(x: [*const u8; 2]) -> v128 {
    let (a, b) = unsafe { (v128_load64_zero(x[0].cast()), v128_load64_zero(x[1].cast())) };
    i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b)
}

/// 16-bit products: right for all bytes.
pub struct Simd128;

impl Isa for Simd128 {
    const ROWS: usize = 2;
    const IS_WIDE: bool = true;
    /// Two outputs in a vector, the products of inputs 0 and 1 apart from those of 2 and 3.
    const PARTS: usize = 4;
    type Shorts = [v128; 2];
    const IS_SHORT: bool = false;
    common!();

    #[inline(always)]
    unsafe fn shorts() -> [v128; 2] {
        [i32x4_splat(0); 2]
    }

    #[inline(always)]
    unsafe fn pair(sums: [v128; 2], x: [*const u8; 2], weights: *const i8) -> [v128; 2] {
        let both = unsafe { in_turns(x) };
        let weights: *const v128 = weights.cast();
        // SAFETY: the weights of eight channels are two vectors.
        let (low, high) = unsafe { (v128_load(weights), v128_load(weights.add(1))) };
        [
            i32x4_add(sums[0], i32x4_dot_i16x8(i16x8_extend_low_u8x16(both), low)),
            i32x4_add(sums[1], i32x4_dot_i16x8(i16x8_extend_high_u8x16(both), high)),
        ]
    }

    #[inline(always)]
    unsafe fn widen(sums: [v128; 2], shorts: [v128; 2]) -> [v128; 2] {
        [i32x4_add(sums[0], shorts[0]), i32x4_add(sums[1], shorts[1])]
    }

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [v128; MAX_PARTS] {
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
    unsafe fn step(sums: v128, x: *const u8, weights: *const i8) -> v128 {
        let (x, weights) = unsafe { (v128_load32_splat(x.cast()), v128_load(weights.cast())) };
        i32x4_add(sums, i32x4_dot_i16x8(i16x8_extend_low_u8x16(x), weights))
    }

    #[inline(always)]
    unsafe fn finish(sums: [v128; MAX_PARTS]) -> [v128; 2] {
        [[sums[0], sums[1]], [sums[2], sums[3]]]
            .map(|[a, b]| i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b)))
    }
}

/// What the relaxed levels have in common; `$dot` adds the products of signed weights and seven-bit values.
#[cfg(target_feature = "relaxed-simd")]
macro_rules! relaxed {
    ($(#[$doc:meta])* $name:ident, $dot:ident) => {
        $(#[$doc])*
        pub struct $name;

        impl Isa for $name {
            const ROWS: usize = 4;
            const IS_WIDE: bool = false;
            const PARTS: usize = 2;
            type Shorts = v128;
            const IS_SHORT: bool = true;
            common!();

            #[inline(always)]
            unsafe fn shorts() -> v128 {
                i16x8_splat(0)
            }

            #[inline(always)]
            unsafe fn pair(sums: v128, x: [*const u8; 2], weights: *const i8) -> v128 {
                // SAFETY: the weights of eight channels are one vector.
                let (both, weights) = unsafe { (in_turns(x), v128_load(weights.cast())) };
                i16x8_add(sums, i16x8_relaxed_dot_i8x16_i7x16(weights, both))
            }

            #[inline(always)]
            unsafe fn widen(sums: [v128; 2], shorts: v128) -> [v128; 2] {
                [
                    i32x4_add(sums[0], i32x4_extend_low_i16x8(shorts)),
                    i32x4_add(sums[1], i32x4_extend_high_i16x8(shorts)),
                ]
            }

            #[inline(always)]
            unsafe fn start(bias: *const i32) -> [v128; MAX_PARTS] {
                let zero = i32x4_splat(0);
                unsafe { [v128_load(bias.cast()), v128_load(bias.add(LANES).cast()), zero, zero] }
            }

            #[inline(always)]
            unsafe fn step(sums: v128, x: *const u8, weights: *const i8) -> v128 {
                unsafe { $dot(sums, v128_load32_splat(x.cast()), v128_load(weights.cast())) }
            }

            #[inline(always)]
            unsafe fn finish(sums: [v128; MAX_PARTS]) -> [v128; 2] {
                [sums[0], sums[1]]
            }
        }
    };
}

#[cfg(target_feature = "relaxed-simd")]
relaxed!(
    /// One instruction where the processor has it (ARM's dot product, AVX-VNNI).
    RelaxedDot,
    one_instruction
);

#[cfg(target_feature = "relaxed-simd")]
relaxed!(
    /// Three instructions, which older x86 processors do faster than their translation of the one.
    RelaxedPairs,
    three_instructions
);

#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
fn one_instruction(sums: v128, x: v128, weights: v128) -> v128 {
    i32x4_relaxed_dot_i8x16_i7x16_add(weights, x, sums)
}

#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
fn three_instructions(sums: v128, x: v128, weights: v128) -> v128 {
    // As sums of pairs the compiler would make the one instruction of it.
    i32x4_add(sums, i32x4_dot_i16x8(i16x8_relaxed_dot_i8x16_i7x16(weights, x), i16x8_splat(1)))
}
