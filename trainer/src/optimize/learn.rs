//! The loop in which a student learns, top to bottom, and the state that it goes on from.

use super::config::QatConfig;
use crate::augment::Augment;
use crate::checkpoint::{load_tensors, save_tensors};
use crate::distill::Distillation;
use crate::export::WeightBits;
use crate::history::append_line;
use crate::loader::{Loader, View};
use crate::metrics::{Scored, auc};
use crate::models::{Model, lock};
use crate::optimizer::AdamW;
use crate::quantisation::Student;
use crate::schedule::CosineSchedule;
use anyhow::{Result, bail, ensure};
use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Pictures a step where nothing is learned.
const EVALUATION_BATCH: usize = 32;
/// A scale that grew or shrank by this factor since the beginning has collapsed.
const COLLAPSE: f64 = 16.0;

/// One epoch of a student; epoch 0 is what quantisation after training gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudentEpoch {
    /// Counted from 1; 0 before anything is learned.
    pub epoch: u64,
    /// Mean loss over its steps; absent in epoch 0.
    pub loss: Option<f64>,
    /// The loss on the validation split, by which the best epoch is chosen.
    pub val_loss: f64,
    /// AUC there.
    pub val_auc: Option<f64>,
    /// Of weights, at its last step.
    pub learning_rate: f64,
    /// Whether scales still learned.
    pub learns_scales: bool,
    /// Speed of its training steps.
    pub pictures_per_s: f64,
}

/// Where a student stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudentProgress {
    /// The run's choices.
    pub config: QatConfig,
    /// SHA-256 of the teacher's checkpoint.
    pub teacher: String,
    /// Bits of each layer's weights.
    pub bits: BTreeMap<String, WeightBits>,
    /// Epochs that are done.
    pub epochs_done: u64,
    /// The epoch with the smallest validation loss.
    pub best_epoch: u64,
    /// That loss.
    pub best_loss: f64,
    /// All epochs so far.
    pub history: Vec<StudentEpoch>,
}

impl StudentProgress {
    /// A run by `config` of which nothing is done yet, with weights of `bits`.
    pub fn start(config: QatConfig, teacher: String, bits: BTreeMap<String, WeightBits>) -> Self {
        let (epochs_done, best_epoch, best_loss) = (0, 0, f64::INFINITY);
        StudentProgress { config, teacher, bits, epochs_done, best_epoch, best_loss, history: Vec::new() }
    }
}

/// Files of a student's folder.
pub struct StudentFolder(pub PathBuf);

impl StudentFolder {
    /// State after the last epoch, with the optimisers.
    pub fn last(&self) -> PathBuf {
        self.0.join("last.safetensors")
    }

    /// The best epoch.
    pub fn best(&self) -> PathBuf {
        self.0.join("best.safetensors")
    }

    /// One JSON line an epoch.
    pub fn history(&self) -> PathBuf {
        self.0.join("history.jsonl")
    }
}

/// What a student learns from.
pub struct Lessons<'a> {
    /// The network in floats.
    pub teacher: &'a Model,
    /// Pictures that are learned.
    pub train: &'a Loader,
    /// Pictures that choose the epoch.
    pub val: &'a Loader,
    /// Variation of the training pictures.
    pub augment: &'a Augment,
}

/// Teaches `student` by `progress.config` from where `progress` stands, keeps every epoch in `folder`, and leaves the best
/// one in `student`.
///
/// # Errors
/// If the loss is no number or a scale collapses; the last whole epoch is kept. If a file or a picture fails.
pub fn learn(
    student: &mut Student,
    lessons: &Lessons,
    mut progress: StudentProgress,
    folder: &StudentFolder,
    bar: &ProgressBar,
) -> Result<StudentProgress> {
    let config = progress.config.clone();
    let mut optimizers = Optimizers::new(student, &config)?;
    if folder.last().exists() {
        let zero_points = student.zero_points();
        let tensors = load_tensors::<StudentProgress>(&folder.last())?.1;
        student.restore(&group(&tensors, "weights."), &group(&tensors, "scales."), &zero_points)?;
        optimizers.restore(&tensors)?;
    }
    let teacher_val = teacher_logits(lessons.teacher, lessons.val)?;
    let distillation = config.distillation();
    if progress.history.is_empty() {
        let epoch = judged(student, lessons.val, &teacher_val, distillation)?;
        (progress.best_epoch, progress.best_loss) = (0, epoch.val_loss);
        keep(folder, student, None, &mut progress, epoch, bar)?;
        save(&folder.best(), student, None, &progress)?;
    }
    let view = |epoch| View::Augmented { augment: lessons.augment.clone(), seed: config.seed, epoch };
    let [real, fake] = lessons.train.class_counts(&view(0));
    let steps = ((real + fake) / config.batch_size) as u64;
    ensure!(
        steps > 0 || config.epochs == 0,
        "{} training pictures do not fill a batch of {}",
        real + fake,
        config.batch_size
    );
    let total = config.epochs * steps;
    let schedule = |peak| CosineSchedule { peak, warmup: steps / 4, total };
    let (rates, scale_rates) = (schedule(config.learning_rate), schedule(config.scale_learning_rate));
    bar.set_length(total);
    bar.set_position(progress.epochs_done * steps);
    let first_scales = copied(&student.scales)?;
    for epoch in progress.epochs_done..config.epochs {
        let started = Instant::now();
        let learns_scales = epoch < config.scale_epochs();
        let mut sum = 0.0;
        for (step, batch) in (0..).zip(lessons.train.batches(view(epoch), config.batch_size, 0)) {
            let batch = batch?;
            let taught = lessons.teacher.forward_t(&batch.pictures, false)?.detach();
            let logits = student.forward(&batch.pictures)?;
            let labels = batch.labels.to_device(logits.device())?;
            let loss = distillation.loss(&logits, &taught, &labels)?.total;
            let grads = loss.backward()?;
            let at = epoch * steps + step;
            let mut norm = optimizers.weights.step(&grads, rates.rate(at))?;
            if learns_scales {
                norm += optimizers.scales.step(&grads, scale_rates.rate(at))?;
            }
            let loss = f64::from(loss.to_scalar::<f32>()?);
            if !(loss.is_finite() && norm.is_finite()) {
                bail!(
                    "loss {loss}, gradient norm {norm} in epoch {}, step {}: lower learning_rate or scale_learning_rate and \
                     --resume from the last epoch",
                    epoch + 1,
                    step + 1
                );
            }
            sum += loss;
            bar.inc(1);
        }
        check_scales(&student.scales, &first_scales)?;
        let elapsed_s = started.elapsed().as_secs_f64();
        let judged = StudentEpoch {
            epoch: epoch + 1,
            loss: Some(sum / steps as f64),
            learning_rate: rates.rate((epoch + 1) * steps - 1),
            learns_scales,
            pictures_per_s: (steps as usize * config.batch_size) as f64 / elapsed_s,
            ..judged(student, lessons.val, &teacher_val, distillation)?
        };
        progress.epochs_done = epoch + 1;
        if judged.val_loss < progress.best_loss {
            (progress.best_epoch, progress.best_loss) = (epoch + 1, judged.val_loss);
            save(&folder.best(), student, None, &progress)?;
        }
        keep(folder, student, Some(&optimizers), &mut progress, judged, bar)?;
    }
    let best = load_tensors::<StudentProgress>(&folder.best())?.1;
    let zero_points = student.zero_points();
    student.restore(&group(&best, "weights."), &group(&best, "scales."), &zero_points)?;
    Ok(progress)
}

/// Weights and scales learn at rates of their own.
struct Optimizers {
    weights: AdamW,
    scales: AdamW,
}

impl Optimizers {
    fn new(student: &Student, config: &QatConfig) -> Result<Self> {
        Ok(Optimizers {
            weights: AdamW::new(&student.weights, config.weight_decay, config.clip_norm)?,
            scales: AdamW::new(&student.scales, 0.0, config.clip_norm)?,
        })
    }

    fn restore(&mut self, tensors: &HashMap<String, Tensor>) -> Result<()> {
        self.weights.restore(&group(tensors, "optimizer.weights."))?;
        Ok(self.scales.restore(&group(tensors, "optimizer.scales."))?)
    }
}

/// The state of a run in `folder` that can go on.
///
/// # Errors
/// If there is none, or it is damaged.
pub fn read_progress(folder: &StudentFolder) -> Result<StudentProgress> {
    Ok(load_tensors(&folder.last())?.0)
}

/// Adds `epoch` to the progress and writes everything that a resumed run needs.
fn keep(
    folder: &StudentFolder,
    student: &Student,
    optimizers: Option<&Optimizers>,
    progress: &mut StudentProgress,
    epoch: StudentEpoch,
    bar: &ProgressBar,
) -> Result<()> {
    append_line(&folder.history(), &epoch)?;
    let text = format!(
        "epoch {:3}  loss {}  val loss {:.4}{}  val AUC {:.4}",
        epoch.epoch,
        epoch.loss.map_or("     -".to_owned(), |loss| format!("{loss:.4}")),
        epoch.val_loss,
        if progress.best_epoch == epoch.epoch { " *" } else { "" },
        epoch.val_auc.unwrap_or(f64::NAN),
    );
    bar.suspend(|| eprintln!("{text}"));
    progress.history.push(epoch);
    match optimizers {
        Some(_) => save(&folder.last(), student, optimizers, progress),
        None => Ok(()),
    }
}

fn save(
    path: &Path,
    student: &Student,
    optimizers: Option<&Optimizers>,
    progress: &StudentProgress,
) -> Result<()> {
    let mut tensors = HashMap::new();
    let mut add = |prefix: &str, group: HashMap<String, Tensor>| {
        tensors.extend(group.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
    };
    add("weights.", copied(&student.weights)?);
    add("scales.", copied(&student.scales)?);
    if let Some(optimizers) = optimizers {
        add("optimizer.weights.", optimizers.weights.state()?);
        add("optimizer.scales.", optimizers.scales.state()?);
    }
    save_tensors(path, &tensors, progress)
}

fn copied(variables: &VarMap) -> Result<HashMap<String, Tensor>> {
    lock(variables).iter().map(|(name, variable)| Ok((name.clone(), variable.copy()?.detach()))).collect()
}

fn group(tensors: &HashMap<String, Tensor>, prefix: &str) -> HashMap<String, Tensor> {
    let own =
        |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
    tensors.iter().filter_map(own).collect()
}

/// Stops where a scale is no number or far from where it began: its layer says nothing any more.
fn check_scales(scales: &VarMap, first: &HashMap<String, Tensor>) -> Result<()> {
    for (name, scale) in lock(scales).iter() {
        let moved = (scale.as_tensor() - &first[name])?.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
        let farthest = moved.into_iter().map(|logarithm| f64::from(logarithm).abs()).fold(0.0, f64::max);
        ensure!(
            farthest <= COLLAPSE.ln(),
            "the scale of {name:?} collapsed: it moved by a factor of {:.3} since the beginning; lower \
             scale_learning_rate and --resume from the last epoch",
            farthest.exp()
        );
    }
    Ok(())
}

/// The teacher's logit of every sample, `[N]` a batch.
fn teacher_logits(teacher: &Model, loader: &Loader) -> Result<Vec<Tensor>> {
    let batches = loader.batches(View::Plain, EVALUATION_BATCH, 0);
    batches.into_iter().map(|batch| Ok(teacher.forward_t(&batch?.pictures, false)?.detach())).collect()
}

/// What the student is worth on `loader` as it is now.
fn judged(
    student: &Student,
    loader: &Loader,
    teacher: &[Tensor],
    distillation: Distillation,
) -> Result<StudentEpoch> {
    let (mut sum, mut scored): (f64, Vec<Scored>) = (0.0, Vec::new());
    for (batch, taught) in loader.batches(View::Plain, EVALUATION_BATCH, 0).into_iter().zip(teacher) {
        let batch = batch?;
        let logits = student.forward(&batch.pictures)?.detach();
        let labels = batch.labels.to_device(logits.device())?;
        let loss = distillation.loss(&logits, taught, &labels)?.total.to_scalar::<f32>()?;
        sum += f64::from(loss) * batch.items.len() as f64;
        for (logit, item) in logits.to_vec1::<f32>()?.into_iter().zip(&batch.items) {
            let fake = loader.samples()[item.index].is_fake();
            scored.push(Scored { score: f64::from(logit), fake });
        }
    }
    Ok(StudentEpoch {
        epoch: 0,
        loss: None,
        val_loss: sum / scored.len().max(1) as f64,
        val_auc: auc(&scored),
        learning_rate: 0.0,
        learns_scales: false,
        pictures_per_s: 0.0,
    })
}
