//! The blocks of MobileNetV4, rows of its tables.

use super::layers::{ConvNorm, Executor};
use super::mobile_attention::MobileAttention;
use super::mobilenet_v4::{Block, Config};
use crate::ops::{Activation, Window};
use candle_core::Result;
use candle_nn::{Init, VarBuilder};

/// Heads of each attention, and the channels of one.
const HEADS: [usize; 2] = [4, 64];

/// One row of the table, built.
#[derive(Debug, Clone)]
pub(super) enum UniversalBlock {
    Conv(ConvNorm),
    Fused(Box<Fused>),
    Bottleneck(Box<Bottleneck>),
    Attention(Box<MobileAttention>),
}

#[derive(Debug, Clone)]
pub(super) struct Fused {
    conv_exp: ConvNorm,
    conv_pwl: ConvNorm,
    residual: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Bottleneck {
    dw_start: Option<ConvNorm>,
    pw_exp: ConvNorm,
    dw_mid: Option<ConvNorm>,
    pw_proj: ConvNorm,
    residual: bool,
}

impl UniversalBlock {
    /// The block of `row` on a map of `cin` channels.
    pub(super) fn new(vb: &VarBuilder, cin: usize, row: Block, config: &Config) -> Result<Self> {
        match row {
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
                let pw_proj = ConvNorm::dense(
                    vb,
                    ["pw_proj.conv", "pw_proj.bn"],
                    [wide, channels],
                    point,
                    Activation::Identity,
                )?;
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
                    pw_proj: if config.layer_scale {
                        pw_proj.scaled(vb.get_with_hints(
                            channels,
                            "layer_scale.gamma",
                            Init::Const(1.0),
                        )?)?
                    } else {
                        pw_proj
                    },
                    residual: stride == 1 && cin == channels,
                };
                Ok(Self::Bottleneck(Box::new(bottleneck)))
            }
            Block::Attention { kv_stride, channels } => MobileAttention::new(vb, channels, HEADS, kv_stride)
                .map(|block| Self::Attention(Box::new(block))),
        }
    }

    pub(super) fn channels_out(&self) -> usize {
        match self {
            Self::Conv(conv) => conv.channels_out(),
            Self::Fused(fused) => fused.conv_pwl.channels_out(),
            Self::Bottleneck(bottleneck) => bottleneck.pw_proj.channels_out(),
            Self::Attention(block) => block.channels_out(),
        }
    }

    pub(super) fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let (layers, residual) = match self {
            Self::Conv(conv) => ([Some(conv), None, None, None], false),
            Self::Fused(block) => {
                ([Some(&block.conv_exp), Some(&block.conv_pwl), None, None], block.residual)
            }
            Self::Bottleneck(block) => (
                [block.dw_start.as_ref(), Some(&block.pw_exp), block.dw_mid.as_ref(), Some(&block.pw_proj)],
                block.residual,
            ),
            Self::Attention(block) => return block.run(executor, x),
        };
        let mut y = x.clone();
        for layer in layers.into_iter().flatten() {
            y = executor.conv_norm(layer, &y)?;
        }
        if residual { executor.add(&y, x) } else { Ok(y) }
    }
}
