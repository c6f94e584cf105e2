//! The inner loops of the dense convolution: some pixels times some outputs, their sums in registers.

use super::Parameters;
use super::conv::{Conv, Finish, GROUP, MAX_PANEL};
use super::isa::{Isa, MAX_PARTS};

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

/// Where a row of pixels begins and what lies between them.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The map.
    pub x: &'a [u8],
    /// Bytes between two rows of the map.
    pub line: usize,
    /// Bytes between the windows of neighbours.
    pub pixel: usize,
}

/// Where the results go.
pub enum Target<'a> {
    /// Bytes, and what is added to them.
    Bytes { out: &'a mut [u8], added: Option<&'a [u8]> },
    /// Floats.
    Floats(&'a mut [f32]),
}

/// All outputs of an image, of `rows` by `columns` pixels.
///
/// # Safety
/// Every window of `source` lies within its bytes.
#[inline(always)]
pub unsafe fn run_rows<I: Isa>(conv: &Conv, source: Rows, size: [usize; 2], target: &mut Target) {
    // SAFETY: as above.
    unsafe {
        match I::ROWS {
            8 => run_tiles::<I, 8>(conv, source, size, target),
            4 => run_tiles::<I, 4>(conv, source, size, target),
            _ => run_tiles::<I, 2>(conv, source, size, target),
        }
    }
}

/// As [`run_rows`], by tiles of `ROWS` pixels.
#[inline(always)]
unsafe fn run_tiles<I: Isa, const ROWS: usize>(
    conv: &Conv,
    source: Rows,
    [rows, columns]: [usize; 2],
    target: &mut Target,
) {
    let block = (BLOCK_BYTES / source.pixel.max(1)).next_multiple_of(ROWS);
    for row in 0..rows {
        for first in (0..columns).step_by(block) {
            let last = columns.min(first + block);
            for panel in 0..conv.bias.len() / (2 * I::LANES) {
                for pixel in (first..last).step_by(ROWS) {
                    let tile = Tile { row, pixel, count: ROWS.min(last - pixel), panel };
                    // SAFETY: as above.
                    unsafe { run_tile::<I, ROWS>(conv, source, &tile, columns, target) };
                }
            }
        }
    }
}

/// Some neighbouring pixels of a row, and some outputs.
struct Tile {
    row: usize,
    pixel: usize,
    /// Pixels.
    count: usize,
    /// Number of the panel of outputs.
    panel: usize,
}

/// The outputs of a tile.
#[inline(always)]
unsafe fn run_tile<I: Isa, const ROWS: usize>(
    conv: &Conv,
    source: Rows,
    tile: &Tile,
    columns: usize,
    target: &mut Target,
) {
    let width = 2 * I::LANES;
    let [kh, kw] = conv.geometry.kernel;
    let groups = (kw * conv.channels).div_ceil(GROUP);
    let bytes = I::PARTS * I::PART_BYTES;
    let channel = tile.panel * width;
    // SAFETY: the caller vouches for the windows; weights, bias and factors are of whole panels.
    unsafe {
        let base = source.x.as_ptr().add(tile.row * conv.geometry.strides[0] * source.line);
        let mut windows = [base; ROWS];
        for_each_row!(i in ROWS {
            // Pixels that are missing at the end repeat the last one and are not written.
            windows[i] = base.add((tile.pixel + i.min(tile.count - 1)) * source.pixel);
        });
        let mut sums = [I::start(conv.bias.as_ptr().add(channel)); ROWS];
        let mut weights = conv.weights.as_ptr().add(tile.panel * kh * groups * bytes);
        for _ in 0..kh {
            let mut x = windows;
            for _ in 0..groups / I::CHUNK {
                for group in 0..I::CHUNK {
                    add_group::<I, ROWS>(&mut sums, &x, group * GROUP, weights.add(group * bytes));
                }
                for_each_row!(i in ROWS { x[i] = x[i].add(I::CHUNK * GROUP); });
                weights = weights.add(I::CHUNK * bytes);
            }
            for group in 0..groups % I::CHUNK {
                add_group::<I, ROWS>(&mut sums, &x, group * GROUP, weights);
                weights = weights.add(bytes);
            }
            for_each_row!(i in ROWS { windows[i] = windows[i].wrapping_add(source.line); });
        }
        let factors = conv.factors.as_ptr().add(channel);
        let factors = [I::load_floats(factors), I::load_floats(factors.add(I::LANES))];
        let first = (tile.row * columns + tile.pixel) * conv.cout + channel;
        let filled = width.min(conv.cout - channel);
        let last = first + (tile.count - 1) * conv.cout + filled;
        match (target, &conv.finish) {
            (Target::Bytes { out, .. }, Finish::Bytes(requantise)) if filled == width => {
                assert!(last <= out.len());
                let out = out.as_mut_ptr().add(first);
                let limits = limits_of::<I>(&requantise.parameters);
                let zero_point = requantise.parameters.zero_point;
                for_each_row!(i in ROWS {
                    let scaled = scaled::<I>(sums[i], factors);
                    if i < tile.count {
                        I::store_bytes(rounded::<I>(scaled, limits, zero_point), out.add(i * conv.cout));
                    }
                });
            }
            (Target::Bytes { out, added: Some(added) }, Finish::Added(requantise, add))
                if filled == width =>
            {
                assert!(last <= out.len() && last <= added.len());
                let (out, added) = (out.as_mut_ptr().add(first), added.as_ptr().add(first));
                let limits = limits_of::<I>(&requantise.parameters);
                let zero_point = requantise.parameters.zero_point;
                for_each_row!(i in ROWS {
                    let scaled = scaled::<I>(sums[i], factors);
                    if i < tile.count {
                        let at = i * conv.cout;
                        let bytes = rounded::<I>(scaled, limits, zero_point);
                        I::store_bytes(add.apply::<I>(bytes, I::load_bytes(added.add(at))), out.add(at));
                    }
                });
            }
            (target, _) => {
                for_each_row!(i in ROWS {
                    let scaled = scaled::<I>(sums[i], factors);
                    if i < tile.count {
                        put_part::<I>(&conv.finish, scaled, first + i * conv.cout, filled, target);
                    }
                });
            }
        }
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

/// Smallest and largest rounded value before the zero point is added, in all lanes.
#[inline(always)]
pub unsafe fn limits_of<I: Isa>(parameters: &Parameters) -> [I::Floats; 2] {
    let [low, high] = parameters.limits();
    // SAFETY: no pointers.
    unsafe { [I::splat(low), I::splat(high)] }
}

/// Scaled sums as bytes that are still 32 bits wide.
#[inline(always)]
pub unsafe fn rounded<I: Isa>(
    scaled: [I::Floats; 2],
    limits: [I::Floats; 2],
    zero_point: i32,
) -> [I::Ints; 2] {
    // SAFETY: no pointers.
    unsafe {
        [I::round(I::clamp(scaled[0], limits), zero_point), I::round(I::clamp(scaled[1], limits), zero_point)]
    }
}

/// Writes the first `filled` results of a pixel at element `at`, by way of arrays.
#[inline(always)]
unsafe fn put_part<I: Isa>(
    finish: &Finish,
    scaled: [I::Floats; 2],
    at: usize,
    filled: usize,
    target: &mut Target,
) {
    // SAFETY: the arrays are as long as the longest panel.
    unsafe {
        let (requantise, add) = match finish {
            Finish::Bytes(requantise) => (requantise, None),
            Finish::Added(requantise, add) => (requantise, Some(add)),
            Finish::Floats(_) => {
                let Target::Floats(out) = target else { unreachable!("the plan matches finish and target") };
                let mut values = [0.0; MAX_PANEL];
                I::store_floats(scaled[0], values.as_mut_ptr());
                I::store_floats(scaled[1], values.as_mut_ptr().add(I::LANES));
                out[at..at + filled].copy_from_slice(&values[..filled]);
                return;
            }
        };
        let Target::Bytes { out, added } = target else { unreachable!("the plan matches finish and target") };
        let parameters = &requantise.parameters;
        let mut bytes = rounded::<I>(scaled, limits_of::<I>(parameters), parameters.zero_point);
        if let (Some(add), Some(added)) = (add, added) {
            let mut others = [0; MAX_PANEL];
            others[..filled].copy_from_slice(&added[at..at + filled]);
            bytes = add.apply::<I>(bytes, I::load_bytes(others.as_ptr()));
        }
        let mut values = [0; MAX_PANEL];
        I::store_bytes(bytes, values.as_mut_ptr());
        out[at..at + filled].copy_from_slice(&values[..filled]);
    }
}
