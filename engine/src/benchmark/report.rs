//! The result of a benchmark: what was measured, where, by which rules, and whether it is valid.

use super::series::{COURSE, Summary};
use crate::error::Error;
use crate::manifest::is_read;
use serde::{Deserialize, Serialize};

/// Version of the schema: an unknown major is refused, a newer minor is read.
pub const BENCHMARK_SCHEMA_VERSION: &str = "1.0";
/// Largest report that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Most places, cells and reasons that are read.
const MAX_ROWS: usize = 64;
/// Longest text that is read, in characters.
const MAX_TEXT: usize = 500;

/// What a benchmark came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkReport {
    /// `major.minor` of this schema.
    pub schema_version: String,
    /// Version of the engine.
    pub engine_version: String,
    /// When it began, in the form of ISO 8601.
    pub measured_at: String,
    /// By which rules.
    pub settings: Settings,
    /// On what.
    pub environment: Environment,
    /// The bundle whose networks ran.
    pub model: Model,
    /// The file that other runtimes ran too, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileIdentity>,
    /// Where something ran, or could not.
    pub places: Vec<PlaceReport>,
    /// One for each thing and place.
    pub cells: Vec<Cell>,
    /// Why the figures must not be used; empty if they may.
    pub invalid: Vec<Reason>,
    /// How the device was slowed down to be like another one, if it was: such figures are nobody's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<String>,
}

/// How long is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Some seconds.
    Quick,
    /// At least 60 seconds and 1024 runs of each.
    Full,
    /// One thing, back to back: does the device keep its speed?
    Sustained,
}

/// The rules of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Their name.
    pub mode: Mode,
    /// Least length, in seconds.
    pub seconds: f64,
    /// Least runs of each cell.
    pub least_runs: u32,
}

/// The device in the browser's words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// How the browser calls itself.
    pub user_agent: String,
    /// Model and platform, where the browser tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Logical processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<f64>,
    /// Memory in gigabytes, as browsers round it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gb: Option<f64>,
    /// Width and height of the screen, in pixels of the page.
    pub screen: [f64; 2],
    /// Pixels of the screen a pixel of the page.
    pub pixel_ratio: f64,
    /// The page is isolated from others, which makes clocks finer.
    pub is_isolated: bool,
    /// The processor's byte products are within reach.
    pub has_relaxed_simd: bool,
    /// The GPU's adapter, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The adapter is software.
    #[serde(default)]
    pub is_software_adapter: bool,
}

/// Which bundle.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its first network.
    pub sha256: String,
}

/// A file that is not of the bundle; its name stays with who has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// "the bundle's network in floats", or "own file".
    pub what: String,
    /// Its size.
    pub bytes: f64,
    /// SHA-256, where the browser computes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Where networks ran: a processor, by a runtime.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaceReport {
    /// Its name, as in [`Cell::place`].
    pub place: String,
    /// Whether the golden vectors gave the right bits there; none where they cannot run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden_passed: Option<bool>,
    /// How it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<Cold>,
    /// Why nothing ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What there was to wait for before the first answer, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cold {
    /// From nothing to the first word of the worker: its script and the WebAssembly, fetched and compiled.
    pub start_ms: f64,
    /// The model's files, from network or cache, with their digests.
    pub fetch_ms: f64,
    /// The networks, made ready for the processor.
    pub load_ms: f64,
    /// Device and pipelines of a GPU, with the golden vectors that it must give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_ms: Option<f64>,
    /// The first run of the first thing.
    pub first_run_ms: f64,
}

/// One thing in one place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Where.
    pub place: String,
    /// What: a stage of the bundle, "faces", "picture" or "file".
    pub subject: String,
    /// Its times; none if it did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Largest difference of its output from that of the first place, as a share of the largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
    /// Why it did not run, or why its times do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Why figures must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The page was hidden: browsers slow such pages down.
    TabHidden,
    /// A golden vector, or an output, was wrong: speed without truth is none.
    WrongNumbers,
    /// It was stopped before its end.
    Stopped,
    /// Something ran less often than the rules ask for.
    TooFewRuns,
    /// The device grew much slower on the way.
    Throttled,
}

impl Reason {
    /// The reason as a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Reason::TabHidden => "The page was hidden meanwhile, and browsers slow hidden pages down.",
            Reason::WrongNumbers => "A result was wrong on this device: its speed counts for nothing.",
            Reason::Stopped => "It was stopped before its end.",
            Reason::TooFewRuns => "There were fewer runs than this mode asks for.",
            Reason::Throttled => "The device grew much slower on the way; let it cool down, or plug it in.",
        }
    }
}

impl BenchmarkReport {
    /// The report in `json`, which may come from anywhere.
    ///
    /// # Errors
    /// [`Error::Report`] naming what is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        if json.len() > MAX_BYTES {
            return Err(refusal(format!("it has {} bytes, at most {MAX_BYTES} are read", json.len())));
        }
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| refusal(format!("it is not JSON: {error}")))?;
        let version = value.get("schema_version").and_then(|version| version.as_str()).unwrap_or("missing");
        if !is_read(version, BENCHMARK_SCHEMA_VERSION) {
            let detail =
                format!("schema_version is {version:.20}, this engine reads {BENCHMARK_SCHEMA_VERSION}");
            return Err(refusal(detail));
        }
        check_texts(&value)?;
        let report: BenchmarkReport =
            serde_json::from_value(value).map_err(|error| refusal(error.to_string()))?;
        report.check()?;
        Ok(report)
    }

    fn check(&self) -> Result<(), Error> {
        let rows =
            [("places", self.places.len()), ("cells", self.cells.len()), ("reasons", self.invalid.len())];
        if let Some((name, count)) = rows.into_iter().find(|row| row.1 > MAX_ROWS) {
            return Err(refusal(format!("it has {count} {name}, at most {MAX_ROWS} are read")));
        }
        for summary in self.cells.iter().filter_map(|cell| cell.summary.as_ref()) {
            let times = [summary.min_ms, summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.max_ms];
            let is_ordered = times.windows(2).all(|pair| pair[0] <= pair[1]) && times[0] >= 0.0;
            if !is_ordered || summary.course_ms.len() > COURSE || summary.runs == 0 {
                return Err(refusal("the times of a cell are not in order".into()));
            }
        }
        Ok(())
    }

    /// Whether the figures may be used.
    pub fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }

    /// The cell of `subject` at `place`, if there is one.
    pub fn cell(&self, place: &str, subject: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.place == place && cell.subject == subject)
    }
}

/// Refuses texts that are long or hold control characters.
fn check_texts(value: &serde_json::Value) -> Result<(), Error> {
    match value {
        serde_json::Value::String(text) => {
            let is_plain =
                text.chars().take(MAX_TEXT + 1).count() <= MAX_TEXT && !text.chars().any(char::is_control);
            is_plain
                .then_some(())
                .ok_or_else(|| refusal("a text is too long, or holds control characters".into()))
        }
        serde_json::Value::Array(values) => values.iter().try_for_each(check_texts),
        serde_json::Value::Object(fields) => fields.values().try_for_each(check_texts),
        _ => Ok(()),
    }
}

fn refusal(detail: String) -> Error {
    Error::Report { detail }
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    fn report() -> BenchmarkReport {
        let mut series = Series::default();
        (0..60).for_each(|run| series.push(2.0, f64::from(run)));
        BenchmarkReport {
            schema_version: BENCHMARK_SCHEMA_VERSION.into(),
            engine_version: crate::VERSION.into(),
            measured_at: "2026-11-27T12:00:00.000Z".into(),
            settings: Settings { mode: Mode::Quick, seconds: 5.0, least_runs: 20 },
            environment: Environment { user_agent: "a browser".into(), ..Environment::default() },
            model: Model { name: "a".into(), version: "1".into(), sha256: "0".repeat(64) },
            file: None,
            places: vec![PlaceReport { place: "cpu-relaxed".into(), ..PlaceReport::default() }],
            cells: vec![Cell {
                place: "cpu-relaxed".into(),
                subject: "stage1".into(),
                summary: series.summary(),
                difference: None,
                problem: None,
            }],
            invalid: vec![],
            simulated: None,
        }
    }

    #[test]
    fn a_report_reads_back() {
        let report = report();
        let json = serde_json::to_vec(&report).unwrap();
        assert_eq!(BenchmarkReport::parse(&json), Ok(report.clone()));
        assert!(report.is_valid() && report.cell("cpu-relaxed", "stage1").is_some());
        assert!(report.cell("cpu-relaxed", "faces").is_none());
    }

    #[test]
    fn hostile_reports_are_refused() {
        let change = |at: &str, to: serde_json::Value| {
            let mut value = serde_json::to_value(report()).unwrap();
            *value.pointer_mut(at).unwrap() = to;
            BenchmarkReport::parse(&serde_json::to_vec(&value).unwrap())
        };
        let cases = [
            ("/schema_version", serde_json::json!("2.0")),
            ("/schema_version", serde_json::json!(1)),
            ("/environment/user_agent", serde_json::json!("x".repeat(MAX_TEXT + 1))),
            ("/environment/user_agent", serde_json::json!("a\u{202e}\u{7}b")),
            ("/cells/0/summary/p50_ms", serde_json::json!(3.0)),
            ("/cells/0/summary/min_ms", serde_json::json!(-1.0)),
            ("/cells/0/summary/min_ms", serde_json::json!(null)),
            ("/cells/0/summary/course_ms", serde_json::json!(vec![1.0; COURSE + 1])),
            ("/cells/0/summary/runs", serde_json::json!(0)),
            ("/invalid", serde_json::json!(vec!["stopped"; MAX_ROWS + 1])),
            ("/invalid", serde_json::json!(["because"])),
            ("/settings/mode", serde_json::json!("fast")),
        ];
        for (at, to) in cases {
            let refused = change(at, to.clone());
            assert!(matches!(refused, Err(Error::Report { .. })), "{at} = {to}: {refused:?}");
        }
        assert!(
            BenchmarkReport::parse(b"{").is_err()
                && BenchmarkReport::parse(&vec![b' '; MAX_BYTES + 1]).is_err()
        );
        // A newer minor with more in it is read.
        let mut newer = serde_json::to_value(report()).unwrap();
        newer["schema_version"] = "1.9".into();
        newer["more"] = serde_json::json!([1]);
        assert!(BenchmarkReport::parse(&serde_json::to_vec(&newer).unwrap()).is_ok());
    }
}
