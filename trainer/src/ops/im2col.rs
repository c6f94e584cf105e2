//! Windows of a map as the columns of a matrix, so that a dense convolution is one product.

#[cfg(feature = "cuda")]
use super::cuda;
use super::{Window, contiguous, dims4};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// `[C * K * K, OH * OW * N]` of `x` `[C, H, W, N]`; row `(c * K + ky) * K + kx` holds what that tap
/// reads for every output, zeros where it reads padding.
///
/// # Errors
/// If `x` is not a rank-4 `f32` tensor.
pub fn im2col(x: &Tensor, window: Window) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Im2Col { window })
}

struct Im2Col {
    window: Window,
}

impl CustomOp1 for Im2Col {
    fn name(&self) -> &'static str {
        "im2col"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [c, h, w, n] = dims4(layout)?;
        let window = self.window;
        let k = window.kernel;
        let x = contiguous(x, layout, "im2col")?;
        let (vertical, horizontal) = (window.axis(h), window.axis(w));
        let columns = vertical.output * horizontal.output * n;
        let mut out = vec![0f32; c * k * k * columns];
        out.par_chunks_mut(columns).enumerate().for_each(|(row, out)| {
            let (channel, ky, kx) = (row / (k * k), row / k % k, row % k);
            let x = &x[channel * h * w * n..][..h * w * n];
            for (oy, out) in out.chunks_exact_mut(horizontal.output * n).enumerate() {
                let Some(iy) = vertical.source(oy, ky) else { continue };
                for (ox, out) in out.chunks_exact_mut(n).enumerate() {
                    let Some(ix) = horizontal.source(ox, kx) else { continue };
                    out.copy_from_slice(&x[(iy * w + ix) * n..][..n]);
                }
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((c * k * k, columns))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::convolution::im2col(self.window, (x, layout))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        // The picture itself needs no gradient, and the first map is the largest.
        if !x.track_op() {
            return Ok(None);
        }
        let [c, h, w, n] = dims4(x.layout())?;
        let grad = grad.contiguous()?;
        grad.apply_op1_no_bwd(&Col2Im { window: self.window, shape: [c, h, w, n] }).map(Some)
    }
}

/// Adjoint of [`Im2Col`]: every column value is added back to where it was read.
struct Col2Im {
    window: Window,
    shape: [usize; 4],
}

impl CustomOp1 for Col2Im {
    fn name(&self) -> &'static str {
        "col2im"
    }

    fn cpu_fwd(&self, columns: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [c, h, w, n] = self.shape;
        let window = self.window;
        let k = window.kernel;
        let source = contiguous(columns, layout, "col2im")?;
        let (vertical, horizontal) = (window.axis(h), window.axis(w));
        let outputs = vertical.output * horizontal.output * n;
        let mut out = vec![0f32; c * h * w * n];
        out.par_chunks_mut(h * w * n).enumerate().for_each(|(channel, out)| {
            for tap in 0..k * k {
                let row = &source[(channel * k * k + tap) * outputs..][..outputs];
                for (i, values) in row.chunks_exact(n).enumerate() {
                    let Some(iy) = vertical.source(i / horizontal.output, tap / k) else { continue };
                    let Some(ix) = horizontal.source(i % horizontal.output, tap % k) else { continue };
                    for (out, value) in out[(iy * w + ix) * n..][..n].iter_mut().zip(values) {
                        *out += value;
                    }
                }
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((c, h, w, n))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, columns: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda::convolution::col2im(self.window, self.shape, (columns, layout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{candles, close, devices, random};

    #[test]
    fn a_convolution_through_columns_equals_candles() -> Result<()> {
        for device in devices() {
            for (cin, cout, size, n, window) in [
                (3, 4, 8, 2, Window::same(3, 2)),
                (2, 5, 6, 17, Window::same(3, 1)),
                (1, 2, 7, 3, Window::same(5, 2)),
                (3, 4, 8, 2, Window::tensorflow_same(3, 2)),
                (2, 3, 7, 3, Window::tensorflow_same(3, 2)),
            ] {
                let kernel = window.kernel;
                let x = random(&device, &[cin, size, size, n], 1)?;
                let w = random(&device, &[cout, cin, kernel, kernel], 2)?;
                let out = window.output(size);
                let ours =
                    w.reshape((cout, ()))?.matmul(&im2col(&x, window)?)?.reshape((cout, out, out, n))?;
                let theirs = candles(&x, &w, window, 1)?;
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
}
