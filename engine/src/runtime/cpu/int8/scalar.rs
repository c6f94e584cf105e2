//! Arrays in place of vectors, for machines without others.

use super::isa::{Isa, MAX_PARTS, MAX_TAPS};

/// Four lanes, element by element.
pub struct Scalar;

const LANES: usize = 4;

impl Isa for Scalar {
    const LANES: usize = LANES;
    const ROWS: usize = 2;
    const IS_WIDE: bool = false;
    type Ints = [i32; LANES];
    type Floats = [f32; LANES];
    const PARTS: usize = 2;
    const PART_BYTES: usize = 16;
    const CHUNK: usize = 1;
    type Shorts = [[i32; LANES]; 2];
    const IS_SHORT: bool = false;
    const TAP_BYTES: usize = 2;

    #[inline(always)]
    unsafe fn start(bias: *const i32) -> [Self::Ints; MAX_PARTS] {
        // SAFETY: the caller's.
        unsafe { [Self::load_ints(bias), Self::load_ints(bias.add(LANES)), [0; LANES], [0; LANES]] }
    }

    #[inline(always)]
    unsafe fn step(mut sums: Self::Ints, x: *const u8, weights: *const i8) -> Self::Ints {
        let x = unsafe { x.cast::<[u8; 4]>().read_unaligned() };
        let weights = unsafe { weights.cast::<[[i8; 4]; LANES]>().read_unaligned() };
        for (sum, weights) in sums.iter_mut().zip(weights) {
            for i in 0..4 {
                *sum += i32::from(x[i]) * i32::from(weights[i]);
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn product(sums: Self::Ints, x: Self::Ints, weights: Self::Ints) -> Self::Ints {
        std::array::from_fn(|lane| {
            let (x, weights) = (x[lane].to_le_bytes(), weights[lane].to_le_bytes());
            let product = |i: usize| i32::from(x[i]) * i32::from(weights[i] as i8);
            (0..4).fold(sums[lane], |sum, i| sum.wrapping_add(product(i)))
        })
    }

    #[inline(always)]
    unsafe fn finish(sums: [Self::Ints; MAX_PARTS]) -> [Self::Ints; 2] {
        [sums[0], sums[1]]
    }

    #[inline(always)]
    unsafe fn load_ints(from: *const i32) -> Self::Ints {
        unsafe { from.cast::<Self::Ints>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_ints(values: Self::Ints, to: *mut i32) {
        unsafe { to.cast::<Self::Ints>().write_unaligned(values) };
    }

    #[inline(always)]
    unsafe fn shorts() -> [Self::Ints; 2] {
        [[0; LANES]; 2]
    }

    #[inline(always)]
    unsafe fn interleave([a, b, ..]: [*const u8; MAX_TAPS], to: *mut u8) {
        for channel in 0..2 * LANES {
            // SAFETY: the caller's.
            unsafe {
                *to.add(2 * channel) = *a.add(channel);
                *to.add(2 * channel + 1) = *b.add(channel);
            }
        }
    }

    #[inline(always)]
    unsafe fn taps(mut sums: [Self::Ints; 2], x: *const u8, weights: *const i8) -> [Self::Ints; 2] {
        let (x, weights): (*const [u8; 2], *const [i16; 2]) = (x.cast(), weights.cast());
        for channel in 0..2 * LANES {
            // SAFETY: the caller's, and weights of every channel.
            let (x, w) = unsafe { (x.add(channel).read_unaligned(), weights.add(channel).read_unaligned()) };
            let sum = i32::from(x[0]) * i32::from(w[0]) + i32::from(x[1]) * i32::from(w[1]);
            sums[channel / LANES][channel % LANES] += sum;
        }
        sums
    }

    #[inline(always)]
    unsafe fn widen(sums: [Self::Ints; 2], shorts: [Self::Ints; 2]) -> [Self::Ints; 2] {
        std::array::from_fn(|half| std::array::from_fn(|i| sums[half][i] + shorts[half][i]))
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
    unsafe fn splat_ints(value: i32) -> Self::Ints {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn add_bits(a: Self::Floats, b: Self::Ints) -> Self::Ints {
        std::array::from_fn(|i| (a[i].to_bits() as i32).wrapping_add(b[i]))
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
