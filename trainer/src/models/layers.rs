//! Layers that know their names, and the executors that walk them.

use crate::ops::{
    Activation, Window, batch_norm_eval, batch_norm_train, depthwise_conv, gate, im2col, mean_of_map,
};
use candle_core::{Result, Tensor, Var};
use candle_nn::{Init, VarBuilder};

/// Share of the new batch in the running moments (PyTorch's and timm's default).
const MOMENTUM: f64 = 0.1;
/// Added to a variance before its root (PyTorch's and timm's default).
pub const EPSILON: f64 = 1e-5;

/// How a convolution's channels are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvKind {
    /// Every output sees every input.
    Dense,
    /// Output `c` sees input `c` alone.
    Depthwise,
}

/// Convolution without bias, batch norm, activation.
#[derive(Debug, Clone)]
pub struct ConvNorm {
    /// Name of the convolution in checkpoints, as timm has it.
    pub name: String,
    /// `[C_out, C_in, K, K]`, or `[C, 1, K, K]` if depthwise.
    pub weight: Tensor,
    /// Gamma of the batch norm, `[C_out]`.
    pub gamma: Tensor,
    /// Beta of the batch norm, `[C_out]`.
    pub beta: Tensor,
    /// Running mean, `[C_out]`; no gradient flows here.
    pub running_mean: Tensor,
    /// Running unbiased variance, `[C_out]`; no gradient flows here.
    pub running_variance: Tensor,
    /// How the channels are connected.
    pub kind: ConvKind,
    /// Kernel, stride and padding.
    pub window: Window,
    /// What follows the batch norm.
    pub activation: Activation,
    /// Added to the variance before its root; [`EPSILON`] unless the network says another.
    pub epsilon: f64,
}

impl ConvNorm {
    /// A dense convolution of `cin` to `cout` channels; `conv` and `norm` are the layers' names in
    /// the checkpoint under `vb`.
    ///
    /// # Errors
    /// If `vb` has no such tensors.
    pub fn dense(
        vb: &VarBuilder,
        [conv, norm]: [&str; 2],
        [cin, cout]: [usize; 2],
        window: Window,
        activation: Activation,
    ) -> Result<Self> {
        Self::new(vb, [conv, norm], (cout, cin), ConvKind::Dense, window, activation)
    }

    /// A depthwise convolution of `channels` channels.
    ///
    /// # Errors
    /// If `vb` has no such tensors.
    pub fn depthwise(
        vb: &VarBuilder,
        [conv, norm]: [&str; 2],
        channels: usize,
        window: Window,
        activation: Activation,
    ) -> Result<Self> {
        Self::new(vb, [conv, norm], (channels, 1), ConvKind::Depthwise, window, activation)
    }

    fn new(
        vb: &VarBuilder,
        [conv, norm]: [&str; 2],
        (cout, cin): (usize, usize),
        kind: ConvKind,
        window: Window,
        activation: Activation,
    ) -> Result<Self> {
        let k = window.kernel;
        let conv = vb.pp(conv);
        let norm = vb.pp(norm);
        Ok(ConvNorm {
            name: conv.prefix(),
            // The values come from `initialise` or a checkpoint: candle's CPU generator takes no seed.
            weight: conv.get_with_hints((cout, cin, k, k), "weight", Init::Const(0.0))?,
            gamma: norm.get_with_hints(cout, "weight", Init::Const(1.0))?,
            beta: norm.get_with_hints(cout, "bias", Init::Const(0.0))?,
            running_mean: norm.get_with_hints(cout, "running_mean", Init::Const(0.0))?,
            running_variance: norm.get_with_hints(cout, "running_var", Init::Const(1.0))?,
            kind,
            window,
            activation,
            epsilon: EPSILON,
        })
    }

    /// The layer with another `epsilon`.
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        ConvNorm { epsilon, ..self }
    }

    /// Number of output channels.
    pub fn channels_out(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Weight and bias of the convolution that equals this one with its batch norm in evaluation
    /// mode: `w' = w * gamma / sqrt(var + eps)`, `b' = beta - mean * gamma / sqrt(var + eps)`.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn folded(&self) -> Result<(Tensor, Tensor)> {
        let scale = (&self.gamma / (&self.running_variance + self.epsilon)?.sqrt()?)?;
        let weight = self.weight.broadcast_mul(&scale.reshape((scale.elem_count(), 1, 1, 1))?)?;
        let bias = (&self.beta - (&self.running_mean * &scale)?)?;
        Ok((weight, bias))
    }

    fn convolve(&self, x: &Tensor) -> Result<Tensor> {
        let (_, h, w, n) = x.dims4()?;
        let window = self.window;
        match self.kind {
            ConvKind::Depthwise => depthwise_conv(x, &self.weight, window),
            ConvKind::Dense => {
                let columns = if window.kernel == 1 && window.stride == 1 {
                    x.contiguous()?.reshape((x.dim(0)?, ()))?
                } else {
                    im2col(x, window)?
                };
                let weight = self.weight.reshape((self.channels_out(), ()))?;
                weight.matmul(&columns)?.reshape((self.channels_out(), window.output(h), window.output(w), n))
            }
        }
    }

    fn normalise(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        match mode {
            Mode::Evaluate => {
                let norm = [&self.gamma, &self.beta, &self.running_mean, &self.running_variance];
                batch_norm_eval(x, norm, self.epsilon, self.activation)
            }
            Mode::Train => {
                let (y, moments) =
                    batch_norm_train(x, &self.gamma, &self.beta, self.epsilon, self.activation)?;
                let count = (x.elem_count() / x.dim(0)?) as f64;
                let unbiased = (moments.variance * (count / (count - 1.0).max(1.0)))?;
                follow(&self.running_mean, &moments.mean)?;
                follow(&self.running_variance, &unbiased)?;
                Ok(y)
            }
        }
    }
}

/// Moves a running value a [`MOMENTUM`] share towards `new`.
fn follow(running: &Tensor, new: &Tensor) -> Result<()> {
    let next = ((running * (1.0 - MOMENTUM))? + (new * MOMENTUM)?)?.detach();
    Var::from_tensor(running)?.set(&next)
}

/// A 1x1 convolution with bias.
#[derive(Debug, Clone)]
pub struct PointConv {
    /// Name in checkpoints.
    pub name: String,
    /// `[C_out, C_in, 1, 1]`.
    pub weight: Tensor,
    /// `[C_out]`.
    pub bias: Tensor,
}

impl PointConv {
    /// A convolution of `cin` to `cout` channels called `name` in the checkpoint under `vb`.
    ///
    /// # Errors
    /// If `vb` has no such tensors.
    pub fn new(vb: &VarBuilder, name: &str, [cin, cout]: [usize; 2]) -> Result<Self> {
        let vb = vb.pp(name);
        Ok(PointConv {
            name: vb.prefix(),
            weight: vb.get_with_hints((cout, cin, 1, 1), "weight", Init::Const(0.0))?,
            bias: vb.get_with_hints(cout, "bias", Init::Const(0.0))?,
        })
    }
}

/// Fully connected layer with bias.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Name in checkpoints.
    pub name: String,
    /// `[C_out, C_in]`.
    pub weight: Tensor,
    /// `[C_out]`.
    pub bias: Tensor,
}

impl Linear {
    /// A layer of `cin` to `cout` values called `name` in the checkpoint under `vb`.
    ///
    /// # Errors
    /// If `vb` has no such tensors.
    pub fn new(vb: &VarBuilder, name: &str, [cin, cout]: [usize; 2]) -> Result<Self> {
        let vb = vb.pp(name);
        Ok(Linear {
            name: vb.prefix(),
            weight: vb.get_with_hints((cout, cin), "weight", Init::Const(0.0))?,
            bias: vb.get_with_hints(cout, "bias", Init::Const(0.0))?,
        })
    }
}

/// What is done with each layer of a network.
pub trait Executor {
    /// What flows between layers: a tensor, or a name in a graph.
    type Value: Clone;

    /// Convolution, batch norm, activation.
    fn conv_norm(&mut self, layer: &ConvNorm, x: &Self::Value) -> Result<Self::Value>;

    /// Sum of two values of one shape.
    fn add(&mut self, a: &Self::Value, b: &Self::Value) -> Result<Self::Value>;

    /// 1x1 convolution with bias.
    fn point_conv(&mut self, layer: &PointConv, x: &Self::Value) -> Result<Self::Value>;

    /// `x * sigmoid(x)`.
    fn silu(&mut self, x: &Self::Value) -> Result<Self::Value>;

    /// `1 / (1 + exp(-x))`.
    fn sigmoid(&mut self, x: &Self::Value) -> Result<Self::Value>;

    /// Each map of `x` times its own `factor`, a value of height and width 1.
    fn gate(&mut self, x: &Self::Value, factor: &Self::Value) -> Result<Self::Value>;

    /// Mean over height and width, which become 1.
    fn global_average_pool(&mut self, x: &Self::Value) -> Result<Self::Value>;

    /// Fully connected layer on a map of height and width 1.
    fn linear(&mut self, layer: &Linear, x: &Self::Value) -> Result<Self::Value>;
}

/// Whether a forward pass learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses the batch's moments and moves its running ones.
    Train,
    /// Batch norm uses its running moments.
    Evaluate,
}

/// Executor that computes, on maps `[C, H, W, N]`.
pub struct Compute {
    /// Whether batch norm learns.
    pub mode: Mode,
}

impl Executor for Compute {
    type Value = Tensor;

    fn conv_norm(&mut self, layer: &ConvNorm, x: &Tensor) -> Result<Tensor> {
        layer.normalise(&layer.convolve(x)?, self.mode)
    }

    fn add(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        a + b
    }

    fn point_conv(&mut self, layer: &PointConv, x: &Tensor) -> Result<Tensor> {
        let (c, h, w, n) = x.dims4()?;
        let cout = layer.bias.elem_count();
        let y = layer.weight.reshape((cout, c))?.matmul(&x.contiguous()?.reshape((c, h * w * n))?)?;
        y.broadcast_add(&layer.bias.reshape((cout, 1))?)?.reshape((cout, h, w, n))
    }

    fn silu(&mut self, x: &Tensor) -> Result<Tensor> {
        x.silu()
    }

    fn sigmoid(&mut self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::sigmoid(x)
    }

    fn gate(&mut self, x: &Tensor, factor: &Tensor) -> Result<Tensor> {
        gate(x, factor)
    }

    fn global_average_pool(&mut self, x: &Tensor) -> Result<Tensor> {
        mean_of_map(x)
    }

    fn linear(&mut self, layer: &Linear, x: &Tensor) -> Result<Tensor> {
        let (c, _, _, n) = x.dims4()?;
        let y = layer.weight.matmul(&x.reshape((c, n))?)?;
        let (cout, _) = y.dims2()?;
        y.broadcast_add(&layer.bias.reshape((cout, 1))?)?.reshape((cout, 1, 1, n))
    }
}
