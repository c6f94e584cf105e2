//! Windows of a map as the columns of a matrix, so that a dense convolution is one product.

use super::{Window, contiguous, dims4};
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
        let (oh, ow) = (window.output(h), window.output(w));
        let columns = oh * ow * n;
        let mut out = vec![0f32; c * k * k * columns];
        out.par_chunks_mut(columns).enumerate().for_each(|(row, out)| {
            let (channel, ky, kx) = (row / (k * k), row / k % k, row % k);
            let x = &x[channel * h * w * n..][..h * w * n];
            for (oy, out) in out.chunks_exact_mut(ow * n).enumerate() {
                let Some(iy) = window.source(oy, ky, h) else { continue };
                for (ox, out) in out.chunks_exact_mut(n).enumerate() {
                    let Some(ix) = window.source(ox, kx, w) else { continue };
                    out.copy_from_slice(&x[(iy * w + ix) * n..][..n]);
                }
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((c * k * k, columns))))
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
        let (oh, ow) = (window.output(h), window.output(w));
        let mut out = vec![0f32; c * h * w * n];
        out.par_chunks_mut(h * w * n).enumerate().for_each(|(channel, out)| {
            for tap in 0..k * k {
                let row = &source[(channel * k * k + tap) * oh * ow * n..][..oh * ow * n];
                for (i, values) in row.chunks_exact(n).enumerate() {
                    let Some(iy) = window.source(i / ow, tap / k, h) else { continue };
                    let Some(ix) = window.source(i % ow, tap % k, w) else { continue };
                    for (out, value) in out[(iy * w + ix) * n..][..n].iter_mut().zip(values) {
                        *out += value;
                    }
                }
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((c, h, w, n))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{close, random};

    #[test]
    fn a_convolution_through_columns_equals_candles() -> Result<()> {
        for (cin, cout, size, n, kernel, stride) in
            [(3, 4, 8, 2, 3, 2), (2, 5, 6, 17, 3, 1), (1, 2, 7, 3, 5, 2)]
        {
            let window = Window::same(kernel, stride);
            let x = random(&[cin, size, size, n], 1)?;
            let w = random(&[cout, cin, kernel, kernel], 2)?;
            let out = window.output(size);
            let ours = w.reshape((cout, ()))?.matmul(&im2col(&x, window)?)?.reshape((cout, out, out, n))?;
            let theirs = x.permute((3, 0, 1, 2))?.contiguous()?.conv2d(&w, window.padding, stride, 1, 1)?;
            let theirs = theirs.permute((1, 2, 3, 0))?.contiguous()?;
            close(&ours, &theirs, 1e-5)?;
            let direction = random(ours.dims(), 3)?;
            let ours = (ours * direction.as_tensor())?.sum_all()?.backward()?;
            let theirs = (theirs * direction.as_tensor())?.sum_all()?.backward()?;
            for variable in [&x, &w] {
                let (Some(ours), Some(theirs)) = (ours.get(variable), theirs.get(variable)) else {
                    panic!("a gradient is missing")
                };
                close(ours, theirs, 1e-4)?;
            }
        }
        Ok(())
    }
}
