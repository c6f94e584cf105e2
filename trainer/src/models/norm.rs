//! Batch norm by itself, for where no convolution precedes it.

use super::layers::{EPSILON, Mode, normalise};
use crate::ops::Activation;
use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// Batch norm without activation.
#[derive(Debug, Clone)]
pub struct Norm {
    /// Name in checkpoints.
    pub name: String,
    gamma: Tensor,
    beta: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
}

impl Norm {
    /// A batch norm of `channels` channels called `name` in the checkpoint under `vb`.
    ///
    /// # Errors
    /// If `vb` has no such tensors.
    pub fn new(vb: &VarBuilder, name: &str, channels: usize) -> Result<Self> {
        let vb = vb.pp(name);
        Ok(Norm {
            name: vb.prefix(),
            gamma: vb.get_with_hints(channels, "weight", Init::Const(1.0))?,
            beta: vb.get_with_hints(channels, "bias", Init::Const(0.0))?,
            running_mean: vb.get_with_hints(channels, "running_mean", Init::Const(0.0))?,
            running_variance: vb.get_with_hints(channels, "running_var", Init::Const(1.0))?,
        })
    }

    /// Factor and summand of each channel, both `[C]`, in evaluation mode.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn scale_and_shift(&self) -> Result<(Tensor, Tensor)> {
        let scale = (&self.gamma / (&self.running_variance + EPSILON)?.sqrt()?)?;
        let shift = (&self.beta - (&self.running_mean * &scale)?)?;
        Ok((scale, shift))
    }

    /// `x` `[C, H, W, N]`, normalised.
    pub(super) fn apply(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let norm = [&self.gamma, &self.beta, &self.running_mean, &self.running_variance];
        normalise(x, norm, (EPSILON, Activation::Identity), mode)
    }
}
