//! Both ends of squeeze-and-excitation (Hu et al., arXiv 1709.01507): the mean of each map, and each map times a factor.

#[cfg(feature = "cuda")]
use super::cuda;
use super::{contiguous, dims4};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use multiversion::multiversion;
use rayon::prelude::*;

/// `[C, 1, 1, N]`: the mean over height and width of `x` `[C, H, W, N]`.
///
/// # Errors
/// If `x` is not a rank-4 `f32` tensor.
pub fn mean_of_map(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MeanOfMap)
}

/// `[C, H, W, N]`: `x` of that shape times `factor` `[C, 1, 1, N]`.
///
/// # Errors
/// If the shapes do not fit or a tensor is not `f32`.
pub fn gate(x: &Tensor, factor: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&factor.contiguous()?, Gate)
}

struct MeanOfMap;

impl CustomOp1 for MeanOfMap {
    fn name(&self) -> &'static str {
        "mean-of-map"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [c, h, w, n] = dims4(layout)?;
        let x = contiguous(x, layout, "mean-of-map")?;
        let mut out = vec![0f32; c * n];
        out.par_chunks_mut(n).zip(x.par_chunks(h * w * n)).for_each(|(out, x)| {
            add_pixels(x, out);
            out.iter_mut().for_each(|sum| *sum /= (h * w) as f32);
        });
        Ok((CpuStorage::F32(out), Shape::from((c, 1, 1, n))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::gate::mean_of_map((x, layout))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, h, w, _) = x.dims4()?;
        (grad / (h * w) as f64)?.broadcast_as(x.shape())?.contiguous().map(Some)
    }
}

struct Gate;

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        factor: &CpuStorage,
        lf: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [c, h, w, n] = dims4(lx)?;
        if lf.dims() != [c, 1, 1, n] {
            bail!("gate: factors {:?} for maps {:?}", lf.dims(), lx.dims());
        }
        let x = contiguous(x, lx, "gate")?;
        let factor = contiguous(factor, lf, "gate")?;
        let mut out = vec![0f32; x.len()];
        out.par_chunks_mut(h * w * n)
            .zip(x.par_chunks(h * w * n))
            .zip(factor.par_chunks(n))
            .for_each(|((out, x), factor)| multiply_pixels(x, factor, out));
        Ok((CpuStorage::F32(out), Shape::from((c, h, w, n))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        factor: &CudaStorage,
        lf: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::gate::gate((x, lx), (factor, lf))
    }

    fn bwd(
        &self,
        x: &Tensor,
        factor: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let grad_x = grad.apply_op2_no_bwd(&factor.contiguous()?, &Gate)?;
        let grad_factor = x.contiguous()?.apply_op2_no_bwd(&grad, &DotOfMap)?;
        Ok((Some(grad_x), Some(grad_factor)))
    }
}

/// `[C, 1, 1, N]`: the dot product of two maps `[C, H, W, N]` over height and width.
struct DotOfMap;

impl CustomOp2 for DotOfMap {
    fn name(&self) -> &'static str {
        "dot-of-map"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [c, h, w, n] = dims4(la)?;
        let (a, b) = (contiguous(a, la, "dot-of-map")?, contiguous(b, lb, "dot-of-map")?);
        let mut out = vec![0f32; c * n];
        out.par_chunks_mut(n)
            .zip(a.par_chunks(h * w * n))
            .zip(b.par_chunks(h * w * n))
            .for_each(|((out, a), b)| add_products(a, b, out));
        Ok((CpuStorage::F32(out), Shape::from((c, 1, 1, n))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        la: &Layout,
        b: &CudaStorage,
        lb: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::gate::dot_of_map((a, la), (b, lb))
    }
}

#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn add_pixels(x: &[f32], out: &mut [f32]) {
    for x in x.chunks_exact(out.len()) {
        for (out, x) in out.iter_mut().zip(x) {
            *out += x;
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn add_products(a: &[f32], b: &[f32], out: &mut [f32]) {
    for (a, b) in a.chunks_exact(out.len()).zip(b.chunks_exact(out.len())) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out += a * b;
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn multiply_pixels(x: &[f32], factor: &[f32], out: &mut [f32]) {
    for (x, out) in x.chunks_exact(factor.len()).zip(out.chunks_exact_mut(factor.len())) {
        for ((x, factor), out) in x.iter().zip(factor).zip(out) {
            *out = x * factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{close, devices, random};

    #[test]
    fn values_and_gradients_equal_candles() -> Result<()> {
        for device in devices() {
            for shape in [[3, 2, 3, 5], [2, 4, 4, 17], [1, 1, 1, 2]] {
                let [c, h, w, n] = shape;
                let x = random(&device, &shape, 1)?;
                let factor = random(&device, &[c, 1, 1, n], 2)?;
                let direction = random(&device, &shape, 3)?;
                // As in a network, the factor depends on the maps, so that two gradients meet.
                let ours = gate(&x, &(mean_of_map(&x)? + factor.as_tensor())?)?;
                let mean = x.reshape((c, h * w, n))?.mean(1)?.reshape((c, 1, 1, n))?;
                let theirs = x.broadcast_mul(&(mean + factor.as_tensor())?)?;
                close(&ours, &theirs, 1e-5)?;
                let ours = (ours * direction.as_tensor())?.sum_all()?.backward()?;
                let theirs = (theirs * direction.as_tensor())?.sum_all()?.backward()?;
                for variable in [&x, &factor] {
                    let (Some(ours), Some(theirs)) = (ours.get(variable), theirs.get(variable)) else {
                        panic!("a gradient is missing")
                    };
                    close(ours, theirs, 1e-4)?;
                }
            }
        }
        Ok(())
    }

    #[test]
    fn factors_of_another_shape_are_refused() -> Result<()> {
        for device in devices() {
            let (x, factor) = (random(&device, &[3, 4, 4, 2], 1)?, random(&device, &[3, 1, 1, 1], 2)?);
            assert!(gate(&x, &factor).is_err());
        }
        Ok(())
    }
}
