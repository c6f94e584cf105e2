//! What the benchmark asks of a worker, whichever runtime it has, and how the worker times.

use crate::message::Failure;
use crate::worker::now_ms;
use serde::{Deserialize, Serialize};
use serde_wasm_bindgen::preserve;
use web_sys::Blob;

/// Largest file of a visitor's, in bytes.
pub const MAX_FILE_BYTES: f64 = 256.0 * 1024.0 * 1024.0;
/// Values of an output that are told, for comparing.
const SHOWN: usize = 64;

/// Page -> worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum TimeRequest {
    /// Get this ONNX file ready; answered by [`TimeResponse::Loaded`] or [`TimeResponse::Failed`].
    Load {
        /// One input, floats of a fixed shape.
        #[serde(with = "preserve")]
        file: Blob,
    },
    /// Run something again and again; answered by [`TimeResponse::Timed`] or [`TimeResponse::Failed`].
    Run {
        /// What.
        subject: Subject,
        /// No run begins later, in milliseconds; there is at least one.
        budget_ms: f64,
        /// Most runs.
        most_runs: u32,
    },
}

/// What is timed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Subject {
    /// A network of the bundle by itself, from its input to its output.
    Stage(usize),
    /// Finding faces in a frame of 640 x 480 pixels.
    Faces,
    /// From the bytes of a picture to the report on it.
    Picture(#[serde(with = "preserve")] Blob),
    /// The file that was loaded, on the values of [`value`].
    File,
}

/// Worker -> page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum TimeResponse {
    /// The file is ready.
    Loaded {
        /// Time that it took, in milliseconds.
        load_ms: f64,
        /// SHA-256 of the file, where the worker computes it.
        sha256: Option<String>,
    },
    /// It ran.
    Timed(Timed),
    /// It does not run here.
    Failed(Failure),
}

/// Runs of one thing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Each run's time, in milliseconds.
    pub times_ms: Vec<f64>,
    /// The first values of the last run's output.
    pub output: Vec<f32>,
}

/// Value `index` of the input of a file that is timed, in -1..1: by whole numbers, so that every language gives the same bits.
pub fn value(index: usize) -> f32 {
    ((index as u64 * 7919 % 1021) as f64 / 510.0 - 1.0) as f32
}

/// The runs of a [`TimeRequest::Run`].
pub struct Stopwatch {
    begun_ms: f64,
    budget_ms: f64,
    most_runs: usize,
    times_ms: Vec<f64>,
}

impl Stopwatch {
    /// Begins now.
    pub fn start(budget_ms: f64, most_runs: u32) -> Self {
        let most_runs = most_runs.clamp(1, 10_000) as usize;
        Stopwatch { begun_ms: now_ms(), budget_ms, most_runs, times_ms: Vec::new() }
    }

    /// Whether one more run is wanted.
    pub fn goes_on(&self) -> bool {
        let runs = self.times_ms.len();
        runs == 0 || (runs < self.most_runs && now_ms() - self.begun_ms < self.budget_ms)
    }

    /// Adds a run that began at `started_ms` and ends now.
    pub fn lap(&mut self, started_ms: f64) {
        self.times_ms.push(now_ms() - started_ms);
    }

    /// The runs, the last of which gave `output`.
    pub fn finish(self, output: &[f32]) -> Timed {
        Timed { times_ms: self.times_ms, output: output[..output.len().min(SHOWN)].to_vec() }
    }
}

impl From<Result<TimeResponse, Failure>> for TimeResponse {
    fn from(result: Result<TimeResponse, Failure>) -> Self {
        result.unwrap_or_else(TimeResponse::Failed)
    }
}

/// Refuses files that no phone should try.
pub(crate) fn check_size(file: &Blob) -> Result<(), Failure> {
    if file.size() <= MAX_FILE_BYTES {
        return Ok(());
    }
    let message = format!("the file has {} bytes; at most {MAX_FILE_BYTES} are taken", file.size());
    Err(Failure::new("too_large", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As JavaScript computes `Math.fround(i * 7919 % 1021 / 510 - 1)`.
    #[test]
    fn values_are_those_of_the_peers() {
        let cases = [(0, -1.0), (1, 0.513_725_5), (510, 0.245_098_04), (150_527, 0.388_235_3)];
        for (index, expected) in cases {
            assert_eq!(value(index), expected, "{index}");
        }
        assert!((0..5000).map(value).all(|value| (-1.0..=1.0).contains(&value)));
    }
}
