//! What every network is to whoever exports or folds it: a walk from a picture to named outputs.

use super::layers::Executor;
use super::model::Model;
use candle_core::Result;

/// A network that says its topology against any [`Executor`].
pub trait Topology {
    /// Names of the outputs in files, in the order of [`Topology::walk`].
    fn output_names(&self) -> Vec<&'static str>;

    /// Walks the layers from the picture to the outputs.
    ///
    /// # Errors
    /// Those of `executor`.
    fn walk<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<Vec<E::Value>>;
}

impl Topology for Model {
    fn output_names(&self) -> Vec<&'static str> {
        vec!["logit"]
    }

    fn walk<E: Executor>(&self, executor: &mut E, picture: &E::Value) -> Result<Vec<E::Value>> {
        Ok(vec![self.run(executor, picture)?])
    }
}
