//! The trunk that looks at each picture: convolutions after ConvNeXt (Liu et al., arXiv 2201.03545), with window
//! attention beside them.

use super::Config;
use super::windows::Windows;
use crate::models::layers::{ConvNorm, Executor};
use crate::ops::{Activation, Window};
use candle_core::{Result, bail};
use candle_nn::VarBuilder;

/// Side of the depthwise kernel, and factor of the expansion (the paper's).
const KERNEL: usize = 7;
const EXPAND: usize = 4;
/// Side of the patches that the first convolution reads.
const PATCH: usize = 4;

/// Picture to pooled features of both branches.
#[derive(Debug, Clone)]
pub(super) struct Trunk {
    stem: ConvNorm,
    /// Each stage's way down, which the first one lacks, and its blocks.
    stages: Vec<(Option<ConvNorm>, Vec<Block>)>,
    windows: Windows,
}

impl Trunk {
    pub(super) fn new(vb: &VarBuilder, config: &Config) -> Result<Self> {
        let Some(first) = config.convolution.first() else { bail!("{}: no stages", config.name) };
        let stem = ConvNorm::dense(
            vb,
            ["stem.conv", "stem.bn"],
            [3, first.channels],
            Window::patches(PATCH),
            Activation::Identity,
        )?;
        let mut channels = first.channels;
        let mut stages = Vec::new();
        for (number, stage) in config.convolution.iter().enumerate() {
            let vb = vb.pp(format!("stages.{number}"));
            let down = down(&vb, number, [channels, stage.channels])?;
            channels = stage.channels;
            let blocks =
                (0..stage.blocks).map(|index| Block::new(&vb.pp(format!("blocks.{index}")), channels));
            stages.push((down, blocks.collect::<Result<_>>()?));
        }
        let windows = Windows::new(&vb.pp("windows"), first.channels, config)?;
        Ok(Trunk { stem, stages, windows })
    }

    /// Pooled channels of the last convolutional stage, then those of the last stage of windows.
    pub(super) fn run<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<E::Value> {
        let mut x = executor.conv_norm(&self.stem, picture)?;
        let mut attended = None;
        for (down, blocks) in &self.stages {
            if let Some(down) = down {
                x = executor.conv_norm(down, &x)?;
            }
            for block in blocks {
                x = block.run(executor, &x)?;
            }
            if attended.is_none() {
                attended = Some(self.windows.run(executor, &x)?);
            }
        }
        let mut features = vec![executor.global_average_pool(&x)?];
        features.extend(attended);
        executor.concat(&features)
    }
}

/// The convolution that halves the map before stage `number`, which the first stage lacks.
pub(super) fn down(vb: &VarBuilder, number: usize, channels: [usize; 2]) -> Result<Option<ConvNorm>> {
    let halves =
        || ConvNorm::dense(vb, ["down.conv", "down.bn"], channels, Window::patches(2), Activation::Identity);
    (number > 0).then(halves).transpose()
}

/// Large depthwise convolution, expansion, projection, and the input added to them.
#[derive(Debug, Clone)]
struct Block {
    layers: [ConvNorm; 3],
}

impl Block {
    fn new(vb: &VarBuilder, channels: usize) -> Result<Self> {
        let (wide, point) = (channels * EXPAND, Window::same(1, 1));
        let (relu, identity) = (Activation::Relu, Activation::Identity);
        Ok(Block {
            layers: [
                ConvNorm::depthwise(vb, ["dw.conv", "dw.bn"], channels, Window::same(KERNEL, 1), identity)?,
                ConvNorm::dense(vb, ["expand.conv", "expand.bn"], [channels, wide], point, relu)?,
                ConvNorm::dense(vb, ["project.conv", "project.bn"], [wide, channels], point, identity)?,
            ],
        })
    }

    fn run<E: Executor>(&self, executor: &mut E, x: &E::Value) -> Result<E::Value> {
        let mut y = x.clone();
        for layer in &self.layers {
            y = executor.conv_norm(layer, &y)?;
        }
        executor.add(&y, x)
    }
}
