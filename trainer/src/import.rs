//! Published weights -> a network to start from. The names are timm's, which our layers bear too.

use crate::files::{read_head, read_limited};
use crate::models::lock;
use crate::tensors::{TensorsError, check_fit, read_header};
use anyhow::{Context, Result};
use candle_core::{Tensor, Var};
use candle_nn::VarMap;
use safetensors::SafeTensors;
use safetensors::tensor::Metadata;
use std::collections::HashMap;
use std::path::Path;

/// Largest file of weights, in bytes; the largest network here has 0.06 GB.
const MAX_BYTES: u64 = 1 << 30;
/// What is searched for names in a file of another kind.
const HEAD_BYTES: u64 = 1 << 20;
/// The last layer, which is specific to the classes of the set that the weights were trained on.
const CLASSIFIER: [&str; 2] = ["classifier.weight", "classifier.bias"];
/// Parts of names that only GenConViT's published weights have: its autoencoder, and the embedder of its Swin branch.
const GENCONVIT: [&str; 2] = ["encoder.features.", "patch_embed.backbone."];

/// Why a file of weights is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Weights whose terms and network do not fit.
    #[error(
        "these are GenConViT's published weights, which are not taken: they are under GPL-3.0, which this project's \
         licence does not allow; their Swin branch is dead code that the published network never runs; and they are \
         695 M parameters, for a page that downloads a few megabytes"
    )]
    GenConViT,
    /// A file that could run code when read.
    #[error(
        "this is a file of PyTorch's own format, which can run code when it is read; load it in Python and save its \
         state_dict with safetensors.torch.save_file"
    )]
    Pickle,
    /// Tensors that do not fit.
    #[error(transparent)]
    Tensors(#[from] TensorsError),
}

/// What became of the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classifier {
    /// It gives one logit and was taken.
    Taken,
    /// It tells other classes apart; the network keeps its own first weights.
    Fresh {
        /// Classes of the file.
        classes: usize,
    },
}

/// Reads the file of weights at `path` for [`take_weights`].
///
/// # Errors
/// If it does not read, is larger than 1 GiB, or is of a kind that is refused unread ([`ImportError`]).
pub fn read_weights(path: &Path) -> Result<Vec<u8>> {
    refuse_pickle(&read_head(path, HEAD_BYTES)?)
        .with_context(|| format!("cannot read {}", path.display()))?;
    read_limited(path, MAX_BYTES)
}

/// Sets the variables of a network to the safetensors file `bytes`, which must name and shape each one as they do; only
/// counters of batches are passed over, and a classifier of other classes leaves the network's own.
///
/// # Errors
/// Naming the first tensor that does not fit; then nothing is set.
pub fn take_weights(variables: &VarMap, bytes: &[u8]) -> Result<Classifier, ImportError> {
    refuse_pickle(bytes.get(..HEAD_BYTES as usize).unwrap_or(bytes))?;
    let header = read_header(bytes)?;
    let variables = lock(variables);
    refuse_strangers(&header, &variables)?;

    let classifier = classifier_of(&header);
    let mut names: Vec<&String> = variables.keys().collect();
    names.sort();
    for &name in &names {
        let Some(info) = header.info(name) else {
            return Err(TensorsError::Missing { name: name.clone() }.into());
        };
        let mut expected = variables[name].dims().to_vec();
        if let (Classifier::Fresh { classes }, true) = (classifier, CLASSIFIER.contains(&name.as_str())) {
            expected[0] = classes;
        }
        check_fit(name, &info.shape, info.dtype, &expected)?;
    }
    if classifier != Classifier::Taken {
        names.retain(|name| !CLASSIFIER.contains(&name.as_str()));
    }

    let damaged = |error: safetensors::SafeTensorError| TensorsError::Damaged(error.to_string());
    let content = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mut taken = Vec::new();
    for name in names {
        let values = values(content.tensor(name).map_err(damaged)?.data());
        if values.iter().any(|value| !value.is_finite()) {
            return Err(TensorsError::NotFinite { name: name.clone() }.into());
        }
        taken.push((&variables[name], values));
    }
    for (variable, values) in taken {
        set(variable, values).map_err(|error| TensorsError::Damaged(error.to_string()))?;
    }
    Ok(classifier)
}

/// Refuses PyTorch's own files by the first bytes, those of GenConViT by the names in them.
fn refuse_pickle(head: &[u8]) -> Result<(), ImportError> {
    let is_zip = head.starts_with(b"PK\x03\x04");
    let is_pickle =
        head.first() == Some(&0x80) && head.get(1).is_some_and(|protocol| (2..=5).contains(protocol));
    // The length of a header stands first in safetensors, "{" behind it.
    if !(is_zip || is_pickle) || head.get(8) == Some(&b'{') {
        return Ok(());
    }
    let holds = |part: &str| head.windows(part.len()).any(|window| window == part.as_bytes());
    Err(if GENCONVIT.into_iter().any(holds) { ImportError::GenConViT } else { ImportError::Pickle })
}

/// Refuses tensors that belong to no variable, but for the counters of batches that PyTorch keeps.
fn refuse_strangers(header: &Metadata, variables: &HashMap<String, Var>) -> Result<(), ImportError> {
    let is_counter = |name: &str| {
        let norm = name.strip_suffix(".num_batches_tracked");
        norm.is_some_and(|norm| variables.contains_key(&format!("{norm}.running_mean")))
    };
    let mut names: Vec<String> = header.tensors().into_keys().collect();
    names.retain(|name| !variables.contains_key(name) && !is_counter(name));
    if names.iter().any(|name| GENCONVIT.iter().any(|part| name.contains(part))) {
        return Err(ImportError::GenConViT);
    }
    if names.is_empty() { Ok(()) } else { Err(TensorsError::extra(names).into()) }
}

fn classifier_of(header: &Metadata) -> Classifier {
    match header.info(CLASSIFIER[0]).map(|info| &info.shape[..]) {
        Some(&[classes, _]) if classes != 1 => Classifier::Fresh { classes },
        _ => Classifier::Taken,
    }
}

fn values(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn set(variable: &Var, values: Vec<f32>) -> candle_core::Result<()> {
    variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)
}
