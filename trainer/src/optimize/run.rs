//! One network through the whole optimisation, top to bottom.

use super::benchmark::BenchmarkConfig;
use super::config::{QatConfig, Target};
use super::files::{About, original_file, write_files};
use super::learn::{Lessons, StudentFolder, StudentProgress, learn, read_progress};
use super::measure::{auc_loss, engine_logits, speed};
use super::report::{self, Details, OptimizationResult};
use super::school::{School, spread, teacher_temperature};
use crate::export::{ActivationBits, WeightBits};
use crate::files::{read_limited, write_json};
use crate::loader::{Loader, View};
use crate::metrics::{Scored, auc};
use crate::quantisation::{
    Observer, Parity, Strategy, Student, StudentConfig, check_parity, choose_strategy, reestimate,
};
use crate::temperature::fit_temperature;
use crate::train::{SureAnswers, logits, per_set};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use engine::Session;
use indicatif::ProgressBar;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Pictures a step where nothing is learned.
const BATCH: usize = 32;
/// Pictures on which the exported file is held to the student.
const PARITY_PICTURES: usize = 4;
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

/// What an optimisation is of, and how it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// Which network.
    pub target: Target,
    /// How it is optimised.
    pub config: &'a QatConfig,
    /// How it is measured.
    pub benchmark: &'a BenchmarkConfig,
    /// What computes while it learns.
    pub device: &'a Device,
}

/// Optimises one network and gives what came of it; `say` gets what people want to read.
///
/// # Errors
/// If the teacher is missing, damaged or of another kind; if its data does not fit; if a range or scale collapses; if an
/// exported file is not the student. Whatever was not finished is left under no final name.
pub fn optimize(
    task: Task,
    begin: Begin,
    bar: &ProgressBar,
    say: &dyn Fn(&str),
) -> Result<OptimizationResult> {
    let Task { target, config, .. } = task;
    config.check()?;
    task.benchmark.check()?;
    let started = Instant::now();
    let folder = StudentFolder(config.output_dir.join(target.name()));
    prepare(&folder, begin)?;
    let school = School::enrol(task)?;
    say(&format!("{}: {school}", target.name()));
    // As it came, before its batch norms are estimated anew.
    let original = Original::of(target, &school)?;
    let model = &school.teacher.model;
    let estimated = estimate(config, &school)?;
    let val_auc = [auc(&original.val), auc(&logits(model, &school.val)?)];
    let [before, after] = val_auc.map(|auc| auc.map_or("-".to_owned(), |auc| format!("{auc:.4}")));
    say(&format!("batch norms estimated on {estimated} batches: val AUC {before} -> {after}"));

    let student_config = StudentConfig {
        image_size: school.config.image_size as usize,
        activation_bits: config.quantization_backend.activation_bits(),
        symmetry: config.quantization_scheme,
    };
    let observers = Student::observe(model, student_config, calibration_pictures(&school, usize::MAX))?;
    let progress = match begin == Begin::Resume && folder.last().exists() {
        true => resumed(&folder, config, &school)?,
        false => {
            let strategy = strategy(config, student_config, &school, &observers, bar)?;
            if let Some(strategy) = &strategy {
                say(&format!("{}{}", strategy.text(), strategy.summary()));
                write_json(&folder.0.join("strategy.json"), strategy)?;
            }
            let bits = strategy.as_ref().map(Strategy::bits).unwrap_or_default();
            StudentProgress::start(config.clone(), school.digest.clone(), bits)
        }
    };
    let mut student = Student::new(model, student_config, &progress.bits, &observers)?;
    // What quantisation after training alone is worth.
    let baseline = file_bytes(&student, student_config.activation_bits)?;
    let lessons =
        Lessons { teacher: model, train: &school.train, val: &school.val, augment: &school.config.augment };
    let progress = learn(&mut student, &lessons, progress, &folder, bar)?;
    let end = End { task, school: &school, original: &original, student: &student, progress: &progress };
    let details = end.details(&folder, &baseline, estimated, val_auc)?;
    let result = OptimizationResult::of(target, details, started.elapsed().as_secs_f64() / 60.0);
    keep_result(config, target, &result)?;
    Ok(result)
}

/// The teacher as it came.
struct Original {
    /// Its FP32 file.
    onnx: Vec<u8>,
    /// Difference of the file's logit in the engine from candle's.
    float_difference: f32,
    /// Its logits on the validation split.
    val: Vec<Scored>,
}

impl Original {
    fn of(target: Target, school: &School) -> Result<Self> {
        let picture = first_pictures(&school.val, 1)?;
        let about = About { target, run: &school.config, teacher: &school.digest, picture: &picture };
        let (onnx, float_difference) = original_file(&about, &school.teacher.model)?;
        let val = logits(&school.teacher.model, &school.val)?;
        Ok(Original { onnx, float_difference, val })
    }
}

/// At most so many batches of plain calibration pictures.
fn calibration_pictures(school: &School, batches: usize) -> impl Iterator<Item = Result<Tensor>> + use<> {
    let loader = Loader::new(school.calibration.clone(), school.config.preprocess());
    let pictures = loader.batches(View::Plain, BATCH, 0).into_iter();
    pictures.take(batches).map(|batch| Ok(batch?.pictures))
}

/// Estimates the teacher's batch norms anew; gives the number of batches.
fn estimate(config: &QatConfig, school: &School) -> Result<usize> {
    let pictures = calibration_pictures(school, config.reestimation_batches);
    reestimate::<anyhow::Error>(&school.teacher.model, &school.teacher.variables, pictures)
}

/// Where the run in `folder` stands.
fn resumed(folder: &StudentFolder, config: &QatConfig, school: &School) -> Result<StudentProgress> {
    let progress = read_progress(folder).context("the run cannot go on")?;
    ensure!(
        progress.config == *config && progress.teacher == school.digest,
        "the configuration or the teacher differs from those that the run began with"
    );
    Ok(progress)
}

/// A student that has learned.
struct End<'a> {
    task: Task<'a>,
    school: &'a School,
    original: &'a Original,
    student: &'a Student,
    progress: &'a StudentProgress,
}

impl End<'_> {
    /// Writes and measures the student's files; `baseline` is its file before it learned.
    fn details(
        &self,
        folder: &StudentFolder,
        baseline: &[u8],
        estimated: usize,
        val_auc: [Option<f64>; 2],
    ) -> Result<Details> {
        let End { task: Task { target, config, benchmark, .. }, school, original, student, progress } = *self;
        let (onnx, parity) = self.checked_file()?;
        let judged = |onnx: &[u8], loader: &Loader| engine_logits(onnx, loader, benchmark.test_batch_size);
        let (val, test) = (judged(&onnx, &school.val)?, judged(&onnx, &school.test)?);
        let temperature = fit_temperature(&val);
        let sure = probabilities(&val, temperature);
        let thresholds = school.config.judged_by.thresholds(&school.val.sets(), &sure, WANTED_PRECISION);
        let picture = first_pictures(&school.val, 1)?;
        let about = About { target, run: &school.config, teacher: &school.digest, picture: &picture };
        let original_file = (&original.onnx[..], original.float_difference);
        let files = write_files(&folder.0, &about, original_file, student, temperature)?;

        let original_test = judged(&original.onnx, &school.test)?;
        let lost = |scored: &[Scored]| auc_loss(school.test.samples(), &original_test, scored);
        let eight = file_bytes(student, ActivationBits::Eight)?;
        let teacher_temperature = teacher_temperature(target, config)?;
        let calibration = report::Calibration {
            teacher: report::judged_calibration(&original.val, &original_test, teacher_temperature),
            student: report::judged_calibration(&val, &test, Some(temperature)),
        };
        let times = || speed(&original.onnx, &onnx, benchmark);
        let answers = probabilities(&test, temperature);
        Ok(Details {
            network: school.config.network.clone(),
            datasets: school.config.datasets.clone(),
            image_size: school.config.image_size,
            reestimated_batches: estimated,
            val_auc_before_and_after_reestimation: val_auc,
            pictures: school.counts(),
            four_bits: report::of_bits(&progress.bits, WeightBits::Four),
            floats: report::of_bits(&progress.bits, WeightBits::Float),
            best_epoch: progress.best_epoch,
            history: progress.history.clone(),
            auc: lost(&test)?,
            auc_after_training_only: lost(&judged(baseline, &school.test)?)?,
            auc_with_eight_bit_activations: lost(&judged(&eight, &school.test)?)?,
            test: per_set(school.test.samples(), &answers, config.seed),
            test_sure: SureAnswers::of(&answers, thresholds),
            temperature,
            thresholds,
            calibration,
            parity,
            speed: benchmark.times_the_processor().then(times).transpose()?,
            files,
        })
    }

    /// The integer file, which gives the student's bytes: all of them where nothing but integers is computed, within a step
    /// where floats intervene, whose sums the trainer adds up in another order.
    fn checked_file(&self) -> Result<(Vec<u8>, Parity)> {
        let pictures = first_pictures(&self.school.val, PARITY_PICTURES)?;
        let file = self.student.integer_file(self.student.config().activation_bits, Vec::new())?;
        let parity = check_parity(self.student, &file, &pictures)?;
        let onnx = file.encode_to_vec();
        let session = Session::load(&onnx)?;
        let is_integer = |kernel: &str| kernel == "quantise" || kernel.ends_with("int8");
        let has_floats = !session.plan().steps.iter().all(|step| is_integer(step.kernel.name()));
        parity.check(if has_floats { 1.0 } else { 0.0 }).context("the export is refused")?;
        Ok((onnx, parity))
    }
}

/// Makes sure that nothing is overwritten that was not meant to be.
fn prepare(folder: &StudentFolder, begin: Begin) -> Result<()> {
    let path = folder.0.display();
    let is_there = folder.0.join(RESULT_NAME).exists() || folder.last().exists() || folder.best().exists();
    match begin {
        Begin::Fresh if is_there => {
            bail!("{path} holds an optimisation already; add --resume to go on, or --force to begin anew")
        }
        Begin::Force if is_there => {
            for file in [folder.last(), folder.best(), folder.history(), folder.0.join(RESULT_NAME)] {
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

/// Bits for each layer by what they cost; none if nothing is to be measured.
fn strategy(
    config: &QatConfig,
    student: StudentConfig,
    school: &School,
    observers: &BTreeMap<String, Observer>,
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
    Ok(student.integer_file(bits, Vec::new())?.encode_to_vec())
}

pub(super) fn probabilities(logits: &[Scored], temperature: f64) -> Vec<Scored> {
    let of =
        |s: &Scored| Scored { score: engine::verdict::probability_fake(s.score as f32, temperature), ..*s };
    logits.iter().map(of).collect()
}

/// Name of an [`OptimizationResult`] in its network's folder.
pub const RESULT_NAME: &str = "result.json";

/// Writes `result` into the folder of `target`.
///
/// # Errors
/// If it cannot be written.
pub fn keep_result(config: &QatConfig, target: Target, result: &OptimizationResult) -> Result<()> {
    write_json(&config.output_dir.join(target.name()).join(RESULT_NAME), result)
}

/// The result that [`optimize`] wrote into `folder`, that of one network.
///
/// # Errors
/// If there is none, or it is damaged.
pub fn read_result(folder: &Path) -> Result<OptimizationResult> {
    const MAX_BYTES: u64 = 16 << 20;
    let path = folder.join(RESULT_NAME);
    let bytes = read_limited(&path, MAX_BYTES).context("there is no finished `aware optimize`")?;
    serde_json::from_slice(&bytes).with_context(|| format!("in {}", path.display()))
}
