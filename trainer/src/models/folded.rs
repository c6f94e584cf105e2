//! The weights of a network with its batch norms in them: what a finished network computes with.

use super::attention::Attention;
use super::layers::{ConvKind, ConvNorm, Executor, Linear};
use super::norm::Norm;
use super::point_conv::PointConv;
use super::topology::Topology;
use candle_core::{Result, Tensor, bail};
use std::collections::BTreeMap;

/// Weight and bias of one layer.
#[derive(Debug, Clone)]
pub struct FoldedLayer {
    /// As the layer has it: `[C_out, C_in, K, K]`, `[C, 1, K, K]` if depthwise, `[C_in, C_out, K, K]` if transposed,
    /// `[C_out, C_in]` if fully connected.
    pub weight: Tensor,
    /// `[C_out]`
    pub bias: Tensor,
    /// The axis of the outputs in the weight.
    pub output_axis: usize,
}

/// Weight and bias of every layer, by the layer's name.
#[derive(Debug, Clone, Default)]
pub struct Folded(pub BTreeMap<String, FoldedLayer>);

impl Folded {
    /// The layers of `network` in evaluation mode.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn of(network: &impl Topology) -> Result<Self> {
        let mut collector = Collector::default();
        network.walk(&mut collector, &())?;
        Ok(collector.folded)
    }

    /// The layer called `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn layer(&self, name: &str) -> Result<&FoldedLayer> {
        let Some(layer) = self.0.get(name) else { bail!("there is no layer {name:?}") };
        Ok(layer)
    }
}

/// Executor that visits every layer.
#[derive(Default)]
struct Collector {
    folded: Folded,
}

impl Collector {
    /// A layer that is visited again is the same.
    fn keep(&mut self, name: &str, output_axis: usize, (weight, bias): (Tensor, Tensor)) {
        let layer = FoldedLayer { weight: weight.detach(), bias: bias.detach(), output_axis };
        self.folded.0.entry(name.to_owned()).or_insert(layer);
    }
}

impl Executor for Collector {
    type Value = ();

    fn conv_norm(&mut self, layer: &ConvNorm, _: &()) -> Result<()> {
        let output_axis = if layer.kind == ConvKind::Transposed { 1 } else { 0 };
        self.keep(&layer.name, output_axis, layer.folded()?);
        Ok(())
    }

    fn add(&mut self, _: &(), _: &()) -> Result<()> {
        Ok(())
    }

    fn point_conv(&mut self, layer: &PointConv, _: &()) -> Result<()> {
        self.keep(&layer.name, 0, layer.folded()?);
        Ok(())
    }

    fn silu(&mut self, _: &()) -> Result<()> {
        Ok(())
    }

    fn sigmoid(&mut self, _: &()) -> Result<()> {
        Ok(())
    }

    fn gate(&mut self, _: &(), _: &()) -> Result<()> {
        Ok(())
    }

    fn global_average_pool(&mut self, _: &()) -> Result<()> {
        Ok(())
    }

    fn linear(&mut self, layer: &Linear, _: &()) -> Result<()> {
        self.keep(&layer.name, 0, (layer.weight.clone(), layer.bias.clone()));
        Ok(())
    }

    fn norm(&mut self, layer: &Norm, _: &()) -> Result<()> {
        let (scale, shift) = layer.scale_and_shift()?;
        let channels = scale.elem_count();
        self.keep(&layer.name, 0, (scale.reshape((channels, 1, 1, 1))?, shift));
        Ok(())
    }

    fn attention(&mut self, _: &Attention, _: [&(); 3]) -> Result<()> {
        Ok(())
    }

    fn concat(&mut self, _: &[()]) -> Result<()> {
        Ok(())
    }
}
