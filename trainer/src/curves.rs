//! The curves of a judgement, point by point: what its plots draw and their files hold.

use crate::metrics::Scored;
use serde::Serialize;

/// Steps of the sweep over the threshold.
const STEPS: usize = 100;
/// Bins of a [`histogram`].
const BINS: usize = 25;

/// One point of a ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RocPoint {
    /// A picture is called fake if its score is at least this; infinite at the first point.
    pub threshold: f64,
    /// Share of the reals that are called fake.
    pub false_alarms: f64,
    /// Share of the fakes that are called fake.
    pub recall: f64,
}

/// The ROC curve from "nothing is called fake" to "everything is", one point for each score; empty if
/// a class is.
pub fn roc(scored: &[Scored]) -> Vec<RocPoint> {
    let mut sorted: Vec<&Scored> = scored.iter().collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let fakes = sorted.iter().filter(|s| s.fake).count();
    let reals = sorted.len() - fakes;
    if fakes == 0 || reals == 0 {
        return Vec::new();
    }
    let (mut alarms, mut hits) = (0, 0);
    let mut points = vec![RocPoint { threshold: f64::INFINITY, false_alarms: 0.0, recall: 0.0 }];
    for tied in sorted.chunk_by(|a, b| a.score == b.score) {
        let tied_fakes = tied.iter().filter(|s| s.fake).count();
        hits += tied_fakes;
        alarms += tied.len() - tied_fakes;
        points.push(RocPoint {
            threshold: tied[0].score,
            false_alarms: alarms as f64 / reals as f64,
            recall: hits as f64 / fakes as f64,
        });
    }
    points
}

/// What one threshold does, on both sides of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SweepPoint {
    /// On P(fake).
    pub threshold: f64,
    /// Share of all pictures that pass as real: P(fake) at most the threshold.
    pub filtration: f64,
    /// Share of the fakes that pass; absent without fakes.
    pub leakage: Option<f64>,
    /// Share of fakes among those called fake: P(fake) at least the threshold; absent if none is.
    pub precision: Option<f64>,
    /// Share of the fakes that are called fake; absent without fakes.
    pub recall: Option<f64>,
}

/// The sweep over thresholds from 0 to 1 in steps of 0.01; `scored` are P(fake).
pub fn sweep(scored: &[Scored]) -> Vec<SweepPoint> {
    let fakes = scored.iter().filter(|s| s.fake).count();
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let point = |step: usize| {
        let threshold = step as f64 / STEPS as f64;
        let passed = || scored.iter().filter(|s| s.score <= threshold);
        let called = || scored.iter().filter(|s| s.score >= threshold);
        let hits = called().filter(|s| s.fake).count();
        SweepPoint {
            threshold,
            filtration: share(passed().count(), scored.len()).unwrap_or(0.0),
            leakage: share(passed().filter(|s| s.fake).count(), fakes),
            precision: share(hits, called().count()),
            recall: share(hits, fakes),
        }
    };
    (0..=STEPS).map(point).collect()
}

/// One bar of a [`histogram`]: scores in `[lower, upper)`, the last with 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HistogramBin {
    /// Smallest score.
    pub lower: f64,
    /// End of the scores.
    pub upper: f64,
    /// Share of the real pictures in it; 0 without any.
    pub real: f64,
    /// Share of the fake pictures in it; 0 without any.
    pub fake: f64,
}

/// How P(fake) is distributed over each class, in 25 equal bins.
pub fn histogram(scored: &[Scored]) -> Vec<HistogramBin> {
    let mut counts = [[0usize; 2]; BINS];
    for s in scored {
        counts[((s.score * BINS as f64) as usize).min(BINS - 1)][usize::from(s.fake)] += 1;
    }
    let fakes = scored.iter().filter(|s| s.fake).count();
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    let bin = |(index, [real, fake]): (usize, [usize; 2])| HistogramBin {
        lower: index as f64 / BINS as f64,
        upper: (index + 1) as f64 / BINS as f64,
        real: share(real, scored.len() - fakes),
        fake: share(fake, fakes),
    };
    counts.into_iter().enumerate().map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(pairs: &[(f64, u8)]) -> Vec<Scored> {
        pairs.iter().map(|&(score, fake)| Scored { score, fake: fake == 1 }).collect()
    }

    #[test]
    fn a_sweep_by_hand() {
        let points = sweep(&scored(&[(0.1, 0), (0.2, 1), (0.2, 0), (0.9, 1)]));
        assert_eq!(points.len(), 101);
        let (first, middle, last) = (points[0], points[20], points[100]);
        assert_eq!((first.filtration, first.leakage, first.precision), (0.0, Some(0.0), Some(0.5)));
        assert_eq!((middle.filtration, middle.leakage), (0.75, Some(0.5)));
        assert_eq!((middle.precision, middle.recall), (Some(2.0 / 3.0), Some(1.0)));
        assert_eq!((last.filtration, last.precision, last.recall), (1.0, None, Some(0.0)));
    }

    #[test]
    fn a_histogram_sums_to_one_in_each_class() {
        let bins = histogram(&scored(&[(0.0, 0), (0.04, 0), (1.0, 1)]));
        assert_eq!((bins[0].real, bins[1].real, bins[24].fake), (0.5, 0.5, 1.0));
        assert_eq!(bins.iter().map(|bin| bin.fake).sum::<f64>(), 1.0);
    }

    #[test]
    fn one_class_has_no_roc() {
        assert!(roc(&scored(&[(0.1, 1), (0.2, 1)])).is_empty());
        assert!(roc(&[]).is_empty());
    }
}
