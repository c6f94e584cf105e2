//! The report of a benchmark, with the original's keys where it had one.

use super::advice::recommendations;
use super::figures::{
    Accuracy, CascadeFigures, Column, Comparison, Curve, Performance, SetFigures, StageFigures, Times,
};
use super::mobile::MobileReport;
use super::plan::{Part, Plan};
use super::subject::Subject;
use crate::dataset::{Sample, Split};
use crate::files::read_limited;
use crate::optimize::BenchmarkConfig;
use anyhow::{Context, Result, ensure};
use engine::bundle::{Role, sha256_hex};
use engine::report::ModelIdentity;
use engine::runtime::cpu::int8::Level;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::SystemTime;

/// Version of the report's schema.
pub const BENCH_SCHEMA_VERSION: &str = "1.1";
/// Largest report that is read, in bytes.
const MAX_REPORT_BYTES: u64 = 16 << 20;

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// `major.minor` of this schema.
    pub schema_version: String,
    /// Seconds since 1970 when it was begun.
    pub timestamp: u64,
    /// How it was measured.
    pub config: BenchmarkConfig,
    /// Parts that were done to their end.
    pub parts: Vec<Part>,
    /// Whether somebody stopped it.
    pub stopped: bool,
    /// Where.
    pub environment: Environment,
    /// On what; none where no part needs pictures.
    pub pictures: Option<PictureSet>,
    /// The original's summary.
    pub summary: Summary,
    /// The bundle that would be shipped first, then the one in floats.
    pub detailed_results: Vec<SubjectReport>,
    /// The first against the second.
    pub comparison: Option<Comparison>,
    /// The built page on a simulated phone, if that was asked for.
    #[serde(default)]
    pub mobile_compatibility: Option<MobileReport>,
    /// What to do, by the rules of [`super::advice`].
    pub recommendations: Vec<String>,
    /// The figures that a baseline keeps, in the form that `cargo xtask bench compare` reads.
    pub columns: Vec<Column>,
}

/// Where it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the engine.
    pub engine_version: String,
    /// Processor and system that the program was built for.
    pub target: String,
    /// Integer kernels.
    pub level: String,
    /// Threads that times are of.
    pub threads: usize,
}

/// On what it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureSet {
    /// SHA-256 of the names and labels of the pictures, a line each.
    pub sha256: String,
    /// Which split.
    pub split: Split,
    /// "manifest", or the detector that found faces.
    pub faces: String,
    /// Real pictures that were to be judged.
    pub real: usize,
    /// Fake ones.
    pub fake: usize,
}

impl PictureSet {
    /// "test split, 3 real, 4 fake; regions by manifest".
    pub fn text(&self) -> String {
        let PictureSet { split, real, fake, faces, .. } = self;
        format!("{} split, {real} real, {fake} fake; regions by {faces}", split.name())
    }
}

/// The original's summary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// AUCs of the bundles.
    pub accuracy: AccuracySummary,
    /// Their times from bytes to verdict.
    pub speed: SpeedSummary,
}

/// AUCs over bundles; absent if none was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AccuracySummary {
    /// Mean.
    pub avg_auc: Option<f64>,
    /// Largest.
    pub best_auc: Option<f64>,
}

/// Times over bundles, in milliseconds; absent if none was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpeedSummary {
    /// Mean of the medians.
    pub avg_inference_time_ms: Option<f64>,
    /// Smallest median.
    pub fastest_inference_ms: Option<f64>,
}

/// One bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubjectReport {
    /// "optimized" for the bundle that would be shipped, "original" for the one beside it.
    pub name: String,
    /// What the bundle says of itself.
    pub model: ModelIdentity,
    /// SHA-256 of its manifest, which names the digest of all else.
    pub manifest_sha256: String,
    /// The original's figures.
    pub performance: Performance,
    /// Its networks.
    pub stages: Vec<StageFigures>,
    /// From bytes to verdict.
    pub end_to_end: Option<Times>,
    /// What its verdicts are worth.
    pub accuracy: Option<Accuracy>,
    /// And on changed pictures.
    pub robustness: Vec<Curve>,
}

impl BenchReport {
    pub(super) fn new(plan: &Plan, subjects: &[Subject], judged: &[Sample]) -> Self {
        let fake = judged.iter().filter(|sample| sample.is_fake()).count();
        let lines: Vec<String> =
            judged.iter().map(|sample| format!("{} {}\n", sample.label, sample.name())).collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let results = subjects.iter().zip(["optimized", "original"]).map(|(subject, name)| SubjectReport {
            name: name.into(),
            model: subject.identity(),
            manifest_sha256: subject.sha256.clone(),
            performance: Performance::default(),
            stages: subject.stages.clone(),
            end_to_end: None,
            accuracy: None,
            robustness: Vec::new(),
        });
        let mut report = BenchReport {
            schema_version: BENCH_SCHEMA_VERSION.into(),
            timestamp: now.map_or(0, |now| now.as_secs()),
            config: plan.config.clone(),
            parts: Vec::new(),
            stopped: false,
            environment: Environment {
                engine_version: engine::VERSION.into(),
                target: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
                level: Level::best().name().into(),
                threads: 1,
            },
            pictures: plan.pictures.as_ref().map(|_| PictureSet {
                sha256: sha256_hex(lines.concat().as_bytes()),
                split: plan.split,
                faces: match &plan.faces {
                    Some(faces) => faces.detector.display().to_string(),
                    None => "manifest".into(),
                },
                real: judged.len() - fake,
                fake,
            }),
            summary: Summary::default(),
            detailed_results: results.collect(),
            comparison: None,
            mobile_compatibility: None,
            recommendations: Vec::new(),
            columns: Vec::new(),
        };
        report.finish();
        report
    }

    /// The report in the file at `path`.
    ///
    /// # Errors
    /// If it does not read, or is of another version.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_limited(path, MAX_REPORT_BYTES)?;
        let of = || format!("{} is no report of `aware bench`", path.display());
        let value: serde_json::Value = serde_json::from_slice(&bytes).with_context(of)?;
        let version = value.get("schema_version").and_then(serde_json::Value::as_str).with_context(of)?;
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        ensure!(
            major(version) == major(BENCH_SCHEMA_VERSION),
            "{} has schema_version {version}, this program reads {BENCH_SCHEMA_VERSION}; run `aware bench` again",
            path.display()
        );
        serde_json::from_value(value).with_context(of)
    }

    /// The bundle that would be shipped.
    pub fn subject(&self) -> Option<&SubjectReport> {
        self.detailed_results.first()
    }

    /// Notes what the bundle at `index` took of memory at most.
    pub fn note_peak_memory(&mut self, index: usize, bytes: Option<u64>) {
        if let (Some(result), Some(bytes)) = (self.detailed_results.get_mut(index), bytes) {
            result.performance.peak_memory_mb = Some(bytes as f64 / 1e6);
        }
        self.finish();
    }

    /// Derives everything that follows from what was measured.
    pub(super) fn finish(&mut self) {
        self.detailed_results.iter_mut().for_each(SubjectReport::finish);
        if let (Some(comparison), [optimized, original]) =
            (&mut self.comparison, self.detailed_results.as_slice())
        {
            comparison.note(optimized, original);
        }
        let of = |value: fn(&Performance) -> Option<f64>| -> Vec<f64> {
            self.detailed_results.iter().filter_map(|result| value(&result.performance)).collect()
        };
        let mean =
            |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let aucs = of(|performance| performance.auc);
        let times = of(|performance| performance.median_inference_time_ms);
        self.summary = Summary {
            accuracy: AccuracySummary {
                avg_auc: mean(&aucs),
                best_auc: aucs.iter().copied().max_by(f64::total_cmp),
            },
            speed: SpeedSummary {
                avg_inference_time_ms: mean(&times),
                fastest_inference_ms: times.iter().copied().min_by(f64::total_cmp),
            },
        };
        self.columns = self.detailed_results.iter().flat_map(SubjectReport::columns).collect();
        self.recommendations = recommendations(self);
    }
}

impl Comparison {
    fn note(&mut self, optimized: &SubjectReport, original: &SubjectReport) {
        let sizes = original.performance.model_size_mb;
        self.size_reduction_percent =
            (sizes > 0.0).then(|| 100.0 * (1.0 - optimized.performance.model_size_mb / sizes));
        for own in &optimized.stages {
            let Some(other) = original.stages.iter().find(|stage| stage.name == own.name) else { continue };
            // Trees are the same in both.
            if own.role == Role::Meta || other.bytes == 0 {
                continue;
            }
            let reduction = 100.0 * (1.0 - own.bytes as f64 / other.bytes as f64);
            self.size_reduction_percent_by_stage.insert(own.name.clone(), reduction);
            if let (Some(own_times), Some(times)) = (&own.times, &other.times) {
                self.speedup_by_stage.insert(own.name.clone(), times.median_ms / own_times.median_ms);
            }
        }
        let medians = optimized.end_to_end.as_ref().zip(original.end_to_end.as_ref());
        self.inference_speedup = medians.map(|(own, other)| other.median_ms / own.median_ms);
    }
}

impl SubjectReport {
    /// The figures of all pictures together.
    pub fn all(&self) -> Option<&SetFigures> {
        self.accuracy.as_ref()?.sets.get("all")
    }

    fn finish(&mut self) {
        self.predict();
        let metrics = self.all().map(|set| set.metrics.clone());
        let cascade = self.accuracy.as_ref().map(|accuracy| accuracy.cascade.clone());
        let percent = |value: fn(&CascadeFigures) -> Option<f64>| {
            cascade.as_ref().and_then(value).map(|share| 100.0 * share)
        };
        let times = self.end_to_end.as_ref();
        self.performance = Performance {
            auc: metrics.as_ref().and_then(|metrics| metrics.auc),
            f1_score: metrics.as_ref().map(|metrics| metrics.f1),
            accuracy: metrics.as_ref().map(|metrics| metrics.accuracy),
            precision: metrics.as_ref().map(|metrics| metrics.precision),
            recall: metrics.as_ref().map(|metrics| metrics.recall),
            avg_inference_time_ms: times.map(|times| times.mean_ms),
            median_inference_time_ms: times.map(|times| times.median_ms),
            p95_inference_time_ms: times.map(|times| times.p95_ms),
            throughput_fps: times.map(|times| 1e3 / times.mean_ms),
            peak_memory_mb: self.performance.peak_memory_mb,
            stage1_filtration_rate: percent(|cascade| cascade.filtration),
            stage2_usage_rate: percent(|cascade| cascade.escalation),
            leakage_rate: percent(|cascade| cascade.leakage),
            model_size_mb: self.stages.iter().map(|stage| stage.bytes as f64).sum::<f64>() / 1e6,
            quantized: self.stages.iter().any(|stage| stage.role != Role::Meta && stage.weights != "float32"),
        };
    }

    /// The mean time in networks that medians and routing foretell.
    fn predict(&mut self) {
        let medians: Option<Vec<f64>> =
            self.stages.iter().map(|stage| Some(stage.times.as_ref()?.median_ms)).collect();
        let (Some(accuracy), Some([first, others @ ..])) = (&mut self.accuracy, medians.as_deref()) else {
            return;
        };
        let cascade = &mut accuracy.cascade;
        let others: f64 = others.iter().sum();
        cascade.predicted_ms = cascade.escalation.map(|escalation| first + escalation * others);
        let with_views = cascade.predicted_ms.zip(cascade.views_a_picture);
        cascade.predicted_with_views_ms = with_views.map(|(alone, views)| alone + views * first);
    }

    fn columns(&self) -> Vec<Column> {
        let column = |what: &str, figures: &[(&str, Option<f64>)]| Column {
            name: format!("{} {what}", self.name),
            figures: figures.iter().filter_map(|&(key, value)| Some((key.to_owned(), value?))).collect(),
        };
        let of = |times: Option<&Times>, value: fn(&Times) -> f64| times.map(value);
        let timed = |what: &str, times: Option<&Times>, others: &[(&str, Option<f64>)]| {
            let times = [
                ("min_ms", of(times, |t| t.min_ms)),
                ("median_ms", of(times, |t| t.median_ms)),
                ("p90_ms", of(times, |t| t.p90_ms)),
            ];
            column(what, &[&times, others].concat())
        };
        let stage = |stage: &StageFigures| {
            let bytes = [("bytes", Some(stage.bytes as f64))];
            timed(&stage.name, stage.times.as_ref(), &bytes)
        };
        let performance = &self.performance;
        let memory = [("peak_memory_mb", performance.peak_memory_mb)];
        let worth = [
            ("auc", performance.auc),
            ("f1", performance.f1_score),
            ("ece", self.all().map(|set| set.metrics.ece)),
        ];
        let stages = self.stages.iter().filter(|stage| stage.role != Role::Meta).map(stage);
        let whole = timed("bytes to verdict", self.end_to_end.as_ref(), &memory);
        stages.chain([whole, column("verdicts", &worth)]).collect()
    }
}
