//! AVX2 and AVX-512 with VNNI.

use super::isa::Isa;
use crate::runtime::cpu::functions::ROUNDING;
use core::arch::x86_64::*;

/// What the 256-bit levels have in common.
macro_rules! common {
    () => {
        const LANES: usize = 8;
        type Ints = __m256i;
        type Floats = __m256;

        #[inline(always)]
        unsafe fn load_ints(from: *const i32) -> __m256i {
            unsafe { _mm256_loadu_si256(from.cast()) }
        }

        #[inline(always)]
        unsafe fn load_floats(from: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store_floats(values: __m256, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, values) };
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m256 {
            unsafe { _mm256_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn to_floats(values: __m256i) -> __m256 {
            unsafe { _mm256_cvtepi32_ps(values) }
        }

        #[inline(always)]
        unsafe fn mul(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_add_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn clamp(values: __m256, [low, high]: [__m256; 2]) -> __m256 {
            unsafe { _mm256_min_ps(_mm256_max_ps(values, low), high) }
        }

        #[inline(always)]
        unsafe fn round(values: __m256, offset: i32) -> __m256i {
            unsafe {
                let rounded = _mm256_castps_si256(_mm256_add_ps(values, _mm256_set1_ps(ROUNDING)));
                _mm256_add_epi32(rounded, _mm256_set1_epi32(offset.wrapping_sub(ROUNDING.to_bits() as i32)))
            }
        }

        #[inline(always)]
        unsafe fn load_bytes(from: *const u8) -> [__m256i; 2] {
            unsafe {
                let bytes = _mm_loadu_si128(from.cast());
                [_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))]
            }
        }

        #[inline(always)]
        unsafe fn store_bytes(values: [__m256i; 2], to: *mut u8) {
            unsafe {
                // Packs work in halves; the permutation puts the quarters back in order.
                let halves =
                    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(values[0], values[1]));
                let bytes =
                    _mm_packus_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
                _mm_storeu_si128(to.cast(), bytes);
            }
        }
    };
}

/// 256-bit vectors, 8-bit products of seven-bit values.
pub struct Avx2;

impl Isa for Avx2 {
    const ROWS: usize = 4;
    const IS_WIDE: bool = false;
    type Sums = [__m256i; 2];
    type Shorts = __m256i;
    const IS_SHORT: bool = true;
    common!();

    #[inline(always)]
    unsafe fn shorts() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn pair(sums: __m256i, x: [*const u8; 2], weights: *const i8) -> __m256i {
        unsafe {
            let (low, high) = in_turns(x);
            let both = _mm256_set_m128i(high, low);
            _mm256_add_epi16(sums, _mm256_maddubs_epi16(both, _mm256_loadu_si256(weights.cast())))
        }
    }

    #[inline(always)]
    unsafe fn widen(sums: [__m256i; 2], shorts: __m256i) -> [__m256i; 2] {
        unsafe {
            let (low, high) = (_mm256_castsi256_si128(shorts), _mm256_extracti128_si256::<1>(shorts));
            [
                _mm256_add_epi32(sums[0], _mm256_cvtepi16_epi32(low)),
                _mm256_add_epi32(sums[1], _mm256_cvtepi16_epi32(high)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [__m256i; 2] {
        unsafe { [Self::load_ints(bias), Self::load_ints(bias.add(8))] }
    }

    /// The sum of two products of seven-bit values and weights stays within 16 bits.
    #[inline(always)]
    unsafe fn step(sums: [__m256i; 2], x: *const u8, weights: *const i8) -> [__m256i; 2] {
        unsafe {
            let x = _mm256_set1_epi32(x.cast::<i32>().read_unaligned());
            let ones = _mm256_set1_epi16(1);
            let low = _mm256_maddubs_epi16(x, _mm256_loadu_si256(weights.cast()));
            let high = _mm256_maddubs_epi16(x, _mm256_loadu_si256(weights.add(32).cast()));
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(low, ones)),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(high, ones)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: [__m256i; 2]) -> [__m256i; 2] {
        sums
    }
}

/// 256-bit vectors, 16-bit products: right for all bytes.
pub struct Avx2Wide;

impl Isa for Avx2Wide {
    const ROWS: usize = 2;
    const IS_WIDE: bool = true;
    /// Four outputs in a vector, the products of inputs 0 and 1 apart from those of 2 and 3.
    type Sums = [__m256i; 4];
    type Shorts = [__m256i; 2];
    const IS_SHORT: bool = false;
    common!();

    #[inline(always)]
    unsafe fn shorts() -> [__m256i; 2] {
        unsafe { [_mm256_setzero_si256(), _mm256_setzero_si256()] }
    }

    #[inline(always)]
    unsafe fn pair(sums: [__m256i; 2], x: [*const u8; 2], weights: *const i8) -> [__m256i; 2] {
        unsafe {
            let (low, high) = in_turns(x);
            let weights: *const __m256i = weights.cast();
            let low = _mm256_madd_epi16(_mm256_cvtepu8_epi16(low), _mm256_loadu_si256(weights));
            let high = _mm256_madd_epi16(_mm256_cvtepu8_epi16(high), _mm256_loadu_si256(weights.add(1)));
            [_mm256_add_epi32(sums[0], low), _mm256_add_epi32(sums[1], high)]
        }
    }

    #[inline(always)]
    unsafe fn widen(sums: [__m256i; 2], shorts: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { [_mm256_add_epi32(sums[0], shorts[0]), _mm256_add_epi32(sums[1], shorts[1])] }
    }

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [__m256i; 4] {
        unsafe {
            let bias: *const __m128i = bias.cast();
            [
                _mm256_cvtepu32_epi64(_mm_loadu_si128(bias)),
                _mm256_cvtepu32_epi64(_mm_loadu_si128(bias.add(1))),
                _mm256_cvtepu32_epi64(_mm_loadu_si128(bias.add(2))),
                _mm256_cvtepu32_epi64(_mm_loadu_si128(bias.add(3))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn step(sums: [__m256i; 4], x: *const u8, weights: *const i8) -> [__m256i; 4] {
        unsafe {
            let x = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(x.cast::<i32>().read_unaligned()));
            let x = _mm256_broadcastq_epi64(x);
            let weights: *const __m256i = weights.cast();
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(x, _mm256_loadu_si256(weights))),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(x, _mm256_loadu_si256(weights.add(1)))),
                _mm256_add_epi32(sums[2], _mm256_madd_epi16(x, _mm256_loadu_si256(weights.add(2)))),
                _mm256_add_epi32(sums[3], _mm256_madd_epi16(x, _mm256_loadu_si256(weights.add(3)))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: [__m256i; 4]) -> [__m256i; 2] {
        // The additions work in halves; the permutation puts the quarters back in order.
        unsafe {
            [
                _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(sums[0], sums[1])),
                _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(sums[2], sums[3])),
            ]
        }
    }
}

/// 512-bit vectors, sums of four byte products in one instruction: right for all bytes.
pub struct Vnni;

impl Isa for Vnni {
    const LANES: usize = 16;
    const ROWS: usize = 8;
    const IS_WIDE: bool = false;
    type Ints = __m512i;
    type Floats = __m512;
    type Sums = [__m512i; 2];
    type Shorts = [__m512i; 2];
    const IS_SHORT: bool = false;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [__m512i; 2] {
        unsafe { [Self::load_ints(bias), Self::load_ints(bias.add(16))] }
    }

    #[inline(always)]
    unsafe fn step(sums: [__m512i; 2], x: *const u8, weights: *const i8) -> [__m512i; 2] {
        unsafe {
            let x = _mm512_set1_epi32(x.cast::<i32>().read_unaligned());
            [
                _mm512_dpbusd_epi32(sums[0], x, _mm512_loadu_si512(weights.cast())),
                _mm512_dpbusd_epi32(sums[1], x, _mm512_loadu_si512(weights.add(64).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: [__m512i; 2]) -> [__m512i; 2] {
        sums
    }

    #[inline(always)]
    unsafe fn load_ints(from: *const i32) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn shorts() -> [__m512i; 2] {
        unsafe { [_mm512_setzero_si512(), _mm512_setzero_si512()] }
    }

    #[inline(always)]
    unsafe fn pair(sums: [__m512i; 2], x: [*const u8; 2], weights: *const i8) -> [__m512i; 2] {
        unsafe {
            let weights: *const __m512i = weights.cast();
            let (low, high) = in_turns(x);
            let low = _mm512_cvtepu8_epi16(_mm256_set_m128i(high, low));
            let (a, b) = in_turns([x[0].add(16), x[1].add(16)]);
            let high = _mm512_cvtepu8_epi16(_mm256_set_m128i(b, a));
            [
                _mm512_add_epi32(sums[0], _mm512_madd_epi16(low, _mm512_loadu_si512(weights))),
                _mm512_add_epi32(sums[1], _mm512_madd_epi16(high, _mm512_loadu_si512(weights.add(1)))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn widen(sums: [__m512i; 2], shorts: [__m512i; 2]) -> [__m512i; 2] {
        unsafe { [_mm512_add_epi32(sums[0], shorts[0]), _mm512_add_epi32(sums[1], shorts[1])] }
    }

    #[inline(always)]
    unsafe fn load_floats(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store_floats(values: __m512, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, values) };
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn to_floats(values: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(values) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn clamp(values: __m512, [low, high]: [__m512; 2]) -> __m512 {
        unsafe { _mm512_min_ps(_mm512_max_ps(values, low), high) }
    }

    #[inline(always)]
    unsafe fn round(values: __m512, offset: i32) -> __m512i {
        unsafe {
            let rounded = _mm512_castps_si512(_mm512_add_ps(values, _mm512_set1_ps(ROUNDING)));
            _mm512_add_epi32(rounded, _mm512_set1_epi32(offset.wrapping_sub(ROUNDING.to_bits() as i32)))
        }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> [__m512i; 2] {
        unsafe {
            [
                _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast())),
                _mm512_cvtepu8_epi32(_mm_loadu_si128(from.add(16).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(values: [__m512i; 2], to: *mut u8) {
        unsafe {
            _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(values[0]));
            _mm_storeu_si128(to.add(16).cast(), _mm512_cvtusepi32_epi8(values[1]));
        }
    }
}

/// 16 bytes of two places in turns, the first eight of each and the others.
#[inline(always)]
unsafe fn in_turns(x: [*const u8; 2]) -> (__m128i, __m128i) {
    unsafe {
        let (a, b) = (_mm_loadu_si128(x[0].cast()), _mm_loadu_si128(x[1].cast()));
        (_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b))
    }
}
