//! EfficientNet, with the layer names of timm's checkpoints: of the second generation (Tan and Le, arXiv 2104.00298) the
//! small members B0 to B3 as they were published, and one without what integers do badly; of the first (arXiv 1905.11946)
//! Lite0 and Lite2, which were published for integers.

use super::layers::{ConvNorm, Executor, Linear};
use super::point_conv::PointConv;
use crate::ops::{Activation, Padding, Window};
use candle_core::{Device, Result};
use candle_nn::VarBuilder;

/// Inputs of a block by values that squeeze-and-excitation keeps of them (the published ratio is 0.25).
const SQUEEZE: usize = 4;

/// How the blocks of a stage are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One 3x3 convolution.
    Plain,
    /// A 3x3 convolution that expands, a 1x1 one that projects (Fused-MBConv).
    Fused,
    /// A depthwise convolution, a 1x1 one that projects.
    Separable,
    /// A 1x1 convolution that expands, a depthwise one, a 1x1 one that projects (MBConv).
    Inverted,
}

/// A row of the architecture table: equal blocks, of which the first one has the stride.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// How its blocks are made.
    pub kind: Kind,
    /// Number of blocks.
    pub blocks: usize,
    /// Width and height of its depthwise windows, or of its 3x3 ones.
    pub kernel: usize,
    /// Stride of the first block.
    pub stride: usize,
    /// Factor of the expansion; 1 if plain or separable.
    pub expand: usize,
    /// Output channels.
    pub channels: usize,
}

/// What the layers of a member have in common beside their widths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flavour {
    /// After each convolution but the projections.
    pub activation: Activation,
    /// Zeros around the maps of convolutions wider than 1x1.
    pub padding: Padding,
    /// Epsilon of the batch norms.
    pub epsilon: f64,
    /// Whether inverted blocks weigh their channels (squeeze-and-excitation).
    pub excites: bool,
}

/// Widths and stages of one member of the family.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name of the preset.
    pub name: &'static str,
    /// Channels of the first convolution.
    pub stem: usize,
    /// Stages of blocks.
    pub stages: Vec<Stage>,
    /// Length of the embedding: the mean of the last maps, before the logit.
    pub head: usize,
    /// What the layers have in common.
    pub flavour: Flavour,
}

impl Config {
    /// B0, 5.86 M parameters with one logit, an embedding of 1280 values.
    pub fn b0() -> Self {
        Self::scaled("efficientnetv2-b0", 10, 10)
    }

    /// B1, 6.86 M parameters with one logit, an embedding of 1280 values.
    pub fn b1() -> Self {
        Self::scaled("efficientnetv2-b1", 10, 11)
    }

    /// B2, 8.69 M parameters with one logit, an embedding of 1408 values.
    pub fn b2() -> Self {
        Self::scaled("efficientnetv2-b2", 11, 12)
    }

    /// B3, 12.82 M parameters with one logit, an embedding of 1536 values.
    pub fn b3() -> Self {
        Self::scaled("efficientnetv2-b3", 12, 14)
    }

    /// The student of the cascade's expert, 11.2 M parameters: B0's table at 1.3 times its width and depth, ReLU6 for
    /// SiLU and no squeeze-and-excitation, after the lite variants of EfficientNet. The embedding has 1664 values.
    pub fn lite() -> Self {
        let flavour = Flavour {
            activation: Activation::Relu6,
            padding: Padding::Even(1),
            epsilon: super::layers::EPSILON,
            excites: false,
        };
        Config { flavour, ..Self::scaled("efficientnetv2-lite", 13, 13) }
    }

    /// EfficientNet-Lite0, 3.37 M parameters with one logit, an embedding of 1280 values (its authors' code, Apache-2.0).
    pub fn lite0() -> Self {
        Self::first_generation("efficientnet-lite0", 10, 10)
    }

    /// EfficientNet-Lite2, 4.81 M parameters with one logit, an embedding of 1280 values.
    pub fn lite2() -> Self {
        Self::first_generation("efficientnet-lite2", 11, 12)
    }

    /// The first generation's lite table: stem and head keep their widths, the first and the last stage their one block.
    fn first_generation(name: &'static str, width: usize, depth: usize) -> Self {
        let channels = |base: usize| round_channels(base, width);
        let stage = |kind, blocks: usize, kernel, stride, expand, base| {
            let blocks = if blocks == 1 { 1 } else { (blocks * depth).div_ceil(10) };
            Stage { kind, blocks, kernel, stride, expand, channels: channels(base) }
        };
        Config {
            name,
            stem: 32,
            stages: vec![
                stage(Kind::Separable, 1, 3, 1, 1, 16),
                stage(Kind::Inverted, 2, 3, 2, 6, 24),
                stage(Kind::Inverted, 2, 5, 2, 6, 40),
                stage(Kind::Inverted, 3, 3, 2, 6, 80),
                stage(Kind::Inverted, 3, 5, 1, 6, 112),
                stage(Kind::Inverted, 4, 5, 2, 6, 192),
                stage(Kind::Inverted, 1, 3, 1, 6, 320),
            ],
            head: 1280,
            flavour: Flavour {
                activation: Activation::Relu6,
                padding: Padding::Tensorflow,
                epsilon: 1e-3,
                excites: false,
            },
        }
    }

    /// The second generation's table with `width` tenths of its channels, rounded to multiples of 8, and `depth` tenths of its
    /// blocks, rounded up (EfficientNet, arXiv 1905.11946, and its authors' code).
    fn scaled(name: &'static str, width: usize, depth: usize) -> Self {
        let channels = |base: usize| round_channels(base, width);
        let stage = |kind, blocks: usize, stride, expand, base| {
            let blocks = (blocks * depth).div_ceil(10);
            Stage { kind, blocks, kernel: 3, stride, expand, channels: channels(base) }
        };
        Config {
            name,
            stem: channels(32),
            stages: vec![
                stage(Kind::Plain, 1, 1, 1, 16),
                stage(Kind::Fused, 2, 2, 4, 32),
                stage(Kind::Fused, 2, 2, 4, 48),
                stage(Kind::Inverted, 3, 2, 4, 96),
                stage(Kind::Inverted, 5, 1, 6, 112),
                stage(Kind::Inverted, 8, 2, 6, 192),
            ],
            head: channels(1280),
            flavour: Flavour {
                activation: Activation::Silu,
                padding: Padding::Tensorflow,
                epsilon: 1e-3,
                excites: true,
            },
        }
    }

    /// Every preset.
    pub fn presets() -> Vec<Self> {
        vec![Self::b0(), Self::b1(), Self::b2(), Self::b3(), Self::lite(), Self::lite0(), Self::lite2()]
    }
}

/// `base` channels times `width` tenths, rounded to a multiple of 8. (The first generation's rule that nothing shrinks by more
/// than a tenth changes none of the members here; the second has none.)
fn round_channels(base: usize, width: usize) -> usize {
    (base * width + 40) / 80 * 8
}

/// The network: pictures to one logit.
#[derive(Debug, Clone)]
pub struct EfficientNet {
    conv_stem: ConvNorm,
    blocks: Vec<Block>,
    conv_head: ConvNorm,
    classifier: Linear,
}

impl EfficientNet {
    /// The network of `config` over the tensors of `vb`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor or has one of another shape.
    pub fn new(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let flavour = &config.flavour;
        let conv_stem = flavour.square(vb, ["conv_stem", "bn1"], [3, config.stem], 2)?;
        let mut channels = config.stem;
        let mut blocks = Vec::new();
        for (number, stage) in config.stages.iter().enumerate() {
            for index in 0..stage.blocks {
                let vb = vb.pp(format!("blocks.{number}.{index}"));
                let stride = if index == 0 { stage.stride } else { 1 };
                blocks.push(Block::new(&vb, channels, &Stage { stride, ..*stage }, flavour)?);
                channels = stage.channels;
            }
        }
        let conv_head = flavour.point(vb, ["conv_head", "bn2"], [channels, config.head])?;
        let classifier = Linear::new(vb, "classifier", [config.head, 1])?;
        Ok(EfficientNet { conv_stem, blocks, conv_head, classifier })
    }

    /// The device that holds the weights.
    pub fn device(&self) -> &Device {
        self.classifier.weight.device()
    }

    /// Walks the layers from the picture to the logit.
    ///
    /// # Errors
    /// Those of `executor`.
    pub fn run<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<E::Value> {
        let mut x = executor.conv_norm(&self.conv_stem, picture)?;
        for block in &self.blocks {
            x = block.run(executor, &x)?;
        }
        let features = executor.conv_norm(&self.conv_head, &x)?;
        let embedding = executor.global_average_pool(&features)?;
        executor.linear(&self.classifier, &embedding)
    }
}

impl Flavour {
    fn square(
        &self,
        vb: &VarBuilder,
        names: [&str; 2],
        channels: [usize; 2],
        stride: usize,
    ) -> Result<ConvNorm> {
        let window = Window { kernel: 3, stride, padding: self.padding };
        Ok(ConvNorm::dense(vb, names, channels, window, self.activation)?.with_epsilon(self.epsilon))
    }

    fn depthwise(
        &self,
        vb: &VarBuilder,
        names: [&str; 2],
        channels: usize,
        [kernel, stride]: [usize; 2],
    ) -> Result<ConvNorm> {
        let window = Window { kernel, stride, padding: self.padding };
        Ok(ConvNorm::depthwise(vb, names, channels, window, self.activation)?.with_epsilon(self.epsilon))
    }

    fn point(&self, vb: &VarBuilder, names: [&str; 2], channels: [usize; 2]) -> Result<ConvNorm> {
        let window = Window::same(1, 1);
        Ok(ConvNorm::dense(vb, names, channels, window, self.activation)?.with_epsilon(self.epsilon))
    }

    fn projection(&self, vb: &VarBuilder, names: [&str; 2], channels: [usize; 2]) -> Result<ConvNorm> {
        Flavour { activation: Activation::Identity, ..*self }.point(vb, names, channels)
    }
}

/// Convolutions in a row, channels weighed before the last one, and the input added to what comes out where the shapes
/// agree.
#[derive(Debug, Clone)]
struct Block {
    layers: Vec<ConvNorm>,
    excitation: Option<Excitation>,
    projection: Option<ConvNorm>,
    residual: bool,
}

impl Block {
    fn new(vb: &VarBuilder, cin: usize, stage: &Stage, flavour: &Flavour) -> Result<Self> {
        let (wide, cout, stride) = (cin * stage.expand, stage.channels, stage.stride);
        let residual = stride == 1 && cin == cout;
        match stage.kind {
            Kind::Plain => Ok(Block {
                layers: vec![flavour.square(vb, ["conv", "bn1"], [cin, cout], stride)?],
                excitation: None,
                projection: None,
                residual,
            }),
            Kind::Fused => Ok(Block {
                layers: vec![flavour.square(vb, ["conv_exp", "bn1"], [cin, wide], stride)?],
                excitation: None,
                projection: Some(flavour.projection(vb, ["conv_pwl", "bn2"], [wide, cout])?),
                residual,
            }),
            Kind::Separable => Ok(Block {
                layers: vec![flavour.depthwise(vb, ["conv_dw", "bn1"], cin, [stage.kernel, stride])?],
                excitation: None,
                projection: Some(flavour.projection(vb, ["conv_pw", "bn2"], [cin, cout])?),
                residual,
            }),
            Kind::Inverted => {
                let excitation = flavour
                    .excites
                    .then(|| Excitation::new(&vb.pp("se"), wide, cin / SQUEEZE))
                    .transpose()?;
                Ok(Block {
                    layers: vec![
                        flavour.point(vb, ["conv_pw", "bn1"], [cin, wide])?,
                        flavour.depthwise(vb, ["conv_dw", "bn2"], wide, [stage.kernel, stride])?,
                    ],
                    excitation,
                    projection: Some(flavour.projection(vb, ["conv_pwl", "bn3"], [wide, cout])?),
                    residual,
                })
            }
        }
    }

    fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let mut y = x.clone();
        for layer in &self.layers {
            y = executor.conv_norm(layer, &y)?;
        }
        if let Some(excitation) = &self.excitation {
            y = excitation.run(executor, &y)?;
        }
        if let Some(projection) = &self.projection {
            y = executor.conv_norm(projection, &y)?;
        }
        if self.residual { executor.add(&y, x) } else { Ok(y) }
    }
}

/// Squeeze-and-excitation (Hu et al., arXiv 1709.01507): each channel times a factor in (0, 1) that two small layers
/// read off the means of all channels.
#[derive(Debug, Clone)]
struct Excitation {
    conv_reduce: PointConv,
    conv_expand: PointConv,
}

impl Excitation {
    fn new(vb: &VarBuilder, channels: usize, kept: usize) -> Result<Self> {
        Ok(Excitation {
            conv_reduce: PointConv::new(vb, "conv_reduce", [channels, kept])?,
            conv_expand: PointConv::new(vb, "conv_expand", [kept, channels])?,
        })
    }

    fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let means = executor.global_average_pool(x)?;
        let kept = executor.point_conv(&self.conv_reduce, &means)?;
        let kept = executor.silu(&kept)?;
        let factors = executor.point_conv(&self.conv_expand, &kept)?;
        let factors = executor.sigmoid(&factors)?;
        executor.gate(x, &factors)
    }
}
