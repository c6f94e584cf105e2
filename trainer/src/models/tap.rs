//! An executor around another one that notes the embedding on its way.

use super::attention::Attention;
use super::gaussian::Gaussian;
use super::layers::{ConvNorm, Executor, Linear};
use super::norm::Norm;
use super::point_conv::PointConv;
use candle_core::Result;

/// Does what `inner` does, and keeps what the last fully connected layer read.
pub struct Tap<E: Executor> {
    /// Does the work.
    pub inner: E,
    /// Input of the last fully connected layer so far; none before the first one.
    pub last_read: Option<E::Value>,
}

impl<E: Executor> Tap<E> {
    /// A tap on `inner`.
    pub fn on(inner: E) -> Self {
        Tap { inner, last_read: None }
    }
}

impl<E: Executor> Executor for Tap<E> {
    type Value = E::Value;

    fn conv_norm(&mut self, layer: &ConvNorm, x: &E::Value) -> Result<E::Value> {
        self.inner.conv_norm(layer, x)
    }

    fn add(&mut self, a: &E::Value, b: &E::Value) -> Result<E::Value> {
        self.inner.add(a, b)
    }

    fn point_conv(&mut self, layer: &PointConv, x: &E::Value) -> Result<E::Value> {
        self.inner.point_conv(layer, x)
    }

    fn silu(&mut self, x: &E::Value) -> Result<E::Value> {
        self.inner.silu(x)
    }

    fn sigmoid(&mut self, x: &E::Value) -> Result<E::Value> {
        self.inner.sigmoid(x)
    }

    fn gate(&mut self, x: &E::Value, factor: &E::Value) -> Result<E::Value> {
        self.inner.gate(x, factor)
    }

    fn norm(&mut self, layer: &Norm, x: &E::Value) -> Result<E::Value> {
        self.inner.norm(layer, x)
    }

    fn attention(&mut self, layer: &Attention, maps: [&E::Value; 3]) -> Result<E::Value> {
        self.inner.attention(layer, maps)
    }

    fn concat(&mut self, maps: &[E::Value]) -> Result<E::Value> {
        self.inner.concat(maps)
    }

    fn latent(&mut self, layer: &Gaussian, x: &E::Value) -> Result<E::Value> {
        self.inner.latent(layer, x)
    }

    fn reproduced(&mut self, picture: &E::Value, copy: &E::Value) -> Result<()> {
        self.inner.reproduced(picture, copy)
    }

    fn global_average_pool(&mut self, x: &E::Value) -> Result<E::Value> {
        self.inner.global_average_pool(x)
    }

    fn linear(&mut self, layer: &Linear, x: &E::Value) -> Result<E::Value> {
        self.last_read = Some(x.clone());
        self.inner.linear(layer, x)
    }
}
