//! Batched matrix products of two variable arrays.

use super::clamp::Clamp;
use super::matrix::{Finish, PackedMatrix, multiply};

/// Product of the last two axes of two arrays whose other axes broadcast.
#[derive(Debug, Clone)]
pub struct MatMul {
    /// Rows, inner extent and columns.
    pub sizes: [usize; 3],
    /// For each product of the result the numbers of the two matrices.
    pub pairs: Vec<[usize; 2]>,
}

impl MatMul {
    /// The products of arrays whose other axes are `front_a` and `front_b`.
    pub fn new(front_a: &[usize], front_b: &[usize], sizes: [usize; 3]) -> Self {
        let rank = front_a.len().max(front_b.len());
        let extent = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
        let mut pairs = vec![[0, 0]];
        for axis in 0..rank {
            let [a, b] = [extent(front_a, axis), extent(front_b, axis)];
            let step = |[x, y]: [usize; 2]| {
                (0..a.max(b))
                    .map(move |i| [x * a + if a > 1 { i } else { 0 }, y * b + if b > 1 { i } else { 0 }])
            };
            pairs = pairs.into_iter().flat_map(step).collect();
        }
        MatMul { sizes, pairs }
    }

    /// `out` `[.., M, N]` of `a` `[.., M, K]` and `b` `[.., K, N]`.
    pub fn run(&self, a: &[f32], b: &[f32], out: &mut [f32], scratch: &mut Vec<f32>) {
        let [m, k, n] = self.sizes;
        let bias = vec![0.0; n];
        let finish = Finish { bias: &bias, added: None, clamp: Clamp::default() };
        let mut packed: Option<(usize, PackedMatrix)> = None;
        for (out, &[x, y]) in out.chunks_exact_mut(m * n).zip(&self.pairs) {
            let matrix = match packed.take() {
                Some((number, matrix)) if number == y => matrix,
                _ => PackedMatrix::new(k, n, |row, column| b[(y * k + row) * n + column]),
            };
            multiply(&a[x * m * k..][..m * k], &matrix, &finish, out, scratch);
            packed = Some((y, matrix));
        }
    }
}
