//! What is fitted on the embeddings of a training split: one scale, and the directions that matter.

use crate::dataset::Split;
use crate::features::{Features, matrix, read_tensors, tensor};
use crate::files::write_whole;
use crate::pca::Pca;
use crate::regression::Scale;
use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use nalgebra::{DMatrix, DVector};
use std::collections::HashMap;
use std::path::Path;

/// Key of the network's name in a file's metadata.
const NETWORK_KEY: &str = "aware.network";

/// Standardisation and principal components, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Preset of the network whose embeddings it was fitted on.
    pub network: String,
    /// Mean and deviation of each value.
    pub scale: Scale,
    /// Directions of the standardised values.
    pub pca: Pca,
}

impl Pipeline {
    /// The pipeline that keeps at least a share `variance` of `features`' standardised variance.
    ///
    /// # Errors
    /// If they are not of a training split: nothing may be fitted on what is judged.
    pub fn fit(features: &Features, variance: f64) -> Result<Self> {
        let split = features.origin.split;
        ensure!(split == Split::Train, "a pipeline is fitted on the train split, not on {}", split.name());
        let scale = Scale::of(&features.embedding);
        let pca = Pca::fit(&scale.apply(&features.embedding), variance);
        Ok(Pipeline { network: features.origin.network.clone(), scale, pca })
    }

    /// `features` along the directions, `[N, K]`.
    ///
    /// # Errors
    /// If they are of another network.
    pub fn apply(&self, features: &Features) -> Result<DMatrix<f64>> {
        let network = &features.origin.network;
        ensure!(*network == self.network, "the pipeline is of {}, not of {network}", self.network);
        let (found, expected) = (features.embedding.ncols(), self.scale.mean.len());
        ensure!(found == expected, "the embedding has {found} values, expected {expected}");
        Ok(self.pca.apply(&self.scale.apply(&features.embedding)))
    }

    /// Writes it to `path` as safetensors in 64 bits, so that it gives the same numbers when read again.
    ///
    /// # Errors
    /// If the file cannot be written whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        let column =
            |values: &DVector<f64>| tensor(&DMatrix::from_column_slice(values.len(), 1, values.as_slice()));
        let tensors: Vec<(&str, Tensor)> = vec![
            ("mean", column(&self.scale.mean)?),
            ("deviation", column(&self.scale.deviation)?),
            ("pca.mean", column(&self.pca.mean)?),
            ("pca.directions", tensor(&self.pca.directions)?),
            ("pca.shares", column(&DVector::from_vec(self.pca.shares.clone()))?),
        ];
        let metadata = HashMap::from([(NETWORK_KEY.to_owned(), self.network.clone())]);
        let bytes =
            safetensors::serialize(tensors, Some(metadata)).context("cannot serialise the pipeline")?;
        write_whole(path, &bytes)
    }

    /// Reads the pipeline at `path`.
    ///
    /// # Errors
    /// If it is missing, damaged, or its parts do not fit.
    pub fn read(path: &Path) -> Result<Self> {
        let (metadata, tensors) = read_tensors(path)?;
        let part = |name: &str| matrix(tensors.get(name).with_context(|| format!("there is no {name}"))?);
        let column = |name: &str| -> Result<_> { Ok(DVector::from_column_slice(part(name)?.as_slice())) };
        let read = || -> Result<Pipeline> {
            let scale = Scale { mean: column("mean")?, deviation: column("deviation")? };
            let shares = column("pca.shares")?.as_slice().to_vec();
            let pca = Pca { mean: column("pca.mean")?, directions: part("pca.directions")?, shares };
            let network = metadata.get(NETWORK_KEY).context("the network is not named")?.clone();
            let count = scale.mean.len();
            let fits = [scale.deviation.len(), pca.mean.len(), pca.directions.ncols()] == [count; 3];
            ensure!(fits, "its parts are of different sizes");
            ensure!(scale.deviation.iter().all(|value| *value > 0.0), "a deviation is not positive");
            Ok(Pipeline { network, scale, pca })
        };
        read().with_context(|| format!("cannot read the pipeline {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Origin;

    fn features(split: Split) -> Features {
        Features {
            origin: Origin { network: "n".into(), split },
            rows: Vec::new(),
            embedding: DMatrix::from_fn(7, 4, |r, c| ((r * 5 + c * c * 3) % 7) as f64 + r as f64 / 3.0),
        }
    }

    #[test]
    fn a_pipeline_that_is_read_again_gives_the_same_bits() -> Result<()> {
        let pipeline = Pipeline::fit(&features(Split::Train), 0.9)?;
        let path = std::env::temp_dir().join(format!("aware-pipeline-{}.safetensors", std::process::id()));
        pipeline.write(&path)?;
        let again = Pipeline::read(&path)?;
        assert_eq!(pipeline, again);
        let test = features(Split::Test);
        assert_eq!(pipeline.apply(&test)?, again.apply(&test)?);
        assert!(pipeline.pca.directions.nrows() < 4, "nothing was left out");
        std::fs::remove_file(&path)?;
        Ok(())
    }

    #[test]
    fn only_the_train_split_fits_and_only_its_network_is_served() -> Result<()> {
        for split in [Split::Val, Split::Test] {
            let error = Pipeline::fit(&features(split), 0.9).unwrap_err().to_string();
            assert!(error.contains(split.name()), "{error}");
        }
        let pipeline = Pipeline::fit(&features(Split::Train), 0.9)?;
        let mut other = features(Split::Test);
        other.origin.network = "another".into();
        assert!(pipeline.apply(&other).unwrap_err().to_string().contains("another"));
        Ok(())
    }
}
