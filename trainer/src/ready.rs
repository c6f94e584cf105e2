//! The seed's quality checklist as a program: each line passes, fails or was not measured, with its figure and the command
//! behind it.
//!
//! What can be seen of the bundle alone is checked here and now; the rest comes from reports, each held to the bundle.

use crate::bench::advice::{MAX_DEGRADATION_PERCENT, MAX_ECE};
use crate::bench::report::SubjectReport;
use crate::bench::{BenchReport, Part};
use crate::bundle::read_bundle_with_digest;
use crate::cascade::{MAX_LEAKAGE, MIN_FILTRATION};
use crate::dataset::Split;
use crate::export::without_metadata;
use crate::files::read_limited;
use crate::optimize::{OptimizationReport, OptimizationResult};
use crate::validation::Validation;
use anyhow::{Context, Result, bail, ensure};
use engine::bundle::sha256_hex;
use engine::runtime::onnx::MAX_BYTES as MAX_ONNX_BYTES;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// Largest report that is read, in bytes.
const MAX_REPORT_BYTES: u64 = 64 << 20;
const SIZE_REDUCTION_PERCENT: f64 = 75.0;
const SPEEDUP: f64 = 3.0;
const MEMORY_MB: f64 = 512.0;
/// Largest difference of an exported file in floats from the network that it was made of.
const FLOAT_DIFFERENCE: f64 = 1e-5;
/// From bytes to verdict: the seed wants 20 pictures a second.
const LATENCY_MS: f64 = 50.0;
const AUC: f64 = 0.85;
/// Of a cascade with a meta-model.
const SYSTEM_AUC: f64 = 0.95;
const F1: f64 = 0.80;
/// Share of the component tests.
const TESTS_PERCENT: f64 = 80.0;

const BENCH: &str = "aware bench BUNDLE --original FLOATS --pictures CSV --output DIR";
const OPTIMIZE: &str = "aware optimize --model all";
const PAGE: &str = "cargo xtask bench page --json FILE; aware optimize --model MODEL --page-bench FILE";
const VALIDATE: &str = "aware validate BUNDLE";
const TESTS: &str = "cargo xtask test --keep-going | tee LOG";

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The seed's heading.
    pub group: &'static str,
    /// What is demanded.
    pub demand: String,
    /// What was measured; absent if nothing was.
    pub figure: Option<String>,
    /// Whether it is met; absent if it was not measured.
    pub passed: Option<bool>,
    /// The command that measures it.
    pub command: &'static str,
}

/// What is known of a bundle.
pub struct Evidence {
    sha256: Option<String>,
    /// SHA-256 of each network's file without what it says of itself, which is written anew with each bundle.
    networks: Vec<String>,
    /// What the bundle showed on this machine.
    validation: Validation,
    /// Most bytes that a process took to load and run all networks.
    pub peak_memory_bytes: Option<u64>,
    bench: Option<BenchReport>,
    /// Of networks of this bundle alone; nothing without a report.
    optimisation: Option<Vec<OptimizationResult>>,
    /// Steps of `cargo xtask test`, and whether they passed.
    steps: BTreeMap<String, bool>,
}

impl Evidence {
    /// What `validation` says of the bundle in `folder`; one that does not read fails its lines.
    ///
    /// # Errors
    /// If a network is no ONNX file.
    pub fn of(validation: Validation, folder: &Path) -> Result<Self> {
        let read = read_bundle_with_digest(folder);
        let networks = match &read {
            Ok((bundle, _)) => {
                let stages = bundle.manifest().stages.iter();
                stages
                    .filter_map(|stage| bundle.content(&stage.file))
                    .map(plain_sha256)
                    .collect::<Result<_>>()?
            }
            Err(_) => Vec::new(),
        };
        Ok(Evidence {
            sha256: read.ok().map(|(_, sha256)| sha256),
            networks,
            validation,
            peak_memory_bytes: None,
            bench: None,
            optimisation: None,
            steps: BTreeMap::new(),
        })
    }

    /// Takes the report at `path`, told by its content.
    ///
    /// # Errors
    /// If it is none, or of another version, or of another bundle, or there was one of its kind already.
    pub fn take(&mut self, path: &Path) -> Result<()> {
        let name = path.display();
        let bytes = read_limited(path, MAX_REPORT_BYTES)?;
        let value: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let has = |key: &str| value.as_ref().is_some_and(|value| value.get(key).is_some());
        if has("detailed_results") {
            let report = BenchReport::read(path)?;
            let of = report.subject().map(|subject| subject.manifest_sha256.as_str());
            ensure!(
                of == self.sha256.as_deref(),
                "{name} is of the bundle whose manifest has SHA-256 {}, not of this one, {}; run `aware bench` again",
                of.unwrap_or("-"),
                self.sha256.as_deref().unwrap_or("which does not read")
            );
            ensure!(self.bench.replace(report).is_none(), "{name} is the second report of `aware bench`");
        } else if has("individual_results") {
            let report: OptimizationReport = serde_json::from_slice(&bytes)
                .with_context(|| format!("{name} is of another version of `aware optimize`"))?;
            let folder = path.parent().unwrap_or(Path::new("."));
            let mut own = Vec::new();
            for result in report.individual_results {
                if self.holds(&result, folder)? {
                    own.push(result);
                }
            }
            ensure!(!own.is_empty(), "{name} is of no network in this bundle");
            ensure!(
                self.optimisation.replace(own).is_none(),
                "{name} is the second report of `aware optimize`"
            );
        } else {
            let steps = steps(&String::from_utf8_lossy(&bytes));
            if steps.is_empty() {
                bail!(
                    "{name} is neither bench.json, nor optimization_comparison.json, nor what `cargo xtask test` printed"
                );
            }
            self.steps.extend(steps);
        }
        Ok(())
    }

    fn subject(&self) -> Option<&SubjectReport> {
        self.bench.as_ref()?.subject()
    }

    /// Whether the INT8 file of `result`, which lies below the report's `folder`, is a network of this bundle.
    fn holds(&self, result: &OptimizationResult, folder: &Path) -> Result<bool> {
        let Some(details) = &result.details else { return Ok(false) };
        let file = &details.files.optimized;
        for name in [&result.model_name, &file.name] {
            ensure!(is_plain(name), "the report names {name:?}, which is no file beside it");
        }
        let path = folder.join(&result.model_name).join(&file.name);
        let onnx =
            read_limited(&path, MAX_ONNX_BYTES as u64).context("the report's network lies beside it")?;
        ensure!(sha256_hex(&onnx) == file.sha256, "{} is not the file of its report", path.display());
        Ok(self.networks.contains(&plain_sha256(&onnx)?))
    }

    fn optimised(&self) -> impl Iterator<Item = &OptimizationResult> {
        self.optimisation.iter().flatten()
    }
}

/// Whether `name` leads nowhere else: a report may come from anybody.
fn is_plain(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

/// SHA-256 of an ONNX file without what it says of itself.
fn plain_sha256(onnx: &[u8]) -> Result<String> {
    Ok(sha256_hex(&without_metadata(onnx)?))
}

/// Steps in what `cargo xtask test` printed.
fn steps(log: &str) -> BTreeMap<String, bool> {
    let step = |line: &str| {
        let (name, rest) = line.strip_prefix("== ")?.split_once(' ')?;
        let passed = match rest {
            rest if rest.starts_with("passed in ") => true,
            rest if rest.starts_with("FAILED in ") => false,
            _ => return None,
        };
        Some((name.to_owned(), passed))
    };
    log.lines().filter_map(step).collect()
}

/// Every line, in the seed's order.
pub fn checklist(evidence: &Evidence) -> Vec<Line> {
    [optimisation(evidence), export(evidence), performance(evidence), worth(evidence), testing(evidence)]
        .concat()
}

/// A line about `value`, shown with `digits` behind the point and `unit`.
fn line(
    (group, demand): (&'static str, &str),
    value: Option<f64>,
    is_met: impl Fn(f64) -> bool,
    (unit, command): (&str, &'static str),
) -> Line {
    let shown = |value: f64| match value.abs() {
        v if v != 0.0 && v < 1e-3 => format!("{value:.1e}{unit}"),
        _ => format!("{value:.3}{unit}"),
    };
    Line { group, demand: demand.into(), figure: value.map(shown), passed: value.map(is_met), command }
}

/// The worst of `values`: by `worse` of two the one that counts.
fn worst(values: impl Iterator<Item = f64>, worse: fn(f64, f64) -> f64) -> Option<f64> {
    values.reduce(worse)
}

fn optimisation(evidence: &Evidence) -> Vec<Line> {
    const GROUP: &str = "optimisation";
    let comparison = evidence.bench.as_ref().and_then(|bench| bench.comparison.as_ref());
    let sizes = comparison.map(|c| c.size_reduction_percent_by_stage.values().copied());
    let optimised = |value: fn(&OptimizationResult) -> Option<f64>| evidence.optimised().filter_map(value);
    let size = worst(
        sizes.into_iter().flatten().chain(optimised(|result| Some(result.size_reduction_percent))),
        f64::min,
    );
    // The seed's speed-up is in a page; natively our integers run beside our floats.
    let in_page = worst(optimised(|result| Some(result.page.as_ref()?.speedup)), f64::min);
    let native = comparison.and_then(|c| worst(c.speedup_by_stage.values().copied(), f64::min));
    let loss = comparison.and_then(|c| c.accuracy_degradation_percent);
    let loss =
        worst(loss.into_iter().chain(optimised(|result| result.accuracy_degradation_percent)), f64::max);
    let memory = evidence.peak_memory_bytes.map(|bytes| bytes as f64 / 1e6);
    vec![
        line((GROUP, "every model > 75 % smaller"), size, |v| v > SIZE_REDUCTION_PERCENT, (" %", BENCH)),
        line(
            (GROUP, "speed-up > 3x beside onnxruntime-web in a page"),
            in_page,
            |v| v > SPEEDUP,
            ("x", PAGE),
        ),
        line((GROUP, "speed-up > 3x beside our own floats"), native, |v| v > SPEEDUP, ("x", BENCH)),
        line(
            (GROUP, "AUC degradation < 2 %"),
            loss,
            |v| v < MAX_DEGRADATION_PERCENT,
            (" % of the AUC", BENCH),
        ),
        line((GROUP, "memory < 512 MB"), memory, |v| v < MEMORY_MB, (" MB", VALIDATE)),
    ]
}

fn export(evidence: &Evidence) -> Vec<Line> {
    const GROUP: &str = "export";
    let check = |demand: &str, name: &str| {
        let check = evidence.validation.checks.iter().find(|check| check.name == name);
        Line {
            group: GROUP,
            demand: demand.into(),
            figure: check.map(|check| check.detail.clone()),
            passed: check.map(|check| check.passed),
            command: VALIDATE,
        }
    };
    let details = evidence.optimised().filter_map(|result| result.details.as_ref());
    let difference = worst(details.map(|details| details.files.float_difference.into()), f64::max);
    vec![
        check("ONNX models load and run", "networks"),
        line(
            (GROUP, "file in floats within 1e-5 of the network"),
            difference,
            |v| v < FLOAT_DIFFERENCE,
            ("", OPTIMIZE),
        ),
        check("package whole, every digest right", "files"),
        check("formats as the manifest says", "formats"),
        check("golden vectors bit for bit, on this machine", "golden"),
    ]
}

fn performance(evidence: &Evidence) -> Vec<Line> {
    const GROUP: &str = "performance";
    let bench = evidence.bench.as_ref();
    let done = bench.map(|bench| bench.parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", "));
    // Parts that nobody asked for are not failed.
    let is_whole =
        bench.and_then(|bench| match Part::ON_PICTURES.iter().all(|part| bench.parts.contains(part)) {
            true => Some(true),
            false => bench.stopped.then_some(false),
        });
    let times = evidence.subject().and_then(|subject| subject.end_to_end.as_ref());
    let cascade = evidence.subject().and_then(|subject| Some(&subject.accuracy.as_ref()?.cascade));
    let percent = |share: Option<f64>| share.map(|share| 100.0 * share);
    let filtration = percent(cascade.and_then(|cascade| cascade.filtration));
    let leakage = percent(cascade.and_then(|cascade| cascade.leakage));
    vec![
        Line {
            group: GROUP,
            demand: "benchmark done without errors".into(),
            figure: done.map(|done| format!("done: {done}")),
            passed: is_whole,
            command: BENCH,
        },
        line(
            (GROUP, "bytes to verdict <= 50 ms, one thread"),
            times.map(|times| times.median_ms),
            |v| v <= LATENCY_MS,
            (" ms", BENCH),
        ),
        line((GROUP, "filtration > 30 %"), filtration, |v| v > 100.0 * MIN_FILTRATION, (" %", BENCH)),
        line((GROUP, "leakage < 5 %"), leakage, |v| v < 100.0 * MAX_LEAKAGE, (" %", BENCH)),
    ]
}

fn worth(evidence: &Evidence) -> Vec<Line> {
    const GROUP: &str = "accuracy";
    // Nothing is promised of pictures that something was chosen on.
    let is_test = evidence
        .bench
        .as_ref()
        .and_then(|bench| bench.pictures.as_ref())
        .is_some_and(|pictures| pictures.split == Split::Test);
    let subject = evidence.subject().filter(|_| is_test);
    let metrics = subject.and_then(|subject| subject.all()).map(|all| &all.metrics);
    let auc = metrics.and_then(|metrics| metrics.auc);
    let mut lines = vec![
        line((GROUP, "AUC > 0.85 on the test split"), auc, |v| v > AUC, ("", BENCH)),
        line((GROUP, "F1 > 0.80"), metrics.map(|metrics| metrics.f1), |v| v > F1, ("", BENCH)),
        line((GROUP, "ECE < 0.05"), metrics.map(|metrics| metrics.ece), |v| v < MAX_ECE, ("", BENCH)),
    ];
    if evidence.networks.len() > 1 {
        lines.push(line((GROUP, "AUC of the system > 0.95"), auc, |v| v > SYSTEM_AUC, ("", BENCH)));
    }
    let control = subject
        .and_then(|subject| subject.all())
        .and_then(|all| Some(all.metrics.auc_interval?[0] - all.trivial_cues_auc_interval?[1]));
    lines.push(line((GROUP, "AUC above trivial cues, intervals apart"), control, |v| v > 0.0, ("", BENCH)));
    lines
}

fn testing(evidence: &Evidence) -> Vec<Line> {
    const GROUP: &str = "testing";
    let steps = &evidence.steps;
    let share = (!steps.is_empty())
        .then(|| 100.0 * steps.values().filter(|passed| **passed).count() as f64 / steps.len() as f64);
    let all_of = |demand: &str, names: &[&str]| {
        let found: Option<Vec<bool>> = names.iter().map(|name| steps.get(*name).copied()).collect();
        Line {
            group: GROUP,
            demand: demand.into(),
            figure: found.as_ref().map(|_| format!("steps {}", names.join(", "))),
            passed: found.map(|found| found.iter().all(|passed| *passed)),
            command: TESTS,
        }
    };
    vec![
        line(
            (GROUP, "> 80 % of the component tests' steps pass"),
            share,
            |v| v > TESTS_PERCENT,
            (" %", TESTS),
        ),
        all_of("integration tests pass", &["pipeline", "browser"]),
        all_of("edge cases are handled", &["rust", "fuzz", "wasm"]),
        all_of("errors are recovered from", &["rust", "browser"]),
        all_of("other runtimes and devices give the same", &["onnx", "tflite", "arm", "gpu"]),
    ]
}

/// The lines as a table, for people; the last line counts.
pub fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut group = "";
    for line in lines {
        if line.group != group {
            group = line.group;
            text += &format!("{group}\n");
        }
        let word = match line.passed {
            Some(true) => "pass",
            Some(false) => "FAIL",
            None => "not measured",
        };
        let figure = line.figure.clone().unwrap_or_else(|| line.command.to_owned());
        text += &format!("  {word:12} {:48} {figure}\n", line.demand);
    }
    let count = |passed: Option<bool>| lines.iter().filter(|line| line.passed == passed).count();
    let (passed, failed, unknown) = (count(Some(true)), count(Some(false)), count(None));
    text + &format!("{passed} pass, {failed} fail, {unknown} not measured\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_files_beside_it_alone() {
        assert!(is_plain("stage1") && is_plain("stage1.int8.onnx"));
        for name in ["", ".", "..", "../stage1", "a/b", "/etc/passwd", "a/../b"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
