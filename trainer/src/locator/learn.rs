//! The training loop of a face locator, top to bottom.

use super::agreement::{Agreement, Detection, Matches, average_precision};
use super::config::LocatorConfig;
use super::labels::Labels;
use super::loss::LocatorLoss;
use super::portrait::Album;
use super::scene::Scene;
use super::targets::Targets;
use crate::average::Average;
use crate::checkpoint::{load_tensors, save_tensors, set_all};
use crate::dataset::{Split, read_manifest};
use crate::files::write_json;
use crate::history::append_line;
use crate::models::{FaceLocator, initialise, lock};
use crate::optimizer::AdamW;
use crate::schedule::CosineSchedule;
use crate::train::{RunFolder, Start, select};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use engine::Preprocess;
use engine::faces::boxes::{Levels, distinct};
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

/// Boxes of one face overlap by more than this share.
pub const MAX_OVERLAP: f32 = 0.4;
/// P(face) of each cell before anything is learned (arXiv 1708.02002, section 4.1).
const PRIOR: f64 = 0.01;
/// First weights of the outputs over those of other layers.
const FIRST_OUTPUTS: f64 = 0.02;
/// Boxes below this score are not looked at in validation.
const LEAST_SCORE: f32 = 0.05;
/// At this score recall and precision are reported on the way.
const REPORTED_SCORE: f32 = 0.4;
/// Batches that wait for the network.
const PREFETCH: usize = 2;

/// A face locator with the map of its variables.
pub struct Locator {
    /// Every variable by name.
    pub variables: VarMap,
    /// The layers over them.
    pub model: FaceLocator,
}

impl Locator {
    /// The network of `config` on `device`, with first weights drawn by its seed.
    ///
    /// # Errors
    /// If the preset is unknown.
    pub fn new(config: &LocatorConfig, device: &Device) -> Result<Self> {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, device);
        let model = FaceLocator::new(&vb, &config.preset()?)?;
        initialise(&variables, config.seed)?;
        for (name, variable) in lock(&variables).iter().filter(|(name, _)| name.starts_with("outputs.")) {
            if name.ends_with(".bias") {
                let mut bias: Vec<f32> = variable.to_vec1()?;
                bias[0] = -((1.0 - PRIOR) / PRIOR).ln() as f32;
                variable.set(&Tensor::new(&bias[..], device)?)?;
            } else {
                // Small, or most distances are cut off from the start and learn nothing.
                variable.set(&(variable.as_tensor() * FIRST_OUTPUTS)?)?;
            }
        }
        Ok(Locator { variables, model })
    }

    /// The network of the checkpoint at `path`, and where its run stood.
    ///
    /// # Errors
    /// If the file is no checkpoint of a face locator.
    pub fn read(path: &Path, device: &Device) -> Result<(Self, LocatorProgress)> {
        let (progress, tensors) = load_tensors::<LocatorProgress>(path)?;
        progress.config.check()?;
        let locator = Locator::new(&progress.config, device)?;
        let own = group(&tensors, "network.");
        set_all(&lock(&locator.variables), &own).with_context(|| path.display().to_string())?;
        Ok((locator, progress))
    }

    /// The boxes in each of `scenes`, prepared by `config`, with a score of at least `threshold`.
    ///
    /// # Errors
    /// If a value is no number.
    pub fn detections(
        &self,
        scenes: &[Scene],
        config: &LocatorConfig,
        threshold: f32,
    ) -> Result<Vec<Vec<Detection>>> {
        let maps = self.model.forward_t(&pictures(scenes, config, config.image_size)?, false)?;
        // CHWN -> NCHW
        let maps = maps.iter().map(|map| map.permute((3, 0, 1, 2))?.to_device(&Device::Cpu));
        let maps = maps.collect::<candle_core::Result<Vec<_>>>()?;
        let of = |index: usize| {
            let output = |map: &Tensor| -> Result<engine::Tensor> {
                let map = map.get(index)?;
                let shape = [&[1], map.dims()].concat();
                Ok(engine::Tensor::from_vec(shape, map.flatten_all()?.to_vec1()?))
            };
            let outputs = maps.iter().map(output).collect::<Result<Vec<_>>>()?;
            detections(&outputs, threshold)
        };
        (0..scenes.len()).map(of).collect()
    }
}

/// The boxes in what the network gave for one picture.
///
/// # Errors
/// If a value is no number.
pub fn detections(outputs: &[engine::Tensor], threshold: f32) -> Result<Vec<Detection>> {
    let levels = Levels::new(outputs).context("the network gave something that is no number")?;
    let found = distinct(levels.candidates(threshold), MAX_OVERLAP);
    Ok(found.into_iter().map(|found| Detection { corners: found.corners, score: found.score }).collect())
}

/// `[N, 3, S, S]` of `scenes` of `size` pixels.
///
/// # Errors
/// None but candle's own.
pub fn pictures(scenes: &[Scene], config: &LocatorConfig, size: u32) -> Result<Tensor> {
    let (preprocess, side) = (Preprocess { size, ..config.preprocess() }, size as usize);
    let values: Vec<Vec<f32>> =
        scenes.par_iter().map(|scene| preprocess.normalise(&scene.rgb).into_values()).collect();
    Ok(Tensor::from_vec(values.concat(), (scenes.len(), 3, side, side), &Device::Cpu)?)
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LocatorProgress {
    /// The run's choices.
    pub config: LocatorConfig,
    /// Rounds that are done.
    pub epochs_done: u64,
    /// Round of the best average precision, counted from 1.
    pub best_epoch: u64,
    /// Best average precision on validation scenes so far.
    pub best_average_precision: f64,
}

/// One round, as a line of the history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocatorEpoch {
    /// Counted from 1.
    pub epoch: u64,
    /// Mean focal loss of the scores.
    pub score_loss: f64,
    /// Mean loss of the boxes.
    pub box_loss: f64,
    /// On validation scenes, at an overlap of 0.5.
    pub average_precision: f64,
    /// At a score of 0.4.
    pub validation: Agreement,
    /// Scenes learned from in a second.
    pub scenes_per_s: f64,
}

/// The pictures of the run's sets in `split`.
///
/// # Errors
/// If the manifest does not read or lacks a set.
pub fn paths_of(config: &LocatorConfig, splits: &[Split]) -> Result<Vec<PathBuf>> {
    let samples = select(read_manifest(&config.manifest)?, &config.datasets)?;
    let mut paths: Vec<PathBuf> = samples
        .into_iter()
        .filter(|sample| splits.contains(&sample.split))
        .map(|sample| sample.image_path)
        .collect();
    // A manifest of faces names a picture more than once.
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// The album of one split.
///
/// # Errors
/// If a picture does not load or has no label.
pub fn album(config: &LocatorConfig, split: Split, labels: &Labels) -> Result<Album> {
    let paths = paths_of(config, &[split])?;
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let album = Album::read(&paths, labels)?;
    ensure!(!album.with_faces.is_empty(), "no picture of the {} split shows a face", split.name());
    Ok(album)
}

/// Trains by `config` into `folder`, up to round `stop_after` if there is one; gives the last round's line.
///
/// # Errors
/// If the data does not fit the configuration, a file fails, or the loss is no number.
pub fn train_locator(
    config: &LocatorConfig,
    labels: &Labels,
    folder: &RunFolder,
    (start, stop_after): (Start, Option<u64>),
    progress_bar: &ProgressBar,
) -> Result<LocatorProgress> {
    config.check()?;
    let device = Device::Cpu;
    let train = Arc::new(album(config, Split::Train, labels)?);
    let validation = validation_scenes(config, &album(config, Split::Val, labels)?);

    let locator = Locator::new(config, &device)?;
    let mut optimizer = AdamW::new(&locator.variables, config.weight_decay, config.clip_norm)?;
    let mut average = Average::new(&locator.variables, config.average_decay)?;
    let mut progress = LocatorProgress {
        config: config.clone(),
        epochs_done: 0,
        best_epoch: 0,
        best_average_precision: 0.0,
    };
    if start == Start::Resume {
        let (saved, tensors) = load_tensors::<LocatorProgress>(&folder.last())?;
        ensure!(saved.config == *config, "the configuration differs from the one the run began with");
        set_all(&lock(&locator.variables), &group(&tensors, "network."))?;
        optimizer.restore(&group(&tensors, "optimizer."))?;
        average.restore(&group(&tensors, "average."))?;
        progress = saved;
    } else {
        ensure!(!folder.last().exists(), "{} holds a run already", folder.last().display());
    }

    let steps = config.scenes / config.batch_size as u64;
    let schedule = CosineSchedule {
        peak: config.learning_rate,
        warmup: (config.warmup_epochs * steps as f64) as u64,
        total: config.epochs * steps,
    };
    progress_bar.set_length(schedule.total);
    progress_bar.set_position(progress.epochs_done * steps);
    let end = stop_after.unwrap_or(config.epochs).min(config.epochs);
    for epoch in progress.epochs_done..end {
        let started = Instant::now();
        let mut sums = [0.0; 2];
        for (step, scenes) in (0..steps).zip(batches(config, &train, epoch, steps)) {
            let targets = Targets::of(&scenes, config.scene_size as usize, &device)?;
            let maps = locator.model.forward_t(&pictures(&scenes, config, config.scene_size)?, true)?;
            let loss = LocatorLoss::of(&maps, &targets)?;
            let total = (&loss.scores + (&loss.boxes * config.box_weight)?)?;
            let norm = optimizer.step(&total.backward()?, schedule.rate(epoch * steps + step))?;
            let terms = [&loss.scores, &loss.boxes].map(|term| term.to_scalar::<f32>());
            for (sum, term) in sums.iter_mut().zip(terms) {
                let term = f64::from(term?);
                if !(term.is_finite() && norm.is_finite()) {
                    bail!(
                        "loss {term}, gradient norm {norm} in round {}, step {}: lower the learning rate",
                        epoch + 1,
                        step + 1
                    );
                }
                *sum += term / steps as f64;
            }
            average.update(&locator.variables)?;
            progress_bar.inc(1);
        }
        let elapsed_s = started.elapsed().as_secs_f64();
        // What is judged is what is kept as the best.
        let line = average.within(&locator.variables, || {
            let matches = judge(&locator, &validation, config)?;
            let line = LocatorEpoch {
                epoch: epoch + 1,
                score_loss: sums[0],
                box_loss: sums[1],
                average_precision: average_precision(&matches),
                validation: Agreement::of(&matches, REPORTED_SCORE),
                scenes_per_s: (steps * config.batch_size as u64) as f64 / elapsed_s,
            };
            progress.epochs_done = epoch + 1;
            if line.average_precision > progress.best_average_precision {
                progress.best_epoch = epoch + 1;
                progress.best_average_precision = line.average_precision;
                save_tensors(&folder.best(), &named("network.", network_state(&locator)), &progress)?;
            }
            Ok(line)
        })?;
        let mut tensors = named("network.", network_state(&locator));
        tensors.extend(named("optimizer.", optimizer.state()?));
        tensors.extend(named("average.", average.state()?));
        // This also makes the folder.
        save_tensors(&folder.last(), &tensors, &progress)?;
        append_line(&folder.history(), &line)?;
        progress_bar.suspend(|| eprintln!("{}", text(&line, &progress)));
    }
    ensure!(progress.best_epoch > 0, "no round found a face");
    write_json(&folder.metrics(), &progress)?;
    Ok(progress)
}

/// As [`append_line`] of the history, for people.
fn text(line: &LocatorEpoch, progress: &LocatorProgress) -> String {
    format!(
        "round {:3}  loss {:.4} + {:.4}  AP {:.4}{}  recall {}  precision {}  {:.1} scenes/s",
        line.epoch,
        line.score_loss,
        line.box_loss,
        line.average_precision,
        if progress.best_epoch == line.epoch { " *" } else { "" },
        line.validation.recall.text(),
        line.validation.precision.text(),
        line.scenes_per_s
    )
}

/// The scenes of a round, made by a thread of its own while the network learns.
fn batches(config: &LocatorConfig, album: &Arc<Album>, epoch: u64, steps: u64) -> Receiver<Vec<Scene>> {
    let (sender, receiver) = sync_channel(PREFETCH);
    let (config, album) = (config.clone(), album.clone());
    std::thread::spawn(move || {
        let maker = album.maker(config.scene_size, &config.scene);
        for step in 0..steps {
            let first = (epoch * steps + step) * config.batch_size as u64;
            let scenes = (0..config.batch_size as u64)
                .into_par_iter()
                .map(|index| maker.scene(&mut stream(config.seed, first + index)))
                .collect();
            if sender.send(scenes).is_err() {
                break; // nobody waits any more
            }
        }
    });
    receiver
}

/// Independent random numbers for each scene of a run.
fn stream(seed: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index);
    rng
}

/// Scenes that choose: every other one a picture as it is, the others made as in training, the same in each round.
pub fn validation_scenes(config: &LocatorConfig, album: &Album) -> Vec<Scene> {
    let maker = album.maker(config.image_size, &config.scene);
    let half = (config.validation_scenes / 2).max(1) as usize;
    let spread = album.with_faces.len().div_ceil(half).max(1);
    let plain = album.with_faces.iter().step_by(spread).map(|&index| maker.plain(index));
    // Not the streams that training draws from.
    let made = (0..config.validation_scenes - config.validation_scenes / 2)
        .map(|index| maker.scene(&mut stream(config.seed ^ 0x5ce2_e5ce, index)));
    plain.chain(made).collect()
}

fn judge(locator: &Locator, scenes: &[Scene], config: &LocatorConfig) -> Result<Vec<Matches>> {
    let mut matches = Vec::new();
    for scenes in scenes.chunks(config.batch_size) {
        let found = locator.detections(scenes, config, LEAST_SCORE)?;
        matches.extend(
            scenes.iter().zip(found).map(|(scene, found)| Matches::of(found, &scene.faces, &scene.doubtful)),
        );
    }
    Ok(matches)
}

fn network_state(locator: &Locator) -> HashMap<String, Tensor> {
    lock(&locator.variables)
        .iter()
        .map(|(name, variable)| (name.clone(), variable.as_tensor().clone()))
        .collect()
}

fn named(prefix: &str, tensors: HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)).collect()
}

fn group(tensors: &HashMap<String, Tensor>, prefix: &str) -> HashMap<String, Tensor> {
    let own =
        |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
    tensors.iter().filter_map(own).collect()
}
