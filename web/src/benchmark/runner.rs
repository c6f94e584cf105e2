//! All places turn by turn -> one report: whatever slows the device down meets all of them.

use super::conversation::Conversation;
use super::environment;
use super::options::Options;
use super::place::Place;
use crate::message::Failure;
use crate::text::{text, text_with};
use crate::timing::{Subject, TimeRequest, TimeResponse, Timed};
use crate::worker::now_ms;
use crate::worker_handle::ScriptPolicy;
use engine::benchmark::report::{BENCHMARK_SCHEMA_VERSION, Cold, FileIdentity, Mode, Model};
use engine::benchmark::{BenchmarkReport, Cell, PlaceReport, Reason, Series, Settings};
use std::cell::Cell as Flag;
use web_sys::Blob;

/// Time of one turn, in milliseconds: after it a stop is heard.
const TURN_MS: f64 = 200.0;
/// Times the wished length after which slow things are left as they are, or after a minute.
const PATIENCE: f64 = 10.0;
const LEAST_PATIENCE_S: f64 = 60.0;
/// Largest difference of outputs in floats, as a share of the largest value.
const CLOSE: f64 = 1e-3;
/// The device is throttled where the last ten seconds took so much longer than the first.
const THROTTLED: f64 = 1.25;

/// What the page tells of the visitor's doing meanwhile.
#[derive(Debug, Default)]
pub struct Signals {
    /// Stop was pressed.
    pub is_stopped: Flag<bool>,
    /// The page was hidden at some moment.
    pub was_hidden: Flag<bool>,
}

/// What is to be measured, and with what.
pub struct Plan {
    /// Where and how long.
    pub options: Options,
    /// An encoded picture, for judging one from end to end.
    pub picture: Option<Blob>,
    /// A file for every place, and what it is.
    pub file: Option<(Blob, FileIdentity)>,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is done at the moment, as a sentence.
    pub doing: String,
    /// Share of the wished length.
    pub share: f64,
}

/// One thing in one place, on its way.
struct Row {
    /// Index of its place.
    at: usize,
    name: String,
    subject: Subject,
    series: Series,
    output: Vec<f32>,
    problem: Option<String>,
    difference: Option<f64>,
}

/// A place whose worker is ready.
struct Opened {
    report: PlaceReport,
    conversation: Option<Conversation>,
    /// The bundle's, in the order of its stages.
    networks: Vec<String>,
    /// Until the first word of its worker.
    start_ms: f64,
}

/// Measures what `plan` says; `tell` hears how far it is.
///
/// # Errors
/// If nothing at all could be measured.
pub async fn run(
    policy: &ScriptPolicy,
    plan: Plan,
    signals: &Signals,
    tell: &dyn Fn(Progress),
) -> Result<BenchmarkReport, Failure> {
    let Plan { options, picture, file } = plan;
    let settings = options.settings();
    let mut report = BenchmarkReport {
        schema_version: BENCHMARK_SCHEMA_VERSION.into(),
        engine_version: engine::VERSION.into(),
        measured_at: js_sys::Date::new_0().to_iso_string().into(),
        settings,
        environment: environment::describe().await,
        model: Model::default(),
        file: file.as_ref().map(|file| file.1.clone()),
        places: Vec::new(),
        cells: Vec::new(),
        invalid: Vec::new(),
        simulated: options.simulated.clone(),
    };

    let (mut opened, mut rows) = (Vec::new(), Vec::new());
    for place in options.places.iter().copied().filter(|place| place.is_engine() || file.is_some()) {
        if signals.is_stopped.get() {
            break;
        }
        tell(Progress { doing: text_with("bench.ready.place", &[("place", place.title())]), share: 0.0 });
        let mut ready = open(policy, place, &mut report).await;
        let at = opened.len();
        if place.is_engine() && ready.conversation.is_some() {
            rows.extend(subjects(at, &ready.networks, picture.as_ref()));
        }
        if let Some((file, identity)) = file.as_ref().filter(|_| ready.conversation.is_some()) {
            rows.push(load(at, &mut ready, file, report.file.get_or_insert_with(|| identity.clone())).await);
        }
        opened.push(ready);
        if settings.mode == Mode::Sustained {
            // The first thing that runs, alone.
            rows.retain(|row: &Row| row.problem.is_none());
            rows.truncate(1);
            if !rows.is_empty() {
                break;
            }
        }
    }

    let measuring = Measuring { settings, signals, tell };
    let elapsed_s = measuring.run(&mut opened, &mut rows).await;
    compare(&mut rows);
    judge(&mut report, &rows, &opened, elapsed_s, signals);
    report.places = opened.into_iter().map(|opened| opened.report).collect();
    report.cells = rows.into_iter().map(|row| row.into_cell(&report.places)).collect();
    if report.cells.iter().any(|cell| cell.summary.is_some()) {
        return Ok(report);
    }
    let places = report.places.iter().filter_map(|place| place.problem.as_deref());
    let cells = report.cells.iter().filter_map(|cell| cell.problem.as_deref());
    let problems: Vec<&str> = places.chain(cells).collect();
    Err(Failure::new("benchmark", format!("nothing ran: {}", problems.join("; "))))
}

impl Row {
    fn new(at: usize, name: &str, subject: Subject) -> Self {
        let (series, output) = (Series::default(), Vec::new());
        Row { at, name: name.into(), subject, series, output, problem: None, difference: None }
    }

    fn add(&mut self, timed: Timed, started_s: f64) {
        let mut ended_s = started_s;
        for time_ms in timed.times_ms {
            ended_s += time_ms / 1e3;
            self.series.push(time_ms, ended_s);
        }
        self.output = timed.output;
    }

    fn into_cell(self, places: &[PlaceReport]) -> Cell {
        Cell {
            place: places.get(self.at).map(|place| place.place.clone()).unwrap_or_default(),
            subject: self.name,
            summary: self.series.summary().filter(|_| self.problem.is_none()),
            difference: self.difference,
            problem: self.problem,
        }
    }
}

/// Opens `place`: its cold start, whether it computes right, and what it tells of bundle and GPU for `report`.
async fn open(policy: &ScriptPolicy, place: Place, report: &mut BenchmarkReport) -> Opened {
    let about = PlaceReport { place: place.name().into(), ..PlaceReport::default() };
    let mut opened = Opened { report: about, conversation: None, networks: Vec::new(), start_ms: 0.0 };
    let about = &mut opened.report;
    let (mut conversation, greeting) = match Conversation::open(policy, place, &now_ms).await {
        Ok(ready) => ready,
        Err(failure) => {
            about.problem = Some(plain(&failure.message));
            return opened;
        }
    };
    if let Some(gpu) = greeting.gpu.filter(|_| place == Place::Gpu) {
        if let Some(adapter) = &gpu.adapter {
            report.environment.adapter = Some(plain(&adapter.to_string()));
            report.environment.is_software_adapter = adapter.is_software;
        }
        if let Some(reason) = gpu.reason {
            about.golden_passed = gpu.has_failed.then_some(false);
            about.problem = Some(plain(&reason));
            return opened;
        }
        // It gave the golden bits, or it would not be used.
        about.golden_passed = Some(true);
    }
    opened.start_ms = greeting.start_ms;
    if let Some(card) = greeting.card {
        report.model =
            Model { name: plain(&card.name), version: plain(&card.version), sha256: card.sha256.clone() };
        about.cold = Some(Cold {
            start_ms: greeting.start_ms,
            fetch_ms: card.times.fetch_ms,
            load_ms: card.times.load_ms,
            gpu_ms: card.times.gpu_ms,
            first_run_ms: 0.0,
        });
        opened.networks = card.networks;
    }
    if about.golden_passed.is_none() && place.is_engine() {
        about.golden_passed = conversation.check().await.ok().map(|golden| golden.passed);
    }
    opened.conversation = Some(conversation);
    opened
}

/// What of the bundle runs at the place of index `at`.
fn subjects(at: usize, networks: &[String], picture: Option<&Blob>) -> Vec<Row> {
    let networks = networks.iter().enumerate();
    let mut rows: Vec<Row> =
        networks.map(|(stage, name)| Row::new(at, name, Subject::Stage(stage))).collect();
    rows.push(Row::new(at, "faces", Subject::Faces));
    rows.extend(picture.map(|picture| Row::new(at, "picture", Subject::Picture(picture.clone()))));
    rows
}

/// Gets `file` ready at a place.
async fn load(at: usize, opened: &mut Opened, file: &Blob, identity: &mut FileIdentity) -> Row {
    let mut row = Row::new(at, "file", Subject::File);
    let Some(conversation) = &mut opened.conversation else { return row };
    let asked_ms = now_ms();
    match conversation.ask(TimeRequest::Load { file: file.clone() }).await {
        Ok(TimeResponse::Loaded { sha256, .. }) => {
            identity.sha256 = sha256.or(identity.sha256.take());
            // Runtimes that have no bundle begin with the file.
            let cold = Cold { start_ms: opened.start_ms, load_ms: now_ms() - asked_ms, ..Cold::default() };
            opened.report.cold.get_or_insert(cold);
        }
        Ok(_) => row.problem = Some("its worker gave another answer".into()),
        Err(failure) => {
            row.problem = Some(plain(&failure.message));
            opened.lose(&failure);
        }
    }
    row
}

impl Opened {
    /// Gives up a worker that died.
    fn lose(&mut self, failure: &Failure) {
        if matches!(failure.code.as_str(), "worker_died" | "memory") {
            self.conversation = None;
        }
    }
}

/// Rules and ears of a measurement.
struct Measuring<'a> {
    settings: Settings,
    signals: &'a Signals,
    tell: &'a dyn Fn(Progress),
}

impl Measuring<'_> {
    /// Runs `rows` turn by turn; the length comes back, in seconds.
    async fn run(&self, opened: &mut [Opened], rows: &mut [Row]) -> f64 {
        for row in rows.iter_mut() {
            self.warm_up(opened, row).await;
        }
        let begun_ms = now_ms();
        let elapsed_s = || (now_ms() - begun_ms) / 1e3;
        while !self.signals.is_stopped.get() && !self.is_enough(rows, elapsed_s()) {
            for row in rows.iter_mut().filter(|row| row.problem.is_none()) {
                if self.signals.is_stopped.get() {
                    break;
                }
                let share = (elapsed_s() / self.settings.seconds).min(1.0);
                let place = Place::of(&opened[row.at].report.place).map(Place::title).unwrap_or_default();
                (self.tell)(Progress {
                    doing: text_with(
                        "bench.measuring",
                        &[("subject", &subject_title(&row.name)), ("place", place)],
                    ),
                    share,
                });
                let started_s = elapsed_s();
                if let Some(timed) = self.turn(opened, row, TURN_MS, u32::MAX).await {
                    row.add(timed, started_s);
                }
            }
        }
        elapsed_s()
    }

    /// The first run, which is told, and a turn, which is not.
    async fn warm_up(&self, opened: &mut [Opened], row: &mut Row) {
        if row.problem.is_some() || self.signals.is_stopped.get() {
            return;
        }
        let subject = subject_title(&row.name);
        (self.tell)(Progress { doing: text_with("bench.warming", &[("subject", &subject)]), share: 0.0 });
        let Some(first) = self.turn(opened, row, 0.0, 1).await else { return };
        let first_ms = first.times_ms.first().copied().unwrap_or(0.0);
        if let Some(cold) = opened[row.at].report.cold.as_mut().filter(|cold| cold.first_run_ms == 0.0) {
            cold.first_run_ms = first_ms;
        }
        // What takes longer than a turn is as warm as it gets.
        if first_ms < TURN_MS {
            self.turn(opened, row, TURN_MS, u32::MAX).await;
        }
    }

    async fn turn(
        &self,
        opened: &mut [Opened],
        row: &mut Row,
        budget_ms: f64,
        most_runs: u32,
    ) -> Option<Timed> {
        let opened = &mut opened[row.at];
        let request = TimeRequest::Run { subject: row.subject.clone(), budget_ms, most_runs };
        let answer = match &mut opened.conversation {
            Some(conversation) => conversation.ask(request).await,
            None => Err(Failure::new("worker_died", "the worker of this place had to be given up")),
        };
        match answer {
            Ok(TimeResponse::Timed(timed)) => return Some(timed),
            Ok(_) => row.problem = Some("its worker gave another answer".into()),
            Err(failure) => {
                row.problem = Some(plain(&failure.message));
                opened.lose(&failure);
            }
        }
        None
    }

    fn is_enough(&self, rows: &[Row], elapsed_s: f64) -> bool {
        let mut running = rows.iter().filter(|row| row.problem.is_none()).peekable();
        if running.peek().is_none() || elapsed_s >= (self.settings.seconds * PATIENCE).max(LEAST_PATIENCE_S) {
            return true;
        }
        let least = self.settings.least_runs as usize;
        elapsed_s >= self.settings.seconds && running.all(|row| row.series.len() >= least)
    }
}

/// Compares what the same thing gave in several places with what it gave in the first: bits of the bundle's networks, and the
/// order of sums for files in floats.
fn compare(rows: &mut [Row]) {
    for at in 1..rows.len() {
        let (before, rest) = rows.split_at_mut(at);
        let row = &mut rest[0];
        let reference = before.iter().find(|other| other.name == row.name && other.problem.is_none());
        let Some(reference) = reference.filter(|_| row.problem.is_none()) else { continue };
        let largest = reference.output.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let is_comparable =
            reference.output.len() == row.output.len() && row.output.iter().all(|value| value.is_finite());
        let pairs = reference.output.iter().zip(&row.output);
        let difference = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        let relative = match is_comparable {
            true => f64::from(difference) / f64::from(largest.max(f32::MIN_POSITIVE)),
            false => f64::MAX,
        };
        row.difference = Some(relative);
        if relative > if row.name == "file" { CLOSE } else { 0.0 } {
            row.problem =
                Some("its result is another one than that of the first place: no time is shown".into());
        }
    }
}

/// Whether the figures may be used.
fn judge(report: &mut BenchmarkReport, rows: &[Row], opened: &[Opened], elapsed_s: f64, signals: &Signals) {
    let settings = report.settings;
    let is_wrong = opened.iter().any(|opened| opened.report.golden_passed == Some(false))
        || rows.iter().any(|row| row.difference.is_some_and(|_| row.problem.is_some()));
    let running = || rows.iter().filter(|row| row.problem.is_none());
    let too_few = running().any(|row| row.series.len() < settings.least_runs as usize);
    let throttled = running()
        .filter_map(|row| row.series.summary()?.ends_ms)
        .any(|[first, last]| last > first * THROTTLED);
    let reasons = [
        (signals.was_hidden.get(), Reason::TabHidden),
        (is_wrong, Reason::WrongNumbers),
        (signals.is_stopped.get(), Reason::Stopped),
        (too_few || elapsed_s < settings.seconds, Reason::TooFewRuns),
        (throttled && settings.mode != Mode::Sustained, Reason::Throttled),
    ];
    report.invalid = reasons.into_iter().filter(|reason| reason.0).map(|reason| reason.1).collect();
}

/// The name of what is timed, for people.
pub fn subject_title(name: &str) -> String {
    match name {
        "faces" => text("bench.subject.faces").into(),
        "picture" => text("bench.subject.picture").into(),
        "file" => text("bench.subject.file").into(),
        stage => text_with("bench.subject.network", &[("name", stage)]),
    }
}

/// `text` as a report may hold it.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, output: &[f32]) -> Row {
        Row { output: output.to_vec(), ..Row::new(0, name, Subject::Faces) }
    }

    fn compared(name: &str, outputs: [&[f32]; 2]) -> Row {
        let mut rows = vec![row(name, outputs[0]), row(name, outputs[1])];
        compare(&mut rows);
        assert!(rows[0].problem.is_none() && rows[0].difference.is_none());
        rows.remove(1)
    }

    #[test]
    fn networks_of_the_bundle_must_give_the_same_bits_and_files_nearly() {
        assert_eq!(compared("stage1", [&[0.5], &[0.5]]).difference, Some(0.0));
        assert!(compared("stage1", [&[0.5], &[0.500_001]]).problem.is_some());
        assert!(compared("file", [&[0.5, 2.0], &[0.500_001, 2.0]]).problem.is_none());
        for wrong in [&[0.51f32, 2.0][..], &[f32::NAN, 2.0], &[0.5], &[]] {
            assert!(compared("file", [&[0.5, 2.0], wrong]).problem.is_some(), "{wrong:?}");
        }
    }
}
