//! Where a run of an ONNX file spends its time, step by step.

use anyhow::{Result, ensure};
use engine::runtime::cpu::int8::Level;
use engine::{Session, Tensor};
use serde::Serialize;
use std::fmt::Write;
use std::time::Instant;

/// One kernel call.
#[derive(Debug, Clone, Serialize)]
pub struct StepProfile {
    /// Name of the node whose result it makes.
    pub name: String,
    /// What runs.
    pub kernel: &'static str,
    /// Multiplications of a run.
    pub multiply_adds: u64,
    /// Median time of a run, in milliseconds.
    pub median_ms: f64,
}

/// A whole model.
#[derive(Debug, Clone, Serialize)]
pub struct Profile {
    /// Instructions of the integer kernels.
    pub level: &'static str,
    /// Timed runs.
    pub runs: usize,
    /// Median time of a whole run, in milliseconds.
    pub median_ms: f64,
    /// Multiplications of a run.
    pub multiply_adds: u64,
    /// In the order of the run.
    pub steps: Vec<StepProfile>,
}

/// Times `runs` runs of the ONNX file `onnx` after `warm_ups`.
///
/// # Errors
/// If the engine refuses the file, or there are no runs.
pub fn profile(onnx: &[u8], warm_ups: usize, runs: usize) -> Result<Profile> {
    ensure!(runs > 0, "at least one run is needed");
    let mut session = Session::load(onnx)?;
    let inputs: Vec<Tensor> = session.plan().inputs.iter().map(|input| pattern(&input.shape)).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let mut steps: Vec<StepProfile> = Vec::new();
    let mut times: Vec<Vec<f64>> = Vec::new();
    let mut totals = Vec::new();
    for run in 0..warm_ups + runs {
        let mut index = 0;
        let started = Instant::now();
        session.run_watched(&inputs, |step, compute| {
            let started = Instant::now();
            compute();
            let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
            if run == 0 {
                let (name, kernel) = (step.name.clone(), step.kernel.name());
                steps.push(StepProfile { name, kernel, multiply_adds: step.multiply_adds, median_ms: 0.0 });
                times.push(Vec::new());
            }
            if run >= warm_ups {
                times[index].push(elapsed_ms);
            }
            index += 1;
        })?;
        if run >= warm_ups {
            totals.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    for (step, times) in steps.iter_mut().zip(times) {
        step.median_ms = median(times);
    }
    let multiply_adds = steps.iter().map(|step| step.multiply_adds).sum();
    Ok(Profile { level: Level::best().name(), runs, median_ms: median(totals), multiply_adds, steps })
}

/// Values that run through a range as normalised pictures have it.
fn pattern(shape: &[usize]) -> Tensor {
    let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin() * 2.0).collect();
    Tensor::from_vec(shape.to_vec(), values)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

impl Profile {
    /// A table, the slowest kind of kernel first below it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:>9} {:>6} {:>9} {:>8}  kernel, node", "ms", "%", "MMAC", "GMAC/s");
        let line = |text: &mut String, ms: f64, work: u64, what: &str| {
            let share = 100.0 * ms / self.median_ms;
            let (millions, rate) = (work as f64 / 1e6, work as f64 / 1e6 / ms);
            let _ = writeln!(text, "{ms:9.4} {share:6.1} {millions:9.2} {rate:8.1}  {what}");
        };
        for step in &self.steps {
            let what = format!("{}, {}", step.kernel, step.name);
            line(&mut text, step.median_ms, step.multiply_adds, &what);
        }
        let mut kinds: Vec<(&str, f64, u64)> = Vec::new();
        for step in &self.steps {
            match kinds.iter_mut().find(|kind| kind.0 == step.kernel) {
                Some(kind) => (kind.1, kind.2) = (kind.1 + step.median_ms, kind.2 + step.multiply_adds),
                None => kinds.push((step.kernel, step.median_ms, step.multiply_adds)),
            }
        }
        kinds.sort_by(|a, b| b.1.total_cmp(&a.1));
        let _ = writeln!(text);
        for (kind, ms, work) in kinds {
            line(&mut text, ms, work, &format!("all of {kind}"));
        }
        let total = format!("whole runs, median of {}, {}", self.runs, self.level);
        line(&mut text, self.median_ms, self.multiply_adds, &total);
        text
    }
}
