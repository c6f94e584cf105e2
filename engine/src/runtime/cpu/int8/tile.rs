//! The inner loops of the dense convolution: some pixels times some outputs, their sums in registers.
//!
//! Little but the innermost loop may cost anything: a layer of few channels has few turns of it. So nothing is checked
//! here that the caller can check once, and offsets are moved along rather than multiplied out.

use super::Requantise;
use super::add::{Add, Adding};
use super::conv::{Conv, GROUP, MAX_PANEL};
use super::isa::{Isa, MAX_PARTS};
use super::write::{Columns, Rounding, ToBytes, ToFloats, ToSum, Write, write_columns};
use std::hint::black_box;
use std::mem::MaybeUninit;

/// Input bytes that stay in the first cache while all weights pass by.
const BLOCK_BYTES: usize = 16 << 10;
/// Most pixels whose sums wait to be written, but for a tile more.
const MAX_BLOCK: usize = 96;
/// Most pixels of a tile.
const MAX_ROWS: usize = 8;

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
            6 => run_tiles::<I, W, 6>(conv, source, writer),
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
    let block = (BLOCK_BYTES / source.pixel.max(1)).clamp(ROWS, MAX_BLOCK);
    let mut sums = [const { MaybeUninit::<i32>::uninit() }; (MAX_BLOCK + MAX_ROWS) * MAX_PANEL];
    let sums: *mut i32 = sums.as_mut_ptr().cast();
    for row in 0..rows {
        let mut first = 0;
        while first < columns {
            let remaining = columns - first;
            let pixels = if remaining < block + ROWS { remaining } else { block };
            for number in 0..panels {
                let channel = number * width;
                // SAFETY: weights, bias and factors are of whole panels, the sums of a whole block and a tile.
                unsafe {
                    let panel = Panel::<I> {
                        weights: conv.weights.as_ptr().add(number * panel_bytes),
                        bias: conv.bias.as_ptr().add(channel),
                        extras: if I::HAS_SHORT_STEP { conv.extras.of_panel(number) } else { &[] },
                        extra_weights: if I::HAS_SHORT_STEP { conv.extras.weights_of(number) } else { &[] },
                        ones,
                    };
                    let x = source.x.add(row * source.down + first * source.pixel);
                    sum_panel::<I, ROWS>(conv, &panel, Rows { x, size: [1, pixels], ..source }, sums);
                    let place = Columns {
                        at: (row * columns + first) * conv.cout + channel,
                        pixels,
                        stride: conv.cout,
                        filled: width.min(conv.cout - channel),
                    };
                    write_columns::<I, W>(sums, conv.factors.as_ptr().add(channel), &place, &writer);
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

/// Writes the sums of a panel and of the pixels of `source`, one row, to `out`.
///
/// A function of its own in WebAssembly: beside what the results need, browsers keep too few of the sums in registers.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
unsafe fn sum_panel<I: Isa, const ROWS: usize>(conv: &Conv, panel: &Panel<I>, source: Rows, out: *mut i32) {
    let width = 2 * I::LANES;
    // SAFETY: the caller vouches for the windows and for the weights and sums of a whole panel.
    unsafe {
        let (mut x, mut out, mut left) = (source.x, out, source.size[1]);
        loop {
            let sums = tile_sums::<I, ROWS>(conv, source, x, panel);
            for_each_row!(i in ROWS {
                let [low, high] = I::finish(sums[i]);
                I::store_ints(low, out.add(i.wrapping_mul(width)));
                I::store_ints(high, out.add(i.wrapping_mul(width)).add(I::LANES));
            });
            // The last tile repeats some of the one before it rather than reach beyond the end.
            let step = left.wrapping_sub(ROWS).min(ROWS);
            if step == 0 {
                break;
            }
            x = x.wrapping_add(step.wrapping_mul(source.pixel));
            out = out.add(step.wrapping_mul(width));
            left = left.wrapping_sub(step);
        }
    }
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
