//! The report as files: JSON, plots, and one page with all of it.

use super::figures::{Curve, Times};
use super::mobile::MobileReport;
use super::report::{BenchReport, PictureSet, SubjectReport};
use crate::evaluate::{number, with_interval};
use crate::figure::{Axis, BLUE, Figure, INK, Mark, ORANGE, PURPLE, Panel, Series, TEAL};
use crate::files::{write_json, write_whole};
use crate::page::Page;
use anyhow::Result;
use plotters::style::RGBColor;
use std::path::Path;

/// Colours of the bundles.
const COLOURS: [RGBColor; 2] = [ORANGE, BLUE];

/// Writes bench.json to `folder` and, if there are to be plots, report.html and plots/NAME.svg.
///
/// # Errors
/// If a plot cannot be drawn or a file not written.
pub fn write_bench(report: &BenchReport, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", folder.display()))?;
    write_json(&folder.join("bench.json"), report)?;
    if !report.config.save_plots {
        return Ok(());
    }
    let figures = figures(report);
    for (name, figure) in &figures {
        let plots = folder.join("plots");
        std::fs::create_dir_all(&plots)
            .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", plots.display()))?;
        write_whole(&plots.join(format!("{name}.svg")), figure.svg()?.as_bytes())?;
    }
    let mut page = Page::new("What a bundle is worth");
    let pictures = report.pictures.as_ref();
    let resamples = pictures.map_or("", |_| " Intervals hold 95 % of 2000 bootstrap resamples.");
    let pictures = pictures.map_or("No pictures".into(), PictureSet::text);
    page.paragraph(&format!(
        "{pictures}. {}, integers by {}, one thread; engine {}.{resamples}{}",
        report.environment.target,
        report.environment.level,
        report.environment.engine_version,
        if report.stopped { " Stopped before its end: what was measured by then stands here." } else { "" }
    ));
    page.heading("What to do");
    report.recommendations.iter().for_each(|text| page.paragraph(text));
    tables(&mut page, report);
    page.heading("Plots");
    page.plots(figures.iter().map(|(_, figure)| figure))?;
    write_whole(&folder.join("report.html"), page.html().as_bytes())
}

fn tables(page: &mut Page, report: &BenchReport) {
    if report.pictures.is_some() {
        of_pictures(page, report);
    }
    if let Some(mobile) = &report.mobile_compatibility {
        page.heading("Simulated phone");
        page.paragraph(&mobile.method);
        page.paragraph(&format!("{}. {}.", mobile.origin_text(), mobile.size_text()));
        page.table(&MobileReport::head(), &mobile.rows());
    }
}

fn of_pictures(page: &mut Page, report: &BenchReport) {
    page.heading("Worth");
    let head = ["bundle", "set", "real", "fake", "AUC", "trivial cues", "F1", "ECE", "Brier"];
    let mut rows = Vec::new();
    for result in &report.detailed_results {
        for (name, set) in result.accuracy.iter().flat_map(|accuracy| &accuracy.sets) {
            let metrics = &set.metrics;
            rows.push(vec![
                result.name.clone(),
                name.clone(),
                metrics.real.to_string(),
                metrics.fake.to_string(),
                with_interval(metrics.auc, metrics.auc_interval),
                with_interval(set.trivial_cues_auc, set.trivial_cues_auc_interval),
                format!("{:.4}", metrics.f1),
                format!("{:.4}", metrics.ece),
                format!("{:.4}", set.brier),
            ]);
        }
    }
    page.table(&head, &rows);
    page.heading("Time and size");
    let head = ["bundle", "what", "bytes", "median ms", "90 %", "fastest", "runs"];
    let timed = |times: Option<&Times>| -> [String; 4] {
        let of = |value: fn(&Times) -> f64| times.map_or("-".into(), |times| format!("{:.3}", value(times)));
        let runs = times.map_or("-".into(), |times| times.runs.to_string());
        [of(|times| times.median_ms), of(|times| times.p90_ms), of(|times| times.min_ms), runs]
    };
    let mut rows = Vec::new();
    for result in &report.detailed_results {
        for stage in &result.stages {
            let what = format!("{}, weights {}", stage.name, stage.weights);
            let head = [result.name.clone(), what, stage.bytes.to_string()];
            rows.push([&head[..], &timed(stage.times.as_ref())].concat());
        }
        let head = [result.name.clone(), "bytes to verdict".into(), "-".into()];
        rows.push([&head[..], &timed(result.end_to_end.as_ref())].concat());
    }
    page.table(&head, &rows);
    page.heading("Cascade");
    let head = [
        "bundle",
        "filtration",
        "escalation",
        "leakage",
        "multiply-adds saved",
        "ms foretold",
        "ms measured",
    ];
    let rows = report.detailed_results.iter().filter_map(|result| {
        let cascade = &result.accuracy.as_ref()?.cascade;
        let foretold = cascade.predicted_with_views_ms;
        let shares =
            [cascade.filtration, cascade.escalation, cascade.leakage, cascade.multiply_adds_saved, foretold];
        let mut row = vec![result.name.clone()];
        row.extend(shares.into_iter().chain([cascade.measured_ms]).map(number));
        Some(row)
    });
    page.table(&head, &rows.collect::<Vec<_>>());
}

/// Every plot that the report has numbers for, with its name.
fn figures(report: &BenchReport) -> Vec<(String, Figure)> {
    let results = &report.detailed_results;
    let mut figures = Vec::new();
    if results.iter().any(|result| result.end_to_end.is_some()) {
        figures.push((
            "speed".into(),
            bars("From bytes to verdict", "median ms, one thread", results, |r| {
                Some(r.end_to_end.as_ref()?.median_ms)
            }),
        ));
    }
    if results.iter().any(|result| result.performance.auc.is_some()) {
        figures.push(("accuracy".into(), bars("AUC", "AUC", results, |r| r.performance.auc)));
    }
    figures.push((
        "size".into(),
        bars("Size of the networks", "megabytes", results, |r| Some(r.performance.model_size_mb)),
    ));
    figures.extend(
        report
            .mobile_compatibility
            .as_ref()
            .and_then(phone)
            .map(|figure| ("mobile_readiness".into(), figure)),
    );
    let changes = results.first().map(|result| result.robustness.as_slice()).unwrap_or_default();
    for (index, curve) in changes.iter().enumerate() {
        figures.push((format!("robustness-{}", curve.change), robustness(index, curve, report)));
    }
    figures
}

fn bars(
    title: &str,
    unit: &str,
    results: &[SubjectReport],
    value: fn(&SubjectReport) -> Option<f64>,
) -> Figure {
    let mut marks = Vec::new();
    let mut most = f64::MIN_POSITIVE;
    for (index, result) in results.iter().enumerate() {
        let Some(height) = value(result) else { continue };
        most = most.max(height);
        let at = index as f64;
        let bars = vec![[at + 0.2, at + 0.8, height]];
        marks.push(Mark::Bars { name: result.name.clone(), colour: COLOURS[index % 2], bars });
        marks.push(Mark::Word { at: (at + 0.5, height), text: format!("{height:.3}") });
    }
    Figure {
        title: title.into(),
        caption: results
            .iter()
            .map(|r| format!("{}: {} {}", r.name, r.model.name, r.model.version))
            .collect(),
        panels: vec![Panel {
            x: Axis { ticks: 1, ..Axis::new("bundle", 0.0, results.len().max(1) as f64) },
            y: Axis::new(unit, 0.0, most * 1.2),
            marks,
        }],
    }
}

fn robustness(index: usize, first: &Curve, report: &BenchReport) -> Figure {
    let strengths = first.points.iter().map(|point| point.strength);
    let (from, to) =
        strengths.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| (low.min(s), high.max(s)));
    let mut marks = Vec::new();
    for (number, result) in report.detailed_results.iter().enumerate() {
        let Some(curve) = result.robustness.get(index) else { continue };
        let colour = COLOURS[number % 2];
        let points =
            curve.points.iter().filter_map(|point| Some((point.strength, point.auc?))).collect::<Vec<_>>();
        for point in &curve.points {
            if let Some([low, high]) = point.auc_interval {
                let points = vec![(point.strength, low), (point.strength, high)];
                marks.push(Mark::Line(Series { name: String::new(), colour, points }));
            }
        }
        marks.push(Mark::Dots(Series { name: String::new(), colour, points: points.clone() }));
        marks.push(Mark::Line(Series { name: result.name.clone(), colour, points }));
        if let Some(auc) = curve.unchanged.auc {
            let name = format!("{}, unchanged", result.name);
            marks.push(Mark::Dashes(Series { name, colour: TEAL, points: vec![(from, auc), (to, auc)] }));
        }
    }
    marks.push(Mark::Dashes(Series {
        name: "a coin".into(),
        colour: INK,
        points: vec![(from, 0.5), (to, 0.5)],
    }));
    Figure {
        title: format!("AUC under {}", first.change),
        caption: vec![
            report.pictures.as_ref().map_or_else(String::new, PictureSet::text),
            "upright lines are 95 % bootstrap intervals".into(),
        ],
        panels: vec![Panel { x: Axis::new(&first.unit, from, to), y: Axis::new("AUC", 0.3, 1.0), marks }],
    }
}

/// Times over rates; none where no figure may be used.
fn phone(mobile: &MobileReport) -> Option<Figure> {
    let mut subjects: Vec<&str> =
        mobile.runs.iter().flat_map(|run| &run.figures).map(|figures| figures.subject.as_str()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    let mut most = f64::MIN_POSITIVE;
    let mut marks = Vec::new();
    for (subject, colour) in subjects.iter().zip([ORANGE, BLUE, TEAL, PURPLE].into_iter().cycle()) {
        let mut points = [Vec::new(), Vec::new()];
        for run in &mobile.runs {
            for figures in run.figures.iter().filter(|figures| figures.subject == *subject) {
                points[0].push((run.rate, figures.p50_ms));
                points[1].push((run.rate, figures.p90_ms));
                most = most.max(figures.p90_ms);
            }
        }
        let [medians, tails] = points;
        let of = |name: String, points: &[(f64, f64)]| Series { name, colour, points: points.to_vec() };
        marks.push(Mark::Dots(of(String::new(), &medians)));
        marks.push(Mark::Line(of(format!("{subject}, median"), &medians)));
        marks.push(Mark::Dots(of(String::new(), &tails)));
        marks.push(Mark::Dashes(of(format!("{subject}, 90 %"), &tails)));
    }
    let last = mobile.runs.iter().map(|run| run.rate).fold(1.0, f64::max);
    (!subjects.is_empty()).then(|| Figure {
        title: "Simulated phone: times where the page has less of the processor".into(),
        caption: vec![format!("simulated, nobody's device: {}", mobile.origin_text()), mobile.size_text()],
        panels: vec![Panel {
            x: Axis::new("simulated: times less time", 0.0, last + 1.0),
            y: Axis::new("ms", 0.0, most * 1.1),
            marks,
        }],
    })
}

impl BenchReport {
    /// Tables, for people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}{}\n",
            self.pictures.as_ref().map_or("No pictures".into(), PictureSet::text),
            if self.stopped { "; STOPPED before its end" } else { "" }
        );
        for result in &self.detailed_results {
            text += &format!("{}: {} {}\n", result.name, result.model.name, result.model.version);
            for (name, set) in result.accuracy.iter().flat_map(|accuracy| &accuracy.sets) {
                text += &format!(
                    "  {name:16} AUC {}, trivial cues {}, F1 {:.4}, ECE {:.4}\n",
                    with_interval(set.metrics.auc, set.metrics.auc_interval),
                    with_interval(set.trivial_cues_auc, set.trivial_cues_auc_interval),
                    set.metrics.f1,
                    set.metrics.ece
                );
            }
            if let Some(accuracy) = &result.accuracy {
                let cascade = &accuracy.cascade;
                text += &format!(
                    "  cascade          filtration {}, escalation {}, leakage {}, multiply-adds saved {}\n",
                    number(cascade.filtration),
                    number(cascade.escalation),
                    number(cascade.leakage),
                    number(cascade.multiply_adds_saved)
                );
                text += &format!(
                    "  ms in networks   {} foretold without views, {} with them, {} measured\n",
                    number(cascade.predicted_ms),
                    number(cascade.predicted_with_views_ms),
                    number(cascade.measured_ms)
                );
            }
            let line = |name: &str, times: &Times| {
                let Times { median_ms, p90_ms, min_ms, runs, .. } = times;
                format!(
                    "  {name:16} {median_ms:.3} ms median, {p90_ms:.3} 90 %, {min_ms:.3} fastest, {runs} runs\n"
                )
            };
            for stage in &result.stages {
                text += &stage.times.as_ref().map_or(String::new(), |times| line(&stage.name, times));
            }
            text +=
                &result.end_to_end.as_ref().map_or(String::new(), |times| line("bytes to verdict", times));
            for curve in &result.robustness {
                let points = curve.points.iter().map(|p| format!("{} {}", p.strength, number(p.auc)));
                let unchanged = number(curve.unchanged.auc);
                text += &format!(
                    "  {:16} unchanged {unchanged}; {}\n",
                    curve.change,
                    points.collect::<Vec<_>>().join(", ")
                );
            }
        }
        if let Some(comparison) = &self.comparison {
            let [low, high] = comparison.auc.interval.unwrap_or([comparison.auc.points; 2]);
            text += &format!(
                "optimized against original: {} % smaller, {} times faster by stage, {:.2} points of AUC lost [{low:.2}, {high:.2}]\n",
                comparison.size_reduction_percent.map_or("-".into(), |percent| format!("{percent:.1}")),
                comparison
                    .speedup_by_stage
                    .values()
                    .map(|s| format!("{s:.2}"))
                    .collect::<Vec<_>>()
                    .join(", "),
                comparison.auc.points
            );
        }
        if let Some(mobile) = &self.mobile_compatibility {
            text += &format!("simulated phone: {}\n  {}\n", mobile.origin_text(), mobile.size_text());
            for row in std::iter::once(MobileReport::head().map(str::to_owned).to_vec()).chain(mobile.rows())
            {
                text += &format!("  {}\n", row.join("  "));
            }
            text += &format!("  {}\n", mobile.method);
        }
        self.recommendations.iter().for_each(|said| text += &format!("- {said}\n"));
        text
    }
}
