//! MobileNetV4 (Qin et al., arXiv 2404.10518), with the layer names of timm's checkpoints.

use super::layers::{ConvNorm, Executor, Linear};
use crate::ops::{Activation, Window};
use candle_core::{Device, Result};
use candle_nn::VarBuilder;

/// One row of the architecture table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Plain convolution with batch norm and ReLU.
    Conv {
        /// Kernel size.
        kernel: usize,
        /// Stride.
        stride: usize,
        /// Output channels.
        channels: usize,
    },
    /// Fused inverted bottleneck: a dense convolution that expands, a point convolution that projects.
    Fused {
        /// Kernel size of the expansion.
        kernel: usize,
        /// Stride of the expansion.
        stride: usize,
        /// Factor of the expansion.
        expand: usize,
        /// Output channels.
        channels: usize,
    },
    /// Universal inverted bottleneck: start depthwise, expand, middle depthwise, project.
    Bottleneck {
        /// Kernel of the depthwise convolution before the expansion; none if absent.
        start: Option<usize>,
        /// Kernel of the depthwise convolution after the expansion; none if absent.
        middle: Option<usize>,
        /// Stride; it sits on the middle convolution if there is one, else on the first.
        stride: usize,
        /// Factor of the expansion.
        expand: usize,
        /// Output channels.
        channels: usize,
    },
}

/// Widths and blocks of one member of the family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the preset.
    pub name: &'static str,
    /// Channels of the first convolution.
    pub stem: usize,
    /// Stages of blocks.
    pub stages: Vec<Vec<Block>>,
    /// Channels between pooling and the logit.
    pub head: usize,
}

const fn conv(kernel: usize, stride: usize, channels: usize) -> Block {
    Block::Conv { kernel, stride, channels }
}

/// Kernels of 0 stand for absent, as in the paper's tables.
fn bottleneck(start: usize, middle: usize, stride: usize, expand: usize, channels: usize) -> Block {
    let present = |kernel: usize| (kernel > 0).then_some(kernel);
    Block::Bottleneck { start: present(start), middle: present(middle), stride, expand, channels }
}

impl Config {
    /// MobileNetV4-Conv-Small, 2.49 M parameters with one logit (paper, table 11).
    pub fn conv_small() -> Self {
        let mut stage2 = vec![bottleneck(5, 5, 2, 3, 96)];
        stage2.extend([bottleneck(0, 3, 1, 2, 96); 4]);
        stage2.push(bottleneck(3, 0, 1, 4, 96));
        let stage3 = vec![
            bottleneck(3, 3, 2, 6, 128),
            bottleneck(5, 5, 1, 4, 128),
            bottleneck(0, 5, 1, 4, 128),
            bottleneck(0, 5, 1, 3, 128),
            bottleneck(0, 3, 1, 4, 128),
            bottleneck(0, 3, 1, 4, 128),
        ];
        Config {
            name: "mobilenetv4-conv-small",
            stem: 32,
            stages: vec![
                vec![conv(3, 2, 32), conv(1, 1, 32)],
                vec![conv(3, 2, 96), conv(1, 1, 64)],
                stage2,
                stage3,
                vec![conv(1, 1, 960)],
            ],
            head: 1280,
        }
    }

    /// [`Self::conv_small`] with 768 channels before the logit instead of 1280: 2.00 M parameters,
    /// a student of 8 MB.
    pub fn conv_small_narrow() -> Self {
        Config { name: "mobilenetv4-conv-small-narrow", head: 768, ..Self::conv_small() }
    }

    /// MobileNetV4-Conv-Medium, 8.44 M parameters with one logit (paper, table 12).
    pub fn conv_medium() -> Self {
        let stage2 = vec![
            bottleneck(3, 5, 2, 6, 160),
            bottleneck(3, 3, 1, 4, 160),
            bottleneck(3, 3, 1, 4, 160),
            bottleneck(3, 5, 1, 4, 160),
            bottleneck(3, 3, 1, 4, 160),
            bottleneck(3, 0, 1, 4, 160),
            bottleneck(0, 0, 1, 2, 160),
            bottleneck(3, 0, 1, 4, 160),
        ];
        let stage3 = vec![
            bottleneck(5, 5, 2, 6, 256),
            bottleneck(5, 5, 1, 4, 256),
            bottleneck(3, 5, 1, 4, 256),
            bottleneck(3, 5, 1, 4, 256),
            bottleneck(0, 0, 1, 4, 256),
            bottleneck(3, 0, 1, 4, 256),
            bottleneck(3, 5, 1, 2, 256),
            bottleneck(5, 5, 1, 4, 256),
            bottleneck(0, 0, 1, 4, 256),
            bottleneck(0, 0, 1, 4, 256),
            bottleneck(5, 0, 1, 2, 256),
        ];
        Config {
            name: "mobilenetv4-conv-medium",
            stem: 32,
            stages: vec![
                vec![Block::Fused { kernel: 3, stride: 2, expand: 4, channels: 48 }],
                vec![bottleneck(3, 5, 2, 4, 80), bottleneck(3, 3, 1, 2, 80)],
                stage2,
                stage3,
                vec![conv(1, 1, 960)],
            ],
            head: 1280,
        }
    }

    /// Every preset.
    pub fn presets() -> Vec<Self> {
        vec![Self::conv_small(), Self::conv_small_narrow(), Self::conv_medium()]
    }
}

/// The network: pictures to one logit.
#[derive(Debug, Clone)]
pub struct MobileNetV4 {
    conv_stem: ConvNorm,
    blocks: Vec<UniversalBlock>,
    conv_head: ConvNorm,
    classifier: Linear,
}

impl MobileNetV4 {
    /// The network of `config` over the tensors of `vb`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor or has one of another shape.
    pub fn new(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let stem = Window::same(3, 2);
        let conv_stem = ConvNorm::dense(vb, ["conv_stem", "bn1"], [3, config.stem], stem, Activation::Relu)?;
        let mut channels = config.stem;
        let mut blocks = Vec::new();
        for (stage, rows) in config.stages.iter().enumerate() {
            for (index, row) in rows.iter().enumerate() {
                let vb = vb.pp(format!("blocks.{stage}.{index}"));
                let block = UniversalBlock::new(&vb, channels, *row)?;
                channels = block.channels_out();
                blocks.push(block);
            }
        }
        let point = Window::same(1, 1);
        let head = [channels, config.head];
        let conv_head = ConvNorm::dense(vb, ["conv_head", "norm_head"], head, point, Activation::Relu)?;
        let classifier = Linear::new(vb, "classifier", [config.head, 1])?;
        Ok(MobileNetV4 { conv_stem, blocks, conv_head, classifier })
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
        let pooled = executor.global_average_pool(&x)?;
        let embedding = executor.conv_norm(&self.conv_head, &pooled)?;
        executor.linear(&self.classifier, &embedding)
    }
}

/// One row of the table, built.
#[derive(Debug, Clone)]
enum UniversalBlock {
    Conv(ConvNorm),
    Fused(Box<Fused>),
    Bottleneck(Box<Bottleneck>),
}

#[derive(Debug, Clone)]
struct Fused {
    conv_exp: ConvNorm,
    conv_pwl: ConvNorm,
    residual: bool,
}

#[derive(Debug, Clone)]
struct Bottleneck {
    dw_start: Option<ConvNorm>,
    pw_exp: ConvNorm,
    dw_mid: Option<ConvNorm>,
    pw_proj: ConvNorm,
    residual: bool,
}

impl UniversalBlock {
    fn new(vb: &VarBuilder, cin: usize, block: Block) -> Result<Self> {
        match block {
            Block::Conv { kernel, stride, channels } => {
                let window = Window::same(kernel, stride);
                ConvNorm::dense(vb, ["conv", "bn1"], [cin, channels], window, Activation::Relu)
                    .map(Self::Conv)
            }
            Block::Fused { kernel, stride, expand, channels } => {
                let wide = cin * expand;
                let (window, point) = (Window::same(kernel, stride), Window::same(1, 1));
                let (relu, identity) = (Activation::Relu, Activation::Identity);
                Ok(Self::Fused(Box::new(Fused {
                    conv_exp: ConvNorm::dense(vb, ["conv_exp", "bn1"], [cin, wide], window, relu)?,
                    conv_pwl: ConvNorm::dense(vb, ["conv_pwl", "bn2"], [wide, channels], point, identity)?,
                    residual: stride == 1 && cin == channels,
                })))
            }
            Block::Bottleneck { start, middle, stride, expand, channels } => {
                let wide = cin * expand;
                let start_stride = if middle.is_some() { 1 } else { stride };
                let point = Window::same(1, 1);
                let depthwise = |name: &str, kernel: Option<usize>, channels, stride, activation| {
                    let names = [&format!("{name}.conv")[..], &format!("{name}.bn")];
                    kernel
                        .map(|k| {
                            ConvNorm::depthwise(vb, names, channels, Window::same(k, stride), activation)
                        })
                        .transpose()
                };
                let bottleneck = Bottleneck {
                    dw_start: depthwise("dw_start", start, cin, start_stride, Activation::Identity)?,
                    pw_exp: ConvNorm::dense(
                        vb,
                        ["pw_exp.conv", "pw_exp.bn"],
                        [cin, wide],
                        point,
                        Activation::Relu,
                    )?,
                    dw_mid: depthwise("dw_mid", middle, wide, stride, Activation::Relu)?,
                    pw_proj: ConvNorm::dense(
                        vb,
                        ["pw_proj.conv", "pw_proj.bn"],
                        [wide, channels],
                        point,
                        Activation::Identity,
                    )?,
                    residual: stride == 1 && cin == channels,
                };
                Ok(Self::Bottleneck(Box::new(bottleneck)))
            }
        }
    }

    fn channels_out(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.channels_out(),
            Self::Fused(fused) => fused.conv_pwl.channels_out(),
            Self::Bottleneck(bottleneck) => bottleneck.pw_proj.channels_out(),
        }
    }

    fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let (layers, residual) = match self {
            Self::Conv(conv) => ([Some(conv), None, None, None], false),
            Self::Fused(block) => {
                ([Some(&block.conv_exp), Some(&block.conv_pwl), None, None], block.residual)
            }
            Self::Bottleneck(block) => (
                [block.dw_start.as_ref(), Some(&block.pw_exp), block.dw_mid.as_ref(), Some(&block.pw_proj)],
                block.residual,
            ),
        };
        let mut y = x.clone();
        for layer in layers.into_iter().flatten() {
            y = executor.conv_norm(layer, &y)?;
        }
        if residual { executor.add(&y, x) } else { Ok(y) }
    }
}
