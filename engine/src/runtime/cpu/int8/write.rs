//! What becomes of sums: scaled, rounded to bytes, perhaps added to others, written.

use super::Parameters;
use super::add::Adding;
use super::conv::MAX_PANEL;
use super::isa::Isa;
use crate::runtime::cpu::functions::ROUNDING;
use std::hint::black_box;

/// The outputs of a panel for neighbouring pixels.
pub struct Columns {
    /// Element of the first output.
    pub at: usize,
    /// How many pixels.
    pub pixels: usize,
    /// Elements from one pixel to the next.
    pub stride: usize,
    /// Outputs of the panel that there are.
    pub filled: usize,
}

/// Writes what `writer` makes of `sums`, those of a panel for each pixel of `place`, by the panel's `factors`.
///
/// # Safety
/// Sums and factors are of whole panels, and `writer` has room at `place`.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
pub unsafe fn write_columns<I: Isa, W: Write<I>>(
    sums: *const i32,
    factors: *const f32,
    place: &Columns,
    writer: &W,
) {
    // SAFETY: the caller's.
    unsafe {
        let factors = [I::load_floats(factors), I::load_floats(factors.add(I::LANES))];
        let (mut sums, mut at, filled) = (sums, place.at, place.filled);
        for _ in 0..place.pixels {
            let [low, high] = [I::load_ints(sums), I::load_ints(sums.add(I::LANES))];
            let scaled = [I::mul(I::to_floats(low), factors[0]), I::mul(I::to_floats(high), factors[1])];
            writer.put(scaled, at, filled);
            sums = sums.add(2 * I::LANES);
            at = at.wrapping_add(place.stride);
        }
    }
}

/// How scaled sums become bytes.
#[derive(Clone, Copy)]
pub struct Rounding<I: Isa> {
    /// Smallest and largest rounded value before the zero point is added.
    limits: [I::Floats; 2],
    /// [`ROUNDING`]: what is added to it loses its fraction.
    magic: I::Floats,
    minus_magic: I::Floats,
    /// The zero point, less the bits of [`ROUNDING`].
    offset: I::Ints,
}

impl<I: Isa> Rounding<I> {
    /// To bytes that stand for `parameters`.
    ///
    /// # Safety
    /// The instructions of `I` are there.
    #[inline(always)]
    pub unsafe fn new(parameters: &Parameters) -> Self {
        // A browser makes a constant vector anew wherever it is used; this one it does not know to be constant.
        let magic = black_box(ROUNDING);
        let offset = parameters.zero_point.wrapping_sub(magic.to_bits() as i32);
        // SAFETY: no pointers.
        unsafe {
            Rounding {
                limits: parameters.limits().map(|limit| I::splat(limit)),
                magic: I::splat(magic),
                minus_magic: I::splat(-magic),
                offset: I::splat_ints(offset),
            }
        }
    }

    /// The bytes for scaled sums, still 32 bits wide.
    ///
    /// # Safety
    /// The instructions of `I` are there.
    #[inline(always)]
    pub unsafe fn bytes(&self, scaled: [I::Floats; 2]) -> [I::Ints; 2] {
        // SAFETY: no pointers.
        unsafe {
            let bytes = |values| I::add_bits(I::add(I::clamp(values, self.limits), self.magic), self.offset);
            [bytes(scaled[0]), bytes(scaled[1])]
        }
    }

    /// The bytes for scaled sums less the zero point, as floats.
    ///
    /// # Safety
    /// The instructions of `I` are there.
    #[inline(always)]
    pub unsafe fn floats(&self, scaled: [I::Floats; 2]) -> [I::Floats; 2] {
        // SAFETY: no pointers.
        unsafe {
            let floats = |values| I::add(I::add(I::clamp(values, self.limits), self.magic), self.minus_magic);
            [floats(scaled[0]), floats(scaled[1])]
        }
    }
}

/// Takes the scaled sums of one pixel.
pub trait Write<I: Isa> {
    /// Writes the first `filled` of them from element `at` on, for which there is room.
    unsafe fn put(&self, scaled: [I::Floats; 2], at: usize, filled: usize);
}

/// Writes bytes.
pub struct ToBytes<I: Isa> {
    /// Where.
    pub out: *mut u8,
    /// Makes them.
    pub rounding: Rounding<I>,
}

impl<I: Isa> Write<I> for ToBytes<I> {
    #[inline(always)]
    unsafe fn put(&self, scaled: [I::Floats; 2], at: usize, filled: usize) {
        // SAFETY: the caller's.
        unsafe { put_bytes::<I>(self.rounding.bytes(scaled), self.out.add(at), filled) }
    }
}

/// Writes bytes to which others were added.
pub struct ToSum<I: Isa> {
    /// Where.
    pub out: *mut u8,
    /// Makes the first ones.
    pub rounding: Rounding<I>,
    /// Adds the others.
    pub add: Adding<I>,
    /// The others.
    pub added: *const u8,
}

impl<I: Isa> Write<I> for ToSum<I> {
    #[inline(always)]
    unsafe fn put(&self, scaled: [I::Floats; 2], at: usize, filled: usize) {
        // SAFETY: the caller's.
        unsafe {
            let added = get_bytes::<I>(self.added.add(at), filled);
            let sum = self.add.apply(self.rounding.floats(scaled), added);
            put_bytes::<I>(sum, self.out.add(at), filled);
        }
    }
}

/// Writes floats there.
pub struct ToFloats(pub *mut f32);

impl<I: Isa> Write<I> for ToFloats {
    #[inline(always)]
    unsafe fn put(&self, scaled: [I::Floats; 2], at: usize, filled: usize) {
        let mut values = [0.0; MAX_PANEL];
        // SAFETY: the array is as long as the longest panel; for the rest the caller vouches.
        unsafe {
            I::store_floats(scaled[0], values.as_mut_ptr());
            I::store_floats(scaled[1], values.as_mut_ptr().add(I::LANES));
            self.0.add(at).copy_from_nonoverlapping(values.as_ptr(), filled);
        }
    }
}

/// `filled` bytes, widened, and anything behind them.
///
/// # Safety
/// So many can be read.
#[inline(always)]
pub unsafe fn get_bytes<I: Isa>(from: *const u8, filled: usize) -> [I::Ints; 2] {
    // SAFETY: whole panels are read in place, parts of panels by way of an array.
    unsafe {
        if filled == 2 * I::LANES {
            return I::load_bytes(from);
        }
        let mut values = [0; MAX_PANEL];
        values.as_mut_ptr().copy_from_nonoverlapping(from, filled);
        I::load_bytes(values.as_ptr())
    }
}

/// Writes the first `filled` bytes.
///
/// # Safety
/// There is room for so many.
#[inline(always)]
pub unsafe fn put_bytes<I: Isa>(bytes: [I::Ints; 2], to: *mut u8, filled: usize) {
    // SAFETY: whole panels are written in place, parts of panels by way of an array.
    unsafe {
        if filled == 2 * I::LANES {
            return I::store_bytes(bytes, to);
        }
        let mut values = [0; MAX_PANEL];
        I::store_bytes(bytes, values.as_mut_ptr());
        to.copy_from_nonoverlapping(values.as_ptr(), filled);
    }
}
