//! A finished network -> the same in integers: `aware optimize`.
//!
//! 1. [`QatConfig`]: every choice, one JSON file;
//! 2. the teacher is read strictly, its batch norms are estimated anew;
//! 3. ranges are observed, sensitivities measured, bits chosen (`quantisation`);
//! 4. [`learn`]: the student learns, its best epoch is kept;
//! 5. every file is exported, read back and held to the student (parity) and to the teacher ([`measure`]);
//! 6. [`report`]: what was gained and lost, with gates.

mod config;
mod files;
mod learn;
mod measure;
mod report;

pub use config::{Backend, QatConfig, Target};
pub use files::{FileFigures, StudentFiles};
pub use learn::{StudentEpoch, StudentFolder, StudentProgress};
pub use measure::{AucLoss, Speed, auc_loss, engine_logits, rows, speed};
pub use report::{Details, Gate, OptimizationReport, OptimizationResult, PageFigures, write_report};

use crate::checkpoint::Checkpoint;
use crate::dataset::{Sample, Split, read_manifest};
use crate::export::{ActivationBits, WeightBits};
use crate::files::{read_limited, write_json};
use crate::loader::{Loader, View};
use crate::metrics::{Scored, auc};
use crate::quantisation::{Strategy, Student, StudentConfig, check_parity, choose_strategy, reestimate};
use crate::temperature::{fit_temperature, fit_thresholds};
use crate::train::{Network, logits, select};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use files::{original_file, write_files};
use indicatif::ProgressBar;
use learn::{Lessons, learn, read_progress};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// Pictures a step where nothing is learned.
const BATCH: usize = 32;
/// Pictures on which the exported file is held to the student.
const PARITY_PICTURES: usize = 4;
/// Largest checkpoint of a teacher, in bytes.
const MAX_TEACHER_BYTES: u64 = 4 << 30;
/// How often an answer called sure must be right on validation data.
const WANTED_PRECISION: f64 = 0.90;

/// How a call of [`optimize`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// The folder holds nothing of this network yet.
    Fresh,
    /// Go on from the last epoch.
    Resume,
    /// What the folder holds of this network is thrown away.
    Force,
}

/// A teacher and the pictures of its run.
struct School {
    teacher: Network,
    config: crate::config::RunConfig,
    digest: String,
    calibration: Vec<Sample>,
    train: Loader,
    val: Loader,
    test: Loader,
}

/// Optimises the network `target` by `config` and gives what came of it; `say` gets what people want to read.
///
/// # Errors
/// If the teacher is missing, damaged or of another kind; if its data does not fit; if a range or scale collapses; if an
/// exported file is not the student. Whatever was not finished is left under no final name.
pub fn optimize(
    target: Target,
    config: &QatConfig,
    begin: Begin,
    device: &Device,
    bar: &ProgressBar,
    say: &dyn Fn(&str),
) -> Result<OptimizationResult> {
    config.check()?;
    let started = Instant::now();
    let folder = StudentFolder(config.output_dir.join(target.name()));
    prepare(&folder, begin)?;
    let school = enrol(target, config, device)?;
    let run = &school.config;
    say(&format!(
        "{}: {} at {} px, {} training, {} validation, {} test pictures",
        target.name(),
        run.network,
        run.image_size,
        school.train.samples().len(),
        school.val.samples().len(),
        school.test.samples().len()
    ));
    let about = files::About { target, run, teacher: &school.digest };
    // As it came, before its batch norms are estimated anew.
    let (original, float_difference) = original_file(&about, &school.teacher.model)?;
    let original_val = logits(&school.teacher.model, &school.val)?;

    let plain = Loader::new(school.calibration.clone(), run.preprocess());
    let before = auc(&original_val);
    let pictures = |limit: usize| {
        let batches = plain.batches(View::Plain, BATCH, 0).into_iter();
        batches.take(limit).map(|batch| Ok(batch?.pictures))
    };
    let estimated = reestimate::<anyhow::Error>(
        &school.teacher.model,
        &school.teacher.variables,
        pictures(config.reestimation_batches),
    )?;
    let after = auc(&logits(&school.teacher.model, &school.val)?);
    let show = |auc: Option<f64>| auc.map_or("-".to_owned(), |auc| format!("{auc:.4}"));
    say(&format!(
        "batch norms estimated on {estimated} batches: val AUC {} -> {}",
        show(before),
        show(after)
    ));

    let student_config = StudentConfig {
        image_size: run.image_size as usize,
        activation_bits: config.quantization_backend.activation_bits(),
        symmetry: config.quantization_scheme,
    };
    let observers = Student::observe(&school.teacher.model, student_config, pictures(usize::MAX))?;
    let resumed = (begin == Begin::Resume && folder.last().exists())
        .then(|| read_progress(&folder))
        .transpose()
        .context("the run cannot go on")?;
    let strategy = match &resumed {
        Some(_) => None,
        None => strategy(config, student_config, &school, &observers, bar)?,
    };
    if let Some(strategy) = &strategy {
        say(&format!("{}{}", strategy.text(), strategy.summary()));
        write_json(&folder.0.join("strategy.json"), strategy)?;
    }
    let progress = match resumed {
        Some(progress) => {
            ensure!(
                progress.config == *config && progress.teacher == school.digest,
                "the configuration or the teacher differs from those that the run began with"
            );
            progress
        }
        None => StudentProgress {
            config: config.clone(),
            teacher: school.digest.clone(),
            bits: strategy.as_ref().map(Strategy::bits).unwrap_or_default(),
            epochs_done: 0,
            best_epoch: 0,
            best_loss: f64::INFINITY,
            history: Vec::new(),
        },
    };
    let mut student = Student::new(&school.teacher.model, student_config, &progress.bits, &observers)?;
    // What quantisation after training alone is worth.
    let baseline = file_bytes(&student, student_config.activation_bits)?;
    let lessons = Lessons {
        teacher: &school.teacher.model,
        train: &school.train,
        val: &school.val,
        augment: &run.augment,
    };
    let progress = learn(&mut student, &lessons, progress, &folder, bar)?;

    let pictures = first_pictures(&school.val, PARITY_PICTURES)?;
    let integers = student.integer_file(student_config.activation_bits, Vec::new())?;
    let parity = check_parity(&student, &integers, &pictures)?;
    let has_floats =
        progress.bits.values().any(|bits| *bits == WeightBits::Float) || target == Target::Genconvit;
    parity.check(if has_floats { 1.0 } else { 0.0 }).context("the export is refused")?;

    let engine = |onnx: &[u8], loader: &Loader| engine_logits(onnx, loader);
    let integer_bytes = prost::Message::encode_to_vec(&integers);
    let [val_logits, test_logits] = [&school.val, &school.test].map(|loader| engine(&integer_bytes, loader));
    let (val_logits, test_logits) = (val_logits?, test_logits?);
    let temperature = fit_temperature(&val_logits);
    let thresholds = fit_thresholds(&probabilities(&val_logits, temperature), WANTED_PRECISION);
    let original_and_difference = (&original[..], float_difference);
    let files = write_files(&folder.0, &about, original_and_difference, &student, temperature)?;
    let original_test = engine(&original, &school.test)?;
    let samples = school.test.samples();
    let loss = auc_loss(samples, &original_test, &test_logits)?;
    let baseline_loss = auc_loss(samples, &original_test, &engine(&baseline, &school.test)?)?;
    let eight = file_bytes(&student, ActivationBits::Eight)?;
    let eight_loss = auc_loss(samples, &original_test, &engine(&eight, &school.test)?)?;
    let speed = speed(&original, &integer_bytes)?;
    let calibration = report::Calibration {
        teacher: report::judged_calibration(
            &original_val,
            &original_test,
            teacher_temperature(target, config)?,
        ),
        student: report::judged_calibration(&val_logits, &test_logits, Some(temperature)),
    };
    let details = Details {
        network: run.network.clone(),
        datasets: run.datasets.clone(),
        image_size: run.image_size,
        reestimated_batches: estimated,
        val_auc_before_and_after_reestimation: [before, after],
        pictures: report::PictureCounts {
            calibration: school.calibration.len(),
            train: school.train.samples().len(),
            val: school.val.samples().len(),
            test: school.test.samples().len(),
        },
        four_bits: report::of_bits(&progress.bits, WeightBits::Four),
        floats: report::of_bits(&progress.bits, WeightBits::Float),
        best_epoch: progress.best_epoch,
        history: progress.history.clone(),
        auc: loss,
        auc_after_training_only: baseline_loss,
        auc_with_eight_bit_activations: eight_loss,
        temperature,
        thresholds,
        calibration,
        parity,
        speed,
        files,
    };
    let result = OptimizationResult::of(target, details, started.elapsed().as_secs_f64() / 60.0);
    write_json(&folder.0.join("result.json"), &result)?;
    Ok(result)
}

/// Makes sure that nothing is overwritten that was not meant to be.
fn prepare(folder: &StudentFolder, begin: Begin) -> Result<()> {
    let path = folder.0.display();
    let is_there = folder.0.join("result.json").exists() || folder.last().exists() || folder.best().exists();
    match begin {
        Begin::Fresh if is_there => {
            bail!("{path} holds an optimisation already; add --resume to go on, or --force to begin anew")
        }
        Begin::Force if is_there => {
            for file in [folder.last(), folder.best(), folder.history(), folder.0.join("result.json")] {
                if file.exists() {
                    std::fs::remove_file(&file)
                        .with_context(|| format!("cannot remove {}", file.display()))?;
                }
            }
        }
        Begin::Fresh | Begin::Force | Begin::Resume => {}
    }
    std::fs::create_dir_all(&folder.0).with_context(|| format!("cannot make {path}"))
}

/// Reads the teacher and the pictures of its run.
fn enrol(target: Target, config: &QatConfig, device: &Device) -> Result<School> {
    let path = config.teacher(target);
    let of = || format!("the teacher of {}", target.name());
    let bytes = read_limited(path, MAX_TEACHER_BYTES)
        .with_context(|| format!("{} is missing; train it with `aware train`", of()))?;
    let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    drop(bytes);
    let checkpoint = Checkpoint::read(path).with_context(of)?;
    let run = checkpoint.progress.config.clone();
    ensure!(
        run.network.starts_with(target.family()),
        "{} is {} in {}, expected one of {}",
        of(),
        run.network,
        path.display(),
        target.family()
    );
    if let Some(size) = config.image_size {
        ensure!(
            size == run.image_size,
            "image_size is {size}, but {} was trained with pictures of {} px",
            of(),
            run.image_size
        );
    }
    let teacher = Network::from_checkpoint(&checkpoint, device).with_context(of)?;
    let samples = select(read_manifest(&run.manifest)?, &run.datasets)?;
    let of_split =
        |split| -> Vec<Sample> { samples.iter().filter(|sample| sample.split == split).cloned().collect() };
    let [train, val, test] = [Split::Train, Split::Val, Split::Test].map(of_split);
    for (name, samples) in [("train", &train), ("val", &val), ("test", &test)] {
        let fakes = samples.iter().filter(|sample| sample.is_fake()).count();
        ensure!(fakes > 0 && fakes < samples.len(), "the {name} split needs real and fake pictures");
    }
    let calibration = spread(&train, config.calibration_dataset_size);
    ensure_apart(&calibration, &[&val, &test])?;
    let loader = |samples| Loader::new(samples, run.preprocess());
    let (train, val, test) = (loader(train), loader(val), loader(test));
    Ok(School { teacher, config: run, digest, calibration, train, val, test })
}

/// At most `count` of `samples`, spread over the whole list, so that every set and class is among them.
fn spread(samples: &[Sample], count: usize) -> Vec<Sample> {
    let step = samples.len().div_ceil(count.max(1)).max(1);
    samples.iter().step_by(step).cloned().collect()
}

/// Fails if a picture or source of `calibration` is among `others`.
fn ensure_apart(calibration: &[Sample], others: &[&[Sample]]) -> Result<()> {
    let names: BTreeSet<String> = calibration.iter().map(Sample::name).collect();
    let sources: BTreeSet<String> = calibration.iter().map(Sample::source).collect();
    for sample in others.iter().flat_map(|samples| samples.iter()) {
        ensure!(
            !names.contains(&sample.name()) && !sources.contains(&sample.source()),
            "{} is in the calibration pictures and in the {} split",
            sample.name(),
            sample.split.name()
        );
    }
    Ok(())
}

/// Bits for each layer by what they cost; none if nothing is to be measured.
fn strategy(
    config: &QatConfig,
    student: StudentConfig,
    school: &School,
    observers: &BTreeMap<String, crate::quantisation::Observer>,
    bar: &ProgressBar,
) -> Result<Option<Strategy>> {
    if config.sensitivity_pictures == 0 {
        return Ok(None);
    }
    let samples = spread(&school.calibration, config.sensitivity_pictures);
    ensure!(samples.len() > 1, "the sensitivity of layers is measured on at least two calibration pictures");
    let loader = Loader::new(samples, school.config.preprocess());
    let pictures = first_pictures(&loader, config.sensitivity_pictures)?;
    let model = &school.teacher.model;
    choose_strategy(model, student, config.strategy, observers, &pictures, &|| bar.tick()).map(Some)
}

/// The first `count` pictures of `loader`, `[count, 3, S, S]`.
fn first_pictures(loader: &Loader, count: usize) -> Result<Tensor> {
    let batch = loader.batches(View::Plain, count.min(loader.samples().len()), 0).into_iter().next();
    Ok(batch.context("there are no pictures")??.pictures)
}

fn file_bytes(student: &Student, bits: ActivationBits) -> Result<Vec<u8>> {
    Ok(prost::Message::encode_to_vec(&student.integer_file(bits, Vec::new())?))
}

fn probabilities(logits: &[Scored], temperature: f64) -> Vec<Scored> {
    let of =
        |s: &Scored| Scored { score: engine::verdict::probability_fake(s.score as f32, temperature), ..*s };
    logits.iter().map(of).collect()
}

/// The temperature that came with the teacher of the filter, if its file is named.
fn teacher_temperature(target: Target, config: &QatConfig) -> Result<Option<f64>> {
    let Some(path) = config.stage1_temp_path.as_deref().filter(|_| target == Target::Stage1) else {
        return Ok(None);
    };
    read_temperature(path).map(Some)
}

fn read_temperature(path: &Path) -> Result<f64> {
    let of = || format!("the temperature in {}", path.display());
    let value: serde_json::Value =
        serde_json::from_slice(&read_limited(path, crate::files::MAX_TEXT_BYTES)?).with_context(of)?;
    let temperature = value.get("temperature").and_then(serde_json::Value::as_f64).with_context(of)?;
    ensure!(temperature.is_finite() && temperature > 0.0, "{} is {temperature}", of());
    Ok(temperature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::crop::CropKind;

    fn sample(index: usize, split: Split) -> Sample {
        Sample {
            image_path: format!("{index}.png").into(),
            label: (index % 2) as u8,
            dataset: "toy".into(),
            split,
            group: index.to_string(),
            dhash: String::new(),
            face: None,
            crop: CropKind::Square,
        }
    }

    #[test]
    fn calibration_pictures_are_spread_and_few() {
        let samples: Vec<Sample> = (0..100).map(|i| sample(i, Split::Train)).collect();
        for (count, wanted) in [(1000, 100), (100, 100), (30, 25), (1, 1)] {
            assert_eq!(spread(&samples, count).len(), wanted);
        }
    }

    #[test]
    fn a_calibration_picture_that_is_tested_is_refused() {
        let train: Vec<Sample> = (0..10).map(|i| sample(i, Split::Train)).collect();
        let test: Vec<Sample> = (10..20).map(|i| sample(i, Split::Test)).collect();
        assert!(ensure_apart(&train, &[&test]).is_ok());
        let same_source = Sample { image_path: "other.png".into(), ..sample(3, Split::Test) };
        let error = ensure_apart(&train, &[&test, &[same_source]]).unwrap_err().to_string();
        assert!(error.contains("other.png") && error.contains("test"), "{error}");
    }
}
