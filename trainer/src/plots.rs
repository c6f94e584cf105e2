//! The plots of a judgement: what is drawn, and the same numbers as CSV.

use crate::cascade::{MAX_LEAKAGE, MIN_FILTRATION};
use crate::curves::{RocPoint, SweepPoint, histogram, roc, sweep};
use crate::dataset::Split;
use crate::evaluate::{SetReport, with_interval};
use crate::figure::{Axis, BLUE, Figure, INK, Mark, ORANGE, PURPLE, Panel, Series, TEAL};
use crate::files::write_whole;
use crate::metrics::Scored;
use crate::reliability::Bin;
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;

/// A figure and the numbers in it.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Name of its files, without ending.
    pub name: &'static str,
    /// What is drawn.
    pub figure: Figure,
    /// The numbers, as CSV with names of columns.
    pub data: Vec<u8>,
}

/// One set of pictures with its report.
pub struct Judged<'a> {
    /// Name of the set.
    pub set: &'a str,
    /// Where it is from.
    pub split: Split,
    /// P(fake) of each picture.
    pub scored: &'a [Scored],
    /// What the control says of each; empty if it was not asked.
    pub control: &'a [Scored],
    /// The report.
    pub report: &'a SetReport,
    /// The cascade's threshold, chosen here or on the validation split.
    pub threshold: Option<f64>,
}

/// Writes `plots` to `folder` as NAME.svg and NAME.csv.
///
/// # Errors
/// If a plot cannot be drawn or a file not written.
pub fn write_plots(folder: &Path, plots: &[Plot]) -> Result<()> {
    for plot in plots {
        write_whole(&folder.join(format!("{}.svg", plot.name)), plot.figure.svg()?.as_bytes())?;
        write_whole(&folder.join(format!("{}.csv", plot.name)), &plot.data)?;
    }
    Ok(())
}

/// Every plot of `judged` that its pictures allow: one class alone has no ROC curve.
///
/// # Errors
/// None but the CSV writer's.
pub fn plots(judged: &Judged) -> Result<Vec<Plot>> {
    let mut plots = Vec::new();
    if judged.report.metrics.auc.is_some() {
        plots.push(roc_plot(judged)?);
        plots.push(filtration_plot(judged)?);
    }
    plots.extend([threshold_plot(judged)?, distribution_plot(judged)?]);
    plots.extend([reliability_plot(judged)?, confusion_plot(judged)?]);
    Ok(plots)
}

impl Judged<'_> {
    /// What every caption ends with.
    fn pictures(&self) -> String {
        let metrics = &self.report.metrics;
        format!("{} split, {}: {} real, {} fake", self.split.name(), self.set, metrics.real, metrics.fake)
    }

    fn auc(&self) -> String {
        let report = self.report;
        format!(
            "AUC {}, trivial cues {} (95 % bootstrap)",
            with_interval(report.metrics.auc, report.metrics.auc_interval),
            with_interval(report.trivial_cues_auc, report.trivial_cues_auc_interval)
        )
    }

    /// The threshold as an upright line.
    fn threshold_mark(&self) -> Option<Mark> {
        let threshold = self.threshold?;
        let chosen = if self.split == Split::Val { "chosen here" } else { "chosen on validation" };
        Some(Mark::Dashes(Series {
            name: format!("passes as real up to {threshold:.3}, {chosen}"),
            colour: INK,
            points: vec![(threshold, 0.0), (threshold, 1.0)],
        }))
    }
}

fn series(name: &str, colour: plotters::style::RGBColor, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.into(), colour, points }
}

fn roc_plot(judged: &Judged) -> Result<Plot> {
    let points = roc(judged.scored);
    let control = roc(judged.control);
    let curve = |points: &[RocPoint]| points.iter().map(|p| (p.false_alarms, p.recall)).collect();
    let marks = vec![
        Mark::Dashes(series("chance", INK, vec![(0.0, 0.0), (1.0, 1.0)])),
        Mark::Line(series(if control.is_empty() { "" } else { "trivial cues" }, TEAL, curve(&control))),
        Mark::Line(series("network", ORANGE, curve(&points))),
    ];
    let shuffled = judged
        .report
        .shuffled_auc_interval
        .map_or(String::new(), |[low, high]| format!("; with shuffled labels {low:.3} to {high:.3}"));
    Ok(Plot {
        name: "roc",
        figure: Figure {
            title: "Fakes found against false alarms".into(),
            caption: vec![judged.auc(), judged.pictures() + &shuffled],
            panels: vec![Panel {
                x: Axis::share("share of the reals that are called fake"),
                y: Axis::share("share of the fakes that are called fake"),
                marks,
            }],
        },
        data: csv(&points)?,
    })
}

fn threshold_plot(judged: &Judged) -> Result<Plot> {
    let points = sweep(judged.scored);
    let curve = |value: &dyn Fn(&SweepPoint) -> Option<f64>| -> Vec<(f64, f64)> {
        points.iter().filter_map(|point| Some((point.threshold, value(point)?))).collect()
    };
    let mut marks = vec![
        Mark::Line(series("precision", BLUE, curve(&|p| p.precision))),
        Mark::Line(series("recall", ORANGE, curve(&|p| p.recall))),
        Mark::Line(series("filtration: all that pass as real", TEAL, curve(&|p| Some(p.filtration)))),
        Mark::Line(series("leakage: fakes that pass", PURPLE, curve(&|p| p.leakage))),
    ];
    marks.extend(judged.threshold_mark());
    let metrics = &judged.report.metrics;
    let at_half = format!(
        "called fake from 0.5 on: precision {:.3}, recall {:.3}, F1 {:.3}, accuracy {:.3}",
        metrics.precision, metrics.recall, metrics.f1, metrics.accuracy
    );
    Ok(Plot {
        name: "thresholds",
        figure: Figure {
            title: "What a threshold does".into(),
            caption: vec![at_half, judged.pictures()],
            panels: vec![Panel { x: Axis::share("threshold on P(fake)"), y: Axis::share("share"), marks }],
        },
        data: csv(&points)?,
    })
}

fn filtration_plot(judged: &Judged) -> Result<Plot> {
    let points = sweep(judged.scored);
    let curve = points.iter().filter_map(|p| Some((p.filtration, p.leakage?))).collect();
    let limit = |points: Vec<(f64, f64)>, name: &str| Mark::Dashes(series(name, INK, points));
    let mut marks = vec![
        limit(
            vec![(0.0, MAX_LEAKAGE), (1.0, MAX_LEAKAGE), (1.0, MAX_LEAKAGE)],
            "limits: leakage < 5 %, filtration > 30 %",
        ),
        limit(vec![(MIN_FILTRATION, 0.0), (MIN_FILTRATION, 1.0)], ""),
        Mark::Line(series("every threshold", PURPLE, curve)),
    ];
    let report = judged.report;
    let at = report.selection.as_ref().map(|chosen| &chosen.here).or(report.at_chosen_threshold.as_ref());
    let mut caption = vec![judged.pictures()];
    if let (Some(there), Some(threshold)) = (at, judged.threshold) {
        let point = there.real.leakage.map(|leakage| (there.real.filtration, leakage));
        let name = format!("at {threshold:.3}");
        marks.push(Mark::Dots(Series { name, colour: ORANGE, points: point.into_iter().collect() }));
        caption.insert(
            0,
            format!(
                "at {threshold:.3}: leakage {}, filtration {}",
                with_interval(there.real.leakage, there.leakage_interval),
                with_interval(Some(there.real.filtration), there.filtration_interval)
            ),
        );
    } else {
        caption.insert(0, "no threshold keeps both limits on the validation split".into());
    }
    Ok(Plot {
        name: "filtration",
        figure: Figure {
            title: "What a first stage saves, and what it lets through".into(),
            caption,
            panels: vec![Panel {
                x: Axis::share("filtration: share of all that pass as real"),
                y: Axis::share("leakage: share of the fakes that pass"),
                marks,
            }],
        },
        data: csv(&points)?,
    })
}

fn distribution_plot(judged: &Judged) -> Result<Plot> {
    let bins = histogram(judged.scored);
    let highest = bins.iter().flat_map(|bin| [bin.real, bin.fake]).fold(0.01, f64::max);
    let bars = |value: &dyn Fn(usize) -> f64| -> Vec<[f64; 3]> {
        bins.iter().enumerate().map(|(i, bin)| [bin.lower, bin.upper, value(i)]).collect()
    };
    Ok(Plot {
        name: "distribution",
        figure: Figure {
            title: "How sure the network is".into(),
            caption: vec![judged.auc(), judged.pictures()],
            panels: vec![Panel {
                x: Axis::share("P(fake)"),
                y: Axis::new("share of the class", 0.0, highest * 1.08),
                marks: vec![
                    Mark::Bars { name: "real".into(), colour: BLUE, bars: bars(&|i| bins[i].real) },
                    Mark::Bars { name: "fake".into(), colour: ORANGE, bars: bars(&|i| bins[i].fake) },
                ],
            }],
        },
        data: csv(&bins)?,
    })
}

fn reliability_plot(judged: &Judged) -> Result<Plot> {
    let bins = &judged.report.judgement.bins;
    let filled = || bins.iter().filter_map(|bin| Some((bin, bin.mean_score?, bin.fakes?)));
    let bars = filled().map(|(bin, _, fakes)| [bin.lower, bin.lower + 0.1, fakes]).collect();
    let mut marks = vec![
        Mark::Bars { name: "share of fakes, by tenths of P(fake)".into(), colour: ORANGE, bars },
        Mark::Dashes(series("what is said is what is", INK, vec![(0.0, 0.0), (1.0, 1.0)])),
        Mark::Dots(series("mean P(fake)", BLUE, filled().map(|(_, mean, fakes)| (mean, fakes)).collect())),
    ];
    let count = |(bin, ..): (&Bin, f64, f64)| Mark::Word {
        at: (bin.lower + 0.05, 1.02),
        text: bin.count.to_string(),
    };
    marks.extend(filled().map(count));
    let judgement = &judged.report.judgement;
    let numbers = format!(
        "ECE {:.4}, MCE {:.4}, Brier {:.4}, NLL {:.4}; above each tenth the number of its pictures",
        judged.report.metrics.ece, judgement.mce, judgement.brier, judgement.nll
    );
    Ok(Plot {
        name: "reliability",
        figure: Figure {
            title: "What is said against what is".into(),
            caption: vec![numbers, judged.pictures()],
            panels: vec![Panel {
                x: Axis::share("P(fake)"),
                // Room for the counts.
                y: Axis::new("share of fakes", 0.0, 1.1),
                marks,
            }],
        },
        data: csv(bins)?,
    })
}

#[derive(Serialize)]
struct ConfusionRow {
    truth: &'static str,
    called: &'static str,
    pictures: usize,
    share_of_class: Option<f64>,
}

fn confusion_plot(judged: &Judged) -> Result<Plot> {
    let metrics = &judged.report.metrics;
    let counts = judged.report.judgement.confusion;
    let cells = [
        ("real", "real", counts.true_negatives, metrics.real, [0.0, 1.0]),
        ("real", "fake", counts.false_positives, metrics.real, [1.0, 1.0]),
        ("fake", "real", counts.false_negatives, metrics.fake, [0.0, 0.0]),
        ("fake", "fake", counts.true_positives, metrics.fake, [1.0, 0.0]),
    ];
    let rows = cells.map(|(truth, called, pictures, class, _)| ConfusionRow {
        truth,
        called,
        pictures,
        share_of_class: (class > 0).then(|| pictures as f64 / class as f64),
    });
    let marks = rows.iter().zip(cells).map(|(row, (.., [x, y]))| {
        let share = row.share_of_class.unwrap_or(0.0);
        Mark::Cell {
            corners: [(x, y), (x + 1.0, y + 1.0)],
            colour: if row.truth == row.called { TEAL } else { ORANGE },
            strength: share,
            text: vec![
                format!("{}, called {}", row.truth, row.called),
                row.pictures.to_string(),
                format!(
                    "{:.1} % of the {}",
                    100.0 * share,
                    if row.truth == "real" { "reals" } else { "fakes" }
                ),
            ],
        }
    });
    let specificity = judged.report.judgement.specificity.map_or("-".to_owned(), |s| format!("{s:.3}"));
    let numbers = format!(
        "accuracy {:.3}, precision {:.3}, recall {:.3}, specificity {specificity}, F1 {:.3}",
        metrics.accuracy, metrics.precision, metrics.recall, metrics.f1
    );
    let axis = |label: &str| Axis { ticks: 0, ..Axis::new(label, 0.0, 2.0) };
    Ok(Plot {
        name: "confusion",
        figure: Figure {
            title: "Verdicts at P(fake) = 0.5".into(),
            caption: vec![numbers, judged.pictures()],
            panels: vec![Panel {
                x: axis("called real | called fake"),
                y: axis("fake | real"),
                marks: marks.collect(),
            }],
        },
        data: csv(&rows)?,
    })
}

fn csv<T: Serialize>(rows: &[T]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row))?;
    writer.into_inner().context("cannot finish the numbers of a plot")
}
