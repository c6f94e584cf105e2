//! Candle operations of our own, where the stock ones are wrong or slow.
//!
//! Activations are laid out `[C, H, W, N]`, the batch innermost. Every dense convolution is then one
//! matrix product over all images, every depthwise tap one multiply-add over `N` contiguous values,
//! and every batch-norm channel one contiguous row, whatever the map's size.

mod attention;
mod batch_norm;
mod depthwise;
mod im2col;
mod softmax;
mod tokens;
mod transposed;

pub use attention::{Grouping, attention};
pub use batch_norm::{Activation, Moments, batch_norm_eval, batch_norm_train};
pub use depthwise::depthwise_conv;
pub use im2col::im2col;
pub use softmax::softmax;
pub use tokens::{Partition, from_tokens, to_tokens};
pub use transposed::transposed_conv;

use candle_core::{CpuStorage, Layout, Result, bail};

/// Kernel size, stride and zero padding of a square window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Width and height of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Zeros on every side.
    pub padding: usize,
}

impl Window {
    /// A window that keeps the size at stride 1: padding is half the kernel.
    pub fn same(kernel: usize, stride: usize) -> Self {
        Window { kernel, stride, padding: kernel / 2 }
    }

    /// A window that meets each input once: stride and kernel are one, nothing is padded.
    pub fn patches(kernel: usize) -> Self {
        Window { kernel, stride: kernel, ..Window::same(1, 1) }
    }

    /// Outputs along an axis of `input` values.
    pub fn output(&self, input: usize) -> usize {
        (input + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// The input index that tap `tap` of output `output` reads, unless it is padding.
    fn source(&self, output: usize, tap: usize, input: usize) -> Option<usize> {
        (output * self.stride + tap).checked_sub(self.padding).filter(|&index| index < input)
    }
}

/// The contiguous `f32` values behind `storage`.
fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout, op: &str) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("{op} needs contiguous tensors") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// `[C, H, W, N]` of a rank-4 layout.
fn dims4(layout: &Layout) -> Result<[usize; 4]> {
    let (c, h, w, n) = layout.shape().dims4()?;
    Ok([c, h, w, n])
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Result, Tensor, Var};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A variable of uniform values in `[-1, 1)`.
    pub fn random(shape: &[usize], seed: u64) -> Result<Var> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// Panics if two tensors differ by more than `tolerance` anywhere.
    pub fn close(a: &Tensor, b: &Tensor, tolerance: f32) -> Result<()> {
        assert_eq!(a.dims(), b.dims());
        let difference = (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
        assert!(difference <= tolerance, "largest difference {difference}, tolerated {tolerance}");
        Ok(())
    }
}
