//! An evaluation as files: scores, figures, plots, and one page with all of it.

use crate::dataset::Split;
use crate::evaluate::{Reading, SetReport, number, sets, threshold_text, with_interval};
use crate::figure::Figure;
use crate::files::{write_json, write_whole};
use crate::metrics::Scored;
use crate::page::Page;
use crate::plots::{Judged, plots, write_plots};
use crate::scores::{ScoreRow, write_scores};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// Writes to `folder`: scores.csv, metrics.json, plots/SET/NAME.svg and .csv, report.html, and
/// threshold.json on the validation split: the cascade's threshold that was chosen, or null.
///
/// # Errors
/// If a plot cannot be drawn or a file not written.
pub fn write_evaluation(
    folder: &Path,
    rows: &[ScoreRow],
    reports: &BTreeMap<String, SetReport>,
    reading: &Reading,
) -> Result<()> {
    write_scores(&folder.join("scores.csv"), rows)?;
    write_json(&folder.join("metrics.json"), reports)?;
    if reading.split == Split::Val {
        let selection = reports.get("all").and_then(|report| report.selection.as_ref());
        write_json(&folder.join("threshold.json"), &selection)?;
    }
    let mut page = Page::new(&format!("Evaluation on the {} split", reading.split.name()));
    page.paragraph(
        "An AUC is the chance that a fake scores above a real picture; 0.5 is a coin. Beside it stands the control: \
         what a regression on size, compression, colours and sharpness reaches, which knows nothing of faces. \
         Intervals hold 95 % of 2000 bootstrap resamples.",
    );
    overview(&mut page, reports);
    let sets = sets(rows);
    // One set alone is the whole.
    let shown = reports.iter().filter(|(name, _)| *name == "all" || sets.len() > 2);
    for (number, (name, report)) in shown.enumerate() {
        let indices = sets.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let scored: Vec<Scored> = indices.iter().map(|&i| rows[i].probability(reading.temperature)).collect();
        let control: Option<Vec<Scored>> = indices.iter().map(|&i| rows[i].control()).collect();
        let plots = plots(&Judged {
            set: name,
            split: reading.split,
            scored: &scored,
            control: control.as_deref().unwrap_or_default(),
            report,
            threshold: report.selection.as_ref().map(|chosen| chosen.threshold).or(reading.threshold),
        })?;
        write_plots(&folder.join("plots").join(folder_name(name, number)), &plots)?;
        section(&mut page, name, report, reading, plots.iter().map(|plot| &plot.figure))?;
    }
    write_whole(&folder.join("report.html"), page.html().as_bytes())
}

fn overview(page: &mut Page, reports: &BTreeMap<String, SetReport>) {
    let head = ["set", "real", "fake", "AUC", "trivial cues", "F1", "equal error rate", "ECE", "Brier"];
    let row = |(name, report): (&String, &SetReport)| {
        let (metrics, judgement) = (&report.metrics, &report.judgement);
        vec![
            name.clone(),
            metrics.real.to_string(),
            metrics.fake.to_string(),
            with_interval(metrics.auc, metrics.auc_interval),
            with_interval(report.trivial_cues_auc, report.trivial_cues_auc_interval),
            format!("{:.4}", metrics.f1),
            number(judgement.equal_error_rate),
            format!("{:.4}", metrics.ece),
            format!("{:.4}", judgement.brier),
        ]
    };
    page.table(&head, &reports.iter().map(row).collect::<Vec<_>>());
}

fn section<'a>(
    page: &mut Page,
    name: &str,
    report: &SetReport,
    reading: &Reading,
    figures: impl Iterator<Item = &'a Figure>,
) -> Result<()> {
    page.heading(name);
    page.paragraph(&format!("The cascade's threshold: {}.", threshold_text(report, reading)));
    page.plots(figures)?;
    let head = [
        "certainty",
        "passed as real",
        "leakage",
        "precision",
        "called fake",
        "false alarms",
        "precision of these",
    ];
    let row = |row: &crate::cascade::CascadeRow| {
        vec![
            format!("{:.2}", row.certainty),
            format!("{:.4}", row.real.filtration),
            number(row.real.leakage),
            number(row.real.precision),
            format!("{:.4}", row.fake.share),
            number(row.fake.false_alarms),
            number(row.fake.precision),
        ]
    };
    page.table(&head, &report.cascade.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

/// A name for the folder of the `number`-th set that stays where it is put: names of sets come from files.
pub fn folder_name(set: &str, number: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let name: String = set.chars().take(60).map(plain).collect();
    // What was changed may now be called like another one.
    if name == set { name } else { format!("{name}-{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::evaluate;

    #[test]
    fn names_of_sets_lead_nowhere() {
        assert_eq!(folder_name("ciplab", 3), "ciplab");
        assert_eq!(folder_name("../../etc", 0), "______etc-0");
        assert_eq!(folder_name("", 1), "");
        assert_ne!(folder_name("a b", 0), folder_name("a/b", 1));
    }

    #[test]
    fn an_evaluation_is_whole_and_points_nowhere() -> Result<()> {
        let row = |(index, logit): (usize, f64)| ScoreRow {
            path: format!("{index}.png"),
            label: u8::from(index % 2 == 1),
            dataset: ["<script>alert(1)</script>", "../two"][index / 6].into(),
            group: index.to_string(),
            logit,
            trivial_cues: Some(0.1 * (index % 7) as f64),
        };
        let logits = [-1.0, 2.0, -3.0, 0.5, 0.2, -0.1, -2.0, 1.0, -1.5, 3.0, -0.5, 2.5];
        let rows: Vec<ScoreRow> = logits.into_iter().enumerate().map(row).collect();
        let folder = std::env::temp_dir().join(format!("aware-evaluation-{}", std::process::id()));
        for split in [Split::Val, Split::Test] {
            let reading = Reading { temperature: 1.5, split, threshold: None };
            let folder = folder.join(split.name());
            write_evaluation(&folder, &rows, &evaluate(&rows, &reading), &reading)?;
            assert_eq!(folder.join("threshold.json").exists(), split == Split::Val);
            let html = std::fs::read_to_string(folder.join("report.html"))?;
            assert!(!html.contains("<script"), "a name of a set became a script");
            let foreign = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            for reference in ["http", "src=", "href", "url("] {
                assert!(!foreign.contains(reference), "{reference} in the page");
            }
            assert_eq!(html.matches("<svg ").count(), 18, "six plots of each set and of all");
            for name in ["roc", "thresholds", "filtration", "distribution", "reliability", "confusion"] {
                let svg = std::fs::read_to_string(folder.join(format!("plots/all/{name}.svg")))?;
                assert!(svg.contains("currentColor") && !svg.contains("#010203"), "{name}");
                assert!(svg.contains(&format!("{} split, all: 6 real, 6 fake", split.name())), "{name}");
                let data = std::fs::read_to_string(folder.join(format!("plots/all/{name}.csv")))?;
                assert!(data.lines().count() > 3, "{name}: {data}");
            }
            let roc = std::fs::read_to_string(folder.join("plots/all/roc.svg"))?;
            assert!(roc.contains("trivial cues 0.") && roc.contains("AUC 0."), "{roc}");
        }
        std::fs::remove_dir_all(&folder)?;
        Ok(())
    }
}
