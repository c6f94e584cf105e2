//! Principal components: how many directions the numbers of a network really use.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// The directions of largest variance of a set of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    /// Mean of each column, `[D]`.
    pub mean: DVector<f64>,
    /// One direction a row, of length 1, the largest variance first, `[K, D]`; in each the entry of the
    /// largest size is positive.
    pub directions: DMatrix<f64>,
    /// Share of the whole variance in each direction there is, also in those that are not kept,
    /// `[min(N, D)]`.
    pub shares: Vec<f64>,
}

impl Pca {
    /// The fewest directions of `rows` `[N, D]` that hold at least `share` of the variance.
    pub fn fit(rows: &DMatrix<f64>, share: f64) -> Self {
        let mean = DVector::from_fn(rows.ncols(), |c, _| rows.column(c).sum() / rows.nrows().max(1) as f64);
        let centred = DMatrix::from_fn(rows.nrows(), rows.ncols(), |r, c| rows[(r, c)] - mean[c]);
        // The smaller of the two products has the same eigenvalues as the larger one, but for zeros.
        let wide = rows.ncols() > rows.nrows();
        let product = if wide { &centred * centred.transpose() } else { centred.tr_mul(&centred) };
        let eigen = SymmetricEigen::new(product);
        let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let values: Vec<f64> = order.iter().map(|&i| eigen.eigenvalues[i].max(0.0)).collect();
        let total = values.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let shares: Vec<f64> = values.iter().map(|value| value / total).collect();
        let kept = order.iter().take(dimensions(&shares, share)).map(|&index| {
            let vector = eigen.eigenvectors.column(index);
            let direction = if wide { centred.tr_mul(&vector) } else { vector.into_owned() };
            let length = direction.norm() * if direction[direction.icamax()] < 0.0 { -1.0 } else { 1.0 };
            (direction / length).transpose()
        });
        let kept: Vec<_> = kept.collect();
        let directions =
            if kept.is_empty() { DMatrix::zeros(0, rows.ncols()) } else { DMatrix::from_rows(&kept) };
        Pca { mean, directions, shares }
    }

    /// `rows` `[N, D]` along the directions, `[N, K]`.
    pub fn apply(&self, rows: &DMatrix<f64>) -> DMatrix<f64> {
        let centred = DMatrix::from_fn(rows.nrows(), rows.ncols(), |r, c| rows[(r, c)] - self.mean[c]);
        centred * self.directions.transpose()
    }
}

/// How many of the largest `shares` together reach `share`.
pub fn dimensions(shares: &[f64], share: f64) -> usize {
    let mut sum = 0.0;
    let reached = shares.iter().position(|part| {
        sum += part;
        // The last bits of a sum of all may be missing.
        sum >= share - 1e-12
    });
    reached.map_or(shares.len(), |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_space_has_one_dimension() {
        let rows = DMatrix::from_fn(5, 3, |r, c| r as f64 * [1.0, -2.0, 2.0][c] + 7.0);
        let pca = Pca::fit(&rows, 0.99);
        assert_eq!((pca.directions.nrows(), pca.shares.len()), (1, 3));
        let expected = [-1.0 / 3.0, 2.0 / 3.0, -2.0 / 3.0];
        let first: Vec<f64> = pca.directions.row(0).iter().copied().collect();
        let same = |sign: f64| first.iter().zip(expected).all(|(a, b)| (a - sign * b).abs() < 1e-9);
        assert!(same(1.0) || same(-1.0), "{first:?}");
        assert!((pca.apply(&rows)[(4, 0)].abs() - 6.0).abs() < 1e-9);
    }

    #[test]
    fn few_rows_of_many_columns_give_the_same_directions() {
        let rows = DMatrix::from_fn(4, 9, |r, c| ((r * 7 + c * 3) % 5) as f64 + (r * c) as f64 * 0.1);
        let tall = Pca::fit(&rows, 1.0);
        let twice = DMatrix::from_fn(12, 9, |r, c| rows[(r % 4, c)]);
        let wide = Pca::fit(&twice, 1.0);
        assert_eq!((tall.directions.nrows(), wide.directions.nrows()), (3, 3));
        assert!((&tall.directions - &wide.directions).amax() < 1e-9);
    }

    #[test]
    fn dimensions_by_hand() {
        let shares = [0.5, 0.4, 0.06, 0.04];
        assert_eq!([0.5, 0.9, 0.95, 0.99, 1.0].map(|share| dimensions(&shares, share)), [1, 2, 3, 4, 4]);
        assert_eq!(dimensions(&[], 0.9), 0);
    }
}
