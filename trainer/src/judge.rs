//! A finished run that judges pictures: its best epoch, and the control beside it.

use crate::cascade::Selection;
use crate::checkpoint::Checkpoint;
use crate::config::RunConfig;
use crate::dataset::{Sample, Split, read_manifest};
use crate::files::{read_limited, write_json};
use crate::loader::Loader;
use crate::metrics::Scored;
use crate::scores::ScoreRow;
use crate::train::{Network, RunFolder, RunMetrics, logits, select};
use crate::trivial::Control;
use anyhow::{Context, Result};
use candle_core::Device;

/// Largest metrics file of a run.
const MAX_METRICS_BYTES: u64 = 16 << 20;

/// A network and what was fitted on the validation split.
pub struct Judge {
    /// The run's choices.
    pub config: RunConfig,
    /// What the run wrote at its end.
    pub metrics: RunMetrics,
    /// The best epoch.
    pub network: Network,
    samples: Vec<Sample>,
}

impl Judge {
    /// The judge of the run in `folder`.
    ///
    /// # Errors
    /// If the run is not finished, or its files do not fit.
    pub fn open(folder: &RunFolder) -> Result<Self> {
        let metrics = read_metrics(folder)?;
        let checkpoint = Checkpoint::read(&folder.best())?;
        let network = Network::from_checkpoint(&checkpoint, &Device::Cpu)?;
        let config = checkpoint.progress.config;
        let samples = select(read_manifest(&config.manifest)?, &config.datasets)?;
        Ok(Judge { config, metrics, network, samples })
    }

    /// Those of the run's samples that are in `split`.
    pub fn samples(&self, split: Split) -> Vec<Sample> {
        self.samples.iter().filter(|sample| sample.split == split).cloned().collect()
    }

    /// What the network says of `samples`, in their order, and a control that is fitted on the training split.
    ///
    /// # Errors
    /// If a picture does not load.
    pub fn score(&self, samples: Vec<Sample>) -> Result<Vec<ScoreRow>> {
        let loader = |samples| Loader::new(samples, self.config.preprocess());
        let (learned, judged) = (loader(self.samples(Split::Train)), loader(samples));
        let scored = logits(&self.network.model, &judged)?;
        let control = Control::fit(&learned)?.scores(&judged)?;
        let row = |(sample, (scored, control)): (&Sample, (Scored, Scored))| ScoreRow {
            path: sample.name(),
            label: sample.label,
            dataset: sample.dataset.clone(),
            group: sample.group.clone(),
            logit: scored.score,
            trivial_cues: Some(control.score),
        };
        Ok(judged.samples().iter().zip(scored.into_iter().zip(control)).map(row).collect())
    }
}

/// What the run in `folder` wrote at its end.
///
/// # Errors
/// If it is not there, or of another program.
pub fn read_metrics(folder: &RunFolder) -> Result<RunMetrics> {
    let bytes = read_limited(&folder.metrics(), MAX_METRICS_BYTES).context("the run is not finished")?;
    serde_json::from_slice(&bytes).with_context(|| format!("in {}", folder.metrics().display()))
}

/// Keeps `selection`, chosen on the validation split, among the metrics of the run in `folder`.
///
/// # Errors
/// If the metrics cannot be read or written.
pub fn keep_selection(folder: &RunFolder, selection: Option<Selection>) -> Result<()> {
    write_json(&folder.metrics(), &RunMetrics { cascade: selection, ..read_metrics(folder)? })
}
