//! Matrix product with constant right side, the heart of every dense layer.
//!
//! The constant is packed once into panels of [`COLUMNS`] columns; the variable side is packed tile
//! by tile into [`ROWS`] rows. One tile of results stays in registers over the whole sum (Goto and
//! van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008).

use super::clamp::Clamp;
use multiversion::multiversion;

/// Rows of a tile: with 4, and not with 6, the compiler keeps a tile in the registers of wasm simd128.
pub const ROWS: usize = 4;
/// Columns of a panel.
const COLUMNS: usize = 8;

/// A matrix `[K, M]` in panels `[M / 8][K][8]`, the last one filled up with zeros.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    k: usize,
    m: usize,
    values: &'a [f32],
}

impl<'a> Panels<'a> {
    /// `[M / 8][K][8]`, the last panel filled up with zeros.
    pub fn values(self) -> &'a [f32] {
        self.values
    }

    /// Packs the matrix `[k, m]` whose elements `value(row, column)` gives into `memory`, which is as long as
    /// [`PackedMatrix::packed_elements`] says.
    pub fn pack(k: usize, m: usize, memory: &'a mut [f32], value: impl Fn(usize, usize) -> f32) -> Self {
        for (panel, values) in memory.chunks_exact_mut(k * COLUMNS).enumerate() {
            let first = panel * COLUMNS;
            let filled = COLUMNS.min(m - first);
            for (row, values) in values.chunks_exact_mut(COLUMNS).enumerate() {
                for (i, target) in values.iter_mut().enumerate() {
                    *target = if i < filled { value(row, first + i) } else { 0.0 };
                }
            }
        }
        Panels { k, m, values: memory }
    }
}

/// A constant matrix `[K, M]`, packed.
pub struct PackedMatrix {
    k: usize,
    m: usize,
    panels: Vec<f32>,
}

impl PackedMatrix {
    /// Elements that a matrix `[k, m]` takes once packed.
    pub fn packed_elements(k: usize, m: usize) -> usize {
        m.div_ceil(COLUMNS).saturating_mul(COLUMNS).saturating_mul(k)
    }

    /// Packs the matrix `[k, m]` whose elements `value(row, column)` gives.
    pub fn new(k: usize, m: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let mut panels = vec![0.0; Self::packed_elements(k, m)];
        Panels::pack(k, m, &mut panels, value);
        PackedMatrix { k, m, panels }
    }

    /// Elements as they are packed.
    pub fn elements(&self) -> usize {
        self.panels.len()
    }

    /// The packed values.
    pub fn panels(&self) -> Panels<'_> {
        Panels { k: self.k, m: self.m, values: &self.panels }
    }

    /// Rows.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns.
    pub fn m(&self) -> usize {
        self.m
    }
}

/// What is done to a tile of a product before it is written.
pub struct Finish<'a> {
    /// Added to each row, `[M]`.
    pub bias: &'a [f32],
    /// Added to the whole, `[P, M]`.
    pub added: Option<&'a [f32]>,
    /// Limits of the result.
    pub clamp: Clamp,
}

/// Packs rows `[count, k]` of `x` into a tile `[k][ROWS]`; missing rows keep what was there.
#[inline(always)]
pub fn pack_rows(x: &[f32], k: usize, tile: &mut [f32]) {
    for (row, values) in x.chunks_exact(k).enumerate() {
        for (target, value) in tile.chunks_exact_mut(ROWS).zip(values) {
            target[row] = *value;
        }
    }
}

/// Rows `first..first + count` of the result `out` `[P, M]`: the packed `tile` `[K][ROWS]` times
/// `matrix`, finished.
#[multiversion(targets("x86_64+avx2"))]
pub fn multiply_tile(
    tile: &[f32],
    matrix: Panels,
    finish: &Finish,
    first: usize,
    count: usize,
    out: &mut [f32],
) {
    let m = matrix.m;
    for (panel, weights) in matrix.values.chunks_exact(matrix.k * COLUMNS).enumerate() {
        let mut sums = [[0f32; COLUMNS]; ROWS];
        for (x, w) in tile.chunks_exact(ROWS).zip(weights.chunks_exact(COLUMNS)) {
            for row in 0..ROWS {
                for column in 0..COLUMNS {
                    sums[row][column] += x[row] * w[column];
                }
            }
        }
        let column = panel * COLUMNS;
        let filled = COLUMNS.min(m - column);
        for (row, sums) in sums.iter().enumerate().take(count) {
            let at = (first + row) * m + column;
            let out = &mut out[at..at + filled];
            let bias = &finish.bias[column..column + filled];
            match finish.added {
                None => {
                    for ((out, sum), bias) in out.iter_mut().zip(sums).zip(bias) {
                        *out = finish.clamp.apply(sum + bias);
                    }
                }
                Some(added) => {
                    for (((out, sum), bias), added) in
                        out.iter_mut().zip(sums).zip(bias).zip(&added[at..at + filled])
                    {
                        *out = finish.clamp.apply(sum + bias + added);
                    }
                }
            }
        }
    }
}

/// Elements that [`multiply`] needs for a matrix of `k` rows while it runs.
pub fn tile_elements(k: usize) -> usize {
    k.saturating_mul(ROWS)
}

/// Product of `x` `[P, K]` and `matrix`, finished, to `out` `[P, M]`; `scratch` holds [`tile_elements`].
pub fn multiply(x: &[f32], matrix: Panels, finish: &Finish, out: &mut [f32], scratch: &mut [f32]) {
    let tile = &mut scratch[..matrix.k * ROWS];
    for (index, rows) in x.chunks(matrix.k * ROWS).enumerate() {
        pack_rows(rows, matrix.k, tile);
        multiply_tile(tile, matrix, finish, index * ROWS, rows.len() / matrix.k, out);
    }
}

/// A fully connected layer.
pub struct Linear {
    matrix: PackedMatrix,
    bias: Vec<f32>,
}

impl Linear {
    /// The layer `x * matrix + bias`.
    pub fn new(matrix: PackedMatrix, bias: Vec<f32>) -> Self {
        Linear { matrix, bias }
    }

    /// Elements of a row of the input, and of the result.
    pub fn sizes(&self) -> [usize; 2] {
        [self.matrix.k, self.matrix.m]
    }

    /// Of each output.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Weights `[K, M]`.
    pub fn panels(&self) -> Panels<'_> {
        self.matrix.panels()
    }

    /// Elements of its packed weights and biases.
    pub fn weight_elements(&self) -> usize {
        self.matrix.elements() + self.bias.len()
    }

    /// Elements that a run needs.
    pub fn scratch_elements(&self) -> usize {
        tile_elements(self.matrix.k)
    }

    /// The layer's result for rows `x` `[P, K]`; `scratch` holds [`Linear::scratch_elements`].
    pub fn run(&self, x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let finish = Finish { bias: &self.bias, added: None, clamp: Clamp::default() };
        multiply(x, self.matrix.panels(), &finish, out, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        (0..count as u32)
            .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 16) as f32 / 32768.0 - 1.0)
            .collect()
    }

    /// The sums in the promised order.
    fn plain(x: &[f32], w: &[f32], [p, k, m]: [usize; 3], finish: &Finish) -> Vec<f32> {
        let mut out = Vec::new();
        for row in 0..p {
            for column in 0..m {
                let sum = (0..k).fold(0.0, |sum, i| sum + x[row * k + i] * w[i * m + column]);
                let sum = sum + finish.bias[column];
                out.push(finish.clamp.apply(finish.added.map_or(sum, |added| sum + added[row * m + column])));
            }
        }
        out
    }

    #[test]
    fn any_size_equals_the_plain_sums_bit_for_bit() {
        for shape @ [p, k, m] in [[1, 1, 1], [6, 3, 8], [7, 5, 9], [13, 17, 31], [64, 27, 32]] {
            let (x, w) = (values(p * k, 1), values(k * m, 2));
            let (bias, added) = (values(m, 3), values(p * m, 4));
            let matrix = PackedMatrix::new(k, m, |row, column| w[row * m + column]);
            for added in [None, Some(&added[..])] {
                let finish = Finish { bias: &bias, added, clamp: Clamp { low: 0.0, high: 6.0 } };
                let mut out = vec![0.0; p * m];
                multiply(&x, matrix.panels(), &finish, &mut out, &mut vec![f32::NAN; tile_elements(k)]);
                assert_eq!(out, plain(&x, &w, shape, &finish), "{shape:?}");
            }
        }
    }
}
