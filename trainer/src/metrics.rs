//! How good scores are: AUC with its interval, and what a threshold of 0.5 gives.

use crate::reliability::{Bin, reliability};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Resamples behind an interval.
const RESAMPLES: usize = 2000;

/// One judged picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// P(fake), or any score that grows with it.
    pub score: f64,
    /// Whether it is a fake.
    pub fake: bool,
}

/// Metrics of one set of pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Real pictures.
    pub real: usize,
    /// Fake pictures.
    pub fake: usize,
    /// Area under the ROC curve; absent if a class is.
    pub auc: Option<f64>,
    /// 95 % bootstrap interval of the AUC.
    pub auc_interval: Option<[f64; 2]>,
    /// Share of right answers at 0.5.
    pub accuracy: f64,
    /// Share of fakes among those called fake at 0.5.
    pub precision: f64,
    /// Share of the fakes that were called fake at 0.5.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Expected calibration error, ten bins.
    pub ece: f64,
}

impl Metrics {
    /// The metrics of `scored`, whose scores are P(fake); `seed` draws the bootstrap.
    pub fn of(scored: &[Scored], seed: u64) -> Self {
        let count = |called: bool, fake: bool| {
            scored.iter().filter(|s| (s.score >= 0.5) == called && s.fake == fake).count() as f64
        };
        let (hits, false_alarms, misses) = (count(true, true), count(true, false), count(false, true));
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let fake = scored.iter().filter(|s| s.fake).count();
        Metrics {
            real: scored.len() - fake,
            fake,
            auc: auc(scored),
            auc_interval: auc_interval(scored, seed),
            accuracy: ratio(hits + count(false, false), scored.len() as f64),
            precision: ratio(hits, hits + false_alarms),
            recall: ratio(hits, hits + misses),
            f1: ratio(2.0 * hits, 2.0 * hits + false_alarms + misses),
            ece: expected_calibration_error(scored),
        }
    }
}

/// Probability that a fake scores above a real picture, ties counting half (Mann and Whitney 1947).
pub fn auc(scored: &[Scored]) -> Option<f64> {
    let mut sorted: Vec<&Scored> = scored.iter().collect();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let fakes = sorted.iter().filter(|s| s.fake).count() as f64;
    let reals = sorted.len() as f64 - fakes;
    if fakes == 0.0 || reals == 0.0 {
        return None;
    }
    let (mut below, mut wins) = (0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.score == b.score) {
        let fake = tied.iter().filter(|s| s.fake).count() as f64;
        let real = tied.len() as f64 - fake;
        wins += fake * (below + real / 2.0);
        below += real;
    }
    Some(wins / (fakes * reals))
}

/// 2.5 and 97.5 percentiles of the AUC when the labels are dealt out at random: what these scores reach
/// without knowing anything; absent if a class is.
pub fn shuffled_auc_interval(scored: &[Scored], seed: u64) -> Option<[f64; 2]> {
    auc(scored)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut shuffled = scored.to_vec();
    let mut fakes: Vec<bool> = scored.iter().map(|s| s.fake).collect();
    let draw = |_| {
        fakes.shuffle(&mut rng);
        shuffled.iter_mut().zip(&fakes).for_each(|(s, fake)| s.fake = *fake);
        auc(&shuffled)
    };
    percentiles((0..RESAMPLES).filter_map(draw).collect())
}

/// 2.5 and 97.5 percentiles of the AUC over resamples with both class sizes kept.
pub fn auc_interval(scored: &[Scored], seed: u64) -> Option<[f64; 2]> {
    let (fakes, reals): (Vec<Scored>, Vec<Scored>) = scored.iter().partition(|s| s.fake);
    if fakes.is_empty() || reals.is_empty() {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut resample = Vec::with_capacity(scored.len());
    let values = (0..RESAMPLES)
        .filter_map(|_| {
            resample.clear();
            for class in [&fakes, &reals] {
                resample.extend((0..class.len()).map(|_| class[rng.random_range(0..class.len())]));
            }
            auc(&resample)
        })
        .collect();
    percentiles(values)
}

/// 2.5 and 97.5 percentiles; absent without values.
pub fn percentiles(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)? as f64;
    Some([0.025, 0.975].map(|share| values[(last * share).round() as usize]))
}

/// Mean distance of P(fake) from the share of fakes, over ten equal bins weighted by their size
/// (Guo et al., arXiv 1706.04599).
pub fn expected_calibration_error(scored: &[Scored]) -> f64 {
    let weighted = |bin: Bin| Some(bin.count as f64 * (bin.mean_score? - bin.fakes?).abs());
    reliability(scored).into_iter().filter_map(weighted).sum::<f64>() / scored.len().max(1) as f64
}

/// 1 / (1 + e^-z)
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(scores: &[f64], fakes: &[u8]) -> Vec<Scored> {
        scores.iter().zip(fakes).map(|(&score, &fake)| Scored { score, fake: fake == 1 }).collect()
    }

    #[test]
    fn values_equal_scikit_learns() {
        let set = scored(&[0.1, 0.4, 0.35, 0.8, 0.8, 0.65, 0.2, 0.5], &[0, 0, 1, 1, 0, 1, 0, 1]);
        let metrics = Metrics::of(&set, 1);
        // sklearn.metrics: roc_auc_score, accuracy_score, precision_score, recall_score, f1_score
        // with y_pred = score >= 0.5
        assert_eq!(metrics.auc, Some(0.71875));
        assert_eq!(metrics.accuracy, 0.75);
        assert_eq!(metrics.precision, 0.75);
        assert_eq!(metrics.recall, 0.75);
        assert_eq!(metrics.f1, 0.75);
        assert_eq!((metrics.real, metrics.fake), (4, 4));
    }

    #[test]
    fn auc_needs_both_classes() {
        assert_eq!(auc(&scored(&[0.1, 0.2], &[1, 1])), None);
        assert_eq!(auc(&scored(&[0.5, 0.5], &[0, 1])), Some(0.5));
        assert_eq!(auc(&scored(&[0.9, 0.1], &[0, 1])), Some(0.0));
    }

    #[test]
    fn the_interval_holds_the_value_and_is_reproducible() {
        let scores: Vec<f64> = (0..200).map(|i| f64::from(i % 100) + f64::from(i / 100) * 20.0).collect();
        let fakes: Vec<u8> = (0..200).map(|i| u8::from(i >= 100)).collect();
        let set = scored(&scores, &fakes);
        let [low, high] = auc_interval(&set, 3).unwrap();
        let value = auc(&set).unwrap();
        assert!(low < value && value < high && high - low < 0.2, "{low} {value} {high}");
        assert_eq!(auc_interval(&set, 3), Some([low, high]));
    }

    #[test]
    fn shuffled_labels_are_worth_a_coin() {
        let scores: Vec<f64> = (0..100).map(f64::from).collect();
        let fakes: Vec<u8> = (0..100).map(|i| u8::from(i >= 50)).collect();
        let [low, high] = shuffled_auc_interval(&scored(&scores, &fakes), 1).unwrap();
        // Mann and Whitney: the AUC of 50 and 50 without knowledge has a deviation of sqrt(101 / 12) / 50 = 0.058.
        assert!((low - 0.386).abs() < 0.01 && (high - 0.614).abs() < 0.01, "{low} {high}");
        assert_eq!(shuffled_auc_interval(&scored(&[0.1], &[1]), 1), None);
    }

    #[test]
    fn calibration_error_of_known_bins() {
        assert_eq!(expected_calibration_error(&scored(&[0.0, 1.0], &[0, 1])), 0.0);
        let error = expected_calibration_error(&scored(&[0.75, 0.75, 0.15], &[1, 0, 0]));
        assert!((error - (0.5 + 0.15) / 3.0).abs() < 1e-12, "{error}");
    }
}
