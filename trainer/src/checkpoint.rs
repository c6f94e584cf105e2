//! A run's state in one safetensors file: weights, optimiser, progress, configuration.

use crate::average::Average;
use crate::config::RunConfig;
use crate::files::{read_limited, write_whole};
use crate::models::lock;
use crate::optimizer::AdamW;
use crate::tensors::{TensorsError, check_fit, read_header};
use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor, Var};
use candle_nn::VarMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
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

impl Progress {
    /// A run by `config` of which nothing is done yet.
    pub fn start(config: RunConfig) -> Self {
        Progress {
            config,
            epochs_done: 0,
            steps_done: 0,
            loss_sum: 0.0,
            best_epoch: 0,
            best_auc: 0.0,
            git_commit: option_env!("AWARE_GIT_COMMIT").map(str::to_owned),
        }
    }
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
    save_tensors(path, &tensors, progress)
}

/// Writes `tensors` with `progress` in the file's metadata.
///
/// # Errors
/// If the file cannot be written whole; the one before it then stays.
pub fn save_tensors(path: &Path, tensors: &HashMap<String, Tensor>, progress: &impl Serialize) -> Result<()> {
    let metadata = HashMap::from([(PROGRESS_KEY.to_owned(), serde_json::to_string(progress)?)]);
    let bytes =
        safetensors::serialize(tensors.iter(), Some(metadata)).context("cannot serialise the checkpoint")?;
    write_whole(path, &bytes)
}

/// What [`save_tensors`] wrote to `path`.
///
/// # Errors
/// If the file is missing, too large, damaged or holds another kind of progress.
pub fn load_tensors<P: DeserializeOwned>(path: &Path) -> Result<(P, HashMap<String, Tensor>)> {
    let context = || format!("cannot read the checkpoint {}", path.display());
    let bytes = read_limited(path, MAX_BYTES)?;
    let header = read_header(&bytes).with_context(context)?;
    let progress = header.metadata().as_ref().and_then(|metadata| metadata.get(PROGRESS_KEY));
    let Some(progress) = progress else { bail!("{} is not a checkpoint of `aware`", path.display()) };
    let progress = serde_json::from_str(progress).with_context(context)?;
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).with_context(context)?;
    Ok((progress, tensors))
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
        let (progress, tensors) = load_tensors(path)?;
        Ok(Checkpoint { progress, tensors })
    }

    /// Sets every variable of a network.
    ///
    /// # Errors
    /// A [`TensorsError`] if a tensor is missing, left over or of another shape; then nothing is set.
    pub fn restore_network(&self, variables: &VarMap) -> Result<()> {
        let of = || format!("a checkpoint of {}", self.progress.config.network);
        set_all(&lock(variables), &self.network()).with_context(of)
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

    /// The tensors of the network by their names.
    pub fn network(&self) -> HashMap<String, Tensor> {
        self.group("network.")
    }

    /// The tensors whose names begin with `prefix`, without it.
    fn group(&self, prefix: &str) -> HashMap<String, Tensor> {
        let own = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
        };
        self.tensors.iter().filter_map(own).collect()
    }
}

/// Sets each of `variables` to its one of `tensors`.
///
/// # Errors
/// A [`TensorsError`] if one is missing, left over or of another shape; then nothing is set.
pub fn set_all(variables: &HashMap<String, Var>, tensors: &HashMap<String, Tensor>) -> Result<()> {
    let mut names: Vec<&String> = variables.keys().collect();
    names.sort(); // so that the same error comes first each time
    for name in names {
        let variable = &variables[name];
        let tensor = tensors.get(name).ok_or_else(|| TensorsError::Missing { name: name.clone() })?;
        check_fit(name, tensor.dims(), tensor.dtype(), variable.dims())?;
    }
    let left: Vec<String> = tensors.keys().filter(|name| !variables.contains_key(*name)).cloned().collect();
    if !left.is_empty() {
        return Err(TensorsError::extra(left).into());
    }
    for (name, variable) in variables {
        variable.set(&tensors[name].to_device(variable.device())?)?;
    }
    Ok(())
}
