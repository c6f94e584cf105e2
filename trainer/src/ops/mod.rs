//! Candle operations of our own, where the stock ones are wrong or slow.
//!
//! Activations are laid out `[C, H, W, N]`, the batch innermost. Every dense convolution is then one
//! matrix product over all images, every depthwise tap one multiply-add over `N` contiguous values,
//! and every batch-norm channel one contiguous row, whatever the map's size.

mod attention;
mod batch_norm;
#[cfg(feature = "cuda")]
mod cuda;
mod depthwise;
mod gate;
mod grid;
mod im2col;
mod silu;
mod softmax;
mod tokens;
mod transposed;

pub use attention::{Grouping, attention};
pub use batch_norm::{Activation, Moments, batch_norm_eval, batch_norm_train};
pub use depthwise::depthwise_conv;
pub use gate::{gate, mean_of_map};
pub use grid::{Grid, Scaling, round_to_grid};
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
    /// Zeros around the map.
    pub padding: Padding,
}

/// Zeros before and behind each axis of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// So many on every side.
    Even(usize),
    /// As many as make `ceil(input / stride)` outputs, the odd one behind: TensorFlow's "same", which its networks'
    /// weights were trained with.
    Tensorflow,
}

impl Window {
    /// A window that keeps the size at stride 1: padding is half the kernel.
    pub fn same(kernel: usize, stride: usize) -> Self {
        Window { kernel, stride, padding: Padding::Even(kernel / 2) }
    }

    /// A window with [`Padding::Tensorflow`]. It differs from [`Window::same`] at a stride above 1 only.
    pub fn tensorflow_same(kernel: usize, stride: usize) -> Self {
        Window { kernel, stride, padding: Padding::Tensorflow }
    }

    /// A window that meets each input once: stride and kernel are one, nothing is padded.
    pub fn patches(kernel: usize) -> Self {
        Window { kernel, stride: kernel, padding: Padding::Even(0) }
    }

    /// Outputs along an axis of `input` values.
    pub fn output(&self, input: usize) -> usize {
        let [before, behind] = self.pads(input);
        (input + before + behind - self.kernel) / self.stride + 1
    }

    /// Zeros before and behind an axis of `input` values.
    pub fn pads(&self, input: usize) -> [usize; 2] {
        match self.padding {
            Padding::Even(padding) => [padding; 2],
            Padding::Tensorflow => {
                let reach = (input.div_ceil(self.stride) - 1) * self.stride + self.kernel;
                let zeros = reach.saturating_sub(input);
                [zeros / 2, zeros - zeros / 2]
            }
        }
    }

    fn axis(&self, input: usize) -> Axis {
        Axis { input, output: self.output(input), stride: self.stride, before: self.pads(input)[0] }
    }
}

/// A window along one axis of a map.
#[derive(Debug, Clone, Copy)]
struct Axis {
    /// Values on the axis.
    input: usize,
    /// Windows on the axis.
    output: usize,
    /// Step between windows.
    stride: usize,
    /// Zeros before the first value.
    before: usize,
}

impl Axis {
    /// The input index that tap `tap` of output `output` reads, unless it is padding.
    #[inline(always)]
    fn source(&self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap).checked_sub(self.before).filter(|&index| index < self.input)
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
    use super::Window;
    use crate::device::DeviceKind;
    use candle_core::{Device, Result, Tensor, Var};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The processor, and a GPU where there is one that this build can use.
    pub fn devices() -> Vec<Device> {
        let gpu = DeviceKind::Cuda.open().ok();
        [Device::Cpu].into_iter().chain(gpu).collect()
    }

    /// A variable of uniform values in `[-1, 1)`.
    pub fn random(device: &Device, shape: &[usize], seed: u64) -> Result<Var> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, device)?)
    }

    /// Panics if two tensors differ by more than `tolerance` anywhere.
    pub fn close(a: &Tensor, b: &Tensor, tolerance: f32) -> Result<()> {
        assert_eq!(a.dims(), b.dims());
        let difference = (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
        assert!(difference <= tolerance, "largest difference {difference}, tolerated {tolerance}");
        Ok(())
    }

    /// Convolution of `x` `[C, H, W, N]` by candle's own, which knows even padding only: zeros are put around by hand.
    pub fn candles(x: &Tensor, w: &Tensor, window: Window, groups: usize) -> Result<Tensor> {
        let (_, height, width, _) = x.dims4()?;
        let [[top, bottom], [left, right]] = [height, width].map(|extent| window.pads(extent));
        x.permute((3, 0, 1, 2))?
            .pad_with_zeros(2, top, bottom)?
            .pad_with_zeros(3, left, right)?
            .contiguous()?
            .conv2d(w, 0, window.stride, 1, groups)?
            .permute((1, 2, 3, 0))?
            .contiguous()
    }

    /// TensorFlow 2's `tf.nn.conv2d(tf.zeros([1, n, n, 1]), tf.zeros([k, k, 1, 1]), s, "SAME")` has `ceil(n / s)`
    /// outputs; the zeros follow from that by hand.
    #[test]
    fn tensorflows_padding_puts_the_odd_zero_behind() {
        for (kernel, stride, input, pads, output) in [
            (3, 1, 7, [1, 1], 7),
            (3, 2, 7, [1, 1], 4),
            (3, 2, 8, [0, 1], 4),
            (5, 2, 8, [1, 2], 4),
            (5, 2, 7, [2, 2], 4),
            (1, 2, 8, [0, 0], 4),
            (3, 2, 1, [1, 1], 1),
        ] {
            let window = Window::tensorflow_same(kernel, stride);
            assert_eq!((window.pads(input), window.output(input)), (pads, output), "{window:?} on {input}");
        }
    }
}
