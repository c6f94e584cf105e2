//! The judgement of scores, of a run or from a file: per data set and pooled.

use crate::cascade::{AtThreshold, CascadeRow, Selection, at_threshold, cascade_table, select_threshold};
use crate::dataset::Split;
use crate::judgement::Judgement;
use crate::metrics::{Metrics, Scored, auc, auc_interval, shuffled_auc_interval};
use crate::scores::ScoreRow;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Seed of every bootstrap here.
const SEED: u64 = 1;

/// How scores are read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Divisor of the logits, fitted on the validation split.
    pub temperature: f64,
    /// Where the pictures are from. The cascade's threshold is chosen on the validation split alone.
    pub split: Split,
    /// The cascade's threshold as it was chosen there, to be judged on other splits.
    pub threshold: Option<f64>,
}

/// Everything known of one set of pictures.
#[derive(Debug, Clone, Serialize)]
pub struct SetReport {
    /// AUC and what 0.5 gives.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Confusion and calibration.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// AUC of cues that know nothing of faces; absent if the scores hold none.
    pub trivial_cues_auc: Option<f64>,
    /// 95 % bootstrap interval of that AUC.
    pub trivial_cues_auc_interval: Option<[f64; 2]>,
    /// Where 95 % of the AUCs lie if the labels are dealt out at random.
    pub shuffled_auc_interval: Option<[f64; 2]>,
    /// What a first stage could answer alone.
    pub cascade: Vec<CascadeRow>,
    /// The threshold under both limits; absent if none satisfies both, and on any split but validation.
    pub selection: Option<Selection>,
    /// What the threshold that was chosen on the validation split does here; absent if none was.
    pub at_chosen_threshold: Option<AtThreshold>,
}

/// Pictures by data set and, last, "all" of them: indices into `rows`.
pub fn sets(rows: &[ScoreRow]) -> BTreeMap<&str, Vec<usize>> {
    let mut sets: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        sets.entry(&row.dataset).or_default().push(index);
    }
    // Last, so that a data set that calls itself so does not hide the whole.
    sets.insert("all", (0..rows.len()).collect());
    sets
}

/// Reports per data set and of "all" together.
pub fn evaluate(rows: &[ScoreRow], reading: &Reading) -> BTreeMap<String, SetReport> {
    let report = |(name, indices): (&str, Vec<usize>)| {
        let rows: Vec<&ScoreRow> = indices.iter().map(|&index| &rows[index]).collect();
        (name.to_owned(), SetReport::of(&rows, reading))
    };
    sets(rows).into_iter().map(report).collect()
}

impl SetReport {
    /// The report of `rows`.
    pub fn of(rows: &[&ScoreRow], reading: &Reading) -> Self {
        let scored: Vec<Scored> = rows.iter().map(|row| row.probability(reading.temperature)).collect();
        let groups: Vec<String> = rows.iter().map(|row| row.source()).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let control: Option<Vec<Scored>> = rows.iter().map(|row| row.control()).collect();
        let elsewhere = reading.threshold.filter(|_| reading.split != Split::Val);
        SetReport {
            metrics: Metrics::of(&scored, SEED),
            judgement: Judgement::of(&scored),
            trivial_cues_auc: control.as_deref().and_then(auc),
            trivial_cues_auc_interval: control.as_deref().and_then(|control| auc_interval(control, SEED)),
            shuffled_auc_interval: shuffled_auc_interval(&scored, SEED),
            cascade: cascade_table(&scored),
            selection: match reading.split {
                Split::Val => select_threshold(&scored, &groups, SEED),
                Split::Train | Split::Test => None,
            },
            at_chosen_threshold: elsewhere.map(|threshold| at_threshold(&scored, &groups, threshold, SEED)),
        }
    }
}

/// A number with four decimals, or a dash.
pub fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.4}"))
}

/// A number with its interval.
pub fn with_interval(value: Option<f64>, interval: Option<[f64; 2]>) -> String {
    let interval = interval.map(|[low, high]| format!(" [{low:.4}, {high:.4}]"));
    number(value) + &interval.unwrap_or_default()
}

/// `reports` as lines for a terminal.
pub fn text(reports: &BTreeMap<String, SetReport>, reading: &Reading) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    for (name, report) in reports {
        let (metrics, judgement) = (&report.metrics, &report.judgement);
        let [low, high] = report.shuffled_auc_interval.map_or([None; 2], |interval| interval.map(Some));
        let _ = writeln!(text, "{name}: {} real, {} fake", metrics.real, metrics.fake);
        let _ = writeln!(
            text,
            "  AUC {}, trivial cues {}, shuffled labels {} to {}; equal error rate {}",
            with_interval(metrics.auc, metrics.auc_interval),
            with_interval(report.trivial_cues_auc, report.trivial_cues_auc_interval),
            number(low),
            number(high),
            number(judgement.equal_error_rate)
        );
        let _ = writeln!(
            text,
            "  at 0.5: accuracy {:.4}, F1 {:.4}, precision {:.4}, recall {:.4}, specificity {}",
            metrics.accuracy,
            metrics.f1,
            metrics.precision,
            metrics.recall,
            number(judgement.specificity)
        );
        let _ = writeln!(
            text,
            "  calibration: ECE {:.4}, MCE {:.4}, Brier {:.4}, NLL {:.4}",
            metrics.ece, judgement.mce, judgement.brier, judgement.nll
        );
        for row in &report.cascade {
            let _ = writeln!(
                text,
                "  {:.2} certain: real filtration {:.4}, leakage {}, precision {}; fake share {:.4}, false alarms {}, precision {}",
                row.certainty,
                row.real.filtration,
                number(row.real.leakage),
                number(row.real.precision),
                row.fake.share,
                number(row.fake.false_alarms),
                number(row.fake.precision)
            );
        }
        let _ = writeln!(text, "  {}", threshold_text(report, reading));
    }
    text
}

/// What became of the cascade's threshold, in a line.
pub fn threshold_text(report: &SetReport, reading: &Reading) -> String {
    let at = |there: &AtThreshold| {
        format!(
            "leakage {}, filtration {}",
            with_interval(there.real.leakage, there.leakage_interval),
            with_interval(Some(there.real.filtration), there.filtration_interval)
        )
    };
    match (&report.selection, &report.at_chosen_threshold, reading) {
        (Some(chosen), ..) => format!(
            "passes as real up to {}, chosen here: {}",
            with_interval(Some(chosen.threshold), Some(chosen.threshold_interval)),
            at(&chosen.here)
        ),
        (None, Some(there), Reading { threshold: Some(threshold), .. }) => {
            format!("passes as real up to {threshold:.4}, chosen on the validation split: {}", at(there))
        }
        (.., Reading { split: Split::Val, .. }) => {
            "no threshold has a leakage < 5 % and a filtration > 30 %".to_owned()
        }
        _ => "no threshold: one is chosen on the validation split alone, and none was there".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(logits: &[f64]) -> Vec<ScoreRow> {
        let row = |(index, &logit): (usize, &f64)| ScoreRow {
            path: format!("{index}.png"),
            label: u8::from(index % 2 == 1),
            dataset: if index < 4 { "one" } else { "two" }.into(),
            group: (index / 2).to_string(),
            logit,
            trivial_cues: Some(0.5),
        };
        logits.iter().enumerate().map(row).collect()
    }

    fn reading(split: Split, threshold: Option<f64>) -> Reading {
        Reading { temperature: 1.0, split, threshold }
    }

    #[test]
    fn sets_are_judged_alone_and_together() {
        let rows = rows(&[-1.0, 1.0, -2.0, 2.0, 3.0, -3.0]);
        let val = reading(Split::Val, None);
        let reports = evaluate(&rows, &val);
        let auc = |name: &str| reports[name].metrics.auc.unwrap();
        assert_eq!((auc("one"), auc("two"), auc("all")), (1.0, 0.0, 4.0 / 9.0));
        assert_eq!(reports["all"].trivial_cues_auc, Some(0.5));
        assert_eq!(reports["one"].judgement.confusion.true_positives, 2);
        let text = text(&reports, &val);
        assert!(text.contains("all: 3 real, 3 fake") && text.contains("trivial cues 0.5000"), "{text}");
        assert!(text.contains("no threshold has"), "{text}");
    }

    #[test]
    fn a_threshold_is_chosen_on_the_validation_split_and_only_judged_elsewhere() {
        let rows = rows(&[-1.0, 1.0, -2.0, 2.0]);
        let val = evaluate(&rows, &reading(Split::Val, None));
        let chosen = val["all"].selection.as_ref().unwrap().threshold;
        assert!((chosen - 0.268_941).abs() < 1e-6, "{chosen}");
        for split in [Split::Train, Split::Test] {
            let reading = reading(split, Some(chosen));
            let reports = evaluate(&rows, &reading);
            assert_eq!(reports["all"].selection, None, "{split:?} chooses nothing");
            assert_eq!(reports["all"].at_chosen_threshold.as_ref().unwrap().real.filtration, 0.5);
            let text = text(&reports, &reading);
            assert!(text.contains("up to 0.2689, chosen on the validation split: leakage 0.0000"), "{text}");
        }
        let reports = evaluate(&rows, &reading(Split::Test, None));
        assert_eq!((&reports["all"].selection, &reports["all"].at_chosen_threshold), (&None, &None));
        assert!(text(&reports, &reading(Split::Test, None)).contains("and none was there"));
    }

    #[test]
    fn a_control_that_is_not_everywhere_is_nowhere() {
        let mut rows = rows(&[-1.0, 1.0]);
        rows[1].trivial_cues = None;
        assert_eq!(evaluate(&rows, &reading(Split::Test, None))["all"].trivial_cues_auc, None);
    }
}
