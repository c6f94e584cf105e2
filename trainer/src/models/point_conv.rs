//! Convolution of single positions, where no batch norm follows.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// 1x1 convolution, its output times a layer scale if there is one.
#[derive(Debug, Clone)]
pub struct PointConv {
    /// Name in checkpoints.
    pub name: String,
    weight: Tensor,
    bias: Option<Tensor>,
    layer_scale: Option<Tensor>,
}

impl PointConv {
    /// A convolution of `cin` to `cout` channels called `name` in the checkpoint under `vb`, with a bias.
    ///
    /// # Errors
    /// If `vb` has no such tensors.
    pub fn new(vb: &VarBuilder, name: &str, channels: [usize; 2]) -> Result<Self> {
        let bias = vb.pp(name).get_with_hints(channels[1], "bias", Init::Const(0.0))?;
        Ok(PointConv { bias: Some(bias), ..Self::without_bias(vb, name, channels)? })
    }

    /// The same without a bias.
    ///
    /// # Errors
    /// If `vb` has no such tensor.
    pub fn without_bias(vb: &VarBuilder, name: &str, [cin, cout]: [usize; 2]) -> Result<Self> {
        let vb = vb.pp(name);
        let weight = vb.get_with_hints((cout, cin, 1, 1), "weight", Init::Const(0.0))?;
        Ok(PointConv { name: vb.prefix(), weight, bias: None, layer_scale: None })
    }

    /// The same with its output times `scale` `[C_out]`.
    pub fn scaled(self, scale: Tensor) -> Self {
        PointConv { layer_scale: Some(scale), ..self }
    }

    /// Number of output channels.
    pub fn channels_out(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Weight `[C_out, C_in, 1, 1]` and bias `[C_out]` with the layer scale in them.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn folded(&self) -> Result<(Tensor, Tensor)> {
        let bias = match &self.bias {
            Some(bias) => bias.clone(),
            None => Tensor::zeros(self.channels_out(), self.weight.dtype(), self.weight.device())?,
        };
        match &self.layer_scale {
            None => Ok((self.weight.clone(), bias)),
            Some(scale) => {
                let weight = self.weight.broadcast_mul(&scale.reshape((self.channels_out(), 1, 1, 1))?)?;
                Ok((weight, (bias * scale)?))
            }
        }
    }

    /// `[C_out, H, W, N]` of `x` `[C_in, H, W, N]`.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (cin, h, w, n) = x.dims4()?;
        let (weight, bias) = self.folded()?;
        let cout = self.channels_out();
        let y = weight.reshape((cout, cin))?.matmul(&x.contiguous()?.reshape((cin, h * w * n))?)?;
        let y = if self.bias.is_some() { y.broadcast_add(&bias.reshape((cout, 1))?)? } else { y };
        y.reshape((cout, h, w, n))
    }
}
