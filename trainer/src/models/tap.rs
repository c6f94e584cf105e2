//! An executor around another one that notes the embedding on its way.

use super::layers::{ConvNorm, Executor, Linear};
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

    fn global_average_pool(&mut self, x: &E::Value) -> Result<E::Value> {
        self.inner.global_average_pool(x)
    }

    fn linear(&mut self, layer: &Linear, x: &E::Value) -> Result<E::Value> {
        self.last_read = Some(x.clone());
        self.inner.linear(layer, x)
    }
}
