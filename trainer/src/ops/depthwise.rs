//! Depthwise convolution with its gradients: one rayon task a channel, vectors over the batch.

#[cfg(feature = "cuda")]
use super::cuda;
use super::{Window, contiguous, dims4};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use multiversion::multiversion;
use rayon::prelude::*;

/// `[C, OH, OW, N]` of `x` `[C, H, W, N]` and `weight` `[C, 1, K, K]`.
///
/// # Errors
/// If the shapes do not fit or a tensor is not `f32`.
pub fn depthwise_conv(x: &Tensor, weight: &Tensor, window: Window) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, Depthwise { window })
}

struct Depthwise {
    window: Window,
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise-conv"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [c, h, width, n] = dims4(lx)?;
        let window = self.window;
        let k = window.kernel;
        if lw.dims() != [c, 1, k, k] {
            bail!("depthwise-conv: weight {:?} for {c} channels and kernel {k}", lw.dims());
        }
        let x = contiguous(x, lx, "depthwise-conv")?;
        let w = contiguous(w, lw, "depthwise-conv")?;
        let (oh, ow) = (window.output(h), window.output(width));
        let mut out = vec![0f32; c * oh * ow * n];
        out.par_chunks_mut(oh * ow * n).enumerate().for_each(|(channel, out)| {
            let plane = Plane { values: &x[channel * h * width * n..][..h * width * n], h, w: width, n };
            forward_channel(&plane, &w[channel * k * k..][..k * k], window, ow, out);
        });
        Ok((CpuStorage::F32(out), Shape::from((c, oh, ow, n))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        w: &CudaStorage,
        lw: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::convolution::depthwise(self.window, (x, lx), (w, lw))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, h, width, _) = x.dims4()?;
        let grad = grad.contiguous()?;
        let window = self.window;
        let grad_x = grad.apply_op2_no_bwd(&w.contiguous()?, &DepthwiseGradInput { window, h, w: width })?;
        let grad_w = x.contiguous()?.apply_op2_no_bwd(&grad, &DepthwiseGradWeight { window })?;
        Ok((Some(grad_x), Some(grad_w)))
    }
}

struct DepthwiseGradInput {
    window: Window,
    h: usize,
    w: usize,
}

impl CustomOp2 for DepthwiseGradInput {
    fn name(&self) -> &'static str {
        "depthwise-conv-grad-input"
    }

    fn cpu_fwd(
        &self,
        g: &CpuStorage,
        lg: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [c, oh, ow, n] = dims4(lg)?;
        let (h, width, window) = (self.h, self.w, self.window);
        let taps = window.kernel * window.kernel;
        let g = contiguous(g, lg, "depthwise-conv")?;
        let w = contiguous(w, lw, "depthwise-conv")?;
        let mut out = vec![0f32; c * h * width * n];
        out.par_chunks_mut(h * width * n).enumerate().for_each(|(channel, out)| {
            let plane = Plane { values: &g[channel * oh * ow * n..][..oh * ow * n], h: oh, w: ow, n };
            grad_input_channel(&plane, &w[channel * taps..][..taps], window, width, out);
        });
        Ok((CpuStorage::F32(out), Shape::from((c, h, width, n))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        g: &CudaStorage,
        lg: &Layout,
        w: &CudaStorage,
        lw: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::convolution::depthwise_grad_input(self.window, [self.h, self.w], (g, lg), (w, lw))
    }
}

struct DepthwiseGradWeight {
    window: Window,
}

impl CustomOp2 for DepthwiseGradWeight {
    fn name(&self) -> &'static str {
        "depthwise-conv-grad-weight"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        g: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [c, h, width, n] = dims4(lx)?;
        let [_, oh, ow, _] = dims4(lg)?;
        let window = self.window;
        let k = window.kernel;
        let x = contiguous(x, lx, "depthwise-conv")?;
        let g = contiguous(g, lg, "depthwise-conv")?;
        let mut out = vec![0f32; c * k * k];
        out.par_chunks_mut(k * k).enumerate().for_each(|(channel, out)| {
            let x = Plane { values: &x[channel * h * width * n..][..h * width * n], h, w: width, n };
            let g = Plane { values: &g[channel * oh * ow * n..][..oh * ow * n], h: oh, w: ow, n };
            grad_weight_channel(&x, &g, window, out);
        });
        Ok((CpuStorage::F32(out), Shape::from((c, 1, k, k))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        g: &CudaStorage,
        lg: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda::convolution::depthwise_grad_weight(self.window, (x, lx), (g, lg))
    }
}

/// One channel: `[H, W, N]`.
struct Plane<'a> {
    values: &'a [f32],
    h: usize,
    w: usize,
    n: usize,
}

impl Plane<'_> {
    fn batch(&self, y: usize, x: usize) -> &[f32] {
        &self.values[(y * self.w + x) * self.n..][..self.n]
    }
}

/// `out[i] += weight * x[i]`
#[inline(always)]
fn add_scaled(out: &mut [f32], weight: f32, x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += weight * x;
    }
}

#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn forward_channel(x: &Plane, weight: &[f32], window: Window, ow: usize, out: &mut [f32]) {
    let k = window.kernel;
    let (vertical, horizontal) = (window.axis(x.h), window.axis(x.w));
    for (i, out) in out.chunks_exact_mut(x.n).enumerate() {
        let (oy, ox) = (i / ow, i % ow);
        for ky in 0..k {
            let Some(iy) = vertical.source(oy, ky) else { continue };
            for kx in 0..k {
                let Some(ix) = horizontal.source(ox, kx) else { continue };
                add_scaled(out, weight[ky * k + kx], x.batch(iy, ix));
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn grad_input_channel(grad: &Plane, weight: &[f32], window: Window, width: usize, out: &mut [f32]) {
    let k = window.kernel;
    let n = grad.n;
    let (vertical, horizontal) = (window.axis(out.len() / (width * n)), window.axis(width));
    for oy in 0..grad.h {
        for ky in 0..k {
            let Some(iy) = vertical.source(oy, ky) else { continue };
            for ox in 0..grad.w {
                let g = grad.batch(oy, ox);
                for kx in 0..k {
                    let Some(ix) = horizontal.source(ox, kx) else { continue };
                    add_scaled(&mut out[(iy * width + ix) * n..][..n], weight[ky * k + kx], g);
                }
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx2+fma", "x86_64+avx2+fma"))]
fn grad_weight_channel(x: &Plane, grad: &Plane, window: Window, out: &mut [f32]) {
    const LANES: usize = 16;
    let k = window.kernel;
    let (vertical, horizontal) = (window.axis(x.h), window.axis(x.w));
    for ky in 0..k {
        for kx in 0..k {
            let mut lanes = [0f32; LANES];
            let mut rest = 0f32;
            for oy in 0..grad.h {
                let Some(iy) = vertical.source(oy, ky) else { continue };
                for ox in 0..grad.w {
                    let Some(ix) = horizontal.source(ox, kx) else { continue };
                    let (a, b) =
                        (x.batch(iy, ix).chunks_exact(LANES), grad.batch(oy, ox).chunks_exact(LANES));
                    rest += a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum::<f32>();
                    for (a, b) in a.zip(b) {
                        for i in 0..LANES {
                            lanes[i] += a[i] * b[i];
                        }
                    }
                }
            }
            out[ky * k + kx] = rest + lanes.iter().sum::<f32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{candles, close, devices, random};

    #[test]
    fn values_and_gradients_equal_candles() -> Result<()> {
        for device in devices() {
            for (c, size, n, window) in [
                (3, 7, 2, Window::same(3, 1)),
                (2, 8, 17, Window::same(3, 2)),
                (4, 6, 5, Window::same(5, 1)),
                (1, 9, 33, Window::same(5, 2)),
                (2, 4, 1, Window::same(7, 1)),
                (2, 2, 3, Window::same(5, 1)),
                (2, 8, 17, Window::tensorflow_same(3, 2)),
                (3, 7, 5, Window::tensorflow_same(3, 2)),
            ] {
                let kernel = window.kernel;
                let x = random(&device, &[c, size, size, n], 1)?;
                let w = random(&device, &[c, 1, kernel, kernel], 2)?;
                let ours = depthwise_conv(&x, &w, window)?;
                let theirs = candles(&x, &w, window, c)?;
                close(&ours, &theirs, 1e-5)?;
                let direction = random(&device, ours.dims(), 3)?;
                let ours = (ours * direction.as_tensor())?.sum_all()?.backward()?;
                let theirs = (theirs * direction.as_tensor())?.sum_all()?.backward()?;
                for variable in [&x, &w] {
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
    fn a_weight_of_the_wrong_shape_is_refused() -> Result<()> {
        for device in devices() {
            let (x, w) = (random(&device, &[3, 4, 4, 1], 1)?, random(&device, &[2, 1, 3, 3], 2)?);
            assert!(depthwise_conv(&x, &w, Window::same(3, 1)).is_err());
        }
        Ok(())
    }
}
