//! Softmax with its gradient; the stock `softmax_last_dim` cuts the graph silently.

use super::contiguous;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, Layout, Result, Shape, Tensor};
use multiversion::multiversion;
use rayon::prelude::*;

/// Softmax of `x` over its last axis: `y_i = exp(x_i - max x) / sum_j exp(x_j - max x)`.
///
/// # Errors
/// If `x` is not an `f32` tensor of rank 1 or more.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        // Made of single operations, which keep the graph.
        return candle_nn::ops::softmax(x, D::Minus1);
    }
    x.contiguous()?.apply_op1(Softmax)
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = contiguous(x, layout, "softmax")?;
        let row = row(layout)?;
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(row).zip(x.par_chunks(row)).for_each(|(y, x)| softmax_row(x, y));
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        y.contiguous()?.apply_op2_no_bwd(&grad.contiguous()?, &SoftmaxGrad).map(Some)
    }
}

struct SoftmaxGrad;

impl CustomOp2 for SoftmaxGrad {
    fn name(&self) -> &'static str {
        "softmax-grad"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        ly: &Layout,
        grad: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (y, grad) = (contiguous(y, ly, "softmax")?, contiguous(grad, lg, "softmax")?);
        let row = row(ly)?;
        let mut out = vec![0f32; y.len()];
        out.par_chunks_mut(row)
            .zip(y.par_chunks(row).zip(grad.par_chunks(row)))
            .for_each(|(out, (y, grad))| grad_row(y, grad, out));
        Ok((CpuStorage::F32(out), ly.shape().clone()))
    }
}

/// Values of the last axis.
fn row(layout: &Layout) -> Result<usize> {
    match layout.dims().last() {
        Some(&row) if row > 0 => Ok(row),
        _ => candle_core::bail!("softmax of shape {:?}: expected a last axis", layout.dims()),
    }
}

fn softmax_row(x: &[f32], y: &mut [f32]) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for (y, x) in y.iter_mut().zip(x) {
        *y = (x - largest).exp();
    }
    let scale = 1.0 / y.iter().sum::<f32>();
    y.iter_mut().for_each(|y| *y *= scale);
}

/// `dx_i = y_i (g_i - sum_j g_j y_j)`
#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn grad_row(y: &[f32], grad: &[f32], out: &mut [f32]) {
    let dot: f32 = y.iter().zip(grad).map(|(y, g)| y * g).sum();
    for ((out, y), g) in out.iter_mut().zip(y).zip(grad) {
        *out = y * (g - dot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{close, random};
    use candle_core::Device;

    #[test]
    fn values_and_gradients_equal_the_plain_formula() -> Result<()> {
        let x = random(&Device::Cpu, &[3, 2, 17], 1)?;
        let ours = softmax(&x)?;
        // candle's other softmax, made of single operations, keeps the graph.
        let theirs = candle_nn::ops::softmax(&x, D::Minus1)?;
        close(&ours, &theirs, 1e-6)?;
        let direction = random(&Device::Cpu, &[3, 2, 17], 2)?;
        let ours = (ours * direction.as_tensor())?.sum_all()?.backward()?;
        let theirs = (theirs * direction.as_tensor())?.sum_all()?.backward()?;
        let (Some(ours), Some(theirs)) = (ours.get(&x), theirs.get(&x)) else { panic!("no gradient") };
        close(ours, theirs, 1e-6)
    }

    #[test]
    fn large_values_stay_finite() -> Result<()> {
        let y = softmax(&Tensor::new(&[[1000f32, 0.0], [-1000.0, -1000.0]], &Device::Cpu)?)?;
        assert_eq!(y.to_vec2::<f32>()?, [[1.0, 0.0], [0.5, 0.5]]);
        Ok(())
    }
}
