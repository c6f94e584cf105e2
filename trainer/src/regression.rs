//! Logistic regression: what a straight line through a few numbers can tell.

use crate::metrics::sigmoid;
use nalgebra::{Cholesky, DMatrix, DVector};

/// Steps of Newton's method, which needs about ten.
const MAX_STEPS: usize = 100;
/// Largest slope at which it has arrived.
const TOLERANCE: f64 = 1e-11;

/// Mean and deviation of each column, to bring columns to one scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Mean of each column.
    pub mean: DVector<f64>,
    /// Population deviation of each column; 1 where a column never changes, as it then says nothing.
    pub deviation: DVector<f64>,
}

impl Scale {
    /// The scale of `rows` `[N, D]`.
    pub fn of(rows: &DMatrix<f64>) -> Self {
        let count = rows.nrows().max(1) as f64;
        let columns = |of: &dyn Fn(usize) -> f64| DVector::from_fn(rows.ncols(), |column, _| of(column));
        let mean = columns(&|c| rows.column(c).sum() / count);
        let deviation = columns(&|c| {
            let variance = rows.column(c).iter().map(|v| (v - mean[c]).powi(2)).sum::<f64>() / count;
            // What is left of a constant column is rounding.
            if variance.sqrt() <= 1e-12 * mean[c].abs() { 1.0 } else { variance.sqrt() }
        });
        Scale { mean, deviation }
    }

    /// `rows` `[N, D]` on the scale.
    pub fn apply(&self, rows: &DMatrix<f64>) -> DMatrix<f64> {
        DMatrix::from_fn(rows.nrows(), rows.ncols(), |r, c| (rows[(r, c)] - self.mean[c]) / self.deviation[c])
    }
}

/// P(fake) = sigmoid(weights . x + bias).
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    /// One for each column.
    pub weights: DVector<f64>,
    /// The logit of a row of zeros.
    pub bias: f64,
}

impl Regression {
    /// The regression that minimises mean cross entropy + `ridge` / 2 |weights|^2 over `rows` `[N, D]`
    /// by Newton's method; the bias is free.
    ///
    /// `ridge` must be positive: without it the weights of separable classes have no end.
    pub fn fit(rows: &DMatrix<f64>, fakes: &[bool], ridge: f64) -> Self {
        assert!(ridge > 0.0 && rows.nrows() == fakes.len());
        let (count, columns) = rows.shape();
        // The bias is the weight of a last column of ones.
        let x = rows.clone().insert_column(columns, 1.0);
        let y = DVector::from_fn(count, |row, _| f64::from(u8::from(fakes[row])));
        let pull = DVector::from_fn(columns + 1, |column, _| if column < columns { ridge } else { 0.0 });
        let objective = |w: &DVector<f64>| {
            let logits = &x * w;
            let term = |(z, y): (&f64, &f64)| z.max(0.0) - z * y + (-z.abs()).exp().ln_1p();
            let entropy = logits.iter().zip(y.iter()).map(term).sum::<f64>() / count.max(1) as f64;
            entropy + 0.5 * pull.component_mul(w).dot(w)
        };
        let mut w = DVector::zeros(columns + 1);
        for _ in 0..MAX_STEPS {
            let p = (&x * &w).map(sigmoid);
            let slope = x.tr_mul(&(&p - &y)) / count.max(1) as f64 + pull.component_mul(&w);
            if slope.amax() <= TOLERANCE {
                break;
            }
            // Kept off 0, so that rows that are told for certain leave the curvature a way to be inverted.
            let weight = p.map(|p| (p * (1.0 - p)).max(1e-12) / count.max(1) as f64);
            let scaled = DMatrix::from_fn(count, columns + 1, |r, c| x[(r, c)] * weight[r]);
            let curvature = x.tr_mul(&scaled) + DMatrix::from_diagonal(&pull);
            let Some(curvature) = Cholesky::new(curvature) else { break };
            let step = curvature.solve(&slope);
            // Far from the end a whole step may overshoot.
            let before = objective(&w);
            let mut length = 1.0;
            while length > 1e-6 && objective(&(&w - &step * length)) > before {
                length /= 2.0;
            }
            w -= step * length;
        }
        Regression { bias: w[columns], weights: w.rows(0, columns).into_owned() }
    }

    /// The logit of each of `rows` `[N, D]`.
    pub fn logits(&self, rows: &DMatrix<f64>) -> Vec<f64> {
        (rows * &self.weights).add_scalar(self.bias).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separable_classes_get_finite_weights() {
        let rows = DMatrix::from_row_slice(4, 1, &[-2.0, -1.0, 1.0, 2.0]);
        let model = Regression::fit(&rows, &[false, false, true, true], 1e-3);
        assert!(
            model.weights[0] > 1.0 && model.weights[0].is_finite() && model.bias.abs() < 1e-9,
            "{model:?}"
        );
        let logits = model.logits(&rows);
        assert!(logits[1] < 0.0 && logits[2] > 0.0);
    }

    #[test]
    fn a_constant_column_changes_nothing() {
        let rows = DMatrix::from_row_slice(3, 2, &[1.0, 0.1, 2.0, 0.1, 3.0, 0.1]);
        let scale = Scale::of(&rows);
        assert_eq!(scale.deviation[1], 1.0);
        let scaled = scale.apply(&rows);
        assert!(scaled.column(0).sum().abs() < 1e-12 && scaled.column(1).amax() < 1e-12);
    }
}
