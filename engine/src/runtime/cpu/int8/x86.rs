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
        unsafe fn pair(sums: [__m256i; 2], x: [*const u8; 2], weights: *const i16) -> [__m256i; 2] {
            unsafe {
                let [a, b] = x.map(|x| _mm_loadu_si128(x.cast()));
                let both = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
                std::array::from_fn(|i| {
                    let weights = _mm256_loadu_si256(weights.add(16 * i).cast());
                    _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_cvtepu8_epi16(both[i]), weights))
                })
            }
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
    common!();

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [__m256i; 2] {
        unsafe { [Self::load_ints(bias), Self::load_ints(bias.add(8))] }
    }

    /// The sum of two products of seven-bit values and weights stays within 16 bits.
    #[inline(always)]
    unsafe fn step(sums: [__m256i; 2], x: *const u8, weights: *const i8) -> [__m256i; 2] {
        unsafe {
            let x = _mm256_set1_epi32(x.cast::<i32>().read_unaligned());
            std::array::from_fn(|i| {
                let weights = _mm256_loadu_si256(weights.add(32 * i).cast());
                let pairs = _mm256_maddubs_epi16(x, weights);
                _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            })
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
    common!();

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [__m256i; 4] {
        unsafe { std::array::from_fn(|i| _mm256_cvtepu32_epi64(_mm_loadu_si128(bias.add(4 * i).cast()))) }
    }

    #[inline(always)]
    unsafe fn step(sums: [__m256i; 4], x: *const u8, weights: *const i8) -> [__m256i; 4] {
        unsafe {
            let x = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(x.cast::<i32>().read_unaligned()));
            let x = _mm256_broadcastq_epi64(x);
            std::array::from_fn(|i| {
                let weights = _mm256_loadu_si256(weights.add(32 * i).cast());
                _mm256_add_epi32(sums[i], _mm256_madd_epi16(x, weights))
            })
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: [__m256i; 4]) -> [__m256i; 2] {
        // The additions work in halves; the permutation puts the quarters back in order.
        [[sums[0], sums[1]], [sums[2], sums[3]]]
            .map(|[a, b]| unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(a, b)) })
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

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [__m512i; 2] {
        unsafe { [Self::load_ints(bias), Self::load_ints(bias.add(16))] }
    }

    #[inline(always)]
    unsafe fn step(sums: [__m512i; 2], x: *const u8, weights: *const i8) -> [__m512i; 2] {
        unsafe {
            let x = _mm512_set1_epi32(x.cast::<i32>().read_unaligned());
            std::array::from_fn(|i| {
                _mm512_dpbusd_epi32(sums[i], x, _mm512_loadu_si512(weights.add(64 * i).cast()))
            })
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
    unsafe fn pair(sums: [__m512i; 2], x: [*const u8; 2], weights: *const i16) -> [__m512i; 2] {
        unsafe {
            std::array::from_fn(|i| {
                let [a, b] = x.map(|x| _mm_loadu_si128(x.add(16 * i).cast()));
                let both = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
                let weights = _mm512_loadu_si512(weights.add(32 * i).cast());
                _mm512_add_epi32(sums[i], _mm512_madd_epi16(_mm512_cvtepu8_epi16(both), weights))
            })
        }
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
        unsafe { [0, 16].map(|at| _mm512_cvtepu8_epi32(_mm_loadu_si128(from.add(at).cast()))) }
    }

    #[inline(always)]
    unsafe fn store_bytes(values: [__m512i; 2], to: *mut u8) {
        unsafe {
            for (i, values) in values.into_iter().enumerate() {
                _mm_storeu_si128(to.add(16 * i).cast(), _mm512_cvtusepi32_epi8(values));
            }
        }
    }
}
