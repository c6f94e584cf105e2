//! EfficientNetV2 (Tan and Le, arXiv 2104.00298) without what integers do badly, with timm's layer names.

use super::layers::{ConvNorm, Executor, Linear};
use crate::ops::{Activation, Window};
use candle_core::Result;
use candle_nn::VarBuilder;

/// How the blocks of a stage are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One 3x3 convolution.
    Plain,
    /// A 3x3 convolution that expands, a 1x1 one that projects (Fused-MBConv).
    Fused,
    /// A 1x1 convolution that expands, a 3x3 depthwise one, a 1x1 one that projects (MBConv).
    Inverted,
}

/// A row of the architecture table: equal blocks, of which the first one has the stride.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// How its blocks are made.
    pub kind: Kind,
    /// Number of blocks.
    pub blocks: usize,
    /// Stride of the first block.
    pub stride: usize,
    /// Factor of the expansion; 1 if plain.
    pub expand: usize,
    /// Output channels.
    pub channels: usize,
}

/// Widths and stages of one member of the family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the preset.
    pub name: &'static str,
    /// Channels of the first convolution.
    pub stem: usize,
    /// Stages of blocks.
    pub stages: Vec<Stage>,
    /// Channels of the embedding before the logit.
    pub head: usize,
}

impl Config {
    /// The student of the cascade's expert, 11.2 M parameters: B0's table at 1.3 times its width and depth, ReLU6 for
    /// SiLU and no squeeze-and-excitation, after the lite variants of EfficientNet. The embedding has 1664 values.
    pub fn lite() -> Self {
        let stage = |kind, blocks, stride, expand, channels| Stage { kind, blocks, stride, expand, channels };
        Config {
            name: "efficientnetv2-lite",
            stem: 40,
            stages: vec![
                stage(Kind::Plain, 2, 1, 1, 24),
                stage(Kind::Fused, 3, 2, 4, 40),
                stage(Kind::Fused, 3, 2, 4, 64),
                stage(Kind::Inverted, 4, 2, 4, 128),
                stage(Kind::Inverted, 7, 1, 6, 144),
                stage(Kind::Inverted, 11, 2, 6, 248),
            ],
            head: 1664,
        }
    }

    /// Every preset.
    pub fn presets() -> Vec<Self> {
        vec![Self::lite()]
    }
}

/// The network: pictures to one logit.
#[derive(Debug, Clone)]
pub struct EfficientNetV2 {
    conv_stem: ConvNorm,
    blocks: Vec<Block>,
    conv_head: ConvNorm,
    classifier: Linear,
}

impl EfficientNetV2 {
    /// The network of `config` over the tensors of `vb`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor or has one of another shape.
    pub fn new(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let relu6 = Activation::Relu6;
        let stem = Window::same(3, 2);
        let conv_stem = ConvNorm::dense(vb, ["conv_stem", "bn1"], [3, config.stem], stem, relu6)?;
        let mut channels = config.stem;
        let mut blocks = Vec::new();
        for (number, stage) in config.stages.iter().enumerate() {
            for index in 0..stage.blocks {
                let vb = vb.pp(format!("blocks.{number}.{index}"));
                let stride = if index == 0 { stage.stride } else { 1 };
                blocks.push(Block::new(&vb, channels, &Stage { stride, ..*stage })?);
                channels = stage.channels;
            }
        }
        let head = [channels, config.head];
        let conv_head = ConvNorm::dense(vb, ["conv_head", "bn2"], head, Window::same(1, 1), relu6)?;
        let classifier = Linear::new(vb, "classifier", [config.head, 1])?;
        Ok(EfficientNetV2 { conv_stem, blocks, conv_head, classifier })
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

/// Convolutions in a row, and the input added to what comes out where the shapes agree.
#[derive(Debug, Clone)]
struct Block {
    layers: Vec<ConvNorm>,
    residual: bool,
}

impl Block {
    fn new(vb: &VarBuilder, cin: usize, stage: &Stage) -> Result<Self> {
        let (wide, cout) = (cin * stage.expand, stage.channels);
        let (square, point) = (Window::same(3, stage.stride), Window::same(1, 1));
        let (relu6, identity) = (Activation::Relu6, Activation::Identity);
        let layers = match stage.kind {
            Kind::Plain => vec![ConvNorm::dense(vb, ["conv", "bn1"], [cin, cout], square, relu6)?],
            Kind::Fused => vec![
                ConvNorm::dense(vb, ["conv_exp", "bn1"], [cin, wide], square, relu6)?,
                ConvNorm::dense(vb, ["conv_pwl", "bn2"], [wide, cout], point, identity)?,
            ],
            Kind::Inverted => vec![
                ConvNorm::dense(vb, ["conv_pw", "bn1"], [cin, wide], point, relu6)?,
                ConvNorm::depthwise(vb, ["conv_dw", "bn2"], wide, square, relu6)?,
                ConvNorm::dense(vb, ["conv_pwl", "bn3"], [wide, cout], point, identity)?,
            ],
        };
        Ok(Block { layers, residual: stage.stride == 1 && cin == cout })
    }

    fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let mut y = x.clone();
        for layer in &self.layers {
            y = executor.conv_norm(layer, &y)?;
        }
        if self.residual { executor.add(&y, x) } else { Ok(y) }
    }
}
