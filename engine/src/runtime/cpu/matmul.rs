//! Batched matrix products of two variable arrays.

use super::clamp::Clamp;
use super::matrix::{Finish, PackedMatrix, Panels, multiply, tile_elements};

/// Product of the last two axes of two arrays whose other axes broadcast.
#[derive(Debug, Clone)]
pub struct MatMul {
    /// Rows, inner extent and columns.
    pub sizes: [usize; 3],
    /// For each product of the result the numbers of the two matrices.
    pub pairs: Vec<[usize; 2]>,
    /// What is added to a row: nothing.
    zeros: Vec<f32>,
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
        MatMul { sizes, pairs, zeros: vec![0.0; sizes[2]] }
    }

    /// Elements that a run needs.
    pub fn scratch_elements(&self) -> usize {
        let [_, k, n] = self.sizes;
        PackedMatrix::packed_elements(k, n).saturating_add(tile_elements(k))
    }

    /// `out` `[.., M, N]` of `a` `[.., M, K]` and `b` `[.., K, N]`; `scratch` holds [`MatMul::scratch_elements`].
    pub fn run(&self, a: &[f32], b: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let [m, k, n] = self.sizes;
        let (packed, tile) = scratch.split_at_mut(PackedMatrix::packed_elements(k, n));
        let finish = Finish { bias: &self.zeros, added: None, clamp: Clamp::default() };
        let products = self.pairs.chunk_by(|one, next| one[1] == next[1]);
        let mut outs = out.chunks_exact_mut(m * n);
        for same_matrix in products {
            let y = same_matrix[0][1];
            let matrix = Panels::pack(k, n, packed, |row, column| b[(y * k + row) * n + column]);
            for (&[x, _], out) in same_matrix.iter().zip(&mut outs) {
                multiply(&a[x * m * k..][..m * k], matrix, &finish, out, tile);
            }
        }
    }
}
