//! What stands beside AUC and F1: confusion, equal error rate, calibration.

use crate::curves::roc;
use crate::metrics::Scored;
use crate::reliability::{Bin, reliability};
use serde::{Deserialize, Serialize};

/// Counts at a threshold of 0.5; a score of 0.5 is called fake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Real, called real.
    pub true_negatives: usize,
    /// Real, called fake.
    pub false_positives: usize,
    /// Fake, called real.
    pub false_negatives: usize,
    /// Fake, called fake.
    pub true_positives: usize,
}

/// Judgement of one set of pictures whose scores are P(fake).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Counts at 0.5.
    pub confusion: Confusion,
    /// Share of the real pictures that were called real; absent without any.
    pub specificity: Option<f64>,
    /// Mean of recall and specificity; absent if a class is.
    pub balanced_accuracy: Option<f64>,
    /// Where the two error rates are equal; absent if a class is.
    pub equal_error_rate: Option<f64>,
    /// Largest distance of a bin's mean score from its share of fakes (Guo et al., arXiv 1706.04599).
    pub mce: f64,
    /// Mean squared distance of P(fake) from the label (Brier 1950).
    pub brier: f64,
    /// Mean negative log likelihood in nats, with P(fake) kept 2^-52 away from 0 and 1.
    pub nll: f64,
    /// The reliability diagram.
    pub bins: Vec<Bin>,
}

impl Judgement {
    /// The judgement of `scored`.
    pub fn of(scored: &[Scored]) -> Self {
        let confusion = Confusion::of(scored);
        let share = |part: usize, rest: usize| (part + rest > 0).then(|| part as f64 / (part + rest) as f64);
        let specificity = share(confusion.true_negatives, confusion.false_positives);
        let recall = share(confusion.true_positives, confusion.false_negatives);
        let bins = reliability(scored);
        let mean =
            |term: &dyn Fn(&Scored) -> f64| scored.iter().map(term).sum::<f64>() / scored.len().max(1) as f64;
        let gap = |bin: &Bin| Some((bin.mean_score? - bin.fakes?).abs());
        Judgement {
            confusion,
            specificity,
            balanced_accuracy: recall.zip(specificity).map(|(recall, other)| (recall + other) / 2.0),
            equal_error_rate: equal_error_rate(scored),
            mce: bins.iter().filter_map(gap).fold(0.0, f64::max),
            brier: mean(&|s| (s.score - f64::from(u8::from(s.fake))).powi(2)),
            nll: mean(&|s| {
                let p = s.score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
                if s.fake { -p.ln() } else { -(1.0 - p).ln() }
            }),
            bins,
        }
    }
}

impl Confusion {
    /// The counts of `scored` at 0.5.
    pub fn of(scored: &[Scored]) -> Self {
        let count = |fake: bool, called: bool| {
            scored.iter().filter(|s| s.fake == fake && (s.score >= 0.5) == called).count()
        };
        Confusion {
            true_negatives: count(false, false),
            false_positives: count(false, true),
            false_negatives: count(true, false),
            true_positives: count(true, true),
        }
    }
}

/// The rate at which as many reals are called fake as fakes real, on straight lines between the
/// points of the ROC curve; absent if a class is.
pub fn equal_error_rate(scored: &[Scored]) -> Option<f64> {
    // From "nothing is called fake" on; the false alarms grow and the misses shrink, so they meet once.
    roc(scored).windows(2).find_map(|pair| {
        let before = 1.0 - pair[0].recall - pair[0].false_alarms;
        let after = 1.0 - pair[1].recall - pair[1].false_alarms;
        let step = pair[1].false_alarms - pair[0].false_alarms;
        (after <= 0.0).then(|| pair[0].false_alarms + before / (before - after) * step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(pairs: &[(f64, u8)]) -> Vec<Scored> {
        pairs.iter().map(|&(score, fake)| Scored { score, fake: fake == 1 }).collect()
    }

    #[test]
    fn a_certain_wrong_answer_costs_much_but_not_everything() {
        let certain = Judgement::of(&scored(&[(0.0, 1), (1.0, 1)]));
        assert!((certain.nll - 26.0 * 2f64.ln()).abs() < 1e-9, "{}", certain.nll);
        assert_eq!((certain.brier, certain.mce, certain.specificity), (0.5, 1.0, None));
        assert_eq!((certain.equal_error_rate, certain.balanced_accuracy), (None, None));
    }

    #[test]
    fn equal_error_rates_by_hand() {
        assert_eq!(equal_error_rate(&scored(&[(0.1, 0), (0.9, 1)])), Some(0.0));
        assert_eq!(equal_error_rate(&scored(&[(0.9, 0), (0.1, 1)])), Some(1.0));
        assert_eq!(equal_error_rate(&scored(&[(0.5, 0), (0.5, 1)])), Some(0.5));
    }
}
