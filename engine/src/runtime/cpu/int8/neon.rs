//! ARM's 128-bit vectors.

use super::isa::{Isa, MAX_PARTS, MAX_TAPS};
use core::arch::aarch64::*;
use core::arch::asm;

const LANES: usize = 4;

/// What the levels have in common.
macro_rules! common {
    () => {
        const LANES: usize = LANES;
        const PART_BYTES: usize = 16;
        const CHUNK: usize = 1;
        type Ints = int32x4_t;
        type Floats = float32x4_t;

        #[inline(always)]
        unsafe fn load_ints(from: *const i32) -> int32x4_t {
            unsafe { vld1q_s32(from) }
        }

        #[inline(always)]
        unsafe fn store_ints(values: int32x4_t, to: *mut i32) {
            unsafe { vst1q_s32(to, values) };
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> float32x4_t {
            unsafe { vld1q_f32(from) }
        }

        #[inline(always)]
        unsafe fn store_floats(values: float32x4_t, to: *mut f32) {
            unsafe { vst1q_f32(to, values) };
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> float32x4_t {
            unsafe { vdupq_n_f32(value) }
        }

        #[inline(always)]
        unsafe fn to_floats(values: int32x4_t) -> float32x4_t {
            unsafe { vcvtq_f32_s32(values) }
        }

        #[inline(always)]
        unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vmulq_f32(a, b) }
        }

        #[inline(always)]
        unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            unsafe { vaddq_f32(a, b) }
        }

        // Of a number and a NaN these take the number.
        #[inline(always)]
        unsafe fn clamp(values: float32x4_t, [low, high]: [float32x4_t; 2]) -> float32x4_t {
            unsafe { vminnmq_f32(vmaxnmq_f32(values, low), high) }
        }

        #[inline(always)]
        unsafe fn splat_ints(value: i32) -> int32x4_t {
            unsafe { vdupq_n_s32(value) }
        }

        #[inline(always)]
        unsafe fn add_bits(a: float32x4_t, b: int32x4_t) -> int32x4_t {
            unsafe { vaddq_s32(vreinterpretq_s32_f32(a), b) }
        }

        #[inline(always)]
        unsafe fn load_bytes(from: *const u8) -> [int32x4_t; 2] {
            unsafe {
                let halves = vmovl_u8(vld1_u8(from));
                let [low, high] = [vmovl_u16(vget_low_u16(halves)), vmovl_high_u16(halves)];
                [vreinterpretq_s32_u32(low), vreinterpretq_s32_u32(high)]
            }
        }

        #[inline(always)]
        unsafe fn store_bytes(values: [int32x4_t; 2], to: *mut u8) {
            unsafe {
                let [low, high] = values.map(|half| vmovn_u32(vreinterpretq_u32_s32(half)));
                vst1_u8(to, vmovn_u16(vcombine_u16(low, high)));
            }
        }

        #[inline(always)]
        unsafe fn interleave([a, b, ..]: [*const u8; MAX_TAPS], to: *mut u8) {
            unsafe {
                let (a, b) = (vld1_u8(a), vld1_u8(b));
                vst1q_u8(to, vcombine_u8(vzip1_u8(a, b), vzip2_u8(a, b)));
            }
        }
    };
}

/// Four bytes in all lanes.
#[inline(always)]
unsafe fn four_bytes(x: *const u8) -> int32x4_t {
    unsafe { vdupq_n_s32(x.cast::<i32>().read_unaligned()) }
}

/// The dot product of signed bytes, for values of seven bits.
pub struct NeonDot;

impl Isa for NeonDot {
    const ROWS: usize = 8;
    const IS_WIDE: bool = false;
    const PARTS: usize = 2;
    type Shorts = int16x8_t;
    const IS_SHORT: bool = true;
    const TAP_BYTES: usize = 1;
    common!();

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [int32x4_t; MAX_PARTS] {
        unsafe {
            let zero = vdupq_n_s32(0);
            [vld1q_s32(bias), vld1q_s32(bias.add(LANES)), zero, zero]
        }
    }

    #[inline(always)]
    unsafe fn product(mut sums: int32x4_t, x: int32x4_t, weights: int32x4_t) -> int32x4_t {
        // Not among the standard library's stable functions.
        // SAFETY: an instruction of the level, on registers alone.
        unsafe {
            asm!(
                "sdot {sums:v}.4s, {weights:v}.16b, {x:v}.16b",
                sums = inout(vreg) sums,
                weights = in(vreg) weights,
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }

    #[inline(always)]
    unsafe fn step(sums: int32x4_t, x: *const u8, weights: *const i8) -> int32x4_t {
        unsafe { Self::product(sums, four_bytes(x), vreinterpretq_s32_s8(vld1q_s8(weights))) }
    }

    #[inline(always)]
    unsafe fn finish(sums: [int32x4_t; MAX_PARTS]) -> [int32x4_t; 2] {
        [sums[0], sums[1]]
    }

    #[inline(always)]
    unsafe fn shorts() -> int16x8_t {
        unsafe { vdupq_n_s16(0) }
    }

    #[inline(always)]
    unsafe fn taps(sums: int16x8_t, x: *const u8, weights: *const i8) -> int16x8_t {
        unsafe {
            let (x, weights) = (vld1q_s8(x.cast()), vld1q_s8(weights));
            let low = vmull_s8(vget_low_s8(x), vget_low_s8(weights));
            vaddq_s16(sums, vpaddq_s16(low, vmull_high_s8(x, weights)))
        }
    }

    #[inline(always)]
    unsafe fn widen(sums: [int32x4_t; 2], shorts: int16x8_t) -> [int32x4_t; 2] {
        unsafe { [vaddw_s16(sums[0], vget_low_s16(shorts)), vaddw_high_s16(sums[1], shorts)] }
    }
}

/// 16-bit products: right for all bytes, on every machine with these vectors.
pub struct NeonWide;

/// Neighbouring products of 16-bit integers, added.
#[inline(always)]
unsafe fn dot(a: int16x8_t, b: int16x8_t) -> int32x4_t {
    unsafe { vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b)) }
}

impl Isa for NeonWide {
    const ROWS: usize = 4;
    const IS_WIDE: bool = true;
    /// Two outputs in a vector, the products of inputs 0 and 1 apart from those of 2 and 3.
    const PARTS: usize = 4;
    type Shorts = [int32x4_t; 2];
    const IS_SHORT: bool = false;
    const TAP_BYTES: usize = 2;
    common!();

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [int32x4_t; MAX_PARTS] {
        unsafe {
            let zero = vdupq_n_s32(0);
            let [a, b] = [vld1q_s32(bias), vld1q_s32(bias.add(LANES))];
            [vzip1q_s32(a, zero), vzip2q_s32(a, zero), vzip1q_s32(b, zero), vzip2q_s32(b, zero)]
        }
    }

    #[inline(always)]
    unsafe fn product(sums: int32x4_t, x: int32x4_t, weights: int32x4_t) -> int32x4_t {
        unsafe { vaddq_s32(sums, dot(vreinterpretq_s16_s32(x), vreinterpretq_s16_s32(weights))) }
    }

    #[inline(always)]
    unsafe fn step(sums: int32x4_t, x: *const u8, weights: *const i8) -> int32x4_t {
        unsafe {
            let x = vmovl_u8(vget_low_u8(vreinterpretq_u8_s32(four_bytes(x))));
            Self::product(sums, vreinterpretq_s32_u16(x), vreinterpretq_s32_s8(vld1q_s8(weights)))
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: [int32x4_t; MAX_PARTS]) -> [int32x4_t; 2] {
        unsafe { [vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3])] }
    }

    #[inline(always)]
    unsafe fn shorts() -> [int32x4_t; 2] {
        unsafe { [vdupq_n_s32(0); 2] }
    }

    #[inline(always)]
    unsafe fn taps(sums: [int32x4_t; 2], x: *const u8, weights: *const i8) -> [int32x4_t; 2] {
        unsafe {
            let x = vld1q_u8(x);
            let x = [vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x)].map(|half| vreinterpretq_s16_u16(half));
            let weights =
                [vld1q_s8(weights), vld1q_s8(weights.add(16))].map(|half| vreinterpretq_s16_s8(half));
            [vaddq_s32(sums[0], dot(x[0], weights[0])), vaddq_s32(sums[1], dot(x[1], weights[1]))]
        }
    }

    #[inline(always)]
    unsafe fn widen(sums: [int32x4_t; 2], shorts: [int32x4_t; 2]) -> [int32x4_t; 2] {
        unsafe { [vaddq_s32(sums[0], shorts[0]), vaddq_s32(sums[1], shorts[1])] }
    }
}
