//! Transposed convolution whose outputs do not overlap: one product, then a reshuffle.

use candle_core::{Result, Tensor, bail};

/// `[C_out, H * K, W * K, N]` of `x` `[C_in, H, W, N]` and `weight` `[C_in, C_out, K, K]`: a transposed convolution of
/// kernel and stride `K` without padding.
///
/// # Errors
/// If the shapes do not fit.
pub fn transposed_conv(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (channels, h, w, n) = x.dims4()?;
    let (cin, cout, k, kw) = weight.dims4()?;
    if cin != channels || k != kw {
        bail!("transposed-conv: weight {:?} for a map {:?}", weight.dims(), x.dims());
    }
    let weight = weight.reshape((cin, cout * k * k))?.t()?;
    let blocks = weight.matmul(&x.contiguous()?.reshape((cin, h * w * n))?)?;
    // [C, K, K, H, W, N] -> [C, H, K, W, K, N]
    let interleaved = blocks.reshape((cout, k, k, h, w, n))?.permute((0, 3, 1, 4, 2, 5))?;
    interleaved.contiguous()?.reshape((cout, h * k, w * k, n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::{close, random};
    use candle_core::Device;

    #[test]
    fn values_equal_candles() -> Result<()> {
        for (cin, cout, size, n, k) in [(3, 2, 4, 5, 2), (2, 3, 3, 2, 3), (4, 1, 1, 3, 2)] {
            let (x, w) = (
                random(&Device::Cpu, &[cin, size, size, n], 1)?,
                random(&Device::Cpu, &[cin, cout, k, k], 2)?,
            );
            let ours = transposed_conv(&x, &w)?;
            let theirs = x.permute((3, 0, 1, 2))?.contiguous()?.conv_transpose2d(&w, 0, 0, k, 1)?;
            close(&ours, &theirs.permute((1, 2, 3, 0))?.contiguous()?, 1e-5)?;
        }
        Ok(())
    }
}
