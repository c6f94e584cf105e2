//! Regression, principal components, curves and the comparison of two runs give scikit-learn's figures.
//!
//! `tools/golden_complementarity.py` writes the data.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use nalgebra::DMatrix;
use serde::Deserialize;
use trainer::complementarity::{compare, feature_dimensions};
use trainer::curves::{roc, sweep};
use trainer::dataset::Split;
use trainer::features::{Features, Origin};
use trainer::metrics::{Scored, sigmoid};
use trainer::pca::Pca;
use trainer::regression::{Regression, Scale};
use trainer::scores::ScoreRow;

#[derive(Deserialize)]
struct Golden {
    test: Scores,
    val: Scores,
    comparison: Comparison,
    curves: Curves,
    tall: Components,
    wide: Components,
    dimensions: Dimensions,
}

#[derive(Deserialize)]
struct Scores {
    fakes: Vec<u8>,
    groups: Vec<String>,
    first: Vec<f64>,
    second: Vec<f64>,
}

#[derive(Deserialize)]
struct Comparison {
    auc: [f64; 2],
    correlation: f64,
    disagreement: f64,
    weights: [f64; 2],
    bias: f64,
    fitted_auc: f64,
    crossed_auc: f64,
}

#[derive(Deserialize)]
struct Curves {
    alarms: Vec<f64>,
    recall: Vec<f64>,
    thresholds: Vec<f64>,
    sweep_precision: Vec<Option<f64>>,
    sweep_recall: Vec<f64>,
}

#[derive(Deserialize)]
struct Components {
    values: Vec<Vec<f64>>,
    shares: Vec<f64>,
    directions: Vec<Vec<f64>>,
    reduced: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Dimensions {
    first: Vec<Vec<f64>>,
    second: Vec<Vec<f64>>,
    counts: [[usize; 3]; 3],
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/complementarity.json")).unwrap()
}

fn matrix(rows: &[Vec<f64>]) -> DMatrix<f64> {
    DMatrix::from_fn(rows.len(), rows[0].len(), |row, column| rows[row][column])
}

impl Scores {
    fn rows(&self, logits: &[f64]) -> Vec<ScoreRow> {
        let row = |(index, logit): (usize, &f64)| ScoreRow {
            path: index.to_string(),
            label: self.fakes[index],
            dataset: "set".into(),
            group: self.groups[index].clone(),
            logit: *logit,
            trivial_cues: None,
        };
        logits.iter().enumerate().map(row).collect()
    }

    fn logits(&self) -> DMatrix<f64> {
        matrix(&self.first.iter().zip(&self.second).map(|(a, b)| vec![*a, *b]).collect::<Vec<_>>())
    }
}

#[test]
fn a_logistic_regression_has_scikit_learns_weights() {
    let golden = golden();
    let logits = golden.val.logits();
    let fakes: Vec<bool> = golden.val.fakes.iter().map(|fake| *fake == 1).collect();
    let model = Regression::fit(&Scale::of(&logits).apply(&logits), &fakes, 1e-3);
    for (ours, theirs) in model.weights.iter().zip(golden.comparison.weights) {
        assert!((ours - theirs).abs() < 1e-8, "{ours}, expected {theirs}");
    }
    assert!((model.bias - golden.comparison.bias).abs() < 1e-8, "{model:?}");
}

#[test]
fn c10_a_comparison_has_scikit_learns_and_numpys_figures() {
    let Golden { test, val, comparison: expected, .. } = golden();
    let (a, b) = (test.rows(&test.first), test.rows(&test.second));
    let (val_a, val_b) = (val.rows(&val.first), val.rows(&val.second));
    let fitted = compare(&a, &b, Some([&val_a[..], &val_b])).unwrap();
    let crossed = compare(&a, &b, None).unwrap();
    for (what, ours, theirs) in [
        ("first AUC", fitted.auc[0].unwrap(), expected.auc[0]),
        ("second AUC", fitted.auc[1].unwrap(), expected.auc[1]),
        ("correlation", fitted.correlation.unwrap(), expected.correlation),
        ("disagreement", fitted.disagreement, expected.disagreement),
        ("AUC of the fitted combination", fitted.combined.unwrap().auc, expected.fitted_auc),
        ("AUC of the crossed combination", crossed.combined.unwrap().auc, expected.crossed_auc),
    ] {
        assert!((ours - theirs).abs() < 1e-12, "{what}: {ours}, expected {theirs}");
    }
}

#[test]
fn components_are_scikit_learns() {
    let golden = golden();
    for (name, case) in [("tall", golden.tall), ("wide", golden.wide)] {
        let values = matrix(&case.values);
        let scaled = Scale::of(&values).apply(&values);
        let pca = Pca::fit(&scaled, 0.95);
        let near = |a: &DMatrix<f64>, b: &DMatrix<f64>| (a - b).amax();
        assert_eq!(pca.shares.len(), case.shares.len(), "{name}");
        for (ours, theirs) in pca.shares.iter().zip(&case.shares) {
            assert!((ours - theirs).abs() < 1e-10, "{name}: {ours}, expected {theirs}");
        }
        let directions = matrix(&case.directions);
        assert_eq!(pca.directions.shape(), directions.shape(), "{name}");
        assert!(near(&pca.directions, &directions) < 1e-8, "{name}");
        assert!(near(&pca.apply(&scaled), &matrix(&case.reduced)) < 1e-8, "{name}");
    }
}

#[test]
fn c10_dimensions_of_embeddings_are_scikit_learns() {
    let golden = golden().dimensions;
    let features = |values: &[Vec<f64>]| {
        let row = |index: usize| ScoreRow {
            path: index.to_string(),
            label: 0,
            dataset: "set".into(),
            group: "g".into(),
            logit: 0.0,
            trivial_cues: None,
        };
        Features {
            origin: Origin { network: "n".into(), split: Split::Train },
            rows: (0..values.len()).map(row).collect(),
            embedding: matrix(values),
        }
    };
    let ours = feature_dimensions(&features(&golden.first), &features(&golden.second)).unwrap();
    let counts = ours.map(|d| [d.for_90, d.for_95, d.for_99]);
    assert_eq!(counts, golden.counts);
}

#[test]
fn b9_curves_are_scikit_learns() {
    let golden = golden();
    let scored: Vec<Scored> = golden
        .test
        .first
        .iter()
        .zip(&golden.test.fakes)
        .map(|(&logit, &fake)| Scored { score: sigmoid(logit), fake: fake == 1 })
        .collect();
    let points = roc(&scored);
    assert_eq!(points.len(), golden.curves.alarms.len());
    assert!(points[0].threshold.is_infinite());
    for (index, point) in points.iter().enumerate() {
        assert!((point.false_alarms - golden.curves.alarms[index]).abs() < 1e-12, "{index}");
        assert!((point.recall - golden.curves.recall[index]).abs() < 1e-12, "{index}");
        let theirs = index.checked_sub(1).map(|index| golden.curves.thresholds[index]);
        assert!(theirs.is_none_or(|theirs| (point.threshold - theirs).abs() < 1e-12), "{index}");
    }
    let points = sweep(&scored);
    assert_eq!(points.len(), golden.curves.sweep_recall.len());
    for (index, point) in points.iter().enumerate() {
        assert!((point.recall.unwrap() - golden.curves.sweep_recall[index]).abs() < 1e-12, "{index}");
        let (ours, theirs) = (point.precision, golden.curves.sweep_precision[index]);
        assert_eq!(ours.is_some(), theirs.is_some(), "{index}");
        assert!((ours.unwrap_or(0.0) - theirs.unwrap_or(0.0)).abs() < 1e-12, "{index}");
    }
}
