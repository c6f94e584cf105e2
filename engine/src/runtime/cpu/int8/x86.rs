//! AVX2 and AVX-512 with VNNI.

use super::isa::{Isa, MAX_PARTS, MAX_TAPS};
use core::arch::x86_64::*;

/// What the 256-bit levels have in common.
macro_rules! common {
    () => {
        const LANES: usize = 8;
        const PART_BYTES: usize = 32;
        type Ints = __m256i;
        type Floats = __m256;

        #[inline(always)]
        unsafe fn load_ints(from: *const i32) -> __m256i {
            unsafe { _mm256_loadu_si256(from.cast()) }
        }

        #[inline(always)]
        unsafe fn store_ints(values: __m256i, to: *mut i32) {
            unsafe { _mm256_storeu_si256(to.cast(), values) };
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
        unsafe fn splat_ints(value: i32) -> __m256i {
            unsafe { _mm256_set1_epi32(value) }
        }

        #[inline(always)]
        unsafe fn add_bits(a: __m256, b: __m256i) -> __m256i {
            unsafe { _mm256_add_epi32(_mm256_castps_si256(a), b) }
        }

        #[inline(always)]
        unsafe fn load_bytes(from: *const u8) -> [__m256i; 2] {
            unsafe {
                let bytes = _mm_loadu_si128(from.cast());
                [_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))]
            }
        }

        #[inline(always)]
        unsafe fn interleave([a, b, ..]: [*const u8; MAX_TAPS], to: *mut u8) {
            unsafe { in_turns(a, b, to) };
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
    const ROWS: usize = 3;
    const CHUNK: usize = 2;
    const HAS_SHORT_STEP: bool = true;
    const IS_WIDE: bool = false;
    const PARTS: usize = 2;
    type Shorts = __m256i;
    const IS_SHORT: bool = true;
    const TAP_BYTES: usize = 1;
    common!();

    #[inline(always)]
    unsafe fn shorts() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn taps(sums: __m256i, x: *const u8, weights: *const i8) -> __m256i {
        unsafe {
            let x = _mm256_loadu_si256(x.cast());
            _mm256_add_epi16(sums, _mm256_maddubs_epi16(x, _mm256_loadu_si256(weights.cast())))
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
    unsafe fn start(bias: *const i32) -> [__m256i; MAX_PARTS] {
        unsafe {
            let zero = _mm256_setzero_si256();
            [Self::load_ints(bias), Self::load_ints(bias.add(8)), zero, zero]
        }
    }

    /// The sum of two products of seven-bit values and weights stays within 16 bits.
    #[inline(always)]
    unsafe fn product(sums: __m256i, x: __m256i, weights: __m256i) -> __m256i {
        unsafe {
            let pairs = _mm256_maddubs_epi16(x, weights);
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn product_of_two(sums: __m256i, x: [__m256i; 2], weights: __m256i, ones: __m256i) -> __m256i {
        unsafe {
            let pairs =
                _mm256_add_epi16(_mm256_maddubs_epi16(x[0], weights), _mm256_maddubs_epi16(x[1], weights));
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones))
        }
    }

    #[inline(always)]
    unsafe fn step(sums: __m256i, x: *const u8, weights: *const i8) -> __m256i {
        unsafe {
            let x = _mm256_set1_epi32(x.cast::<i32>().read_unaligned());
            Self::product(sums, x, _mm256_loadu_si256(weights.cast()))
        }
    }

    #[inline(always)]
    unsafe fn step_short(sums: __m256i, x: *const u8, weights: *const i8, ones: __m256i) -> __m256i {
        unsafe {
            let pairs = |group: usize| {
                let x = _mm256_set1_epi32(x.add(4 * group).cast::<i32>().read_unaligned());
                let weights = weights.add(group * Self::PARTS * Self::PART_BYTES);
                _mm256_maddubs_epi16(x, _mm256_loadu_si256(weights.cast()))
            };
            _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_add_epi16(pairs(0), pairs(1)), ones))
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: [__m256i; MAX_PARTS]) -> [__m256i; 2] {
        [sums[0], sums[1]]
    }
}

/// 256-bit vectors, 16-bit products: right for all bytes.
pub struct Avx2Wide;

impl Isa for Avx2Wide {
    const ROWS: usize = 2;
    const CHUNK: usize = 4;
    const IS_WIDE: bool = true;
    /// Four outputs in a vector, the products of inputs 0 and 1 apart from those of 2 and 3.
    const PARTS: usize = 4;
    type Shorts = [__m256i; 2];
    const IS_SHORT: bool = false;
    const TAP_BYTES: usize = 2;
    common!();

    #[inline(always)]
    unsafe fn shorts() -> [__m256i; 2] {
        unsafe { [_mm256_setzero_si256(), _mm256_setzero_si256()] }
    }

    #[inline(always)]
    unsafe fn taps(sums: [__m256i; 2], x: *const u8, weights: *const i8) -> [__m256i; 2] {
        unsafe {
            let (low, high) = (_mm_loadu_si128(x.cast()), _mm_loadu_si128(x.add(16).cast()));
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
    unsafe fn start(bias: *const i32) -> [__m256i; MAX_PARTS] {
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
    unsafe fn product(sums: __m256i, x: __m256i, weights: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(x, weights)) }
    }

    #[inline(always)]
    unsafe fn step(sums: __m256i, x: *const u8, weights: *const i8) -> __m256i {
        unsafe {
            let x = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(x.cast::<i32>().read_unaligned()));
            Self::product(sums, _mm256_broadcastq_epi64(x), _mm256_loadu_si256(weights.cast()))
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
    const PARTS: usize = 2;
    const PART_BYTES: usize = 64;
    const CHUNK: usize = 4;
    type Shorts = [__m512i; 2];
    const IS_SHORT: bool = false;
    const TAP_BYTES: usize = 2;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [__m512i; MAX_PARTS] {
        unsafe {
            let zero = _mm512_setzero_si512();
            [Self::load_ints(bias), Self::load_ints(bias.add(16)), zero, zero]
        }
    }

    #[inline(always)]
    unsafe fn product(sums: __m512i, x: __m512i, weights: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, x, weights) }
    }

    #[inline(always)]
    unsafe fn step(sums: __m512i, x: *const u8, weights: *const i8) -> __m512i {
        unsafe {
            let x = _mm512_set1_epi32(x.cast::<i32>().read_unaligned());
            Self::product(sums, x, _mm512_loadu_si512(weights.cast()))
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: [__m512i; MAX_PARTS]) -> [__m512i; 2] {
        [sums[0], sums[1]]
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
    unsafe fn taps(sums: [__m512i; 2], x: *const u8, weights: *const i8) -> [__m512i; 2] {
        unsafe {
            let weights: *const __m512i = weights.cast();
            let low = _mm512_cvtepu8_epi16(_mm256_loadu_si256(x.cast()));
            let high = _mm512_cvtepu8_epi16(_mm256_loadu_si256(x.add(32).cast()));
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
    unsafe fn store_ints(values: __m512i, to: *mut i32) {
        unsafe { _mm512_storeu_si512(to.cast(), values) };
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
    unsafe fn splat_ints(value: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    unsafe fn add_bits(a: __m512, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(_mm512_castps_si512(a), b) }
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
    unsafe fn interleave([a, b, ..]: [*const u8; MAX_TAPS], to: *mut u8) {
        unsafe {
            in_turns(a, b, to);
            in_turns(a.add(16), b.add(16), to.add(32));
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

/// Writes 16 bytes of each place in turns.
#[inline(always)]
unsafe fn in_turns(a: *const u8, b: *const u8, to: *mut u8) {
    unsafe {
        let (a, b) = (_mm_loadu_si128(a.cast()), _mm_loadu_si128(b.cast()));
        _mm_storeu_si128(to.cast(), _mm_unpacklo_epi8(a, b));
        _mm_storeu_si128(to.add(16).cast(), _mm_unpackhi_epi8(a, b));
    }
}
