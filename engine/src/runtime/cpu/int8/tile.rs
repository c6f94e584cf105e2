//! The inner loops of the dense convolution: some pixels times some outputs, their sums in registers.
//!
//! Little but the innermost loop may cost anything: a layer of few channels has few turns of it. So nothing is checked
//! here that the caller can check once, and offsets are moved along rather than multiplied out.

use super::add::{Add, Adding};
use super::conv::{Conv, GROUP, MAX_PANEL};
use super::isa::{Isa, MAX_PARTS};
use super::{Parameters, Requantise};
use crate::runtime::cpu::functions::ROUNDING;
use std::hint::black_box;

/// Input bytes that stay in the first cache while all weights pass by.
const BLOCK_BYTES: usize = 16 << 10;

/// Repeats a block for each row of a tile with the row's number as a constant: sums that are indexed by a variable
/// would go through memory.
macro_rules! for_each_row {
    ($row:ident in $rows:ident $body:block) => {
        for_each_row!($row in $rows, 0 1 2 3 4 5 6 7, $body)
    };
    ($row:ident in $rows:ident, $($number:literal)*, $body:block) => {
        $({
            let $row: usize = $number;
            if $row < $rows $body
        })*
    };
}

pub(super) use for_each_row;

/// Windows that lie evenly in memory, and how many results they make.
#[derive(Clone, Copy)]
pub struct Rows {
    /// The first window.
    pub x: *const u8,
    /// Bytes between two rows of a window.
    pub line: usize,
    /// Bytes between the windows of neighbours in a row.
    pub pixel: usize,
    /// Bytes between the windows of neighbours in a column.
    pub down: usize,
    /// Rows and columns of results.
    pub size: [usize; 2],
}

/// What becomes of the sums, and where it goes.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// Bytes.
    Bytes(*mut u8, &'a Requantise),
    /// Bytes, to which another map is added.
    Added(*mut u8, &'a Requantise, &'a Add, *const u8),
    /// Floats.
    Floats(*mut f32),
}

impl Target<'_> {
    /// The same from result `elements` on.
    pub fn behind(self, elements: usize) -> Self {
        match self {
            Target::Bytes(out, requantise) => Target::Bytes(out.wrapping_add(elements), requantise),
            Target::Added(out, requantise, add, added) => {
                Target::Added(out.wrapping_add(elements), requantise, add, added.wrapping_add(elements))
            }
            Target::Floats(out) => Target::Floats(out.wrapping_add(elements)),
        }
    }
}

/// All results of an image.
///
/// # Safety
/// Every window of `source` can be read, with its rows filled up to whole groups; `target` has room for every result, and
/// what is added has as many.
#[inline(always)]
pub unsafe fn run_rows<I: Isa>(conv: &Conv, source: Rows, target: Target) {
    // SAFETY: as above.
    unsafe {
        match target {
            Target::Bytes(out, requantise) => {
                let rounding = Rounding::new(&requantise.parameters);
                run_to::<I, _>(conv, source, ToBytes { out, rounding });
            }
            Target::Added(out, requantise, add, added) => {
                let rounding = Rounding::new(&requantise.parameters);
                run_to::<I, _>(conv, source, ToSum { out, rounding, add: Adding::new(add), added });
            }
            Target::Floats(out) => run_to::<I, _>(conv, source, ToFloats(out)),
        }
    }
}

/// As [`run_rows`], by tiles of as many pixels as there are registers for.
#[inline(always)]
unsafe fn run_to<I: Isa, W: Write<I>>(conv: &Conv, source: Rows, writer: W) {
    // SAFETY: as above.
    unsafe {
        match I::ROWS {
            rows if source.size[1] < rows => run_tiles::<I, W, 1>(conv, source, writer),
            8 => run_tiles::<I, W, 8>(conv, source, writer),
            4 => run_tiles::<I, W, 4>(conv, source, writer),
            3 => run_tiles::<I, W, 3>(conv, source, writer),
            _ => run_tiles::<I, W, 2>(conv, source, writer),
        }
    }
}

/// As [`run_rows`], by tiles of `ROWS` pixels, of which there is at least one in a row.
#[inline(always)]
unsafe fn run_tiles<I: Isa, W: Write<I>, const ROWS: usize>(conv: &Conv, source: Rows, writer: W) {
    let [rows, columns] = source.size;
    let width = 2 * I::LANES;
    let panels = conv.bias.len() / width;
    let panel_bytes = conv.weights.len() / panels;
    // SAFETY: no pointers. As the rounding's constant, not known to the browser.
    let ones = unsafe { I::splat_ints(black_box(0x1_0001)) };
    let block = (BLOCK_BYTES / source.pixel.max(1)).max(ROWS);
    for row in 0..rows {
        let mut first = 0;
        while first < columns {
            let remaining = columns - first;
            let pixels = if remaining < block + ROWS { remaining } else { block };
            for number in 0..panels {
                let channel = number * width;
                // SAFETY: weights, bias and factors are of whole panels.
                unsafe {
                    let factors = conv.factors.as_ptr().add(channel);
                    let panel = Panel::<I> {
                        weights: conv.weights.as_ptr().add(number * panel_bytes),
                        bias: conv.bias.as_ptr().add(channel),
                        extras: if I::HAS_SHORT_STEP { conv.extras.of_panel(number) } else { &[] },
                        extra_weights: if I::HAS_SHORT_STEP { conv.extras.weights_of(number) } else { &[] },
                        ones,
                    };
                    let factors = [I::load_floats(factors), I::load_floats(factors.add(I::LANES))];
                    let filled = width.min(conv.cout - channel);
                    let mut x = source.x.add(row * source.down + first * source.pixel);
                    let mut at = (row * columns + first) * conv.cout + channel;
                    let mut left = pixels;
                    loop {
                        let sums = tile_sums::<I, ROWS>(conv, source, x, &panel);
                        for_each_row!(i in ROWS {
                            let scaled = scaled::<I>(sums[i], factors);
                            writer.put(scaled, at.wrapping_add(i.wrapping_mul(conv.cout)), filled);
                        });
                        // The last tile repeats some of the one before it rather than reach beyond the end.
                        let step = left.wrapping_sub(ROWS).min(ROWS);
                        if step == 0 {
                            break;
                        }
                        x = x.wrapping_add(step.wrapping_mul(source.pixel));
                        at = at.wrapping_add(step.wrapping_mul(conv.cout));
                        left = left.wrapping_sub(step);
                    }
                }
            }
            first += pixels;
        }
    }
}

/// Some outputs.
struct Panel<'a, I: Isa> {
    weights: *const i8,
    bias: *const i32,
    extras: &'a [[u32; 2]],
    extra_weights: &'a [i8],
    /// Sixteen bits each.
    ones: I::Ints,
}

/// The sums of the pixels from `x` on.
#[inline(always)]
unsafe fn tile_sums<I: Isa, const ROWS: usize>(
    conv: &Conv,
    source: Rows,
    x: *const u8,
    panel: &Panel<I>,
) -> [[I::Ints; MAX_PARTS]; ROWS] {
    let bytes = I::PARTS * I::PART_BYTES;
    // SAFETY: the caller vouches for the windows; weights, bias and factors are of whole panels.
    unsafe {
        let mut windows = [x; ROWS];
        for_each_row!(i in ROWS { windows[i] = x.wrapping_add(i.wrapping_mul(source.pixel)); });
        let first_windows = windows;
        let mut sums = [I::start(panel.bias); ROWS];
        let mut weights = panel.weights;
        for _ in 0..conv.window_rows {
            let mut x = windows;
            for _ in 0..conv.groups / I::CHUNK {
                if I::HAS_SHORT_STEP {
                    for_each_row!(i in ROWS {
                        for (part, sum) in sums[i].iter_mut().enumerate().take(I::PARTS) {
                            *sum = I::step_short(*sum, x[i], weights.add(part * I::PART_BYTES), panel.ones);
                        }
                    });
                } else {
                    for group in 0..I::CHUNK {
                        add_group::<I, ROWS>(&mut sums, &x, group * GROUP, weights.add(group * bytes));
                    }
                }
                for_each_row!(i in ROWS { x[i] = x[i].add(I::CHUNK * GROUP); });
                weights = weights.add(I::CHUNK * bytes);
            }
            for group in 0..conv.groups % I::CHUNK {
                add_group::<I, ROWS>(&mut sums, &x, group * GROUP, weights);
                weights = weights.add(bytes);
            }
            for_each_row!(i in ROWS { windows[i] = windows[i].wrapping_add(source.line); });
        }
        let mut weights = panel.extra_weights.as_ptr();
        for &[row, at] in panel.extras {
            let offset = (row as usize).wrapping_mul(source.line).wrapping_add(at as usize);
            add_group::<I, ROWS>(&mut sums, &first_windows, offset, weights);
            weights = weights.add(bytes);
        }
        sums
    }
}

/// Adds the products of one group of inputs, which lie `at` bytes behind `x`.
#[inline(always)]
unsafe fn add_group<I: Isa, const ROWS: usize>(
    sums: &mut [[I::Ints; MAX_PARTS]; ROWS],
    x: &[*const u8; ROWS],
    at: usize,
    weights: *const i8,
) {
    // SAFETY: the caller's.
    unsafe {
        for_each_row!(i in ROWS {
            for (part, sum) in sums[i].iter_mut().enumerate().take(I::PARTS) {
                *sum = I::step(*sum, x[i].add(at), weights.add(part * I::PART_BYTES));
            }
        });
    }
}

/// The sums of a pixel times the factors of their outputs.
#[inline(always)]
unsafe fn scaled<I: Isa>(sums: [I::Ints; MAX_PARTS], factors: [I::Floats; 2]) -> [I::Floats; 2] {
    // SAFETY: no pointers.
    unsafe {
        let [low, high] = I::finish(sums);
        [I::mul(I::to_floats(low), factors[0]), I::mul(I::to_floats(high), factors[1])]
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

/// Writes floats.
struct ToFloats(*mut f32);

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
