//! Temperature and thresholds: how a logit becomes a calibrated answer, fitted on validation data.

use crate::metrics::Scored;
use engine::Thresholds;

/// Smallest and largest temperature that is tried.
const BOUNDS: (f64, f64) = (0.1, 10.0);

/// The divisor of the logits that minimises their mean binary cross entropy (Guo et al., arXiv
/// 1706.04599), by golden-section search on its logarithm; `logits` are the scores.
pub fn fit_temperature(logits: &[Scored]) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (BOUNDS.0.ln(), BOUNDS.1.ln());
    while high - low > 1e-6 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if cross_entropy(logits, a.exp()) < cross_entropy(logits, b.exp()) {
            high = b;
        } else {
            low = a;
        }
    }
    ((low + high) / 2.0).exp()
}

fn cross_entropy(logits: &[Scored], temperature: f64) -> f64 {
    let term = |s: &Scored| {
        let z = s.score / temperature;
        z.max(0.0) - if s.fake { z } else { 0.0 } + (-z.abs()).exp().ln_1p()
    };
    logits.iter().map(term).sum::<f64>() / logits.len().max(1) as f64
}

/// Standard deviations below the share that was right at which an answer "fake" must still be right often enough. Fitted on one
/// half of the validation pictures, what is called fake is right about nine times in ten on the other half at 0.5 already, and is
/// twice as much as at 1 or more (tools/threshold_halves.py).
const DOUBT_OF_FAKE: f64 = 0.5;
/// The same of an answer "real", which is the worse one to get wrong: it would let a fake pass.
const DOUBT_OF_REAL: f64 = 1.0;

/// The widest sure regions whose answers are right at least a share `wanted` of the time, by the
/// Wilson lower bound, never inside 0.5; `scored` are P(fake).
///
/// Where no region is that sure the threshold is 0 or 1, so the answer is "uncertain".
pub fn fit_thresholds(scored: &[Scored], wanted: f64) -> Thresholds {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let lower = widest(sorted.iter().filter(|s| s.score < 0.5), false, wanted);
    let upper = widest(sorted.iter().rev().filter(|s| s.score > 0.5), true, wanted);
    Thresholds { lower: lower.unwrap_or(0.0), upper: upper.unwrap_or(1.0) }
}

/// The last score at which everything so far was right often enough.
fn widest<'a>(scored: impl Iterator<Item = &'a Scored>, fake: bool, wanted: f64) -> Option<f64> {
    let deviations = if fake { DOUBT_OF_FAKE } else { DOUBT_OF_REAL };
    let (mut right, mut total, mut best) = (0.0, 0.0, None);
    for s in scored {
        total += 1.0;
        right += f64::from(u8::from(s.fake == fake));
        if wilson_lower(right, total, deviations) >= wanted {
            best = Some(s.score);
        }
    }
    best
}

/// Lower end of Wilson's score interval at `deviations` standard deviations.
fn wilson_lower(right: f64, total: f64, deviations: f64) -> f64 {
    let (share, z) = (right / total, deviations * deviations);
    let spread = deviations * (share * (1.0 - share) / total + z / (4.0 * total * total)).sqrt();
    (share + 0.5 * z / total - spread) / (1.0 + z / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits whose true probability is `sigmoid(z / temperature)`, without noise.
    fn calibrated(temperature: f64) -> Vec<Scored> {
        let mut logits = Vec::new();
        for step in -40..=40 {
            let score = f64::from(step) / 8.0;
            let fakes = (1000.0 / (1.0 + (-score / temperature).exp())).round() as usize;
            logits.extend((0..1000).map(|i| Scored { score, fake: i < fakes }));
        }
        logits
    }

    #[test]
    fn finds_the_temperature_that_made_the_labels() {
        for temperature in [0.5, 1.0, 2.5] {
            let found = fit_temperature(&calibrated(temperature));
            assert!((found / temperature - 1.0).abs() < 2e-3, "{found} for {temperature}");
        }
    }

    #[test]
    fn thresholds_stop_where_answers_get_unsure() {
        let mut scored = Vec::new();
        for i in 0..100 {
            let score = f64::from(i) / 100.0;
            // Right below 0.2 and above 0.8, a coin toss between.
            let fake = if score < 0.2 {
                false
            } else if score > 0.8 {
                true
            } else {
                i % 2 == 0
            };
            scored.extend([Scored { score, fake }; 10]);
        }
        let thresholds = fit_thresholds(&scored, 0.9);
        assert!((0.19..0.27).contains(&thresholds.lower), "{thresholds:?}");
        assert!((0.73..0.82).contains(&thresholds.upper), "{thresholds:?}");
    }

    /// 19 of 20 right is enough for "fake" (Wilson's bound at 0.5 is 0.920) and not for "real" (0.876 at 1).
    #[test]
    fn real_is_said_with_more_care_than_fake() {
        assert!((wilson_lower(19.0, 20.0, 0.5) - 0.9196).abs() < 1e-4, "{}", wilson_lower(19.0, 20.0, 0.5));
        assert!((wilson_lower(19.0, 20.0, 1.0) - 0.8764).abs() < 1e-4, "{}", wilson_lower(19.0, 20.0, 1.0));
        // The wrong one is the first on either side.
        let side = |fake: bool, score: f64, wrong: f64| {
            let right = (0..19).map(move |i| Scored { score: score + f64::from(i) / 1000.0, fake });
            right.chain([Scored { score: wrong, fake: !fake }])
        };
        let scored: Vec<Scored> = side(true, 0.9, 0.99).chain(side(false, 0.05, 0.01)).collect();
        let thresholds = fit_thresholds(&scored, 0.9);
        assert_eq!(thresholds, Thresholds { lower: 0.0, upper: 0.9 });
    }

    #[test]
    fn nothing_is_sure_where_nothing_is_right() {
        let scored: Vec<Scored> =
            (0..100).map(|i| Scored { score: f64::from(i) / 100.0, fake: i % 2 == 0 }).collect();
        assert_eq!(fit_thresholds(&scored, 0.95), Thresholds { lower: 0.0, upper: 1.0 });
    }
}
