//! Rounding to a grid, with the gradients that quantisation-aware training needs.
//!
//! `clamp(round_half_even(x * factor), low, high)`, or `x / factor`. Rounding passes its gradient straight through
//! (Bengio et al., arXiv 1308.3432), what is clamped passes none. With a scale on both sides, `scale * round(x / scale)`,
//! the scale's gradient is that of learned step sizes (Esser et al., arXiv 1902.08153): `round(x / scale) - x / scale`
//! inside the limits, the limit outside.

use super::contiguous;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use multiversion::multiversion;
use rayon::prelude::*;

/// What is done to a value before it is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// It is multiplied by the factor.
    Times,
    /// It is divided by the factor.
    Over,
}

/// A grid of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// How values come onto it.
    pub scaling: Scaling,
    /// Smallest and largest number, both whole.
    pub limits: [f32; 2],
}

/// `x` `[C, ..]` on the grid, scaled by `factor`: `[C]`, one for each row, or `[1]`.
///
/// On the processor ties go to the even number, as in the engine; elsewhere as the device rounds them.
///
/// # Errors
/// If the shapes do not fit or a tensor is not `f32`.
pub fn round_to_grid(x: &Tensor, factor: &Tensor, grid: Grid) -> Result<Tensor> {
    if x.device().is_cpu() {
        return x.contiguous()?.apply_op2(&factor.contiguous()?, RoundToGrid(grid));
    }
    let mut shape = vec![1; x.rank()];
    shape[0] = factor.elem_count();
    let factor = factor.reshape(shape)?;
    let scaled = match grid.scaling {
        Scaling::Times => x.broadcast_mul(&factor)?,
        Scaling::Over => x.broadcast_div(&factor)?,
    };
    let [low, high] = grid.limits;
    let clamped = scaled.clamp(low, high)?;
    &clamped + (clamped.round()? - &clamped)?.detach()
}

struct RoundToGrid(Grid);

impl CustomOp2 for RoundToGrid {
    fn name(&self) -> &'static str {
        "round-to-grid"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        factor: &CpuStorage,
        lf: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let rows = Rows::new(lx, lf)?;
        let (x, factor) = (contiguous(x, lx, "round-to-grid")?, contiguous(factor, lf, "round-to-grid")?);
        let mut out = vec![0f32; x.len()];
        out.par_chunks_mut(rows.length)
            .zip(x.par_chunks(rows.length))
            .enumerate()
            .for_each(|(row, (out, x))| forward(x, factor[rows.factor(row)], self.0, out));
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        factor: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let op = RoundToGridGrad(self.0);
        // The input's gradient, then the factor's behind it.
        let both = x.contiguous()?.apply_op3_no_bwd(&factor.contiguous()?, &grad.contiguous()?, &op)?;
        let grad_x = both.narrow(0, 0, x.elem_count())?.reshape(x.shape())?;
        let grad_factor = both.narrow(0, x.elem_count(), factor.elem_count())?.reshape(factor.shape())?;
        Ok((Some(grad_x), Some(grad_factor)))
    }
}

struct RoundToGridGrad(Grid);

impl CustomOp3 for RoundToGridGrad {
    fn name(&self) -> &'static str {
        "round-to-grid-grad"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        factor: &CpuStorage,
        lf: &Layout,
        grad: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let rows = Rows::new(lx, lf)?;
        let op = "round-to-grid";
        let (x, factor) = (contiguous(x, lx, op)?, contiguous(factor, lf, op)?);
        let grad = contiguous(grad, lg, op)?;
        let mut out = vec![0f32; x.len() + factor.len()];
        let (grad_x, grad_factor) = out.split_at_mut(x.len());
        let of_rows: Vec<f32> = grad_x
            .par_chunks_mut(rows.length)
            .zip(x.par_chunks(rows.length).zip(grad.par_chunks(rows.length)))
            .enumerate()
            .map(|(row, (grad_x, (x, grad)))| backward(x, factor[rows.factor(row)], grad, self.0, grad_x))
            .collect();
        for (row, sum) in of_rows.into_iter().enumerate() {
            grad_factor[rows.factor(row)] += sum;
        }
        let count = out.len();
        Ok((CpuStorage::F32(out), Shape::from(count)))
    }
}

/// How values are shared among factors.
struct Rows {
    /// Values of a row.
    length: usize,
    /// One for all rows, or one each.
    factors: usize,
}

impl Rows {
    fn new(x: &Layout, factor: &Layout) -> Result<Self> {
        let (values, factors) = (x.shape().elem_count(), factor.shape().elem_count());
        let rows = x.dims().first().copied().unwrap_or(1);
        if values == 0 || (factors != 1 && factors != rows) {
            bail!("round-to-grid: {factors} factors for {:?}", x.dims());
        }
        Ok(Rows { length: values / rows, factors })
    }

    fn factor(&self, row: usize) -> usize {
        if self.factors == 1 { 0 } else { row }
    }
}

#[multiversion(targets("x86_64+avx512f+avx2", "x86_64+avx2"))]
fn forward(x: &[f32], factor: f32, Grid { scaling, limits: [low, high] }: Grid, out: &mut [f32]) {
    match scaling {
        Scaling::Times => {
            for (out, x) in out.iter_mut().zip(x) {
                *out = (x * factor).max(low).min(high).round_ties_even();
            }
        }
        Scaling::Over => {
            for (out, x) in out.iter_mut().zip(x) {
                *out = (x / factor).max(low).min(high).round_ties_even();
            }
        }
    }
}

/// Values whose gradients are summed up in single precision.
const BLOCK: usize = 1024;

/// Writes the gradient of `x` and returns that of the factor.
#[multiversion(targets("x86_64+avx512f+avx2", "x86_64+avx2"))]
fn backward(x: &[f32], factor: f32, grad: &[f32], grid: Grid, grad_x: &mut [f32]) -> f32 {
    let [low, high] = grid.limits;
    // d(x f)/dx = f, d(x f)/df = x; d(x / f)/dx = 1 / f, d(x / f)/df = -x / f^2
    let (slope, share) = match grid.scaling {
        Scaling::Times => (factor, 1.0),
        Scaling::Over => (1.0 / factor, -1.0 / (factor * factor)),
    };
    let mut total = 0f64;
    for ((x, grad), grad_x) in x.chunks(BLOCK).zip(grad.chunks(BLOCK)).zip(grad_x.chunks_mut(BLOCK)) {
        let mut lanes = [0f32; 16];
        for (i, ((x, grad), grad_x)) in x.iter().zip(grad).zip(grad_x).enumerate() {
            let scaled = x * slope;
            let passed = if scaled >= low && scaled <= high { *grad } else { 0.0 };
            *grad_x = passed * slope;
            lanes[i % 16] += passed * x;
        }
        total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    }
    total as f32 * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn variable(values: &[f32]) -> Result<Var> {
        Var::from_tensor(&Tensor::new(values, &Device::Cpu)?)
    }

    /// By hand, from the formulas of arXiv 1902.08153, section 2: `x / s` is 1.5, -10, 2.5, 7.5 and 45 within [-4, 7].
    #[test]
    fn a_learned_step_has_the_papers_gradients() -> Result<()> {
        let (x, s) = (variable(&[0.3, -2.0, 0.5, 1.5, 9.0])?, variable(&[0.2])?);
        let grid = Grid { scaling: Scaling::Over, limits: [-4.0, 7.0] };
        let q = round_to_grid(&x, &s, grid)?;
        assert_eq!(q.to_vec1::<f32>()?, [2.0, -4.0, 2.0, 7.0, 7.0]);
        let weights = Tensor::new(&[1f32, 2.0, 3.0, 4.0, 5.0], &Device::Cpu)?;
        let grads = (q.broadcast_mul(&s)? * weights)?.sum_all()?.backward()?;
        let of = |variable: &Var| -> Result<Vec<f32>> {
            let Some(grad) = grads.get(variable) else { bail!("no gradient") };
            grad.to_vec1()
        };
        assert_eq!(of(&x)?, [1.0, 0.0, 3.0, 0.0, 0.0]);
        // (2 - 1.5) * 1 + (-4) * 2 + (2 - 2.5) * 3 + 7 * 4 + 7 * 5
        assert!((of(&s)?[0] - 54.0).abs() < 1e-4, "{:?}", of(&s)?);
        Ok(())
    }

    #[test]
    fn each_row_has_its_factor_and_ties_are_even() -> Result<()> {
        let x = Tensor::new(&[[0.5f32, 1.5, 2.5], [0.25, 0.75, -9.0]], &Device::Cpu)?;
        let x = Var::from_tensor(&x)?;
        let factor = variable(&[1.0, 2.0])?;
        let grid = Grid { scaling: Scaling::Times, limits: [-8.0, 8.0] };
        let y = round_to_grid(&x, &factor, grid)?;
        assert_eq!(y.to_vec2::<f32>()?, [[0.0, 2.0, 2.0], [0.0, 2.0, -8.0]]);
        let grads = y.sum_all()?.backward()?;
        let Some(grad) = grads.get(&factor) else { bail!("no gradient") };
        assert_eq!(grad.to_vec1::<f32>()?, [4.5, 1.0]);
        let Some(grad) = grads.get(&x) else { bail!("no gradient") };
        assert_eq!(grad.to_vec2::<f32>()?, [[1.0, 1.0, 1.0], [2.0, 2.0, 0.0]]);
        Ok(())
    }

    #[test]
    fn other_counts_of_factors_are_refused() -> Result<()> {
        let grid = Grid { scaling: Scaling::Over, limits: [0.0, 1.0] };
        let x = Tensor::zeros((3, 2), candle_core::DType::F32, &Device::Cpu)?;
        assert!(round_to_grid(&x, &Tensor::new(&[1f32, 1.0], &Device::Cpu)?, grid).is_err());
        Ok(())
    }
}
