//! Two ways to copy a picture through a bottleneck; what they lose tells real from fake.

use crate::models::gaussian::Gaussian;
use crate::models::layers::{ConvNorm, Executor};
use crate::ops::{Activation, Window};
use candle_core::Result;
use candle_nn::VarBuilder;

/// Channels of a picture.
const RGB: usize = 3;

/// Convolutions of stride 2 down, transposed ones of stride 2 up again.
#[derive(Debug, Clone)]
pub(super) struct Autoencoder {
    encoder: Vec<ConvNorm>,
    decoder: Vec<ConvNorm>,
}

impl Autoencoder {
    /// An autoencoder whose encoder has `channels`, and its decoder the same in reverse.
    pub(super) fn new(vb: &VarBuilder, channels: &[usize]) -> Result<Self> {
        let code = channels.last().copied().unwrap_or(RGB);
        Ok(Autoencoder { encoder: encoder(vb, channels)?, decoder: decoder(vb, code, channels)? })
    }

    /// The copy of a normalised picture, normalised like it.
    pub(super) fn run<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<E::Value> {
        let code = in_turn(executor, &self.encoder, picture)?;
        in_turn(executor, &self.decoder, &code)
    }
}

/// The same with a sampled code between them.
#[derive(Debug, Clone)]
pub(super) struct VariationalAutoencoder {
    encoder: Vec<ConvNorm>,
    latent: Gaussian,
    decoder: Vec<ConvNorm>,
}

impl VariationalAutoencoder {
    /// An autoencoder with `latent` channels between the encoder's `channels` and the same in reverse.
    pub(super) fn new(vb: &VarBuilder, channels: &[usize], latent: usize) -> Result<Self> {
        let code = channels.last().copied().unwrap_or(RGB);
        Ok(VariationalAutoencoder {
            encoder: encoder(vb, channels)?,
            latent: Gaussian::new(&vb.pp("latent"), [code, latent])?,
            decoder: decoder(vb, latent, channels)?,
        })
    }

    /// The copy of a normalised picture, normalised like it.
    pub(super) fn run<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<E::Value> {
        let code = in_turn(executor, &self.encoder, picture)?;
        let latent = executor.latent(&self.latent, &code)?;
        in_turn(executor, &self.decoder, &latent)
    }
}

fn in_turn<E: Executor>(executor: &mut E, layers: &[ConvNorm], x: &E::Value) -> Result<E::Value> {
    let mut x = x.clone();
    for layer in layers {
        x = executor.conv_norm(layer, &x)?;
    }
    Ok(x)
}

fn encoder(vb: &VarBuilder, channels: &[usize]) -> Result<Vec<ConvNorm>> {
    let mut cin = RGB;
    let mut layers = Vec::new();
    for (index, &cout) in channels.iter().enumerate() {
        let vb = vb.pp(format!("encoder.{index}"));
        layers.push(ConvNorm::dense(&vb, ["conv", "bn"], [cin, cout], Window::same(3, 2), Activation::Relu)?);
        cin = cout;
    }
    Ok(layers)
}

/// From `code` channels back to a picture, by the encoder's `channels` in reverse. The last batch norm begins at mean 0
/// and deviation 1, which a normalised picture about has.
fn decoder(vb: &VarBuilder, code: usize, channels: &[usize]) -> Result<Vec<ConvNorm>> {
    let mut cin = code;
    let mut layers = Vec::new();
    for index in 0..channels.len() {
        let vb = vb.pp(format!("decoder.{index}"));
        let wider = channels.len().checked_sub(index + 2).map(|previous| channels[previous]);
        let activation = if wider.is_some() { Activation::Relu } else { Activation::Identity };
        let cout = wider.unwrap_or(RGB);
        layers.push(ConvNorm::transposed(&vb, ["conv", "bn"], [cin, cout], 2, activation)?);
        cin = cout;
    }
    Ok(layers)
}
