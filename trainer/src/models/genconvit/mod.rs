//! GenConViT, compact: a detector that also looks at what two autoencoders make of the picture.
//!
//! After Wodajo et al., "Deepfake Video Detection Using Generative Convolutional Vision Transformer"
//! (arXiv 2307.07036). A redesign, not a port: `docs/genconvit.md` has the block table and says what differs.

mod reconstruction;
mod trunk;
mod windows;

use super::layers::{Executor, Linear};
use candle_core::{Device, Result};
use candle_nn::VarBuilder;
use reconstruction::{Autoencoder, VariationalAutoencoder};
use trunk::Trunk;

/// Equal blocks in a row, at one size of the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Number of blocks.
    pub blocks: usize,
    /// Channels.
    pub channels: usize,
}

const fn stage(blocks: usize, channels: usize) -> Stage {
    Stage { blocks, channels }
}

/// Widths and depths of one member of the family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the preset.
    pub name: &'static str,
    /// Convolutional stages, the first one at a quarter of the picture's side, each next one at half of the last.
    pub convolution: Vec<Stage>,
    /// Stages of window attention on the same sizes; the first one reads the first convolutional stage.
    pub windows: Vec<Stage>,
    /// Channels of one head of attention.
    pub head_channels: usize,
    /// Output channels of the autoencoder's convolutions, each of stride 2.
    pub autoencoder: Vec<usize>,
    /// Output channels of the variational autoencoder's convolutions, each of stride 2.
    pub variational: Vec<usize>,
    /// Channels of its latent.
    pub latent: usize,
}

impl Config {
    /// The balanced one, 8.6 M parameters.
    pub fn balanced() -> Self {
        Config {
            name: "genconvit",
            convolution: vec![stage(2, 48), stage(2, 96), stage(6, 192), stage(2, 384)],
            windows: vec![stage(2, 32), stage(2, 64), stage(6, 128), stage(2, 256)],
            head_channels: 32,
            autoencoder: vec![16, 32, 64, 128, 256],
            variational: vec![16, 32, 64, 128],
            latent: 64,
        }
    }

    /// The fast one for browsers, 1.9 M parameters.
    pub fn tiny() -> Self {
        Config {
            name: "genconvit-tiny",
            convolution: vec![stage(1, 32), stage(1, 64), stage(3, 128), stage(1, 256)],
            windows: vec![stage(2, 16), stage(2, 32), stage(2, 64), stage(2, 128)],
            head_channels: 16,
            autoencoder: vec![8, 16, 32, 64, 128],
            variational: vec![8, 16, 32, 64],
            latent: 32,
        }
    }

    /// Every preset.
    pub fn presets() -> Vec<Self> {
        vec![Self::balanced(), Self::tiny()]
    }

    /// Values of the embedding: pooled channels of both branches, for the picture and its two copies.
    pub fn embedding(&self) -> usize {
        let last = |stages: &[Stage]| stages.last().map_or(0, |stage| stage.channels);
        VIEWS * (last(&self.convolution) + last(&self.windows))
    }
}

/// What the trunk looks at: the picture and its two copies.
const VIEWS: usize = 3;

/// The network: pictures, with sides that are multiples of 32, to one logit.
#[derive(Debug, Clone)]
pub struct GenConViT {
    autoencoder: Autoencoder,
    variational: VariationalAutoencoder,
    trunk: Trunk,
    classifier: Linear,
}

impl GenConViT {
    /// The network of `config` over the tensors of `vb`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor or has one of another shape.
    pub fn new(vb: &VarBuilder, config: &Config) -> Result<Self> {
        Ok(GenConViT {
            autoencoder: Autoencoder::new(&vb.pp("autoencoder"), &config.autoencoder)?,
            variational: VariationalAutoencoder::new(
                &vb.pp("variational"),
                &config.variational,
                config.latent,
            )?,
            trunk: Trunk::new(&vb.pp("trunk"), config)?,
            classifier: Linear::new(vb, "classifier", [config.embedding(), 1])?,
        })
    }

    /// The device that holds the weights.
    pub fn device(&self) -> &Device {
        self.classifier.weight.device()
    }

    /// Walks the layers from the picture to the embedding: for picture, copy and variational copy in turn the pooled
    /// channels of the convolutions, then those of the windows.
    ///
    /// # Errors
    /// Those of `executor`.
    pub fn embed<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<E::Value> {
        let copy = self.autoencoder.run(executor, picture)?;
        let variational_copy = self.variational.run(executor, picture)?;
        executor.reproduced(picture, &copy)?;
        executor.reproduced(picture, &variational_copy)?;
        let views = [picture.clone(), copy, variational_copy];
        let features = executor.each(&views, |executor, view| self.trunk.run(executor, view))?;
        executor.concat(&features)
    }

    /// Walks the layers from the picture to the logit.
    ///
    /// # Errors
    /// Those of `executor`.
    pub fn run<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<E::Value> {
        let embedding = self.embed(executor, picture)?;
        executor.linear(&self.classifier, &embedding)
    }
}
