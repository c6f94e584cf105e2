//! The metrics are scikit-learn's, ties and empty classes included.
//!
//! `tools/golden.py` and `tools/golden_judgement.py` write the data.

use serde::Deserialize;
use trainer::judgement::Judgement;
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

impl Case {
    fn scored(&self) -> Vec<Scored> {
        let pairs = self.scores.iter().zip(&self.fakes);
        pairs.map(|(&score, &fake)| Scored { score, fake: fake == 1 }).collect()
    }
}

/// scikit-learn's and numpy's judgement of one set of [`Case`]s.
#[derive(Deserialize)]
struct Expected {
    name: String,
    confusion: [usize; 4],
    specificity: f64,
    balanced_accuracy: f64,
    equal_error_rate: f64,
    ece: f64,
    mce: f64,
    brier: f64,
    nll: f64,
}

#[test]
fn equal_scikit_learns() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/metrics.json")).unwrap();
    assert!(!cases.is_empty());
    for case in &cases {
        let scored = case.scored();
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

#[test]
fn judgements_equal_scikit_learns_and_numpys() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/metrics.json")).unwrap();
    let expected: Vec<Expected> = serde_json::from_str(include_str!("data/judgement.json")).unwrap();
    assert_eq!(cases.len(), expected.len());
    for (case, expected) in cases.iter().zip(&expected) {
        assert_eq!(case.name, expected.name);
        let ours = Judgement::of(&case.scored());
        let counts = ours.confusion;
        assert_eq!(
            [counts.true_negatives, counts.false_positives, counts.false_negatives, counts.true_positives],
            expected.confusion,
            "{}",
            case.name
        );
        for (what, ours, theirs) in [
            ("specificity", ours.specificity.unwrap(), expected.specificity),
            ("balanced accuracy", ours.balanced_accuracy.unwrap(), expected.balanced_accuracy),
            ("equal error rate", ours.equal_error_rate.unwrap(), expected.equal_error_rate),
            ("ece", Metrics::of(&case.scored(), 1).ece, expected.ece),
            ("mce", ours.mce, expected.mce),
            ("brier", ours.brier, expected.brier),
            ("nll", ours.nll, expected.nll),
        ] {
            assert!((ours - theirs).abs() <= TOLERANCE, "{what} of {}: {ours}, expected {theirs}", case.name);
        }
    }
}
