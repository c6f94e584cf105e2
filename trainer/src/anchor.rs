//! A network that was read from a file in floats, made ready to train on.

use crate::config::RunConfig;
use crate::dataset::{Sample, Split, read_manifest};
use crate::loader::{Loader, View};
use crate::models::Model;
use crate::train::select;
use anyhow::{Result, ensure};

/// Pictures whose moments are taken: enough for the moments of small maps, few enough for memory.
const PICTURES: usize = 128;

/// Takes for the moments of the batch norms of `model` those of training pictures of `config`, spread over its manifest,
/// with the function kept; gives how many they were.
///
/// # Errors
/// If the manifest or a picture does not read, there are too few, or the network has layers that cannot be anchored.
pub fn anchor(model: &Model, config: &RunConfig) -> Result<usize> {
    let samples = select(read_manifest(&config.manifest)?, &config.datasets)?;
    let train: Vec<Sample> = samples.into_iter().filter(|sample| sample.split == Split::Train).collect();
    ensure!(train.len() >= 2, "{} has no training pictures to take moments of", config.manifest.display());
    let stride = train.len().div_ceil(PICTURES);
    let chosen: Vec<Sample> = train.into_iter().step_by(stride).collect();
    let count = chosen.len();
    let loader = Loader::new(chosen, config.preprocess());
    for batch in loader.batches(View::Plain, PICTURES, 0) {
        model.anchor(&batch?.pictures)?;
    }
    Ok(count)
}
