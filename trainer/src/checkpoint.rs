//! A run's state in one safetensors file: weights, optimiser, progress, configuration.

use crate::average::Average;
use crate::config::RunConfig;
use crate::files::write_whole;
use crate::models::lock;
use crate::optimizer::AdamW;
use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Largest checkpoint that is read, in bytes.
const MAX_BYTES: u64 = 4 << 30;
/// Key of [`Progress`] in the file's metadata.
const PROGRESS_KEY: &str = "aware.progress";

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The run's choices.
    pub config: RunConfig,
    /// Epochs that are done.
    pub epochs_done: u64,
    /// Steps of the epoch after those that are done too.
    #[serde(default)]
    pub steps_done: u64,
    /// Sum of the losses of these steps.
    #[serde(default)]
    pub loss_sum: f64,
    /// Epoch of the best validation AUC, counted from 1.
    pub best_epoch: u64,
    /// Best validation AUC so far.
    pub best_auc: f64,
    /// Commit of the program, if it was known.
    pub git_commit: Option<String>,
}

/// What a run needs beside the network to go on.
#[derive(Clone, Copy)]
pub struct Training<'a> {
    /// The optimiser.
    pub optimizer: &'a AdamW,
    /// The average, if there is one.
    pub average: Option<&'a Average>,
}

/// Writes the network and, for resuming, what else trains it.
///
/// # Errors
/// If the file cannot be written whole; the one before it then stays.
pub fn save(path: &Path, variables: &VarMap, training: Option<Training>, progress: &Progress) -> Result<()> {
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for (name, variable) in lock(variables).iter() {
        tensors.insert(format!("network.{name}"), variable.as_tensor().clone());
    }
    let mut add = |group: &str, state: HashMap<String, Tensor>| {
        tensors.extend(state.into_iter().map(|(name, tensor)| (format!("{group}.{name}"), tensor)));
    };
    if let Some(Training { optimizer, average }) = training {
        add("optimizer", optimizer.state()?);
        if let Some(average) = average {
            add("average", average.state()?);
        }
    }
    let metadata = HashMap::from([(PROGRESS_KEY.to_owned(), serde_json::to_string(progress)?)]);
    let bytes =
        safetensors::serialize(tensors.iter(), Some(metadata)).context("cannot serialise the checkpoint")?;
    write_whole(path, &bytes)
}

/// A checkpoint in memory.
pub struct Checkpoint {
    /// Where the run stood.
    pub progress: Progress,
    tensors: HashMap<String, Tensor>,
}

impl Checkpoint {
    /// Reads the checkpoint at `path`.
    ///
    /// # Errors
    /// If the file is missing, too large, damaged or not of this program.
    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("cannot read the checkpoint {}", path.display());
        let size = std::fs::metadata(path).with_context(context)?.len();
        ensure!(size <= MAX_BYTES, "{}: {size} bytes, at most {MAX_BYTES}", path.display());
        let bytes = std::fs::read(path).with_context(context)?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).with_context(context)?;
        let progress = metadata.metadata().as_ref().and_then(|metadata| metadata.get(PROGRESS_KEY));
        let Some(progress) = progress else {
            bail!("{} is not a checkpoint of `aware train`", path.display())
        };
        let progress = serde_json::from_str(progress).with_context(context)?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).with_context(context)?;
        Ok(Checkpoint { progress, tensors })
    }

    /// Sets every variable of a network.
    ///
    /// # Errors
    /// If a tensor is missing, left over or of another shape.
    pub fn restore_network(&self, variables: &VarMap) -> Result<()> {
        let variables = lock(variables);
        let mut left: HashSet<&str> =
            self.tensors.keys().filter_map(|name| name.strip_prefix("network.")).collect();
        for (name, variable) in variables.iter() {
            let Some(tensor) = self.tensors.get(&format!("network.{name}")) else {
                bail!("the checkpoint lacks {name}")
            };
            ensure!(
                tensor.dims() == variable.dims(),
                "{name} has shape {:?} in the checkpoint, expected {:?}",
                tensor.dims(),
                variable.dims()
            );
            variable.set(tensor)?;
            left.remove(name.as_str());
        }
        ensure!(left.is_empty(), "the checkpoint has tensors that the network lacks: {left:?}");
        Ok(())
    }

    /// Sets the optimiser's state.
    ///
    /// # Errors
    /// If the checkpoint has none, or one of another network.
    pub fn restore_optimizer(&self, optimizer: &mut AdamW) -> Result<()> {
        Ok(optimizer.restore(&self.group("optimizer."))?)
    }

    /// Sets the average's state.
    ///
    /// # Errors
    /// If the checkpoint has none, or one of another network.
    pub fn restore_average(&self, average: &mut Average) -> Result<()> {
        Ok(average.restore(&self.group("average."))?)
    }

    /// The tensors whose names begin with `prefix`, without it.
    fn group(&self, prefix: &str) -> HashMap<String, Tensor> {
        let own = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
        };
        self.tensors.iter().filter_map(own).collect()
    }
}
