//! Where a run of an ONNX file spends its time, step by step.

use crate::roofline::Roofline;
use anyhow::{Result, ensure};
use engine::runtime::cpu::int8::Level;
use engine::runtime::plan::{Plan, Step};
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
    /// Bytes read and written at least: operands, weights, result.
    pub bytes: usize,
    /// Median time of a run, in milliseconds.
    pub median_ms: f64,
    /// Multiply-adds a second, in billions, in that time.
    pub gmacs: f64,
    /// Multiply-adds a second, in billions, that the machine allows: its peak, or as many as its memory feeds.
    pub attainable_gmacs: f64,
    /// Shortest time that the machine allows over the median; 0.5 is half of what could be. Above 1 where maps and weights
    /// lie in a nearer cache than the whole model's.
    pub roofline_share: f64,
}

/// A whole model.
#[derive(Debug, Clone, Serialize)]
pub struct Profile {
    /// Instructions of the integer kernels.
    pub level: &'static str,
    /// What this machine can do.
    pub roofline: Roofline,
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
    let plan = session.plan();
    let inputs: Vec<Tensor> = plan.inputs.iter().map(|input| pattern(&input.shape)).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); plan.steps.len()];
    let mut totals = Vec::new();
    for run in 0..warm_ups + runs {
        let mut index = 0;
        let started = Instant::now();
        session.run_watched(&inputs, |_, compute| {
            let started = Instant::now();
            compute();
            let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
            if run >= warm_ups {
                times[index].push(elapsed_ms);
            }
            index += 1;
        })?;
        if run >= warm_ups {
            totals.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let plan = session.plan();
    let weights: usize = plan.steps.iter().map(|step| step.kernel.weight_bytes()).sum();
    let maps = 4 * plan.buffers.iter().sum::<usize>();
    let roofline = Roofline::measured(Level::best(), weights + maps);
    let steps: Vec<StepProfile> = plan
        .steps
        .iter()
        .zip(times)
        .map(|(step, times)| StepProfile::new(plan, step, median(times), &roofline))
        .collect();
    let multiply_adds = steps.iter().map(|step| step.multiply_adds).sum();
    let (level, median_ms) = (Level::best().name(), median(totals));
    Ok(Profile { level, roofline, runs, median_ms, multiply_adds, steps })
}

impl StepProfile {
    fn new(plan: &Plan, step: &Step, median_ms: f64, roofline: &Roofline) -> Self {
        let (bytes, work) = (plan.bytes_of(step), step.multiply_adds);
        let least_ms = roofline.least_ms(work, bytes, step.kernel.arithmetic());
        let gmacs = |ms: f64| if ms > 0.0 { work as f64 / 1e6 / ms } else { 0.0 };
        StepProfile {
            name: step.name.clone(),
            kernel: step.kernel.name(),
            multiply_adds: work,
            bytes,
            median_ms,
            gmacs: gmacs(median_ms),
            attainable_gmacs: gmacs(least_ms),
            roofline_share: if median_ms > 0.0 { least_ms / median_ms } else { 0.0 },
        }
    }

    fn least_ms(&self) -> f64 {
        self.roofline_share * self.median_ms
    }
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
        let _ = writeln!(
            text,
            "{:>9} {:>6} {:>9} {:>9} {:>8} {:>8} {:>6}  kernel, node",
            "ms", "%", "MMAC", "KiB", "GMAC/s", "roof", "% of it"
        );
        for step in &self.steps {
            self.line(&mut text, &Line::of(step), &format!("{}, {}", step.kernel, step.name));
        }
        let mut kinds: Vec<(&str, Line)> = Vec::new();
        for step in &self.steps {
            match kinds.iter_mut().find(|kind| kind.0 == step.kernel) {
                Some((_, line)) => line.add(&Line::of(step)),
                None => kinds.push((step.kernel, Line::of(step))),
            }
        }
        kinds.sort_by(|a, b| b.1.ms.total_cmp(&a.1.ms));
        let _ = writeln!(text);
        for (kind, line) in &kinds {
            self.line(&mut text, line, &format!("all of {kind}"));
        }
        let mut whole = Line::default();
        self.steps.iter().for_each(|step| whole.add(&Line::of(step)));
        whole.ms = self.median_ms;
        self.line(&mut text, &whole, &format!("whole runs, median of {}, {}", self.runs, self.level));
        let Roofline { integer_gmacs, float_gmacs, gigabytes, measured_bytes } = self.roofline;
        let _ = writeln!(
            text,
            "\nroof: {integer_gmacs:.1} GMAC/s of integers ({}), {float_gmacs:.1} of floats, {gigabytes:.1} GB/s from \
             {:.1} MiB, measured on one thread",
            self.level,
            measured_bytes as f64 / 1024.0 / 1024.0
        );
        text
    }

    fn line(&self, text: &mut String, line: &Line, what: &str) {
        let share = 100.0 * line.ms / self.median_ms;
        let (millions, kibibytes) = (line.multiply_adds as f64 / 1e6, line.bytes as f64 / 1024.0);
        let (rate, roof, reached) =
            (millions / line.ms, millions / line.least_ms, 100.0 * line.least_ms / line.ms);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:9.4} {share:6.1} {millions:9.2} {kibibytes:9.1} {rate:8.1} {roof:8.1} {reached:6.1}  {what}",
            line.ms
        );
    }
}

/// Figures of a step or of several.
#[derive(Default)]
struct Line {
    ms: f64,
    least_ms: f64,
    multiply_adds: u64,
    bytes: usize,
}

impl Line {
    fn of(step: &StepProfile) -> Self {
        let (ms, least_ms) = (step.median_ms, step.least_ms());
        Line { ms, least_ms, multiply_adds: step.multiply_adds, bytes: step.bytes }
    }

    fn add(&mut self, other: &Line) {
        self.ms += other.ms;
        self.least_ms += other.least_ms;
        self.multiply_adds += other.multiply_adds;
        self.bytes += other.bytes;
    }
}
