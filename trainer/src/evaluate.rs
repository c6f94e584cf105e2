//! The judgement of scores, of a run or from a file: per data set and pooled, and of two runs side by side.

use crate::cascade::{CascadeRow, Selection, cascade_table, select_threshold};
use crate::checkpoint::Checkpoint;
use crate::dataset::{Sample, Split, read_manifest};
use crate::files::read_limited;
use crate::judgement::Judgement;
use crate::loader::Loader;
use crate::metrics::{Metrics, Scored, auc, percentiles};
use crate::scores::ScoreRow;
use crate::train::{Network, RunFolder, RunMetrics, logits, select};
use crate::trivial::trivial_scores;
use anyhow::{Context, Result, ensure};
use candle_core::Device;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// Seed of every bootstrap here.
const SEED: u64 = 1;
/// Resamples behind the interval of a difference.
const RESAMPLES: usize = 2000;
/// Largest metrics file of a run.
const MAX_METRICS_BYTES: u64 = 16 << 20;

/// Everything known of one set of pictures.
#[derive(Debug, Clone, Serialize)]
pub struct SetReport {
    /// AUC and what 0.5 gives.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Confusion and calibration.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// AUC of cues that know nothing of faces; absent for scores from a file.
    pub trivial_cues_auc: Option<f64>,
    /// What a first stage could answer alone.
    pub cascade: Vec<CascadeRow>,
    /// The threshold under both limits; absent if none satisfies both.
    pub selection: Option<Selection>,
}

/// Scores of a run on one split, with those of the control.
pub struct RunScores {
    /// What the network said.
    pub rows: Vec<ScoreRow>,
    /// What the trivial cues say, in the same order.
    pub trivial: Vec<Scored>,
    /// Divisor of the logits, fitted on the validation split.
    pub temperature: f64,
}

/// Scores of the best epoch of the run in `folder` on `split`.
///
/// # Errors
/// If the run is not finished, or a picture of its manifest does not load.
pub fn score_run(folder: &RunFolder, split: Split) -> Result<RunScores> {
    let metrics = read_limited(&folder.metrics(), MAX_METRICS_BYTES).context("the run is not finished")?;
    let metrics: RunMetrics =
        serde_json::from_slice(&metrics).with_context(|| format!("in {}", folder.metrics().display()))?;
    let checkpoint = Checkpoint::read(&folder.best())?;
    let config = &checkpoint.progress.config;
    let samples = select(read_manifest(&config.manifest)?, &config.datasets)?;
    let of_split = |wanted: Split| {
        let samples = samples.iter().filter(|sample| sample.split == wanted);
        Loader::new(samples.cloned().collect(), config.preprocess())
    };
    let (learned, judged) = (of_split(Split::Train), of_split(split));
    let network = Network::from_checkpoint(&checkpoint, &Device::Cpu)?;
    let row = |(sample, scored): (&Sample, &Scored)| ScoreRow {
        path: sample.name(),
        label: sample.label,
        dataset: sample.dataset.clone(),
        group: sample.group.clone(),
        logit: scored.score,
    };
    Ok(RunScores {
        rows: judged.samples().iter().zip(&logits(&network.model, &judged)?).map(row).collect(),
        trivial: trivial_scores(&learned, &judged)?,
        temperature: metrics.temperature,
    })
}

/// Reports per data set and of "all" together; `trivial` holds the control's score of each row.
pub fn evaluate(
    rows: &[ScoreRow],
    trivial: Option<&[Scored]>,
    temperature: f64,
) -> BTreeMap<String, SetReport> {
    let mut sets: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        sets.entry(&row.dataset).or_default().push(index);
    }
    // Last, so that a data set that calls itself so does not hide the whole.
    sets.insert("all", (0..rows.len()).collect());
    let report = |(name, indices): (&str, Vec<usize>)| {
        let scored: Vec<Scored> = indices.iter().map(|&i| rows[i].probability(temperature)).collect();
        let groups: Vec<String> = indices.iter().map(|&i| source(&rows[i])).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let control = trivial.map(|all| indices.iter().map(|&i| all[i]).collect::<Vec<_>>());
        let report = SetReport {
            metrics: Metrics::of(&scored, SEED),
            judgement: Judgement::of(&scored),
            trivial_cues_auc: control.and_then(|control| auc(&control)),
            cascade: cascade_table(&scored),
            selection: select_threshold(&scored, &groups, SEED),
        };
        (name.to_owned(), report)
    };
    sets.into_iter().map(report).collect()
}

/// `reports` as lines for a terminal.
pub fn text(reports: &BTreeMap<String, SetReport>) -> String {
    let mut text = String::new();
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
    // Writing to a string does not fail.
    for (name, report) in reports {
        let (metrics, judgement) = (&report.metrics, &report.judgement);
        let [low, high] = metrics.auc_interval.map_or([None; 2], |interval| interval.map(Some));
        let _ = writeln!(text, "{name}: {} real, {} fake", metrics.real, metrics.fake);
        let _ = writeln!(
            text,
            "  AUC {} [{}, {}], trivial cues {}; equal error rate {}",
            number(metrics.auc),
            number(low),
            number(high),
            number(report.trivial_cues_auc),
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
        let _ = match &report.selection {
            Some(chosen) => writeln!(
                text,
                "  passes as real up to {:.4}: leakage {} {:.4?}, filtration {:.4} {:.4?}",
                chosen.threshold,
                number(chosen.real.leakage),
                chosen.leakage_interval,
                chosen.real.filtration,
                chosen.filtration_interval
            ),
            None => writeln!(text, "  no threshold has a leakage < 5 % and a filtration > 30 %"),
        };
    }
    text
}

/// Two runs on the pictures that both judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Pictures that both judged.
    pub pictures: usize,
    /// Pictures that only one judged.
    pub unmatched: usize,
    /// AUC of each; absent if a class is.
    pub auc: [Option<f64>; 2],
    /// AUC of the first minus that of the second.
    pub difference: Option<f64>,
    /// 95 % bootstrap interval of the difference, groups drawn whole and both runs on the same draw.
    pub difference_interval: Option<[f64; 2]>,
    /// Pearson correlation of the logits; absent if one is constant.
    pub correlation: Option<f64>,
}

/// The comparison of `a` and `b`, matched by path.
///
/// # Errors
/// If they share no picture, or disagree about a label.
pub fn compare(a: &[ScoreRow], b: &[ScoreRow]) -> Result<Comparison> {
    let of_b: HashMap<&str, &ScoreRow> = b.iter().map(|row| (row.path.as_str(), row)).collect();
    let pairs: Vec<_> = a.iter().filter_map(|row| Some((row, *of_b.get(row.path.as_str())?))).collect();
    ensure!(!pairs.is_empty(), "the two share no picture");
    if let Some((row, _)) = pairs.iter().find(|(a, b)| a.label != b.label) {
        anyhow::bail!("{:?} is real in one and fake in the other", row.path);
    }
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (row, _)) in pairs.iter().enumerate() {
        groups.entry(source(row)).or_default().push(index);
    }
    let groups: Vec<Vec<usize>> = groups.into_values().collect();
    let aucs = |indices: &[usize]| {
        let first: Vec<Scored> = indices.iter().map(|&i| pairs[i].0.raw()).collect();
        let second: Vec<Scored> = indices.iter().map(|&i| pairs[i].1.raw()).collect();
        [auc(&first), auc(&second)]
    };
    let difference = |[first, second]: [Option<f64>; 2]| Some(first? - second?);
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let resample = |_| {
        let draw = (0..groups.len()).flat_map(|_| groups[rng.random_range(0..groups.len())].iter().copied());
        difference(aucs(&draw.collect::<Vec<_>>()))
    };
    let differences = (0..RESAMPLES).filter_map(resample).collect();
    let auc = aucs(&(0..pairs.len()).collect::<Vec<_>>());
    Ok(Comparison {
        pictures: pairs.len(),
        unmatched: a.len() + b.len() - 2 * pairs.len(),
        auc,
        difference: difference(auc),
        difference_interval: percentiles(differences),
        correlation: correlation(&pairs.iter().map(|(a, b)| (a.logit, b.logit)).collect::<Vec<_>>()),
    })
}

fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let count = pairs.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| pairs.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        xx += (a - x).powi(2);
        yy += (b - y).powi(2);
        xy += (a - x) * (b - y);
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx.sqrt() * yy.sqrt()))
}

/// Groups of two data sets are not the same where their names happen to be.
fn source(row: &ScoreRow) -> String {
    format!("{}/{}", row.dataset, row.group)
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
        };
        logits.iter().enumerate().map(row).collect()
    }

    #[test]
    fn sets_are_judged_alone_and_together() {
        let rows = rows(&[-1.0, 1.0, -2.0, 2.0, 3.0, -3.0]);
        let trivial: Vec<Scored> = rows.iter().map(|r| Scored { score: 0.5, ..r.raw() }).collect();
        let reports = evaluate(&rows, Some(&trivial), 1.0);
        let auc = |name: &str| reports[name].metrics.auc.unwrap();
        assert_eq!((auc("one"), auc("two"), auc("all")), (1.0, 0.0, 4.0 / 9.0));
        assert_eq!(reports["all"].trivial_cues_auc, Some(0.5));
        assert_eq!(reports["one"].judgement.confusion.true_positives, 2);
        let text = text(&reports);
        assert!(text.contains("all: 3 real, 3 fake") && text.contains("trivial cues 0.5000"), "{text}");
        assert!(text.contains("no threshold has"), "{text}");
    }

    #[test]
    fn a_run_is_as_good_as_itself_and_better_than_its_opposite() {
        let a = rows(&[-1.0, 1.0, -2.0, 2.0, -3.0, 3.0]);
        let same = compare(&a, &a).unwrap();
        assert_eq!((same.difference, same.difference_interval), (Some(0.0), Some([0.0, 0.0])));
        assert!((same.correlation.unwrap() - 1.0).abs() < 1e-12);
        let opposite = compare(&a, &rows(&[1.0, -1.0, 2.0, -2.0])).unwrap();
        assert_eq!((opposite.pictures, opposite.unmatched), (4, 2));
        assert_eq!((opposite.auc, opposite.difference), ([Some(1.0), Some(0.0)], Some(1.0)));
        assert!((opposite.correlation.unwrap() + 1.0).abs() < 1e-12);
        assert_eq!(compare(&a, &rows(&[0.0; 6])).unwrap().correlation, None);
    }

    #[test]
    fn runs_that_do_not_fit_are_refused() {
        let a = rows(&[-1.0, 1.0]);
        let mut other = a.clone();
        other[1].label = 0;
        assert!(compare(&a, &other).unwrap_err().to_string().contains("1.png"));
        other.iter_mut().for_each(|row| row.path.push('x'));
        assert!(compare(&a, &other).unwrap_err().to_string().contains("share no picture"));
    }
}
