//! The metrics are scikit-learn's, ties and empty classes included.
//!
//! `tools/golden.py` writes the data.

use serde::Deserialize;
use trainer::metrics::{Metrics, Scored};

/// Sums come in another order than scikit-learn's.
const TOLERANCE: f64 = 1e-12;

/// One set of scores with scikit-learn's metrics at a threshold of 0.5.
#[derive(Deserialize)]
struct Case {
    name: String,
    scores: Vec<f64>,
    fakes: Vec<u8>,
    auc: f64,
    accuracy: f64,
    precision: f64,
    recall: f64,
    f1: f64,
}

#[test]
fn equal_scikit_learns() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/metrics.json")).unwrap();
    assert!(!cases.is_empty());
    for case in &cases {
        let scored: Vec<Scored> = case
            .scores
            .iter()
            .zip(&case.fakes)
            .map(|(&score, &fake)| Scored { score, fake: fake == 1 })
            .collect();
        let metrics = Metrics::of(&scored, 1);
        let auc = metrics.auc.expect("both classes are there");
        for (what, ours, theirs) in [
            ("auc", auc, case.auc),
            ("accuracy", metrics.accuracy, case.accuracy),
            ("precision", metrics.precision, case.precision),
            ("recall", metrics.recall, case.recall),
            ("f1", metrics.f1, case.f1),
        ] {
            assert!((ours - theirs).abs() <= TOLERANCE, "{what} of {}: {ours}, expected {theirs}", case.name);
        }
        let [low, high] = metrics.auc_interval.expect("both classes are there");
        assert!(
            (0.0..=auc).contains(&low) && (auc..=1.0).contains(&high),
            "{}: {low} {auc} {high}",
            case.name
        );
    }
}
