//! Layers that know their names, and the executors that walk them.

use super::attention::Attention;
use super::auxiliary::Auxiliary;
use super::gaussian::{Gaussian, Noise};
use super::norm::Norm;
use super::point_conv::PointConv;
use crate::ops::{
    Activation, Window, attention, batch_norm_eval, batch_norm_train, depthwise_conv, gate, im2col,
    mean_of_map, transposed_conv,
};
use candle_core::{Result, Tensor, Var, bail};
use candle_nn::{Init, VarBuilder};

/// Share of the new batch in the running moments (PyTorch's and timm's default).
pub const MOMENTUM: f64 = 0.1;
/// Added to a variance before its root (PyTorch's and timm's default).
pub const EPSILON: f64 = 1e-5;

/// How a convolution's channels are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvKind {
    /// Every output sees every input.
    Dense,
    /// Output `c` sees input `c` alone.
    Depthwise,
    /// Every input makes a window of outputs; stride and kernel are one.
    Transposed,
}

/// Convolution without bias, batch norm, activation.
#[derive(Debug, Clone)]
pub struct ConvNorm {
    /// Name of the convolution in checkpoints, as timm has it.
    pub name: String,
    /// `[C_out, C_in, K, K]`; `[C, 1, K, K]` if depthwise, `[C_in, C_out, K, K]` if transposed.
    pub weight: Tensor,
    /// Gamma of the batch norm, `[C_out]`.
    pub gamma: Tensor,
    /// Beta of the batch norm, `[C_out]`.
    pub beta: Tensor,
    /// Running mean, `[C_out]`; no gradient flows here.
    pub running_mean: Tensor,
    /// Running unbiased variance, `[C_out]`; no gradient flows here.
    pub running_variance: Tensor,
    /// Factor of what the batch norm gives, `[C_out]`, if there is one (arXiv 2103.17239).
    pub layer_scale: Option<Tensor>,
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

    /// A transposed convolution of `cin` to `cout` channels that makes `kernel` x `kernel` outputs of each input.
    ///
    /// # Errors
    /// If `vb` has no such tensors.
    pub fn transposed(
        vb: &VarBuilder,
        [conv, norm]: [&str; 2],
        [cin, cout]: [usize; 2],
        kernel: usize,
        activation: Activation,
    ) -> Result<Self> {
        let window = Window::patches(kernel);
        Self::new(vb, [conv, norm], (cout, cin), ConvKind::Transposed, window, activation)
    }

    /// The same with its output times `scale` `[C_out]`.
    ///
    /// # Errors
    /// If an activation lies between the batch norm and the factor.
    pub fn scaled(self, scale: Tensor) -> Result<Self> {
        if self.activation != Activation::Identity {
            bail!("{}: a layer scale behind {:?} is not supported", self.name, self.activation);
        }
        Ok(ConvNorm { layer_scale: Some(scale), ..self })
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
        let shape = if kind == ConvKind::Transposed { (cin, cout, k, k) } else { (cout, cin, k, k) };
        Ok(ConvNorm {
            name: conv.prefix(),
            // The values come from `initialise` or a checkpoint: candle's CPU generator takes no seed.
            weight: conv.get_with_hints(shape, "weight", Init::Const(0.0))?,
            gamma: norm.get_with_hints(cout, "weight", Init::Const(1.0))?,
            beta: norm.get_with_hints(cout, "bias", Init::Const(0.0))?,
            running_mean: norm.get_with_hints(cout, "running_mean", Init::Const(0.0))?,
            running_variance: norm.get_with_hints(cout, "running_var", Init::Const(1.0))?,
            layer_scale: None,
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
        self.gamma.elem_count()
    }

    /// Gamma and beta with the layer scale in them.
    fn affine(&self) -> Result<(Tensor, Tensor)> {
        match &self.layer_scale {
            Some(scale) => Ok(((&self.gamma * scale)?, (&self.beta * scale)?)),
            None => Ok((self.gamma.clone(), self.beta.clone())),
        }
    }

    /// Weight and bias of the convolution that equals this one with its batch norm in evaluation
    /// mode: `w' = w * gamma / sqrt(var + eps)`, `b' = beta - mean * gamma / sqrt(var + eps)`. The layer scale is in
    /// gamma and beta.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn folded(&self) -> Result<(Tensor, Tensor)> {
        let (gamma, beta) = self.affine()?;
        let scale = (gamma / (&self.running_variance + self.epsilon)?.sqrt()?)?;
        let channels = scale.elem_count();
        let of_output = match self.kind {
            ConvKind::Dense | ConvKind::Depthwise => (channels, 1, 1, 1),
            ConvKind::Transposed => (1, channels, 1, 1),
        };
        let weight = self.weight.broadcast_mul(&scale.reshape(of_output)?)?;
        let bias = (beta - (&self.running_mean * &scale)?)?;
        Ok((weight, bias))
    }

    fn normalise(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if mode == Mode::Anchor && self.layer_scale.is_some() {
            bail!("{}: moments behind a layer scale cannot be taken anew", self.name);
        }
        let (gamma, beta) = self.affine()?;
        let norm = [&gamma, &beta, &self.running_mean, &self.running_variance];
        normalise(x, norm, (self.epsilon, self.activation), mode)
    }
}

/// The convolution `[C_out, OH, OW, N]` of `x` `[C_in, H, W, N]` by `weight`, in the shape that [`ConvNorm::weight`] has
/// for `kind`.
///
/// # Errors
/// If the shapes do not fit.
pub fn convolve(x: &Tensor, weight: &Tensor, kind: ConvKind, window: Window) -> Result<Tensor> {
    let (_, h, w, n) = x.dims4()?;
    match kind {
        ConvKind::Depthwise => depthwise_conv(x, weight, window),
        ConvKind::Transposed => transposed_conv(x, weight),
        ConvKind::Dense => {
            let columns = if window.kernel == 1 && window.stride == 1 {
                x.contiguous()?.reshape((x.dim(0)?, ()))?
            } else {
                im2col(x, window)?
            };
            let cout = weight.dim(0)?;
            weight.reshape((cout, ()))?.matmul(&columns)?.reshape((
                cout,
                window.output(h),
                window.output(w),
                n,
            ))
        }
    }
}

/// Batch norm by gamma, beta, running mean and running variance, which move in training.
pub(super) fn normalise(
    x: &Tensor,
    norm: [&Tensor; 4],
    (epsilon, activation): (f64, Activation),
    mode: Mode,
) -> Result<Tensor> {
    match mode {
        Mode::Evaluate => batch_norm_eval(x, norm, epsilon, activation),
        Mode::Anchor => {
            anchor(x, norm, epsilon)?;
            batch_norm_eval(x, norm, epsilon, activation)
        }
        Mode::Train => {
            let [gamma, beta, running_mean, running_variance] = norm;
            let (y, moments) = batch_norm_train(x, gamma, beta, epsilon, activation)?;
            let count = (x.elem_count() / x.dim(0)?) as f64;
            let unbiased = (moments.variance * (count / (count - 1.0).max(1.0)))?;
            follow(running_mean, &moments.mean)?;
            follow(running_variance, &unbiased)?;
            Ok(y)
        }
    }
}

/// Sets the running moments to those of `x`, and gamma and beta to what keeps the function:
/// `gamma (x - m) / s + beta = (gamma s' / s) (x - m') / s' + beta + (gamma / s) (m' - m)`, where `s` is a deviation.
fn anchor(
    x: &Tensor,
    [gamma, beta, running_mean, running_variance]: [&Tensor; 4],
    epsilon: f64,
) -> Result<()> {
    let (_, found) = batch_norm_train(x, gamma, beta, epsilon, Activation::Identity)?;
    let deviation = |variance: &Tensor| (variance + epsilon)?.sqrt();
    let slope = (gamma / deviation(running_variance)?)?;
    let new_gamma = (&slope * deviation(&found.variance)?)?;
    let new_beta = (beta + (&slope * (&found.mean - running_mean)?)?)?;
    let pairs = [
        (gamma, new_gamma),
        (beta, new_beta),
        (running_mean, found.mean),
        (running_variance, found.variance),
    ];
    pairs.into_iter().try_for_each(|(variable, value)| Var::from_tensor(variable)?.set(&value.detach()))
}

/// Moves a running value a [`MOMENTUM`] share towards `new`.
fn follow(running: &Tensor, new: &Tensor) -> Result<()> {
    let next = ((running * (1.0 - MOMENTUM))? + (new * MOMENTUM)?)?.detach();
    Var::from_tensor(running)?.set(&next)
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

    /// 1x1 convolution without batch norm.
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

    /// Batch norm by itself.
    fn norm(&mut self, layer: &Norm, _x: &Self::Value) -> Result<Self::Value> {
        bail!("{}: this executor knows no batch norm by itself", layer.name)
    }

    /// Attention of queries over keys and values.
    fn attention(&mut self, layer: &Attention, _maps: [&Self::Value; 3]) -> Result<Self::Value> {
        bail!("{}: this executor knows no attention", layer.name)
    }

    /// The channels of maps of one height and width, one behind the other.
    fn concat(&mut self, _maps: &[Self::Value]) -> Result<Self::Value> {
        bail!("this executor knows no concatenation")
    }

    /// A sample of the latent in training, else its mean.
    fn latent(&mut self, layer: &Gaussian, x: &Self::Value) -> Result<Self::Value> {
        self.point_conv(&layer.mean, x)
    }

    /// Takes note of how well `copy` reproduces `picture`; of interest in training alone.
    ///
    /// # Errors
    /// If the shapes differ.
    fn reproduced(&mut self, _picture: &Self::Value, _copy: &Self::Value) -> Result<()> {
        Ok(())
    }

    /// What `walk` gives for each of `inputs`, by the same layers.
    ///
    /// # Errors
    /// Those of `walk`.
    fn each<F>(&mut self, inputs: &[Self::Value], walk: F) -> Result<Vec<Self::Value>>
    where
        F: Fn(&mut Self, &Self::Value) -> Result<Self::Value>,
    {
        inputs.iter().map(|input| walk(self, input)).collect()
    }
}

/// Whether a forward pass learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses the batch's moments and moves its running ones.
    Train,
    /// Batch norm uses its running moments.
    Evaluate,
    /// As [`Mode::Evaluate`], once batch norm has taken the batch's moments for its running ones, with gamma and beta such
    /// that it computes what it did: a network whose moments are not those of its maps then learns on from where it is.
    Anchor,
}

/// Executor that computes, on maps `[C, H, W, N]`.
pub struct Compute {
    /// Whether batch norm learns.
    pub mode: Mode,
    /// What training also has to make small, gathered on the way.
    pub auxiliary: Auxiliary,
    /// What the last fully connected layer so far read, `[D, 1, 1, N]`: in the end the embedding.
    pub last_read: Option<Tensor>,
    noise: Option<Noise>,
}

impl Compute {
    /// An executor whose latents are their means.
    pub fn new(mode: Mode) -> Self {
        Compute { mode, auxiliary: Auxiliary::default(), last_read: None, noise: None }
    }

    /// An executor that learns, with latents sampled by `noise`.
    pub fn training(noise: Noise) -> Self {
        Compute { noise: Some(noise), ..Compute::new(Mode::Train) }
    }
}

impl Executor for Compute {
    type Value = Tensor;

    fn conv_norm(&mut self, layer: &ConvNorm, x: &Tensor) -> Result<Tensor> {
        layer.normalise(&convolve(x, &layer.weight, layer.kind, layer.window)?, self.mode)
    }

    fn add(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        a + b
    }

    fn point_conv(&mut self, layer: &PointConv, x: &Tensor) -> Result<Tensor> {
        layer.apply(x)
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
        self.last_read = Some(x.clone());
        let (c, _, _, n) = x.dims4()?;
        let y = layer.weight.matmul(&x.reshape((c, n))?)?;
        let (cout, _) = y.dims2()?;
        y.broadcast_add(&layer.bias.reshape((cout, 1))?)?.reshape((cout, 1, 1, n))
    }
    fn norm(&mut self, layer: &Norm, x: &Tensor) -> Result<Tensor> {
        layer.apply(x, self.mode)
    }

    fn attention(&mut self, layer: &Attention, [q, k, v]: [&Tensor; 3]) -> Result<Tensor> {
        let (_, h, w, _) = q.dims4()?;
        attention([q, k, v], layer.grouping, layer.bias([h, w])?.as_ref())
    }

    fn concat(&mut self, maps: &[Tensor]) -> Result<Tensor> {
        Tensor::cat(maps, 0)
    }

    fn latent(&mut self, layer: &Gaussian, x: &Tensor) -> Result<Tensor> {
        let mean = layer.mean.apply(x)?;
        if self.mode != Mode::Train {
            return Ok(mean);
        }
        let log_variance = layer.log_variance.apply(x)?;
        self.auxiliary.add_divergence(&mean, &log_variance)?;
        match &mut self.noise {
            // z = mean + deviation * noise, so that gradients reach both (the paper's section 2.4).
            Some(noise) => &mean + ((log_variance * 0.5)?.exp()? * noise.like(&mean)?)?,
            None => Ok(mean),
        }
    }

    fn reproduced(&mut self, picture: &Tensor, copy: &Tensor) -> Result<()> {
        match self.mode {
            Mode::Train => self.auxiliary.add_reconstruction(picture, copy),
            Mode::Evaluate | Mode::Anchor => Ok(()),
        }
    }

    /// All inputs as one batch, so that batch norm sees in training what its running moments will stand for.
    fn each<F>(&mut self, inputs: &[Tensor], walk: F) -> Result<Vec<Tensor>>
    where
        F: Fn(&mut Self, &Tensor) -> Result<Tensor>,
    {
        let y = walk(self, &Tensor::cat(inputs, 3)?)?;
        let mut first = 0;
        let mut part = |input: &Tensor| {
            let n = input.dim(3)?;
            first += n;
            y.narrow(3, first - n, n)
        };
        inputs.iter().map(&mut part).collect()
    }
}
