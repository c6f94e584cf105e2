//! The training loop, top to bottom, and the judgement of its best epoch.

use crate::average::Average;
use crate::cascade::{Selection, select_threshold};
use crate::checkpoint::{self, Checkpoint, Progress, Training};
use crate::config::RunConfig;
use crate::dataset::{Sample, Split, read_manifest};
use crate::files::{write_json, write_whole};
use crate::history::{EpochLine, append_line, read_history, training_curves};
use crate::loader::{Item, Loader, View};
use crate::loss::{binary_cross_entropy_with_logits, class_weights, total_loss};
use crate::metrics::{Metrics, Scored};
use crate::models::{Model, NoiseSeed, initialise};
use crate::optimizer::AdamW;
use crate::schedule::CosineSchedule;
use crate::teacher::Teacher;
use crate::temperature::fit_temperature;
use crate::trivial::Control;
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};
use candle_nn::{VarBuilder, VarMap};
use engine::Thresholds;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How often an answer called sure must be right on validation data.
const WANTED_PRECISION: f64 = 0.90;
/// Pictures a step where nothing is learned.
const EVALUATION_BATCH: usize = 32;

/// Files of a run's folder.
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The run in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        RunFolder(folder.into())
    }

    /// Checkpoint of the last epoch, with the optimiser.
    pub fn last(&self) -> PathBuf {
        self.0.join("last.safetensors")
    }

    /// Checkpoint of the best epoch by validation AUC.
    pub fn best(&self) -> PathBuf {
        self.0.join("best.safetensors")
    }

    /// One JSON line an epoch.
    pub fn history(&self) -> PathBuf {
        self.0.join("history.jsonl")
    }

    /// The history as a plot.
    pub fn curves(&self) -> PathBuf {
        self.0.join("curves.svg")
    }

    /// [`RunMetrics`] as JSON.
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.json")
    }
}

/// A network with the map of its variables.
pub struct Network {
    /// Every variable by name.
    pub variables: VarMap,
    /// The layers over them.
    pub model: Model,
}

impl Network {
    /// The preset called `name` on `device`, with first weights drawn by `seed`.
    ///
    /// # Errors
    /// If there is no such preset.
    pub fn new(name: &str, seed: u64, device: &Device) -> Result<Self> {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, device);
        let Some(model) = Model::from_name(&vb, name)? else {
            bail!("there is no network {name:?}; known: {}", Model::presets().join(", "))
        };
        initialise(&variables, seed)?;
        Ok(Network { variables, model })
    }

    /// The network of a checkpoint, on `device`.
    ///
    /// # Errors
    /// If the checkpoint does not fit the preset it names.
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        let network = Network::new(&checkpoint.progress.config.network, 0, device)?;
        checkpoint.restore_network(&network.variables)?;
        Ok(network)
    }
}

/// What a finished run is worth.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunMetrics {
    /// Where the run ended.
    pub progress: Progress,
    /// Divisor of the logits, fitted on the validation split.
    pub temperature: f64,
    /// P(fake) at which an answer counts as sure, fitted on the validation split.
    pub thresholds: Thresholds,
    /// P(fake) up to which a first stage may pass pictures as real, chosen on the validation split; absent
    /// if no threshold keeps both limits.
    #[serde(default)]
    pub cascade: Option<Selection>,
    /// Per data set, and "all", on the validation split, which chose epoch, temperature, thresholds.
    pub val: BTreeMap<String, Metrics>,
    /// Per data set, and "all", on the test split, which chose nothing.
    pub test: BTreeMap<String, Metrics>,
    /// Per data set, and "all", on the validation split: AUC of cues that know nothing of faces.
    #[serde(default)]
    pub val_trivial_cues: BTreeMap<String, AucWithInterval>,
    /// The same on the test split.
    pub test_trivial_cues: BTreeMap<String, AucWithInterval>,
    /// Share of test answers that are sure, and share of those that are right.
    pub test_sure: SureAnswers,
}

/// An AUC with its 95 % bootstrap interval; absent if a class is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AucWithInterval {
    /// Area under the ROC curve.
    pub auc: Option<f64>,
    /// 95 % bootstrap interval.
    pub auc_interval: Option<[f64; 2]>,
}

/// Answers beyond the thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SureAnswers {
    /// Share of all answers.
    pub share: f64,
    /// Share of the sure ones that are right; absent if there are none.
    pub right: Option<f64>,
}

impl SureAnswers {
    /// Those of `scored`, whose scores are P(fake).
    pub fn of(scored: &[Scored], thresholds: Thresholds) -> Self {
        let is_sure = |s: &&Scored| s.score <= thresholds.lower || s.score >= thresholds.upper;
        let sure: Vec<&Scored> = scored.iter().filter(is_sure).collect();
        let right = sure.iter().filter(|s| s.fake == (s.score >= thresholds.upper)).count();
        SureAnswers {
            share: sure.len() as f64 / scored.len() as f64,
            right: (!sure.is_empty()).then(|| right as f64 / sure.len() as f64),
        }
    }
}

/// Where a call of [`train`] begins and ends, and what computes it.
#[derive(Debug, Clone)]
pub struct Span {
    /// Whether there is something to go on from.
    pub start: Start,
    /// Stop after this many epochs of the run, to go on later.
    pub stop_after: Option<u64>,
    /// Device of the network; the pictures are made on the processor.
    pub device: Device,
}

/// Whether a run is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The folder holds no run yet.
    Fresh,
    /// Go on from the last checkpoint.
    Resume,
}

/// Trains by `config` into `folder` for `span`, then judges the best epoch so far.
///
/// # Errors
/// If the data does not fit the configuration, a file fails, or the loss is no number.
pub fn train(
    config: &RunConfig,
    folder: &RunFolder,
    span: Span,
    progress_bar: &ProgressBar,
) -> Result<RunMetrics> {
    config.check()?;
    let [train, val, test] = splits(config)?;
    ensure!(
        train.samples().len() >= config.batch_size,
        "{} training pictures do not fill a batch of {}",
        train.samples().len(),
        config.batch_size
    );

    let network = Network::new(&config.network, config.seed, &span.device)?;
    if let (Some(path), Start::Fresh) = (&config.initial, span.start) {
        let context = || format!("the run cannot begin at initial = {path:?}");
        Checkpoint::read(path).and_then(|it| it.restore_network(&network.variables)).with_context(context)?;
    }
    let teacher = Teacher::of(config, &span.device)?;
    let mut optimizer = AdamW::new(&network.variables, config.weight_decay, config.clip_norm)?;
    let mut average = (config.average_decay > 0.0)
        .then(|| Average::new(&network.variables, config.average_decay))
        .transpose()?;
    let mut progress = Progress::start(config.clone());
    if span.start == Start::Resume {
        let checkpoint = Checkpoint::read(&folder.last())?;
        ensure!(
            checkpoint.progress.config == *config,
            "the configuration differs from the one the run began with"
        );
        checkpoint.restore_network(&network.variables)?;
        checkpoint.restore_optimizer(&mut optimizer)?;
        if let Some(average) = &mut average {
            checkpoint.restore_average(average)?;
        }
        progress = checkpoint.progress;
        forget_lines_after(&folder.history(), progress.epochs_done)?;
    } else {
        ensure!(!folder.last().exists(), "{} holds a run already; add --resume to go on", folder.0.display());
    }

    let view = |epoch| View::Augmented { augment: config.augment.clone(), seed: config.seed, epoch };
    let [real, fake] = train.class_counts(&view(0)); // the same in every epoch
    let steps = ((real + fake) / config.batch_size) as u64;
    let schedule = CosineSchedule {
        peak: config.learning_rate,
        warmup: (config.warmup_epochs * steps as f64) as u64,
        total: config.epochs * steps,
    };
    let control = Control::fit(&train)?;
    let control_auc = config.judged_by.auc(&val.sets(), &control.scores(&val)?);
    progress_bar.set_length(schedule.total);
    progress_bar.set_position(progress.epochs_done * steps + progress.steps_done);
    let end = span.stop_after.unwrap_or(config.epochs).min(config.epochs);
    let [real_weight, fake_weight] = match config.balance_classes {
        true => class_weights(real, fake),
        false => [1.0, 1.0],
    };
    for epoch in progress.epochs_done..end {
        let started = Instant::now();
        let first = progress.steps_done;
        for (step, batch) in (first..).zip(train.batches(view(epoch), config.batch_size, first as usize)) {
            let batch = batch?;
            let lesson =
                network.model.learn(&batch.pictures, NoiseSeed { seed: config.seed, epoch, step })?;
            let smoothing = config.label_smoothing;
            let labels = batch.labels.to_device(lesson.logits.device())?;
            let targets = ((&labels * (1.0 - smoothing))? + 0.5 * smoothing)?;
            let weights = ((labels * (fake_weight - real_weight))? + real_weight)?;
            let mut error =
                (binary_cross_entropy_with_logits(&lesson.logits, &targets)? * weights)?.mean_all()?;
            if let Some(teacher) = &teacher {
                error = teacher.correct(&error, &lesson, &batch.pictures)?;
            }
            let loss = total_loss(error, &lesson.auxiliary, config.loss)?;
            let grads = loss.backward()?;
            let norm = optimizer.step(&grads, schedule.rate(epoch * steps + step))?;
            let loss = f64::from(loss.to_scalar::<f32>()?);
            if !(loss.is_finite() && norm.is_finite()) {
                bail!(
                    "loss {loss}, gradient norm {norm} in epoch {}, step {} on {}: look at these pictures, or lower \
                     the learning rate and --resume from the last checkpoint",
                    epoch + 1,
                    step + 1,
                    names(&train, &batch.items)
                );
            }
            if let Some(average) = &mut average {
                average.update(&network.variables)?;
            }
            progress.loss_sum += loss;
            progress.steps_done = step + 1;
            progress_bar.inc(1);
            let due =
                config.checkpoint_steps > 0 && progress.steps_done.is_multiple_of(config.checkpoint_steps);
            if due && progress.steps_done < steps {
                let training = Training { optimizer: &optimizer, average: average.as_ref() };
                checkpoint::save(&folder.last(), &network.variables, Some(training), &progress)?;
            }
        }
        let elapsed_s = started.elapsed().as_secs_f64();
        let mean_loss = progress.loss_sum / steps as f64;
        progress = Progress { epochs_done: epoch + 1, steps_done: 0, loss_sum: 0.0, ..progress };
        // What is judged is what is kept as the best.
        let mut judge_epoch = || {
            let val_auc = config.judged_by.auc(&val.sets(), &logits(&network.model, &val)?);
            let is_best = val_auc.is_some_and(|auc| auc > progress.best_auc);
            if let (true, Some(auc)) = (is_best, val_auc) {
                (progress.best_auc, progress.best_epoch) = (auc, epoch + 1);
                checkpoint::save(&folder.best(), &network.variables, None, &progress)?;
            }
            Ok((val_auc, is_best))
        };
        let (val_auc, is_best) = match &average {
            Some(average) => average.within(&network.variables, judge_epoch)?,
            None => judge_epoch()?,
        };
        let line = EpochLine {
            epoch: epoch + 1,
            loss: mean_loss,
            val_auc,
            val_trivial_cues_auc: control_auc,
            learning_rate: schedule.rate((epoch + 1) * steps - 1),
            pictures_per_s: ((steps - first) as usize * config.batch_size) as f64 / elapsed_s,
        };
        // Before the checkpoint: a resumed run drops a line too many, and could not make up one that is missing.
        append_line(&folder.history(), &line)?;
        write_whole(&folder.curves(), training_curves(&read_history(&folder.history())?).svg()?.as_bytes())?;
        let training = Training { optimizer: &optimizer, average: average.as_ref() };
        checkpoint::save(&folder.last(), &network.variables, Some(training), &progress)?;
        let text = format!(
            "epoch {:3}  loss {:.4}  val AUC {:.4}{}  trivial cues {:.4}  {:.1} pictures/s",
            line.epoch,
            line.loss,
            line.val_auc.unwrap_or(f64::NAN),
            if is_best { " *" } else { "" },
            control_auc.unwrap_or(f64::NAN),
            line.pictures_per_s
        );
        progress_bar.suspend(|| eprintln!("{text}"));
    }
    let metrics = judge(folder, &control, [&val, &test], &span.device)?;
    write_json(&folder.metrics(), &metrics)?;
    Ok(metrics)
}

/// Training, validation and test pictures of a run.
fn splits(config: &RunConfig) -> Result<[Loader; 3]> {
    let samples = select(read_manifest(&config.manifest)?, &config.datasets)?;
    let points = config.points_by_face()?;
    let loaders = [Split::Train, Split::Val, Split::Test].map(|split| {
        let samples = samples.iter().filter(|sample| sample.split == split).cloned().collect();
        Loader::new(samples, config.preprocess()).with_points(&points)
    });
    for (name, loader) in ["train", "val", "test"].into_iter().zip(&loaders) {
        let fakes = loader.samples().iter().filter(|s| s.is_fake()).count();
        ensure!(fakes > 0 && fakes < loader.samples().len(), "the {name} split needs real and fake pictures");
    }
    Ok(loaders)
}

/// Judges `network`, which was trained elsewhere, as the best of the run in `folder`, by the sets and rules of `config`.
///
/// # Errors
/// If the folder holds a run, or a picture or file fails.
pub fn adopt(
    config: &RunConfig,
    network: &Network,
    folder: &RunFolder,
    device: &Device,
) -> Result<RunMetrics> {
    ensure!(!folder.best().exists(), "{} holds a run already", folder.0.display());
    let [train, val, test] = splits(config)?;
    let mut progress = Progress::start(config.clone());
    let auc = config.judged_by.auc(&val.sets(), &logits(&network.model, &val)?);
    progress.best_auc = auc.unwrap_or(0.0);
    checkpoint::save(&folder.best(), &network.variables, None, &progress)?;
    let metrics = judge(folder, &Control::fit(&train)?, [&val, &test], device)?;
    write_json(&folder.metrics(), &metrics)?;
    Ok(metrics)
}

/// The samples of `datasets`, all if empty.
///
/// # Errors
/// If a set is not among `samples`.
pub fn select(samples: Vec<Sample>, datasets: &[String]) -> Result<Vec<Sample>> {
    for name in datasets {
        ensure!(samples.iter().any(|s| s.dataset == *name), "the manifest has no data set {name:?}");
    }
    Ok(samples.into_iter().filter(|s| datasets.is_empty() || datasets.contains(&s.dataset)).collect())
}

/// Temperature and thresholds from the validation split, then one look at the test split.
fn judge(
    folder: &RunFolder,
    control: &Control,
    [val, test]: [&Loader; 2],
    device: &Device,
) -> Result<RunMetrics> {
    let checkpoint = Checkpoint::read(&folder.best()).context("no epoch was better than nothing")?;
    let network = Network::from_checkpoint(&checkpoint, device)?;
    let val_logits = logits(&network.model, val)?;
    let temperature = fit_temperature(&val_logits);
    let probabilities = |logits: Vec<Scored>| -> Vec<Scored> {
        let of =
            |s: Scored| Scored { score: engine::verdict::probability_fake(s.score as f32, temperature), ..s };
        logits.into_iter().map(of).collect()
    };
    let val_scored = probabilities(val_logits);
    let judged_by = checkpoint.progress.config.judged_by;
    let thresholds = judged_by.thresholds(&val.sets(), &val_scored, WANTED_PRECISION);
    let test_scored = probabilities(logits(&network.model, test)?);
    let seed = checkpoint.progress.config.seed;
    let trivial_cues = |loader: &Loader| -> Result<BTreeMap<String, AucWithInterval>> {
        let sets = per_set(loader.samples(), &control.scores(loader)?, seed);
        let only_auc = |m: Metrics| AucWithInterval { auc: m.auc, auc_interval: m.auc_interval };
        Ok(sets.into_iter().map(|(name, metrics)| (name, only_auc(metrics))).collect())
    };
    let sources: Vec<String> = val.samples().iter().map(Sample::source).collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    Ok(RunMetrics {
        temperature,
        thresholds,
        cascade: select_threshold(&val_scored, &sources, seed),
        val: per_set(val.samples(), &val_scored, seed),
        test: per_set(test.samples(), &test_scored, seed),
        val_trivial_cues: trivial_cues(val)?,
        test_trivial_cues: trivial_cues(test)?,
        test_sure: SureAnswers::of(&test_scored, thresholds),
        progress: checkpoint.progress,
    })
}

/// Logit of every sample, in the loader's order, with batch norm in evaluation mode.
///
/// # Errors
/// If a picture does not load.
pub fn logits(model: &Model, loader: &Loader) -> Result<Vec<Scored>> {
    let mut values: Vec<f32> = Vec::new();
    for batch in loader.batches(View::Plain, EVALUATION_BATCH, 0) {
        values.extend(model.forward_t(&batch?.pictures, false)?.to_vec1::<f32>()?);
    }
    let scored =
        |(value, sample): (&f32, &Sample)| Scored { score: f64::from(*value), fake: sample.is_fake() };
    Ok(values.iter().zip(loader.samples()).map(scored).collect())
}

/// Metrics of each data set of `samples`, and of "all"; scores are P(fake).
pub(crate) fn per_set(samples: &[Sample], scored: &[Scored], seed: u64) -> BTreeMap<String, Metrics> {
    let mut sets: BTreeMap<String, Vec<Scored>> = BTreeMap::from([("all".to_owned(), scored.to_vec())]);
    for (sample, scored) in samples.iter().zip(scored) {
        sets.entry(sample.dataset.clone()).or_default().push(*scored);
    }
    sets.into_iter().map(|(name, scored)| (name, Metrics::of(&scored, seed))).collect()
}

/// Some of the pictures of a batch, to look at.
fn names(loader: &Loader, items: &[Item]) -> String {
    const SHOWN: usize = 4;
    let path = |item: &Item| loader.samples()[item.index].image_path.display().to_string();
    let mut text = items.iter().take(SHOWN).map(path).collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN {
        text += &format!(" and {} more", items.len() - SHOWN);
    }
    text
}

/// Keeps the lines of `history` up to `epoch`: a run that was killed may have written more than it saved.
fn forget_lines_after(history: &Path, epoch: u64) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(history) else { return Ok(()) };
    let is_done = |line: &&str| {
        let line: Option<serde_json::Value> = serde_json::from_str(line).ok();
        line.and_then(|line| line.get("epoch")?.as_u64()).is_some_and(|of| of <= epoch)
    };
    let kept: String = text.lines().filter(is_done).flat_map(|line| [line, "\n"]).collect();
    write_whole(history, kept.as_bytes())
}
