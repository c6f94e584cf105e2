//! The report on a page, with plots.

use super::learn::StudentEpoch;
use super::measure::AucLoss;
use super::report::{Details, OptimizationReport, OptimizationResult};
use crate::figure::{Axis, BLUE, Figure, INK, Mark, ORANGE, Panel, Series, TEAL};
use crate::files::{write_json, write_whole};
use crate::page::Page;
use anyhow::Result;

/// Writes `report` as JSON to its place and, if there are to be plots, into the output folder as a page.
///
/// # Errors
/// If a file cannot be written.
pub fn write_report(report: &OptimizationReport) -> Result<()> {
    let config = &report.optimization_config;
    write_json(&config.comparison(), report)?;
    if !report.benchmark_config.save_plots {
        return Ok(());
    }
    let mut page = Page::new("From floats to integers");
    let mut rows = Vec::new();
    for result in &report.individual_results {
        for gate in report.gates.get(&result.model_name).into_iter().flatten() {
            let verdict = gate.passed.map_or("not measured", |passed| if passed { "pass" } else { "fail" });
            let value = gate.value.map_or("-".to_owned(), |value| format!("{value:.3}"));
            rows.push(
                [&result.model_name, &gate.name, &value, verdict, &gate.how].map(str::to_owned).to_vec(),
            );
        }
    }
    page.table(&["network", "demand", "measured", "verdict", "how"], &rows);
    let mut figures = vec![sizes(&report.individual_results), accuracies(&report.individual_results)];
    for result in &report.individual_results {
        if let Some(details) = &result.details {
            figures.push(learning(&result.model_name, details));
        }
    }
    page.plots(&figures)?;
    for (name, figure) in ["sizes", "accuracy"].iter().zip(&figures) {
        write_whole(&config.output_dir.join(format!("{name}.svg")), figure.svg()?.as_bytes())?;
    }
    write_whole(&config.output_dir.join("report.html"), page.html().as_bytes())
}

/// Megabytes before and after, two bars for each network.
fn sizes(results: &[OptimizationResult]) -> Figure {
    let done: Vec<&OptimizationResult> = results.iter().filter(|result| result.success).collect();
    let bars = |shift: f64, size: &dyn Fn(&OptimizationResult) -> f64| -> Vec<[f64; 3]> {
        let bar = |(i, result): (usize, &&OptimizationResult)| {
            [i as f64 + shift, i as f64 + shift + 0.35, size(result)]
        };
        done.iter().enumerate().map(bar).collect()
    };
    let largest = done.iter().map(|result| result.original_size_mb).fold(1.0, f64::max);
    let mut marks = vec![
        Mark::Bars { name: "FP32".into(), colour: BLUE, bars: bars(0.1, &|result| result.original_size_mb) },
        Mark::Bars {
            name: "INT8".into(),
            colour: ORANGE,
            bars: bars(0.5, &|result| result.optimized_size_mb),
        },
    ];
    for (i, result) in done.iter().enumerate() {
        let text = format!("{}, {:.1} % less", result.model_name, result.size_reduction_percent);
        marks.push(Mark::Word { at: (i as f64 + 0.5, result.original_size_mb), text });
    }
    Figure {
        title: "Size on disk".into(),
        caption: vec!["ONNX files of the same network, graph and scales included".into()],
        panels: vec![Panel {
            x: Axis { ticks: 1, ..Axis::new("network", 0.0, done.len().max(1) as f64) },
            y: Axis::new("megabytes", 0.0, largest * 1.15),
            marks,
        }],
    }
}

/// Points of AUC that each way loses, with intervals.
fn accuracies(results: &[OptimizationResult]) -> Figure {
    let done: Vec<(&OptimizationResult, &Details)> =
        results.iter().filter_map(|result| Some((result, result.details.as_deref()?))).collect();
    type Way = fn(&Details) -> &AucLoss;
    let ways: [(&str, plotters::style::RGBColor, Way); 3] = [
        ("learned in integers", ORANGE, |details| &details.auc),
        ("quantised after training", BLUE, |details| &details.auc_after_training_only),
        ("learned, activations of eight bits", TEAL, |details| &details.auc_with_eight_bit_activations),
    ];
    let (mut marks, mut most) = (Vec::new(), 1.0_f64);
    for (way, (name, colour, loss)) in ways.into_iter().enumerate() {
        let mut points = Vec::new();
        for (i, (_, details)) in done.iter().enumerate() {
            let (x, loss) = (i as f64 + 0.3 + 0.2 * way as f64, loss(details));
            points.push((x, loss.points));
            let [low, high] = loss.interval.unwrap_or([loss.points; 2]);
            most = most.max(low.abs()).max(high.abs());
            marks.push(Mark::Line(Series { name: String::new(), colour, points: vec![(x, low), (x, high)] }));
        }
        marks.push(Mark::Dots(Series { name: name.into(), colour, points }));
    }
    let end = done.len().max(1) as f64;
    let zero = Series { name: "the FP32 network".into(), colour: INK, points: vec![(0.0, 0.0), (end, 0.0)] };
    marks.push(Mark::Dashes(zero));
    for (i, (result, _)) in done.iter().enumerate() {
        marks.push(Mark::Word { at: (i as f64 + 0.5, most * 1.05), text: result.model_name.clone() });
    }
    Figure {
        title: "AUC that integers lose".into(),
        caption: vec!["test split; lines are 95 % bootstrap intervals of the difference".into()],
        panels: vec![Panel {
            x: Axis { ticks: 1, ..Axis::new("network", 0.0, end) },
            y: Axis::new("points of AUC lost", -most * 1.2, most * 1.2),
            marks,
        }],
    }
}

/// Losses and validation AUC over the epochs of one network.
fn learning(name: &str, details: &Details) -> Figure {
    let points = |value: &dyn Fn(&StudentEpoch) -> Option<f64>| -> Vec<(f64, f64)> {
        details.history.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?))).collect()
    };
    let series = |name: &str, colour, points| Series { name: name.into(), colour, points };
    let extent = |points: &[&[(f64, f64)]]| {
        let values = points.iter().flat_map(|points| points.iter());
        let (low, high) =
            values.fold((f64::MAX, f64::MIN), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
        let room = ((high - low) * 0.1).max(1e-3);
        if low <= high { (low - room, high + room) } else { (0.0, 1.0) }
    };
    let (train, val) = (points(&|epoch| epoch.loss), points(&|epoch| Some(epoch.val_loss)));
    let auc = points(&|epoch| epoch.val_auc);
    let last = details.history.last().map_or(1.0, |epoch| epoch.epoch.max(1) as f64);
    let (from, to) = extent(&[&train, &val]);
    let (auc_from, auc_to) = extent(&[&auc]);
    Figure {
        title: format!("{name} learns in integers"),
        caption: vec![format!(
            "epoch {} was kept, by its loss on the validation split; 0 is quantisation after training",
            details.best_epoch
        )],
        panels: vec![
            Panel {
                x: Axis::new("epoch", 0.0, last),
                y: Axis { ticks: 5, ..Axis::new("loss", from, to) },
                marks: vec![
                    Mark::Line(series("train split", BLUE, train)),
                    Mark::Line(series("validation split", ORANGE, val)),
                ],
            },
            Panel {
                x: Axis::new("epoch", 0.0, last),
                y: Axis { ticks: 5, ..Axis::new("AUC", auc_from, auc_to) },
                marks: vec![Mark::Line(series("AUC, validation split", TEAL, auc))],
            },
        ],
    }
}
