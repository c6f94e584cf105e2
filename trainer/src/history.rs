//! What a run says at the end of each epoch: a JSON line for programs, curves for people.

use crate::figure::{Axis, BLUE, Figure, INK, Mark, ORANGE, Panel, Series, TEAL};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochLine {
    /// Counted from 1.
    pub epoch: u64,
    /// Mean over its steps.
    pub loss: f64,
    /// AUC on the validation split; absent if a class is.
    pub val_auc: Option<f64>,
    /// AUC there of cues that know nothing of faces.
    #[serde(default)]
    pub val_trivial_cues_auc: Option<f64>,
    /// At its last step.
    pub learning_rate: f64,
    /// Speed of its training steps.
    pub pictures_per_s: f64,
}

/// The lines of the file at `path`.
///
/// # Errors
/// If it does not read, or a line is none of a run.
pub fn read_history(path: &Path) -> Result<Vec<EpochLine>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = |line| serde_json::from_str(line).with_context(|| format!("in {}", path.display()));
    text.lines().map(line).collect()
}

/// Adds `line` as JSON to the file at `path`.
///
/// # Errors
/// If it cannot be written.
pub fn append_line(path: &Path, line: &impl Serialize) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).with_context(context)?;
    writeln!(file, "{}", serde_json::to_string(line)?).with_context(context)
}

/// Loss, validation AUC and learning rate over the epochs.
pub fn training_curves(lines: &[EpochLine]) -> Figure {
    let points = |value: &dyn Fn(&EpochLine) -> Option<f64>| -> Vec<(f64, f64)> {
        lines.iter().filter_map(|line| Some((line.epoch as f64, value(line)?))).collect()
    };
    let panel = |label: &str, marks: Vec<Mark>| {
        let values = marks.iter().flat_map(|mark| match mark {
            Mark::Line(series) | Mark::Dashes(series) | Mark::Dots(series) => series.points.as_slice(),
            _ => &[],
        });
        let (low, high) =
            values.fold((f64::MAX, f64::MIN), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
        // Room above and below, and an extent where all values are alike.
        let room = ((high - low) * 0.08).max(high.abs() * 0.01).max(1e-9);
        let (from, to) = if low <= high { (low - room, high + room) } else { (0.0, 1.0) };
        let last = lines.last().map_or(1, |line| line.epoch) as f64;
        Panel {
            x: Axis::new("epoch", 0.0, last.max(1.0)),
            y: Axis { ticks: 5, ..Axis::new(label, from, to) },
            marks,
        }
    };
    let series = |name: &str, colour, points| Series { name: name.into(), colour, points };
    let best = lines.iter().filter_map(|line| Some((line, line.val_auc?)));
    let best = best.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.epoch.cmp(&a.0.epoch)));
    let star: Vec<(f64, f64)> = best.iter().map(|(line, auc)| (line.epoch as f64, *auc)).collect();
    let control = points(&|line| line.val_trivial_cues_auc);
    let mut caption = Vec::new();
    if let Some((line, auc)) = best {
        let control = line.val_trivial_cues_auc.map_or("-".to_owned(), |auc| format!("{auc:.4}"));
        caption.push(format!(
            "best of {} epochs: {}, AUC {auc:.4} on the validation split, which chose it; trivial cues {control}",
            lines.len(),
            line.epoch
        ));
    }
    Figure {
        title: "Training".into(),
        caption,
        panels: vec![
            panel(
                "loss",
                vec![Mark::Line(series("loss, train split", BLUE, points(&|line| Some(line.loss))))],
            ),
            panel(
                "AUC",
                vec![
                    Mark::Dashes(series("trivial cues, validation split", INK, control)),
                    Mark::Line(series("AUC, validation split", ORANGE, points(&|line| line.val_auc))),
                    Mark::Dots(series("best", ORANGE, star)),
                ],
            ),
            panel(
                "learning rate",
                vec![Mark::Line(series("learning rate", TEAL, points(&|line| Some(line.learning_rate))))],
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(epoch: u64, val_auc: Option<f64>) -> EpochLine {
        EpochLine {
            epoch,
            loss: 1.0 / epoch as f64,
            val_auc,
            val_trivial_cues_auc: Some(0.6),
            learning_rate: 1e-3,
            pictures_per_s: 9.0,
        }
    }

    #[test]
    fn the_first_of_the_best_epochs_is_named() {
        let lines = [line(1, None), line(2, Some(0.75)), line(3, Some(0.8125)), line(4, Some(0.8125))];
        let figure = training_curves(&lines);
        assert!(figure.caption[0].contains("best of 4 epochs: 3, AUC 0.8125"), "{:?}", figure.caption);
        assert!(figure.caption[0].contains("trivial cues 0.6000"));
        assert!(figure.svg().unwrap().contains("learning rate"));
    }

    #[test]
    fn a_run_without_a_figure_yet_has_curves() {
        for lines in [&[][..], &[line(1, None)]] {
            training_curves(lines).svg().unwrap();
        }
    }
}
