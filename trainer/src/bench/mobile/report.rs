//! What the simulations came to, beside each other.

use super::visit::{SCREEN, label};
use crate::bench::advice::MOBILE_MB;
use engine::benchmark::BenchmarkReport;
use serde::{Deserialize, Serialize};

/// What these figures are.
const METHOD: &str = "Simulated: this machine's own browser, with a phone's screen and touch, whose page and workers were let run \
    for a share of the time. The same core with less time: no smaller caches, no other instructions, no heat. It tells how the \
    page bears a slower processor, and no phone's speed.";

/// The original's mobile part, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MobileReport {
    /// What the figures are, and what they are not.
    pub method: String,
    /// The browser.
    pub browser: String,
    /// Width and height of the screen in pixels of the page.
    pub screen: [u32; 2],
    /// Megabytes (10^6) of all networks of the bundle.
    pub model_size_mb: f64,
    /// What they must stay below.
    pub model_size_limit_mb: f64,
    /// Whether they do.
    pub is_small: bool,
    /// One for each rate; the first one is not slowed down.
    pub runs: Vec<MobileRun>,
}

/// One simulation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MobileRun {
    /// How its figures are called.
    pub simulated: String,
    /// Times that less time was given.
    pub rate: f64,
    /// The same by the clock; absent where nothing was slowed down.
    pub measured_rate: Option<f64>,
    /// Its figures; none if they must not be used.
    pub figures: Vec<MobileFigures>,
    /// All that the page tells.
    pub report: BenchmarkReport,
}

/// Times of one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MobileFigures {
    /// How they are called.
    pub simulated: String,
    /// What ran: a stage of the bundle, "faces" or "picture".
    pub subject: String,
    /// Where.
    pub place: String,
    /// Timed runs.
    pub runs: usize,
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// Mean: unlike the others it does not depend on where in a run the rests fall.
    pub mean_ms: f64,
    /// The median beside that of the page as it is.
    pub slowdown: Option<f64>,
    /// Its parts differ by more than 15 % at their 90th percentile.
    pub is_unstable: bool,
}

impl MobileReport {
    pub(super) fn new(browser: &str, model_size_mb: f64) -> Self {
        let [width, height, _] = SCREEN;
        MobileReport {
            method: METHOD.into(),
            browser: browser.into(),
            screen: [width, height],
            model_size_mb,
            model_size_limit_mb: MOBILE_MB,
            is_small: model_size_mb < MOBILE_MB,
            runs: Vec::new(),
        }
    }

    /// Puts `run` behind the others, compared with the first one.
    pub(super) fn add(&mut self, mut run: MobileRun) {
        if let Some(first) = self.runs.first() {
            for figures in &mut run.figures {
                let same = |other: &&MobileFigures| {
                    (&other.subject, &other.place) == (&figures.subject, &figures.place)
                };
                let plain = first.figures.iter().find(same).filter(|plain| plain.p50_ms > 0.0);
                figures.slowdown = plain.map(|plain| figures.p50_ms / plain.p50_ms);
            }
        }
        self.runs.push(run);
    }

    /// Whether the figures of every run may be used.
    pub fn is_valid(&self) -> bool {
        self.runs.iter().all(|run| run.report.is_valid())
    }

    /// "1.90 MB of networks, below the 100 MB of a phone: passes".
    pub fn size_text(&self) -> String {
        let Self { model_size_mb, model_size_limit_mb, .. } = self;
        match self.is_small {
            true => format!(
                "{model_size_mb:.2} MB of networks, below the {model_size_limit_mb:.0} MB of a phone: passes"
            ),
            false => format!(
                "{model_size_mb:.2} MB of networks, not below the {model_size_limit_mb:.0} MB of a phone: FAILS"
            ),
        }
    }

    /// What the figures are of, for people.
    pub fn origin_text(&self) -> String {
        let processors = self.runs.first().and_then(|run| run.report.environment.cores);
        let processors = processors.map(|count| format!(", {count} processors")).unwrap_or_default();
        format!("{}, {} x {} pixels{processors}", self.browser, self.screen[0], self.screen[1])
    }

    /// Names of the columns of [`MobileReport::rows`].
    pub fn head() -> [&'static str; 9] {
        ["simulated", "what", "where", "median ms", "90 %", "mean", "times the first", "time given", "runs"]
    }

    /// A row for each figure; of a run that does not count, why.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for run in &self.runs {
            let given = run.measured_rate.map_or("all".into(), |rate| format!("1 / {rate:.2}"));
            for figures in &run.figures {
                let unstable = if figures.is_unstable { ", unstable" } else { "" };
                rows.push(vec![
                    figures.simulated.clone(),
                    figures.subject.clone(),
                    figures.place.clone(),
                    format!("{:.2}", figures.p50_ms),
                    format!("{:.2}{unstable}", figures.p90_ms),
                    format!("{:.2}", figures.mean_ms),
                    figures.slowdown.map_or("-".into(), |times| format!("{times:.2}")),
                    given.clone(),
                    figures.runs.to_string(),
                ]);
            }
            if let Some(why) = run.why_not() {
                let mut row = vec![run.simulated.clone(), format!("does not count: {why}")];
                row.resize(Self::head().len(), "-".into());
                rows.push(row);
            }
        }
        rows
    }
}

impl MobileRun {
    pub(super) fn new(rate: f64, measured_rate: Option<f64>, report: BenchmarkReport) -> Self {
        let simulated = label(rate);
        let cells = report.cells.iter().filter(|_| report.is_valid());
        let figures = cells.filter_map(|cell| {
            let summary = cell.summary.as_ref()?;
            Some(MobileFigures {
                simulated: simulated.clone(),
                subject: cell.subject.clone(),
                place: cell.place.clone(),
                runs: summary.runs as usize,
                p50_ms: summary.p50_ms,
                p90_ms: summary.p90_ms,
                mean_ms: summary.mean_ms,
                slowdown: None,
                is_unstable: summary.is_unstable(),
            })
        });
        // Without a clock there is no rate.
        let measured_rate = measured_rate.filter(|rate| rate.is_finite());
        MobileRun { figures: figures.collect(), simulated, rate, measured_rate, report }
    }

    /// Why its figures must not be used, if that is so.
    pub fn why_not(&self) -> Option<String> {
        let reasons: Vec<&str> = self.report.invalid.iter().map(|reason| reason.text()).collect();
        (!reasons.is_empty()).then(|| reasons.join(" "))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use engine::benchmark::report::{BENCHMARK_SCHEMA_VERSION, Environment, Mode, Model};
    use engine::benchmark::{Cell, PlaceReport, Reason, Series, Settings};

    /// A result of the page whose runs take `rate` and `2 * rate` milliseconds.
    pub fn result(rate: f64, change: impl Fn(&mut BenchmarkReport)) -> BenchmarkReport {
        let mut series = Series::default();
        (0..100).for_each(|run| series.push(rate * (1.0 + f64::from(run % 4 / 3)), 0.1));
        let mut report = BenchmarkReport {
            schema_version: BENCHMARK_SCHEMA_VERSION.into(),
            engine_version: engine::VERSION.into(),
            measured_at: "2026-11-27T12:00:00Z".into(),
            settings: Settings { mode: Mode::Quick, seconds: 5.0, least_runs: 20 },
            environment: Environment { cores: Some(2.0), ..Environment::default() },
            model: Model { name: "AWARE".into(), version: "1".into(), sha256: "abc".into() },
            file: None,
            places: vec![PlaceReport { place: "cpu-relaxed".into(), ..PlaceReport::default() }],
            cells: vec![Cell {
                place: "cpu-relaxed".into(),
                subject: "picture".into(),
                summary: series.summary(),
                difference: None,
                problem: None,
            }],
            invalid: vec![],
            simulated: Some(label(rate)),
        };
        change(&mut report);
        report
    }

    fn report() -> MobileReport {
        let mut report = MobileReport::new("Chrome/1", 1.9);
        report.add(MobileRun::new(1.0, None, result(1.0, |_| {})));
        report.add(MobileRun::new(4.0, Some(4.01), result(4.0, |_| {})));
        report.add(MobileRun::new(
            6.0,
            Some(f64::NAN),
            result(6.0, |r| r.invalid = vec![Reason::WrongNumbers]),
        ));
        report
    }

    #[test]
    fn figures_are_called_simulated_and_beside_the_page_as_it_is() {
        let report = report();
        let [plain, slow, wrong] = &report.runs[..] else { panic!("three runs") };
        assert_eq!((plain.figures[0].slowdown, slow.figures[0].slowdown), (None, Some(4.0)));
        assert_eq!((slow.figures[0].p50_ms, slow.figures[0].p90_ms), (4.0, 8.0));
        assert_eq!((wrong.figures.len(), wrong.measured_rate), (0, None));
        assert!(!report.is_valid());
        for row in report.rows() {
            assert_eq!(row.len(), MobileReport::head().len());
            assert!(row[0].starts_with("cpu-"), "{row:?}");
        }
        assert!(report.rows()[2][1].contains("A result was wrong"), "{:?}", report.rows()[2]);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<MobileReport>(&json).unwrap(), report);
        let figures = serde_json::to_value(&slow.figures[0]).unwrap();
        assert_eq!(figures["simulated"], "cpu-4x");
    }

    #[test]
    fn the_size_is_held_to_the_originals_limit() {
        assert!(report().is_small && report().size_text().contains("1.90 MB"));
        let large = MobileReport::new("", 100.0);
        assert!(!large.is_small && large.size_text().contains("FAILS"));
    }
}
