//! One runtime on one file: its runs with their times, or the reason why there are none.

use crate::figures::Figures;
use crate::model::Model;
use anyhow::{Context, Result, anyhow, ensure};
use rustix::time::{ClockId, clock_gettime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Runs a loaded model on its input; gives the output.
pub type Runner = Box<dyn FnMut() -> Result<Vec<f32>>>;

/// Whether a run's time is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is not.
    WarmUp,
    /// It is.
    Measured,
}

/// One runtime on one file.
pub struct Column {
    /// Of runtime and form.
    pub name: String,
    /// Name of the file.
    pub model: &'static str,
    state: Result<State, String>,
}

struct State {
    runner: Runner,
    runs: Runs,
}

/// What a runtime did.
pub struct Runs {
    /// Time from the file's bytes to a model that runs.
    pub load_ms: f64,
    /// Time of the first run, before the warm-ups.
    pub first_run_ms: f64,
    /// Times of the measured runs, in their order.
    pub times_ms: Vec<f64>,
    /// The last output.
    pub output: Vec<f32>,
    /// Processor time of the whole process in the measured runs.
    busy_ms: f64,
}

impl Column {
    /// Loads `model` with `load` and runs it once.
    pub fn load(name: String, model: &Model, load: impl FnOnce() -> Result<Runner>) -> Self {
        let state = caught(|| {
            let started = Instant::now();
            let mut runner = load()?;
            let load_ms = ms_since(started);
            let started = Instant::now();
            let output = finite(runner()?)?;
            let first_run_ms = ms_since(started);
            let runs = Runs { load_ms, first_run_ms, times_ms: Vec::new(), output, busy_ms: 0.0 };
            Ok(State { runner, runs })
        });
        Column { name, model: model.name, state: state.map_err(|error| reason(&error)) }
    }

    /// One more run, unless one has failed.
    pub fn run(&mut self, turn: Turn) {
        let Ok(State { runner, runs }) = &mut self.state else { return };
        let ran = caught(|| {
            let (busy_before_ms, started) = (busy_ms(), Instant::now());
            let output = runner()?;
            if turn == Turn::Measured {
                runs.times_ms.push(ms_since(started));
                runs.busy_ms += busy_ms() - busy_before_ms;
            }
            runs.output = finite(output)?;
            Ok(())
        });
        if let Err(error) = ran {
            self.state = Err(reason(&error));
        }
    }

    /// What it did, if it could.
    pub fn runs(&self) -> Option<&Runs> {
        self.state.as_ref().ok().map(|state| &state.runs)
    }

    /// Why it could not.
    pub fn failure(&self) -> Option<&str> {
        self.state.as_ref().err().map(String::as_str)
    }
}

impl Runs {
    /// Figures of the measured runs.
    pub fn figures(&self) -> Option<Figures> {
        Figures::of(&self.times_ms)
    }

    /// Cores that were busy in the measured runs, on average: no more than one where one thread works.
    pub fn cores(&self) -> f64 {
        self.busy_ms / self.times_ms.iter().sum::<f64>()
    }

    /// The largest difference between this output and `other`, if they have one length.
    pub fn difference(&self, other: &Runs) -> Option<f32> {
        let pairs = self.output.iter().zip(&other.output);
        (self.output.len() == other.output.len())
            .then(|| pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
    }
}

/// `error` with its causes, but those that its text names itself.
fn reason(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.contains(&cause) {
        true => text,
        false if text.is_empty() => cause,
        false => format!("{text}: {cause}"),
    })
}

fn finite(output: Vec<f32>) -> Result<Vec<f32>> {
    ensure!(!output.is_empty(), "the output is empty");
    ensure!(output.iter().all(|value| value.is_finite()), "an output is not finite");
    Ok(output)
}

fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

/// Processor time of all threads of this process.
fn busy_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// What `work` gives; a panic is an error: one runtime's must not end the others.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(anyhow!(text.unwrap_or_else(|| "no reason given".into()))).context("panicked")
    })
}
