//! A bundle on this machine: whether its files are whole, its networks load, and its golden vectors come out; with figures.

use crate::bundle::read_bundle;
use crate::export::network_format;
use crate::memory::peak_bytes;
use anyhow::{Context, Result, ensure};
use engine::bundle::{NetworkFormat, Role, Stage};
use engine::golden::GoldenReport;
use engine::report::ModelIdentity;
use engine::runtime::cpu::int8::Level;
use engine::{Bundle, Detector, Session, Tensor};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

/// Version of the report's schema. 1.1 added the memory.
pub const VALIDATION_SCHEMA_VERSION: &str = "1.1";

/// What came out, check by check.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// `major.minor` of this schema.
    pub schema_version: &'static str,
    /// Version of the engine.
    pub engine_version: &'static str,
    /// Processor and system that this program was built for.
    pub target: String,
    /// Fastest integer kernels of this machine.
    pub level: &'static str,
    /// Whether every check passed.
    pub passed: bool,
    /// The bundle, if its manifest reads.
    pub bundle: Option<ModelIdentity>,
    /// In the order in which they ran; behind one that failed, those that need it are missing.
    pub checks: Vec<Check>,
    /// What each network weighs and takes.
    pub stages: Vec<StageFigures>,
    /// The golden vectors, one by one.
    pub golden: Option<GoldenReport>,
    /// Most bytes that this process took; absent where the system does not say.
    pub peak_memory_bytes: Option<u64>,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// "files", "networks", "formats" or "golden".
    pub name: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

/// A network's figures.
#[derive(Debug, Clone, Serialize)]
pub struct StageFigures {
    /// Name of the stage.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Size of the file.
    pub bytes: u64,
    /// Its numbers.
    pub format: NetworkFormat,
    /// Time from bytes to a network that runs, in milliseconds.
    pub load_ms: f64,
    /// Median time of a run, in milliseconds.
    pub median_ms: f64,
    /// Timed runs.
    pub runs: usize,
}

/// Checks the bundle in `folder`, and times `runs` runs of each network, at least one.
pub fn validate_bundle(folder: &Path, runs: usize) -> Validation {
    let mut validation = Validation {
        schema_version: VALIDATION_SCHEMA_VERSION,
        engine_version: env!("CARGO_PKG_VERSION"),
        target: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
        level: Level::best().name(),
        passed: false,
        bundle: None,
        checks: Vec::new(),
        stages: Vec::new(),
        golden: None,
        peak_memory_bytes: None,
    };
    validation.run(folder, runs.max(1));
    validation.peak_memory_bytes = peak_bytes();
    validation.passed = validation.checks.iter().all(|check| check.passed);
    validation
}

impl Validation {
    fn run(&mut self, folder: &Path, runs: usize) {
        let read = read_bundle(folder);
        let files = |bundle: &Bundle| {
            let files = &bundle.manifest().files;
            let bytes: u64 = files.iter().map(|entry| entry.bytes).sum();
            format!("{} files, {bytes} bytes, each with its SHA-256", files.len())
        };
        let Some(bundle) = self.note("files", read, files) else { return };
        let manifest = bundle.manifest();
        self.bundle = Some(ModelIdentity { name: manifest.name.clone(), version: manifest.version.clone() });

        let loaded = Detector::load(&bundle).map_err(anyhow::Error::from);
        let count = manifest.stages.len();
        let Some(mut detector) = self.note("networks", loaded, |_| format!("{count} loaded")) else { return };
        let figures: Result<Vec<_>> =
            manifest.stages.iter().map(|stage| figures(&bundle, stage, runs)).collect();
        let formats = |figures: &Vec<StageFigures>| {
            let format = |stage: &StageFigures| {
                let (weights, activations) = (stage.format.weights.name(), stage.format.activations.name());
                format!("{}: weights {weights}, activations {activations}", stage.file)
            };
            figures.iter().map(format).collect::<Vec<_>>().join("; ")
        };
        self.stages = self.note("formats", figures, formats).unwrap_or_default();

        let golden = bundle.golden().map_err(anyhow::Error::from).and_then(|golden| {
            golden.context("the bundle has none; write it anew: `aware bundle --from BUNDLE`")
        });
        let clock = Instant::now();
        let now_ms = || clock.elapsed().as_secs_f64() * 1e3;
        let report = golden.map(|golden| golden.check(&mut detector, &now_ms));
        let checked = report.and_then(|report| {
            let wrong = report.vectors.iter().filter(|vector| !vector.passed).count();
            let count = report.vectors.len();
            self.golden = Some(report);
            ensure!(wrong == 0, "{wrong} of {count} vectors differ");
            Ok(count)
        });
        self.note("golden", checked, |count| format!("{count} vectors, bit for bit"));
    }

    /// Notes how `result` went.
    fn note<T>(&mut self, name: &'static str, result: Result<T>, detail: impl Fn(&T) -> String) -> Option<T> {
        let text = result.as_ref().map_or_else(|error| format!("{error:#}"), detail);
        self.checks.push(Check { name, passed: result.is_ok(), detail: text });
        result.ok()
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let word = |passed: bool| if passed { "ok    " } else { "FAILED" };
        if let Some(bundle) = &self.bundle {
            let _ = writeln!(
                text,
                "{} {}, on {}, integers by {}",
                bundle.name, bundle.version, self.target, self.level
            );
        }
        for check in &self.checks {
            let _ = writeln!(text, "{} {:9} {}", word(check.passed), check.name, check.detail);
        }
        if !self.stages.is_empty() {
            let _ = writeln!(
                text,
                "\n{:12} {:>10}  {:9} {:11} {:>5} {:>9} {:>10}",
                "stage", "bytes", "weights", "activations", "input", "load ms", "run ms"
            );
        }
        for stage in &self.stages {
            let (weights, activations) = (stage.format.weights.name(), stage.format.activations.name());
            let _ = writeln!(
                text,
                "{:12} {:10}  {weights:9} {activations:11} {:5} {:9.2} {:10.3}",
                stage.name, stage.bytes, stage.format.input_size, stage.load_ms, stage.median_ms
            );
        }
        if self.golden.is_some() {
            let head = ["golden vector", "logit", "expected", "difference"];
            let _ = writeln!(text, "\n       {:28} {:>14} {:>14} {:>10}", head[0], head[1], head[2], head[3]);
        }
        for vector in self.golden.iter().flat_map(|golden| &golden.vectors) {
            let logit = vector.logit.map_or_else(|| "none".to_owned(), |logit| format!("{logit:?}"));
            let difference =
                vector.difference.map_or_else(String::new, |difference| format!("{difference:.1e}"));
            let _ = writeln!(
                text,
                "{} {:28} {logit:>14} {:>14} {difference:>10}  {}",
                word(vector.passed),
                vector.name,
                format!("{:?}", vector.expected),
                vector.problem.as_deref().unwrap_or_default()
            );
        }
        let _ = writeln!(text, "\n{}", if self.passed { "passed" } else { "FAILED" });
        text
    }
}

/// The figures of a stage, whose file must be what the manifest says.
fn figures(bundle: &Bundle, stage: &Stage, runs: usize) -> Result<StageFigures> {
    let onnx = bundle.content(&stage.file).with_context(|| format!("{} is missing", stage.file))?;
    // Trees have no picture for an input.
    let is_meta = stage.role == Role::Meta;
    let size = if is_meta { 0 } else { bundle.manifest().preprocess_of(stage).size };
    let format = network_format(onnx, size)?;
    ensure!(
        stage.format.is_none_or(|said| said == format),
        "{} is {format:?}, the manifest says {:?}",
        stage.file,
        stage.format
    );
    let started = Instant::now();
    let mut session = Session::load(onnx)?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    let shape = session.input_shape().to_vec();
    let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin() * 2.0).collect();
    let input = Tensor::from_vec(shape, values);
    // The first run brings the memory.
    session.run(&input)?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let started = Instant::now();
        session.run(&input)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let (name, file) = (stage.name.clone(), stage.file.clone());
    let median_ms = times[times.len() / 2];
    Ok(StageFigures { name, file, bytes: onnx.len() as u64, format, load_ms, median_ms, runs })
}
