//! WebAssembly's 128-bit vectors.

use super::isa::{Isa, MAX_PARTS, MAX_TAPS};
use core::arch::wasm32::*;

const LANES: usize = 4;

/// What the levels have in common.
macro_rules! common {
    () => {
        const LANES: usize = LANES;
        const PART_BYTES: usize = 16;
        type Ints = v128;
        type Floats = v128;

        #[inline(always)]
        unsafe fn load_ints(from: *const i32) -> v128 {
            unsafe { v128_load(from.cast()) }
        }

        #[inline(always)]
        unsafe fn store_ints(values: v128, to: *mut i32) {
            unsafe { v128_store(to.cast(), values) };
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
        unsafe fn splat_ints(value: i32) -> v128 {
            i32x4_splat(value)
        }

        #[inline(always)]
        unsafe fn add_bits(a: v128, b: v128) -> v128 {
            i32x4_add(a, b)
        }

        #[inline(always)]
        unsafe fn load_bytes(from: *const u8) -> [v128; 2] {
            let halves = unsafe { i16x8_load_extend_u8x8(from) };
            [i32x4_extend_low_u16x8(halves), i32x4_extend_high_u16x8(halves)]
        }
    };
}

/// Bytes of two places in turns.
macro_rules! two_taps {
    () => {
        #[inline(always)]
        unsafe fn interleave([a, b, ..]: [*const u8; MAX_TAPS], to: *mut u8) {
            let (a, b) = unsafe { (v128_load64_zero(a.cast()), v128_load64_zero(b.cast())) };
            unsafe { v128_store(to.cast(), in_turns(a, b)) };
        }
    };
}

/// The first eight bytes of both in turns.
#[inline(always)]
fn in_turns(a: v128, b: v128) -> v128 {
    i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b)
}

/// 16-bit products: right for all bytes.
pub struct Simd128;

impl Isa for Simd128 {
    const ROWS: usize = 2;
    const IS_WIDE: bool = true;
    /// Two outputs in a vector, the products of inputs 0 and 1 apart from those of 2 and 3.
    const PARTS: usize = 4;
    const CHUNK: usize = 1;
    type Shorts = [v128; 2];
    const IS_SHORT: bool = false;
    const TAP_BYTES: usize = 2;
    common!();
    two_taps!();

    #[inline(always)]
    unsafe fn store_bytes(values: [v128; 2], to: *mut u8) {
        let halves = i16x8_narrow_i32x4(values[0], values[1]);
        unsafe { v128_store64_lane::<0>(u8x16_narrow_i16x8(halves, halves), to.cast()) };
    }

    #[inline(always)]
    unsafe fn shorts() -> [v128; 2] {
        [i32x4_splat(0); 2]
    }

    #[inline(always)]
    unsafe fn taps(sums: [v128; 2], x: *const u8, weights: *const i8) -> [v128; 2] {
        let weights: *const v128 = weights.cast();
        // SAFETY: the weights of eight channels are two vectors.
        let (low, high) = unsafe { (v128_load(weights), v128_load(weights.add(1))) };
        let x = unsafe { [i16x8_load_extend_u8x8(x), i16x8_load_extend_u8x8(x.add(8))] };
        [i32x4_add(sums[0], i32x4_dot_i16x8(x[0], low)), i32x4_add(sums[1], i32x4_dot_i16x8(x[1], high))]
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
    unsafe fn product(sums: v128, x: v128, weights: v128) -> v128 {
        i32x4_add(sums, i32x4_dot_i16x8(x, weights))
    }

    #[inline(always)]
    unsafe fn step(sums: v128, x: *const u8, weights: *const i8) -> v128 {
        let (x, weights) = unsafe { (v128_load32_splat(x.cast()), v128_load(weights.cast())) };
        unsafe { Self::product(sums, i16x8_extend_low_u8x16(x), weights) }
    }

    #[inline(always)]
    unsafe fn finish(sums: [v128; MAX_PARTS]) -> [v128; 2] {
        [[sums[0], sums[1]], [sums[2], sums[3]]]
            .map(|[a, b]| i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b)))
    }
}

/// What the relaxed levels have in common: 8-bit products of seven-bit values and signed weights.
#[cfg(target_feature = "relaxed-simd")]
macro_rules! relaxed {
    () => {
        const IS_WIDE: bool = false;
        const PARTS: usize = PARTS;
        const TAP_BYTES: usize = 1;
        common!();

        #[inline(always)]
        unsafe fn store_bytes(values: [v128; 2], to: *mut u8) {
            // Narrowing to bytes would clamp once more. The volatile read keeps a browser from making the constant anew.
            // SAFETY: a static.
            let even = unsafe { (&raw const EVEN).read_volatile() };
            let halves = i16x8_narrow_i32x4(values[0], values[1]);
            let bytes = i8x16_relaxed_swizzle(halves, even.0);
            unsafe { v128_store64_lane::<0>(bytes, to.cast()) };
        }

        #[inline(always)]
        unsafe fn start(bias: *const i32) -> [v128; MAX_PARTS] {
            let zero = i32x4_splat(0);
            unsafe { [v128_load(bias.cast()), v128_load(bias.add(LANES).cast()), zero, zero] }
        }

        #[inline(always)]
        unsafe fn finish(sums: [v128; MAX_PARTS]) -> [v128; 2] {
            [sums[0], sums[1]]
        }
    };
}

/// Places of the lower bytes of eight 16-bit integers.
#[cfg(target_feature = "relaxed-simd")]
static EVEN: Lanes = Lanes(u8x16(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14));

/// A vector in a static.
#[cfg(target_feature = "relaxed-simd")]
#[derive(Clone, Copy)]
struct Lanes(v128);

/// Vectors of a relaxed tile's outputs.
#[cfg(target_feature = "relaxed-simd")]
const PARTS: usize = 2;

/// One instruction adds four products where the processor has it (ARM's dot product, AVX-VNNI).
#[cfg(target_feature = "relaxed-simd")]
pub struct RelaxedDot;

#[cfg(target_feature = "relaxed-simd")]
impl Isa for RelaxedDot {
    const ROWS: usize = 6;
    const CHUNK: usize = 1;
    type Shorts = [v128; 2];
    const IS_SHORT: bool = false;
    const TAPS: usize = 4;
    relaxed!();

    #[inline(always)]
    unsafe fn interleave(from: [*const u8; MAX_TAPS], to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let [a, b, c, d] = from.map(|from| v128_load64_zero(from.cast()));
            let (ab, cd) = (in_turns(a, b), in_turns(c, d));
            v128_store(to.cast(), i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(ab, cd));
            v128_store(to.add(16).cast(), i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(ab, cd));
        }
    }

    #[inline(always)]
    unsafe fn shorts() -> [v128; 2] {
        [i32x4_splat(0); 2]
    }

    #[inline(always)]
    unsafe fn taps(sums: [v128; 2], x: *const u8, weights: *const i8) -> [v128; 2] {
        let (x, weights): (*const v128, *const v128) = (x.cast(), weights.cast());
        // SAFETY: four taps of eight channels are two vectors.
        unsafe {
            [
                Self::product(sums[0], v128_load(x), v128_load(weights)),
                Self::product(sums[1], v128_load(x.add(1)), v128_load(weights.add(1))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn widen(sums: [v128; 2], shorts: [v128; 2]) -> [v128; 2] {
        [i32x4_add(sums[0], shorts[0]), i32x4_add(sums[1], shorts[1])]
    }

    #[inline(always)]
    unsafe fn product(sums: v128, x: v128, weights: v128) -> v128 {
        i32x4_relaxed_dot_i8x16_i7x16_add(weights, x, sums)
    }

    #[inline(always)]
    unsafe fn step(sums: v128, x: *const u8, weights: *const i8) -> v128 {
        unsafe { Self::product(sums, v128_load32_splat(x.cast()), v128_load(weights.cast())) }
    }
}

/// Sums of two products, added up one by one: older x86 processors do that faster than their translation of the one
/// instruction.
#[cfg(target_feature = "relaxed-simd")]
pub struct RelaxedPairs;

#[cfg(target_feature = "relaxed-simd")]
impl Isa for RelaxedPairs {
    /// With the weights of two groups, two inputs and a vector of ones there are registers for the sums of three.
    const ROWS: usize = 3;
    const CHUNK: usize = 2;
    const HAS_SHORT_STEP: bool = true;
    type Shorts = v128;
    const IS_SHORT: bool = true;
    relaxed!();
    two_taps!();

    #[inline(always)]
    unsafe fn shorts() -> v128 {
        i16x8_splat(0)
    }

    #[inline(always)]
    unsafe fn taps(sums: v128, x: *const u8, weights: *const i8) -> v128 {
        // SAFETY: the weights of eight channels are one vector.
        let (x, weights) = unsafe { (v128_load(x.cast()), v128_load(weights.cast())) };
        i16x8_add(sums, i16x8_relaxed_dot_i8x16_i7x16(weights, x))
    }

    #[inline(always)]
    unsafe fn widen(sums: [v128; 2], shorts: v128) -> [v128; 2] {
        [
            i32x4_add(sums[0], i32x4_extend_low_i16x8(shorts)),
            i32x4_add(sums[1], i32x4_extend_high_i16x8(shorts)),
        ]
    }

    #[inline(always)]
    unsafe fn product(sums: v128, x: v128, weights: v128) -> v128 {
        // As sums of pairs the compiler would make the one instruction of it.
        i32x4_add(sums, i32x4_dot_i16x8(i16x8_relaxed_dot_i8x16_i7x16(weights, x), i16x8_splat(1)))
    }

    #[inline(always)]
    unsafe fn product_of_two(sums: v128, x: [v128; 2], weights: v128, ones: v128) -> v128 {
        let [a, b] = x.map(|x| i16x8_relaxed_dot_i8x16_i7x16(weights, x));
        i32x4_add(sums, i32x4_dot_i16x8(i16x8_add(a, b), ones))
    }

    #[inline(always)]
    unsafe fn step(sums: v128, x: *const u8, weights: *const i8) -> v128 {
        unsafe { Self::product(sums, v128_load32_splat(x.cast()), v128_load(weights.cast())) }
    }

    #[inline(always)]
    unsafe fn step_short(sums: v128, x: *const u8, weights: *const i8, ones: v128) -> v128 {
        let pairs = |group: usize| {
            // SAFETY: two groups of four inputs, and the weights of this part in both.
            let (x, weights) = unsafe {
                (
                    v128_load32_splat(x.add(4 * group).cast()),
                    v128_load(weights.add(group * PARTS * 16).cast()),
                )
            };
            i16x8_relaxed_dot_i8x16_i7x16(weights, x)
        };
        i32x4_add(sums, i32x4_dot_i16x8(i16x8_add(pairs(0), pairs(1)), ones))
    }
}
