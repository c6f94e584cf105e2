//! What an optimisation gained and lost: the original's report with its keys, intervals beside them, and gates.

use super::benchmark::BenchmarkConfig;
use super::config::{QatConfig, Target};
use super::files::StudentFiles;
use super::learn::StudentEpoch;
use super::measure::{AucLoss, Speed};
use super::run::probabilities;
use crate::config::RunConfig;
use crate::export::WeightBits;
use crate::files::read_limited;
use crate::judgement::Judgement;
use crate::metrics::{Metrics, Scored, expected_calibration_error};
use crate::quantisation::Parity;
use crate::temperature::fit_temperature;
use crate::train::SureAnswers;
use anyhow::{Context, Result, ensure};
use engine::Thresholds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

/// The seed's targets.
const SIZE_REDUCTION_PERCENT: f64 = 75.0;
const SPEEDUP: f64 = 3.0;
const AUC_DEGRADATION_PERCENT: f64 = 2.0;
const MEMORY_MB: f64 = 512.0;
/// Our own goal, in points of AUC.
const AUC_POINTS: f64 = 0.5;
/// Largest file of a benchmark.
const MAX_BENCH_BYTES: u64 = 16 << 20;

/// Pictures of each kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureCounts {
    /// Of the training split, for ranges.
    pub calibration: usize,
    /// Learned from.
    pub train: usize,
    /// That chose the epoch, the temperature and the thresholds.
    pub val: usize,
    /// That chose nothing.
    pub test: usize,
}

/// How far P(fake) can be believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationFigures {
    /// Divisor of the logits.
    pub temperature: f64,
    /// Expected calibration error on the test split.
    pub ece: f64,
    /// Mean negative log likelihood there, in nats.
    pub nll: f64,
}

/// The same for both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Before.
    pub teacher: CalibrationFigures,
    /// After.
    pub student: CalibrationFigures,
}

/// Calibration of test logits by `temperature`, or one fitted on validation logits.
pub(super) fn judged_calibration(
    val: &[Scored],
    test: &[Scored],
    temperature: Option<f64>,
) -> CalibrationFigures {
    let temperature = temperature.unwrap_or_else(|| fit_temperature(val));
    let test = probabilities(test, temperature);
    CalibrationFigures { temperature, ece: expected_calibration_error(&test), nll: Judgement::of(&test).nll }
}

/// Names of the layers whose weights have such bits.
pub(super) fn of_bits(bits: &BTreeMap<String, WeightBits>, wanted: WeightBits) -> Vec<String> {
    bits.iter().filter(|(_, bits)| **bits == wanted).map(|(name, _)| name.clone()).collect()
}

/// Times of the network in a page, from `cargo xtask bench page --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PageFigures {
    /// What was timed: network and size of the picture.
    pub title: String,
    /// Our fastest column of integers.
    pub column: String,
    /// Its median.
    pub optimized_ms: f64,
    /// Median of onnxruntime-web on the FP32 file, in the same run.
    pub peer_ms: f64,
    /// The latter over the former.
    pub speedup: f64,
}

impl PageFigures {
    /// The figures in the benchmark's file at `path`.
    ///
    /// # Errors
    /// If it is no such file.
    pub fn read(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Column {
            name: String,
            #[serde(default)]
            model: String,
            #[serde(default)]
            median_ms: Option<f64>,
        }
        #[derive(Deserialize)]
        struct Bench {
            title: String,
            columns: Vec<Column>,
        }
        let of = || format!("{} is no result of `cargo xtask bench page --json`", path.display());
        let bench: Bench = serde_json::from_slice(&read_limited(path, MAX_BENCH_BYTES)?).with_context(of)?;
        let timed = |is_wanted: &dyn Fn(&Column) -> bool| {
            let columns = bench.columns.iter().filter(|column| is_wanted(column));
            columns
                .filter_map(|column| Some((column.name.clone(), column.median_ms.filter(|ms| *ms > 0.0)?)))
                .min_by(|a, b| a.1.total_cmp(&b.1))
        };
        let (_, peer_ms) = timed(&|column| column.name == "onnxruntime-web float").with_context(of)?;
        let ours = timed(&|column| column.name.starts_with("engine") && column.model == "int8");
        let (column, optimized_ms) = ours.with_context(of)?;
        Ok(PageFigures { title: bench.title, column, optimized_ms, peer_ms, speedup: peer_ms / optimized_ms })
    }

    /// Checks that the network of `run` was timed, with pictures of its size.
    ///
    /// # Errors
    /// Naming both.
    pub fn check(&self, run: &RunConfig) -> Result<()> {
        let wanted = format!("{} at {} px", run.network, run.image_size);
        ensure!(
            self.title == wanted,
            "the times in a page are of {:?}, and not of {wanted:?}; run `cargo xtask bench page --network {} \
             --image-size {} --json FILE`",
            self.title,
            run.network,
            run.image_size
        );
        Ok(())
    }
}

/// Everything behind the figures of one network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Preset.
    pub network: String,
    /// Data sets that it learned from; all of the manifest if empty.
    pub datasets: Vec<String>,
    /// Width and height of its pictures.
    pub image_size: u32,
    /// Batches that batch norms were estimated on.
    pub reestimated_batches: usize,
    /// The teacher's AUC on the validation split before and after that.
    pub val_auc_before_and_after_reestimation: [Option<f64>; 2],
    /// Pictures of each kind.
    pub pictures: PictureCounts,
    /// Layers with weights of four bits.
    pub four_bits: Vec<String>,
    /// Layers in floats.
    pub floats: Vec<String>,
    /// The epoch that was kept; 0 is quantisation after training.
    pub best_epoch: u64,
    /// All epochs.
    pub history: Vec<StudentEpoch>,
    /// AUC on the test split, before and after.
    pub auc: AucLoss,
    /// The same of quantisation after training, with the same bits.
    pub auc_after_training_only: AucLoss,
    /// The same of the student's file with activations of eight bits.
    pub auc_with_eight_bit_activations: AucLoss,
    /// The student on the test split, per data set, and "all".
    pub test: BTreeMap<String, Metrics>,
    /// Share of its test answers that are sure, and share of those that are right.
    pub test_sure: SureAnswers,
    /// Divisor of the student's logits, fitted on the validation split.
    pub temperature: f64,
    /// P(fake) at which its answers count as sure, fitted there.
    pub thresholds: Thresholds,
    /// How far P(fake) can be believed.
    pub calibration: Calibration,
    /// Trainer and engine, byte by byte.
    pub parity: Parity,
    /// Both files in the engine on this machine; absent if they were not timed there.
    pub speed: Option<Speed>,
    /// What was written.
    pub files: StudentFiles,
}

/// One demand on a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What is demanded.
    pub name: String,
    /// What was measured; absent if nothing was.
    pub value: Option<f64>,
    /// Whether it is met; absent if it was not measured.
    pub passed: Option<bool>,
    /// How it was measured.
    pub how: String,
}

/// One network, with the original's keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimizationResult {
    /// Name of the stage.
    pub model_name: String,
    /// Megabytes (10^6) of the FP32 file.
    pub original_size_mb: f64,
    /// Megabytes of the INT8 file.
    pub optimized_size_mb: f64,
    /// What the second saves of the first.
    pub size_reduction_percent: f64,
    /// AUC of the FP32 file on the test split; absent after a failure.
    pub original_accuracy: Option<f64>,
    /// AUC of the INT8 file there.
    pub optimized_accuracy: Option<f64>,
    /// What the second loses of the first.
    pub accuracy_degradation_percent: Option<f64>,
    /// Times faster: in a page against onnxruntime-web if that was measured, else in our engine against its own floats.
    pub inference_speedup: Option<f64>,
    /// How long it took.
    pub optimization_time_minutes: f64,
    /// Whether every file was written and every check passed.
    pub success: bool,
    /// Why not.
    pub error_message: Option<String>,
    /// Times in a page.
    #[serde(default)]
    pub page: Option<PageFigures>,
    /// Megabytes that a process takes at most to load and run the INT8 file.
    #[serde(default)]
    pub peak_memory_mb: Option<f64>,
    /// Everything behind these figures; absent after a failure.
    pub details: Option<Box<Details>>,
}

impl OptimizationResult {
    pub(super) fn of(target: Target, details: Details, minutes: f64) -> Self {
        let [original, optimized] =
            [&details.files.original, &details.files.optimized].map(|file| file.bytes as f64);
        let auc = &details.auc;
        OptimizationResult {
            model_name: target.name().into(),
            original_size_mb: original / 1e6,
            optimized_size_mb: optimized / 1e6,
            size_reduction_percent: 100.0 * (1.0 - optimized / original),
            original_accuracy: Some(auc.original),
            optimized_accuracy: Some(auc.optimized),
            accuracy_degradation_percent: Some(100.0 * (auc.original - auc.optimized) / auc.original),
            inference_speedup: details.speed.as_ref().map(|speed| speed.speedup),
            optimization_time_minutes: minutes,
            success: true,
            error_message: None,
            page: None,
            peak_memory_mb: None,
            details: Some(Box::new(details)),
        }
    }

    /// A network that could not be optimised.
    pub fn failed(target: Target, error: &anyhow::Error, minutes: f64) -> Self {
        OptimizationResult {
            model_name: target.name().into(),
            original_size_mb: 0.0,
            optimized_size_mb: 0.0,
            size_reduction_percent: 0.0,
            original_accuracy: None,
            optimized_accuracy: None,
            accuracy_degradation_percent: None,
            inference_speedup: None,
            optimization_time_minutes: minutes,
            success: false,
            error_message: Some(format!("{error:#}")),
            page: None,
            peak_memory_mb: None,
            details: None,
        }
    }

    /// The same with times in a page.
    pub fn with_page(self, page: PageFigures) -> Self {
        OptimizationResult { inference_speedup: Some(page.speedup), page: Some(page), ..self }
    }

    /// The same with the most memory that a process took, in bytes.
    pub fn with_peak_memory(self, bytes: u64) -> Self {
        OptimizationResult { peak_memory_mb: Some(bytes as f64 / 1e6), ..self }
    }

    /// The demands on the network.
    pub fn gates(&self) -> Vec<Gate> {
        let gate = |name: &str, value: Option<f64>, is_met: &dyn Fn(f64) -> bool, how: &str| Gate {
            name: name.into(),
            value,
            passed: value.map(is_met),
            how: how.into(),
        };
        let speed_how = match (&self.page, &self.details) {
            (Some(page), _) => format!(
                "{} {:.2} ms beside onnxruntime-web FP32 {:.2} ms in one page, {}",
                page.column, page.optimized_ms, page.peer_ms, page.title
            ),
            (None, Some(details)) => details.speed.as_ref().map_or(String::new(), |speed| {
                format!("our integers ({}) beside our floats, natively", speed.level)
            }),
            (None, None) => String::new(),
        };
        let size = self.details.as_ref().map(|_| self.size_reduction_percent);
        let points = self.details.as_ref().map(|details| details.auc.points);
        vec![
            gate("finished", Some(f64::from(u8::from(self.success))), &|v| v == 1.0, "every file and check"),
            gate(
                "size reduction > 75 %",
                size,
                &|value| value > SIZE_REDUCTION_PERCENT,
                "FP32 file against INT8 file of the same network, graph and scales included",
            ),
            gate("speed-up > 3", self.inference_speedup, &|value| value > SPEEDUP, &speed_how),
            gate(
                "AUC degradation < 2 %",
                self.accuracy_degradation_percent,
                &|value| value < AUC_DEGRADATION_PERCENT,
                "relative, test split, both files in the engine",
            ),
            gate("AUC loss <= 0.5 points", points, &|value| value <= AUC_POINTS, "the same, in points"),
            gate(
                "memory < 512 MB",
                self.peak_memory_mb,
                &|value| value < MEMORY_MB,
                "most that a process took to load and run the INT8 file",
            ),
        ]
    }
}

/// Figures over all networks, with the original's keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimizationSummary {
    /// How many networks were asked for.
    pub total_models: usize,
    /// How many were optimised.
    pub successful_optimizations: usize,
    /// How many were not.
    pub failed_optimizations: usize,
    /// Megabytes of all FP32 files.
    pub total_original_size_mb: f64,
    /// Megabytes of all INT8 files.
    pub total_optimized_size_mb: f64,
    /// What the second saves of the first; absent without a success.
    pub overall_size_reduction_percent: Option<f64>,
    /// Mean over successes, as the following; absent without any.
    pub average_size_reduction_percent: Option<f64>,
    /// Of the AUC.
    pub average_accuracy_degradation_percent: Option<f64>,
    /// Of one picture.
    pub average_inference_speedup: Option<f64>,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimizationReport {
    /// Over all networks.
    pub optimization_summary: OptimizationSummary,
    /// Each network.
    pub individual_results: Vec<OptimizationResult>,
    /// Demands by network.
    pub gates: BTreeMap<String, Vec<Gate>>,
    /// The choices.
    pub optimization_config: QatConfig,
    /// How it was measured.
    pub benchmark_config: BenchmarkConfig,
    /// Seconds since 1970 when it was written.
    pub timestamp: u64,
}

impl OptimizationReport {
    /// The report on `results` of a run by `config`.
    pub fn new(results: Vec<OptimizationResult>, config: &QatConfig, benchmark: &BenchmarkConfig) -> Self {
        let done: Vec<&OptimizationResult> = results.iter().filter(|result| result.success).collect();
        let mean = |value: &dyn Fn(&OptimizationResult) -> Option<f64>| {
            let values: Vec<f64> = done.iter().filter_map(|result| value(result)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let sum = |value: &dyn Fn(&OptimizationResult) -> f64| done.iter().map(|result| value(result)).sum();
        let (original, optimized): (f64, f64) =
            (sum(&|result| result.original_size_mb), sum(&|result| result.optimized_size_mb));
        let summary = OptimizationSummary {
            total_models: results.len(),
            successful_optimizations: done.len(),
            failed_optimizations: results.len() - done.len(),
            total_original_size_mb: original,
            total_optimized_size_mb: optimized,
            overall_size_reduction_percent: (original > 0.0).then(|| 100.0 * (1.0 - optimized / original)),
            average_size_reduction_percent: mean(&|result| Some(result.size_reduction_percent)),
            average_accuracy_degradation_percent: mean(&|result| result.accuracy_degradation_percent),
            average_inference_speedup: mean(&|result| result.inference_speedup),
        };
        let gates = results.iter().map(|result| (result.model_name.clone(), result.gates())).collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        OptimizationReport {
            optimization_summary: summary,
            individual_results: results,
            gates,
            optimization_config: config.clone(),
            benchmark_config: benchmark.clone(),
            timestamp: now.map_or(0, |now| now.as_secs()),
        }
    }

    /// Whether no demand of any network is missed; what was not measured misses nothing.
    pub fn is_passed(&self) -> bool {
        self.gates.values().flatten().all(|gate| gate.passed != Some(false))
    }

    /// Tables, for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for result in &self.individual_results {
            text += &format!("{}\n", result.model_name);
            if let Some(error) = &result.error_message {
                text += &format!("  failed: {error}\n");
            }
            for gate in self.gates.get(&result.model_name).into_iter().flatten() {
                let verdict = match gate.passed {
                    Some(true) => "pass",
                    Some(false) => "FAIL",
                    None => "not measured",
                };
                let value = gate.value.map_or("-".to_owned(), |value| format!("{value:.2}"));
                text += &format!("  {:24} {value:>9}  {verdict:12}  {}\n", gate.name, gate.how);
            }
            if let Some(details) = &result.details {
                text += &details.text();
            }
        }
        text
    }
}

impl Details {
    fn text(&self) -> String {
        let loss = |name: &str, loss: &AucLoss| {
            let interval =
                loss.interval.map_or(String::new(), |[low, high]| format!(" [{low:.2}, {high:.2}]"));
            format!(
                "  {name:32} AUC {:.4} -> {:.4}, {:.2} points lost{interval}\n",
                loss.original, loss.optimized, loss.points
            )
        };
        loss("learned in integers", &self.auc)
            + &loss("quantised after training only", &self.auc_after_training_only)
            + &loss("with activations of eight bits", &self.auc_with_eight_bit_activations)
            + &format!(
                "  best epoch {}; {} of {} bytes differ between trainer and engine\n",
                self.best_epoch, self.parity.different, self.parity.bytes
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(name: &str, reduction: f64, degradation: f64, speedup: f64) -> OptimizationResult {
        OptimizationResult {
            model_name: name.into(),
            original_size_mb: 8.0,
            optimized_size_mb: 8.0 * (1.0 - reduction / 100.0),
            size_reduction_percent: reduction,
            original_accuracy: Some(0.9),
            optimized_accuracy: Some(0.9 * (1.0 - degradation / 100.0)),
            accuracy_degradation_percent: Some(degradation),
            inference_speedup: Some(speedup),
            optimization_time_minutes: 1.0,
            success: true,
            error_message: None,
            page: None,
            peak_memory_mb: Some(40.0),
            details: None,
        }
    }

    fn report(results: Vec<OptimizationResult>) -> OptimizationReport {
        OptimizationReport::new(results, &QatConfig::default(), &BenchmarkConfig::default())
    }

    #[test]
    fn the_report_has_the_originals_keys() -> Result<()> {
        let json = serde_json::to_value(report(vec![result("stage1", 78.0, 0.5, 5.0)]))?;
        for key in [
            "total_models",
            "successful_optimizations",
            "failed_optimizations",
            "total_original_size_mb",
            "total_optimized_size_mb",
            "overall_size_reduction_percent",
            "average_size_reduction_percent",
            "average_accuracy_degradation_percent",
            "average_inference_speedup",
        ] {
            assert!(json["optimization_summary"].get(key).is_some(), "{key}");
        }
        for key in [
            "model_name",
            "original_size_mb",
            "optimized_size_mb",
            "size_reduction_percent",
            "original_accuracy",
            "optimized_accuracy",
            "accuracy_degradation_percent",
            "inference_speedup",
            "optimization_time_minutes",
            "success",
            "error_message",
        ] {
            assert!(json["individual_results"][0].get(key).is_some(), "{key}");
        }
        assert!(json.get("optimization_config").is_some() && json.get("timestamp").is_some());
        Ok(())
    }

    #[test]
    fn one_missed_demand_of_one_network_fails_the_gate() {
        let good = || result("stage1", 78.0, 0.5, 5.0);
        let bad = [
            OptimizationResult { inference_speedup: Some(2.9), ..good() },
            OptimizationResult { accuracy_degradation_percent: Some(2.0), ..good() },
            OptimizationResult { peak_memory_mb: Some(600.0), ..good() },
            OptimizationResult::failed(Target::Genconvit, &anyhow::anyhow!("no teacher"), 0.1),
        ];
        assert!(report(vec![good()]).is_passed());
        for bad in bad {
            assert!(!report(vec![good(), bad.clone()]).is_passed(), "{bad:?}");
        }
        // Not measured is not failed, and not passed either.
        let unknown = OptimizationResult { peak_memory_mb: None, ..good() };
        assert!(unknown.gates().iter().any(|gate| gate.passed.is_none()));
    }

    #[test]
    fn a_report_of_failures_alone_divides_by_nothing() {
        let failed = OptimizationResult::failed(Target::Stage1, &anyhow::anyhow!("no teacher"), 0.1);
        let report = report(vec![failed]);
        assert_eq!(report.optimization_summary.failed_optimizations, 1);
        assert_eq!(report.optimization_summary.average_inference_speedup, None);
        assert!(report.text().contains("no teacher"));
    }

    #[test]
    fn times_in_a_page_come_from_one_run() -> Result<()> {
        let path = std::env::temp_dir().join(format!("aware-page-{}.json", std::process::id()));
        let json = r#"{"title": "genconvit at 64 px", "columns": [
            {"name": "engine float", "model": "float", "median_ms": 30.0},
            {"name": "engine relaxed dot", "model": "int8", "median_ms": 6.0},
            {"name": "engine simd128", "model": "int8", "median_ms": 11.0},
            {"name": "onnxruntime-web float", "model": "float", "median_ms": 33.0}]}"#;
        std::fs::write(&path, json)?;
        let page = PageFigures::read(&path)?;
        assert_eq!((page.column.as_str(), page.speedup), ("engine relaxed dot", 5.5));
        let run = |image_size| RunConfig { network: "genconvit".into(), image_size, ..RunConfig::default() };
        page.check(&run(64))?;
        let error = page.check(&run(128)).unwrap_err().to_string();
        assert!(error.contains("genconvit at 128 px"), "{error}");
        let gates = result("genconvit", 78.0, 0.5, 2.9).with_page(page).gates();
        let speed = gates.iter().find(|gate| gate.name == "speed-up > 3");
        assert!(
            speed.is_some_and(|gate| gate.value == Some(5.5) && gate.how.contains("33.00 ms")),
            "{gates:?}"
        );
        std::fs::write(&path, "{}")?;
        assert!(PageFigures::read(&path).is_err());
        std::fs::remove_file(&path)?;
        Ok(())
    }
}
