//! The embedding of pictures: what a network hands to its last fully connected layer.
//!
//! [`dimensions_of`] is the table of what has how many values; nothing is cut off or filled up.

use crate::dataset::Split;
use crate::files::{read_limited, write_whole};
use crate::judge::Judge;
use crate::loader::{Loader, View};
use crate::models::Model;
use crate::scores::ScoreRow;
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use nalgebra::DMatrix;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// Pictures a step.
const BATCH: usize = 32;
/// Largest file that is read.
const MAX_FILE_BYTES: u64 = 8 << 30;
/// Key of [`Header`] in a file's metadata: one, since several have no order, and the same features no one file.
const HEADER_KEY: &str = "aware.features";
/// Name of the tensor `[N, D]`.
const EMBEDDING: &str = "embedding";

/// Number of values in the embedding of the preset called `network`; none if it is not written down here.
pub fn dimensions_of(network: &str) -> Option<usize> {
    Some(match network {
        "mobilenetv4-conv-small" | "mobilenetv4-conv-medium" | "mobilenetv4-hybrid-medium" => 1280,
        "mobilenetv4-conv-small-narrow" => 768,
        "efficientnetv2-lite" => 1664,
        "efficientnetv2-b0" | "efficientnetv2-b1" | "efficientnet-lite0" | "efficientnet-lite2" => 1280,
        "efficientnetv2-b2" => 1408,
        "efficientnetv2-b3" => 1536,
        "genconvit" => 1920,
        "genconvit-tiny" => 1152,
        _ => return None,
    })
}

/// Embeddings of pictures by one network.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Where they come from.
    pub origin: Origin,
    /// What each picture is, and its logit.
    pub rows: Vec<ScoreRow>,
    /// One picture a row, `[N, D]`.
    pub embedding: DMatrix<f64>,
}

/// Where embeddings come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Preset of the network.
    pub network: String,
    /// Split of the run's manifest.
    pub split: Split,
}

/// All but the numbers of a file.
#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(flatten)]
    origin: Origin,
    rows: Vec<ScoreRow>,
}

/// Embeddings of the pictures of `split` by the best epoch of a run.
///
/// # Errors
/// If a picture does not load, or the embedding has not the size that is written down.
pub fn extract(judge: &Judge, split: Split) -> Result<Features> {
    let network = judge.config.network.clone();
    let Some(expected) = dimensions_of(&network) else {
        bail!("the size of {network}'s embedding is not written down; add it in features.rs")
    };
    let loader = Loader::new(judge.samples(split), judge.config.preprocess());
    let mut rows = Vec::new();
    let mut values: Vec<f32> = Vec::new();
    for batch in loader.batches(View::Plain, BATCH, 0) {
        let batch = batch?;
        let (logits, embedding) = forward(&judge.network.model, &batch.pictures)?;
        let (count, found) = embedding.dims2()?;
        ensure!(found == expected, "{network}'s embedding has {found} values, expected {expected}");
        values.extend(embedding.flatten_all()?.to_vec1::<f32>()?);
        for (sample, logit) in loader.samples()[rows.len()..][..count].iter().zip(logits) {
            rows.push(ScoreRow {
                path: sample.name(),
                label: sample.label,
                dataset: sample.dataset.clone(),
                group: sample.group.clone(),
                logit: f64::from(logit),
                trivial_cues: None,
            });
        }
    }
    ensure!(!rows.is_empty(), "the {} split is empty", split.name());
    let embedding = DMatrix::from_row_iterator(rows.len(), expected, values.into_iter().map(f64::from));
    Ok(Features { origin: Origin { network, split }, rows, embedding })
}

/// Logits `[N]` and embeddings `[N, D]` of normalised RGB `pictures` `[N, 3, H, W]`.
///
/// # Errors
/// If the shape is another, or the network ends in no fully connected layer.
pub fn forward(model: &Model, pictures: &Tensor) -> Result<(Vec<f32>, Tensor)> {
    let told = model.tell(pictures)?;
    Ok((told.logits.to_vec1()?, told.embedding.t()?.contiguous()?))
}

impl Features {
    /// Writes them as safetensors: `embedding` `[N, D]` in 32 bits, `reduced` `[N, K]` if given, and what
    /// each row is as JSON in the metadata.
    ///
    /// # Errors
    /// If the file cannot be written whole.
    pub fn write(&self, path: &Path, reduced: Option<&DMatrix<f64>>) -> Result<()> {
        let mut tensors = vec![(EMBEDDING, tensor(&self.embedding)?.to_dtype(DType::F32)?)];
        if let Some(reduced) = reduced {
            tensors.push(("reduced", tensor(reduced)?));
        }
        let header = Header { origin: self.origin.clone(), rows: self.rows.clone() };
        let metadata = HashMap::from([(HEADER_KEY.to_owned(), serde_json::to_string(&header)?)]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).context("cannot serialise features")?;
        write_whole(path, &bytes)
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it is missing, too large, damaged or not of `aware features`.
    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("cannot read features from {}", path.display());
        let (metadata, tensors) = read_tensors(path)?;
        let read = || -> Result<Features> {
            let header = metadata.get(HEADER_KEY).context("it is not of `aware features`")?;
            let Header { origin, rows } = serde_json::from_str(header)?;
            let embedding = matrix(tensors.get(EMBEDDING).context("there is no embedding")?)?;
            let (found, expected) = (embedding.nrows(), rows.len());
            ensure!(found == expected, "{expected} rows, but {found} embeddings");
            Ok(Features { origin, rows, embedding })
        };
        read().with_context(context)
    }
}

/// Metadata and tensors of the safetensors file at `path`.
pub(crate) fn read_tensors(path: &Path) -> Result<(HashMap<String, String>, HashMap<String, Tensor>)> {
    let context = || format!("{} is no safetensors file", path.display());
    let bytes = read_limited(path, MAX_FILE_BYTES)?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).with_context(context)?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).with_context(context)?;
    Ok((metadata.metadata().clone().unwrap_or_default(), tensors))
}

/// `[N, D]` in 64 bits.
pub(crate) fn tensor(matrix: &DMatrix<f64>) -> Result<Tensor> {
    let rows: Vec<f64> = matrix.transpose().iter().copied().collect(); // column-major -> row-major
    Ok(Tensor::from_vec(rows, matrix.shape(), &Device::Cpu)?)
}

/// The same numbers as [`tensor`] was given.
pub(crate) fn matrix(tensor: &Tensor) -> Result<DMatrix<f64>> {
    let (rows, columns) = tensor.dims2()?;
    let values: Vec<f64> = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
    ensure!(values.iter().all(|value| value.is_finite()), "a value is no finite number");
    Ok(DMatrix::from_row_iterator(rows, columns, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::lock;
    use crate::train::Network;

    #[test]
    fn every_preset_has_the_embedding_that_is_written_down() -> Result<()> {
        for name in Model::presets() {
            let network = Network::new(name, 3, &Device::Cpu)?;
            let pictures = Tensor::randn(0f32, 1.0, (2, 3, 64, 64), &Device::Cpu)?;
            let (logits, embedding) = forward(&network.model, &pictures)?;
            assert_eq!(Some(embedding.dim(1)?), dimensions_of(name), "{name}");
            assert_eq!(logits, network.model.forward_t(&pictures, false)?.to_vec1::<f32>()?, "{name}");
            let read_only = embedding.to_vec2::<f32>()?;
            assert!(
                read_only.iter().all(|row| row[row.len() - 8..].iter().any(|v| *v != 0.0)),
                "{name} padded"
            );
        }
        Ok(())
    }

    #[test]
    fn the_embedding_is_what_the_last_layer_reads() -> Result<()> {
        let network = Network::new("mobilenetv4-conv-small-narrow", 3, &Device::Cpu)?;
        let pictures = Tensor::randn(0f32, 1.0, (3, 3, 64, 64), &Device::Cpu)?;
        let (logits, embedding) = forward(&network.model, &pictures)?;
        let variables = lock(&network.variables);
        let (weight, bias) = (&variables["classifier.weight"], &variables["classifier.bias"]);
        let again = embedding.matmul(&weight.t()?)?.broadcast_add(bias)?.flatten_all()?.to_vec1::<f32>()?;
        for (logit, again) in logits.iter().zip(again) {
            assert!((logit - again).abs() <= 1e-5 * logit.abs().max(1.0), "{logit} {again}");
        }
        Ok(())
    }

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        let row = |path: &str, label, logit| ScoreRow {
            path: path.into(),
            label,
            dataset: "set".into(),
            group: "g".into(),
            logit,
            trivial_cues: None,
        };
        let features = Features {
            origin: Origin { network: "n".into(), split: Split::Val },
            rows: vec![row("a", 0, -0.1), row("b", 1, 0.7)],
            embedding: DMatrix::from_row_slice(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.5]),
        };
        let path = std::env::temp_dir().join(format!("aware-features-{}.safetensors", std::process::id()));
        features.write(&path, Some(&DMatrix::from_element(2, 1, 0.1)))?;
        assert_eq!(Features::read(&path)?, features);
        std::fs::write(&path, b"nothing of that kind")?;
        assert!(format!("{:#}", Features::read(&path).unwrap_err()).contains("no safetensors file"));
        std::fs::remove_file(&path)?;
        Ok(())
    }
}
