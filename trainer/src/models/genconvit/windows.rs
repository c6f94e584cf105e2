//! The window-attention branch after Swin (Liu et al., arXiv 2103.14030).
//!
//! Every second block's windows take positions a stride apart instead of shifting the map: nothing has to be rolled
//! or masked, and two blocks join every position with every other.

use super::trunk::down;
use super::{Config, Stage};
use crate::models::attention::Attention;
use crate::models::layers::{ConvNorm, Executor};
use crate::ops::{Activation, Partition, Window};
use candle_core::Result;
use candle_nn::VarBuilder;

/// Most positions along a side of a window.
const WINDOW: usize = 8;
/// Factor of the expansion between attentions (the paper's).
const EXPAND: usize = 4;

/// Map to pooled features.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    embed: ConvNorm,
    stages: Vec<(Option<ConvNorm>, Vec<Block>)>,
}

impl Windows {
    pub(super) fn new(vb: &VarBuilder, cin: usize, config: &Config) -> Result<Self> {
        let mut channels = config.windows.first().map_or(cin, |stage| stage.channels);
        let names = ["embed.conv", "embed.bn"];
        let embed = ConvNorm::dense(vb, names, [cin, channels], Window::same(1, 1), Activation::Identity)?;
        let mut stages = Vec::new();
        for (number, &Stage { blocks, channels: wanted }) in config.windows.iter().enumerate() {
            let vb = vb.pp(format!("stages.{number}"));
            let down = down(&vb, number, [channels, wanted])?;
            channels = wanted;
            let block = |index| {
                let partition =
                    if index % 2 == 0 { Partition::Adjacent(WINDOW) } else { Partition::Strided(WINDOW) };
                Block::new(&vb.pp(format!("blocks.{index}")), channels, config.head_channels, partition)
            };
            stages.push((down, (0..blocks).map(block).collect::<Result<_>>()?));
        }
        Ok(Windows { embed, stages })
    }

    pub(super) fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let mut x = executor.conv_norm(&self.embed, x)?;
        for (down, blocks) in &self.stages {
            if let Some(down) = down {
                x = executor.conv_norm(down, &x)?;
            }
            for block in blocks {
                x = block.run(executor, &x)?;
            }
        }
        executor.global_average_pool(&x)
    }
}

/// Attention in windows, then two 1x1 convolutions, each with its input added.
///
/// Batch norm follows the projections, as in LeViT (arXiv 2104.01136), and folds into them.
#[derive(Debug, Clone)]
struct Block {
    query: ConvNorm,
    key: ConvNorm,
    value: ConvNorm,
    attention: Attention,
    output: ConvNorm,
    expand: ConvNorm,
    project: ConvNorm,
}

impl Block {
    fn new(vb: &VarBuilder, channels: usize, head_channels: usize, partition: Partition) -> Result<Self> {
        let point = |name: &str, channels, activation| {
            let names = [&format!("{name}.conv")[..], &format!("{name}.bn")];
            ConvNorm::dense(vb, names, channels, Window::same(1, 1), activation)
        };
        let (relu, identity) = (Activation::Relu, Activation::Identity);
        let (same, wide) = ([channels; 2], channels * EXPAND);
        Ok(Block {
            query: point("query", same, identity)?,
            key: point("key", same, identity)?,
            value: point("value", same, identity)?,
            attention: Attention::in_windows(vb, "attention", channels / head_channels, partition)?,
            output: point("output", same, identity)?,
            expand: point("expand", [channels, wide], relu)?,
            project: point("project", [wide, channels], identity)?,
        })
    }

    fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let query = executor.conv_norm(&self.query, x)?;
        let key = executor.conv_norm(&self.key, x)?;
        let value = executor.conv_norm(&self.value, x)?;
        let seen = executor.attention(&self.attention, [&query, &key, &value])?;
        let seen = executor.conv_norm(&self.output, &seen)?;
        let x = executor.add(&seen, x)?;
        let wide = executor.conv_norm(&self.expand, &x)?;
        let y = executor.conv_norm(&self.project, &wide)?;
        executor.add(&y, &x)
    }
}
