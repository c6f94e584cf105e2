//! Batch norm with its activation in one pass (Ioffe and Szegedy, arXiv 1502.03167).
//!
//! `y = act((x - mean) / sqrt(var + eps) * gamma + beta)`, mean and variance of each channel over
//! the batch (training) or given (evaluation). The stock layer leaves seven tensors behind for the
//! backward pass; this one leaves none but its output.

#[cfg(feature = "cuda")]
use super::cuda;
use super::silu::{silu, silu_grad};
use super::{contiguous, dims4};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, DType, Layout, Result, Shape, Tensor};
use multiversion::multiversion;
use rayon::prelude::*;

/// What follows the affine part of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(x, 0)`; its gradient at 0 is 0.
    Relu,
    /// `min(max(x, 0), 6)`; its gradient at both ends is 0.
    Relu6,
    /// `x * sigmoid(x)`.
    Silu,
}

impl Activation {
    /// What values are clamped to; wider than every value where nothing is cut off.
    fn bounds(self) -> [f32; 2] {
        match self {
            Activation::Identity | Activation::Silu => [f32::NEG_INFINITY, f32::INFINITY],
            Activation::Relu => [0.0, f32::INFINITY],
            Activation::Relu6 => [0.0, 6.0],
        }
    }
}

/// Mean and biased variance of each channel, on the device of what they were taken of.
#[derive(Debug, Clone)]
pub struct Moments {
    /// `[C]`: mean over `H`, `W` and `N`.
    pub mean: Tensor,
    /// `[C]`: variance over `H`, `W` and `N`, divided by their product.
    pub variance: Tensor,
}

/// `[C, H, W, N]` normalised by the batch's own moments, and those moments.
///
/// # Errors
/// If the shapes do not fit or a tensor is not `f32`.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    epsilon: f64,
    activation: Activation,
) -> Result<(Tensor, Moments)> {
    let x = x.contiguous()?;
    let moments = x.apply_op1_no_bwd(&BatchMoments)?;
    let (mean, variance) = (moments.get(0)?, moments.get(1)?);
    let op = BatchNorm { moments, from_batch: true, epsilon: epsilon as f32, activation };
    Ok((x.apply_op3(gamma, beta, op)?, Moments { mean, variance }))
}

/// `[C, H, W, N]` normalised by the given running `mean` and `variance`, each `[C]`.
///
/// # Errors
/// If the shapes do not fit or a tensor is not `f32`.
pub fn batch_norm_eval(
    x: &Tensor,
    [gamma, beta, mean, variance]: [&Tensor; 4],
    epsilon: f64,
    activation: Activation,
) -> Result<Tensor> {
    let moments = Tensor::stack(&[mean, variance], 0)?.detach();
    let op = BatchNorm { moments, from_batch: false, epsilon: epsilon as f32, activation };
    x.contiguous()?.apply_op3(gamma, beta, op)
}

/// `[2, C]` of `[C, H, W, N]`: means, then variances.
struct BatchMoments;

impl CustomOp1 for BatchMoments {
    fn name(&self) -> &'static str {
        "batch-moments"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [c, h, w, n] = dims4(layout)?;
        let x = contiguous(x, layout, "batch-moments")?;
        let (mut moments, variance): (Vec<f32>, Vec<f32>) = x.par_chunks(h * w * n).map(row_moments).unzip();
        moments.extend(variance);
        Ok((CpuStorage::F32(moments), Shape::from((2, c))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::batch_norm::moments(x, layout)
    }
}

#[derive(Clone)]
pub(super) struct BatchNorm {
    /// `[2, C]`: means, then variances.
    pub moments: Tensor,
    /// Whether the moments depend on `x`, which changes the gradient.
    pub from_batch: bool,
    pub epsilon: f32,
    pub activation: Activation,
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        gamma: &CpuStorage,
        lg: &Layout,
        beta: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [c, h, w, n] = dims4(lx)?;
        let x = contiguous(x, lx, "batch-norm")?;
        let (gamma, beta) = (contiguous(gamma, lg, "batch-norm")?, contiguous(beta, lb, "batch-norm")?);
        let row = h * w * n;
        let moments: Vec<Vec<f32>> = self.moments.to_vec2()?;
        let mut y = vec![0f32; c * row];
        y.par_chunks_mut(row).zip(x.par_chunks(row)).enumerate().for_each(|(i, (y, x))| {
            let scale = gamma[i] / (moments[1][i] + self.epsilon).sqrt();
            let shift = beta[i] - moments[0][i] * scale;
            scale_shift(x, scale, shift, self.activation.bounds(), y);
            if self.activation == Activation::Silu {
                silu(y);
            }
        });
        Ok((CpuStorage::F32(y), Shape::from((c, h, w, n))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        gamma: &CudaStorage,
        lg: &Layout,
        beta: &CudaStorage,
        lb: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::batch_norm::forward(self, (x, lx), (gamma, lg), (beta, lb))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (c, row) = (x.dim(0)?, x.elem_count() / x.dim(0)?);
        let grad = grad.contiguous()?;
        let op = BatchNormGrad { forward: self.clone(), gamma: gamma.clone(), beta: beta.clone() };
        // Rows of the result: the input's gradient, then gamma's and beta's behind it.
        let all = x.contiguous()?.apply_op3_no_bwd(y, &grad, &op)?;
        let grad_x = all.narrow(0, 0, c * row)?.reshape(x.shape())?;
        let grad_gamma = all.narrow(0, c * row, c)?;
        let grad_beta = all.narrow(0, c * row + c, c)?;
        debug_assert_eq!(all.dtype(), DType::F32);
        Ok((Some(grad_x), Some(grad_gamma), Some(grad_beta)))
    }
}

pub(super) struct BatchNormGrad {
    pub forward: BatchNorm,
    pub gamma: Tensor,
    pub beta: Tensor,
}

impl CustomOp3 for BatchNormGrad {
    fn name(&self) -> &'static str {
        "batch-norm-grad"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        y: &CpuStorage,
        ly: &Layout,
        grad: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [c, h, w, n] = dims4(lx)?;
        let row = h * w * n;
        let x = contiguous(x, lx, "batch-norm")?;
        let y = contiguous(y, ly, "batch-norm")?;
        let grad = contiguous(grad, lg, "batch-norm")?;
        let moments: Vec<Vec<f32>> = self.forward.moments.to_vec2()?;
        let (gamma, beta): (Vec<f32>, Vec<f32>) = (self.gamma.to_vec1()?, self.beta.to_vec1()?);
        let mut out = vec![0f32; c * row + 2 * c];
        let (grad_x, tail) = out.split_at_mut(c * row);
        let (grad_gamma, grad_beta) = tail.split_at_mut(c);
        grad_x.par_chunks_mut(row).zip(grad_gamma.par_iter_mut().zip(grad_beta)).enumerate().for_each(
            |(i, (grad_x, (grad_gamma, grad_beta)))| {
                let range = i * row..(i + 1) * row;
                let (mean, variance) = (moments[0][i], moments[1][i]);
                let inverse_std = 1.0 / (variance + self.forward.epsilon).sqrt();
                let scale = gamma[i] * inverse_std;
                let channel = Channel {
                    mean,
                    inverse_std,
                    scale,
                    shift: beta[i] - mean * scale,
                    activation: self.forward.activation,
                    from_batch: self.forward.from_batch,
                };
                (*grad_gamma, *grad_beta) =
                    channel.grad(&x[range.clone()], &y[range.clone()], &grad[range], grad_x);
            },
        );
        let count = out.len();
        Ok((CpuStorage::F32(out), Shape::from(count)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        _y: &CudaStorage,
        _ly: &Layout,
        grad: &CudaStorage,
        lg: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::batch_norm::backward(self, (x, lx), (grad, lg))
    }
}

struct Channel {
    mean: f32,
    inverse_std: f32,
    scale: f32,
    shift: f32,
    activation: Activation,
    from_batch: bool,
}

impl Channel {
    /// Writes the input's gradient and returns those of gamma and beta.
    fn grad(&self, x: &[f32], y: &[f32], grad: &[f32], grad_x: &mut [f32]) -> (f32, f32) {
        let (mut sum, mut dot) = (0f64, 0f64);
        for (((x, y), grad), behind) in
            x.chunks(BLOCK).zip(y.chunks(BLOCK)).zip(grad.chunks(BLOCK)).zip(grad_x.chunks_mut(BLOCK))
        {
            match self.activation {
                Activation::Silu => silu_grad(x, [self.scale, self.shift], grad, behind),
                clamp => mask(y, grad, clamp.bounds(), behind),
            }
            let (block_sum, block_dot) = sums(x, behind, self.mean);
            sum += block_sum;
            dot += block_dot;
        }
        let (sum, dot) = (sum as f32, dot as f32 * self.inverse_std);
        if self.from_batch {
            let count = x.len() as f32;
            // dx = scale * (g - mean(g) - xhat * mean(g * xhat))
            let slope = -self.scale * self.inverse_std * dot / count;
            let offset = -self.scale * sum / count - slope * self.mean;
            combine(x, self.scale, slope, offset, grad_x);
        } else {
            combine(x, self.scale, 0.0, 0.0, grad_x);
        }
        (dot, sum)
    }
}

const LANES: usize = 16;
/// Values whose sum is taken in single precision; they stay in the cache between two passes.
const BLOCK: usize = 4096;

#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn row_moments(x: &[f32]) -> (f32, f32) {
    let count = x.len() as f64;
    let mean = (sum_by(x, |x| x) / count) as f32;
    // Two passes: the one-pass formula cancels where the mean is large.
    let variance = sum_by(x, |x| (x - mean) * (x - mean)) / count;
    (mean, variance as f32)
}

/// Sum in 16 partial sums a block, the blocks in `f64`.
#[inline(always)]
fn sum_by(x: &[f32], value: impl Fn(f32) -> f32) -> f64 {
    let mut total = 0f64;
    for block in x.chunks(BLOCK) {
        let mut lanes = [0f32; LANES];
        let chunks = block.chunks_exact(LANES);
        total += chunks.remainder().iter().map(|&x| f64::from(value(x))).sum::<f64>();
        for chunk in chunks {
            for i in 0..LANES {
                lanes[i] += value(chunk[i]);
            }
        }
        total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    }
    total
}

#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn scale_shift(x: &[f32], scale: f32, shift: f32, [floor, ceiling]: [f32; 2], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = (x * scale + shift).max(floor).min(ceiling);
    }
}

/// Writes `grad` where `y` was not clamped, zero elsewhere.
#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn mask(y: &[f32], grad: &[f32], [floor, ceiling]: [f32; 2], masked: &mut [f32]) {
    for ((y, grad), masked) in y.iter().zip(grad).zip(masked) {
        *masked = if *y > floor && *y < ceiling { *grad } else { 0.0 };
    }
}

/// The sum of `grad`, and its dot product with `x - mean`, over one block.
#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn sums(x: &[f32], grad: &[f32], mean: f32) -> (f64, f64) {
    let (mut sum, mut dot) = (0f64, 0f64);
    let mut sums = [0f32; LANES];
    let mut dots = [0f32; LANES];
    let (xs, grads) = (x.chunks_exact(LANES), grad.chunks_exact(LANES));
    for (x, g) in xs.remainder().iter().zip(grads.remainder()) {
        sum += f64::from(*g);
        dot += f64::from(g * (x - mean));
    }
    for (x, g) in xs.zip(grads) {
        for i in 0..LANES {
            sums[i] += g[i];
            dots[i] += g[i] * (x[i] - mean);
        }
    }
    sum += sums.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    dot += dots.iter().map(|&lane| f64::from(lane)).sum::<f64>();
    (sum, dot)
}

/// `grad[i] = scale * grad[i] + slope * x[i] + offset`
#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn combine(x: &[f32], scale: f32, slope: f32, offset: f32, grad: &mut [f32]) {
    for (grad, x) in grad.iter_mut().zip(x) {
        *grad = scale * *grad + slope * x + offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{close, devices, random};

    /// The formula in plain candle operations.
    fn plain(
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        epsilon: f64,
        activation: Activation,
    ) -> Result<Tensor> {
        let c = x.dim(0)?;
        let rows = x.reshape((c, ()))?;
        let centred = rows.broadcast_sub(&rows.mean_keepdim(1)?)?;
        let variance = centred.sqr()?.mean_keepdim(1)?;
        let y = centred
            .broadcast_div(&(variance + epsilon)?.sqrt()?)?
            .broadcast_mul(&gamma.reshape((c, 1))?)?
            .broadcast_add(&beta.reshape((c, 1))?)?
            .reshape(x.shape())?;
        match activation {
            Activation::Identity => Ok(y),
            Activation::Relu => y.relu(),
            Activation::Relu6 => y.clamp(0f32, 6f32),
            Activation::Silu => y.silu(),
        }
    }

    #[test]
    fn values_and_gradients_equal_the_plain_formula() -> Result<()> {
        for device in devices() {
            for activation in [Activation::Identity, Activation::Relu, Activation::Relu6, Activation::Silu] {
                for shape in [[3, 2, 3, 5], [2, 4, 4, 17], [1, 9, 9, 64]] {
                    let x = random(&device, &shape, 1)?;
                    let gamma = random(&device, &shape[..1], 2)?;
                    let beta = random(&device, &shape[..1], 3)?;
                    let (ours, _) = batch_norm_train(&x, &gamma, &beta, 1e-5, activation)?;
                    let theirs = plain(&x, &gamma, &beta, 1e-5, activation)?;
                    close(&ours, &theirs, 1e-5)?;
                    let direction = random(&device, &shape, 4)?;
                    let ours = (ours * direction.as_tensor())?.sum_all()?.backward()?;
                    let theirs = (theirs * direction.as_tensor())?.sum_all()?.backward()?;
                    for variable in [&x, &gamma, &beta] {
                        let (Some(ours), Some(theirs)) = (ours.get(variable), theirs.get(variable)) else {
                            panic!("a gradient is missing")
                        };
                        close(ours, theirs, 1e-3)?;
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn evaluation_uses_the_given_moments() -> Result<()> {
        for device in devices() {
            let x = random(&device, &[2, 3, 3, 4], 1)?;
            let (gamma, beta) = (random(&device, &[2], 2)?, random(&device, &[2], 3)?);
            let (train, moments) = batch_norm_train(&x, &gamma, &beta, 1e-5, Activation::Relu)?;
            let norm = [gamma.as_tensor(), &beta, &moments.mean, &moments.variance];
            let eval = batch_norm_eval(&x, norm, 1e-5, Activation::Relu)?;
            close(&train, &eval, 0.0)?;
        }
        Ok(())
    }
}
