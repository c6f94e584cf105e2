//! Boxes that were found beside those of a reference: which are the same face, recall, precision, their intervals.

use super::portrait::Corners;
use engine::faces::boxes::overlap;
use serde::{Deserialize, Serialize};

/// Boxes of one face share at least this share of what they cover together.
const SAME: f32 = 0.5;
/// A box with this share of itself in a doubtful one is neither right nor wrong.
const WITHIN: f32 = 0.5;
/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A box that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Where.
    pub corners: Corners,
    /// How sure the detector is.
    pub score: f32,
}

/// What the boxes found in one picture are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matches {
    /// Scores of the boxes that count, and whether each is a face of the reference.
    pub counted: Vec<(f32, bool)>,
    /// Faces of the reference.
    pub wanted: usize,
}

impl Matches {
    /// Of `found` beside the faces `wanted` and what may be faces; the surest box chooses first.
    pub fn of(mut found: Vec<Detection>, wanted: &[Corners], doubtful: &[Corners]) -> Self {
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut is_taken = vec![false; wanted.len()];
        let mut counted = Vec::new();
        for Detection { corners, score } in found {
            let free = (0..wanted.len()).filter(|&index| !is_taken[index]);
            let best = free
                .map(|index| (index, overlap(&corners, &wanted[index])))
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .filter(|(_, share)| *share >= SAME);
            match best {
                Some((index, _)) => {
                    is_taken[index] = true;
                    counted.push((score, true));
                }
                None if doubtful.iter().any(|other| is_within(&corners, other)) => {}
                None => counted.push((score, false)),
            }
        }
        Matches { counted, wanted: wanted.len() }
    }
}

fn is_within(corners: &Corners, other: &Corners) -> bool {
    let area = |of: &Corners| (of[2] - of[0]).max(0.0) * (of[3] - of[1]).max(0.0);
    let [a, b] = [corners, other];
    let shared = area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    shared > WITHIN * area(corners)
}

/// A share of a count, with its 95 % interval by Wilson (1927), which holds at 0 and 1 too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Those that are.
    pub part: usize,
    /// Of so many.
    pub whole: usize,
    /// The share; absent of none.
    pub share: Option<f64>,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
}

impl Share {
    /// `part` of `whole`.
    pub fn of(part: usize, whole: usize) -> Self {
        if whole == 0 {
            return Share { part, whole, share: None, interval: None };
        }
        let (n, p) = (whole as f64, part as f64 / whole as f64);
        let middle = p + Z * Z / (2.0 * n);
        let reach = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let bound = |value: f64| (value / (1.0 + Z * Z / n)).clamp(0.0, 1.0);
        Share { part, whole, share: Some(p), interval: Some([bound(middle - reach), bound(middle + reach)]) }
    }

    /// "99.1 % [98.0, 99.6] (430 of 434)"
    pub fn text(&self) -> String {
        match (self.share, self.interval) {
            (Some(share), Some([low, high])) => {
                let percent = |value: f64| 100.0 * value;
                format!(
                    "{:.1} % [{:.1}, {:.1}] ({} of {})",
                    percent(share),
                    percent(low),
                    percent(high),
                    self.part,
                    self.whole
                )
            }
            _ => "none".into(),
        }
    }
}

/// Recall and precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Of the reference's faces those that were found.
    pub recall: Share,
    /// Of the boxes that count those that are a face of the reference.
    pub precision: Share,
}

impl Agreement {
    /// Of boxes with a score of at least `threshold` in all of `pictures`.
    pub fn of(pictures: &[Matches], threshold: f32) -> Self {
        let counted =
            || pictures.iter().flat_map(|one| &one.counted).filter(|(score, _)| *score >= threshold);
        let right = counted().filter(|(_, is_right)| *is_right).count();
        let wanted = pictures.iter().map(|one| one.wanted).sum();
        Agreement { recall: Share::of(right, wanted), precision: Share::of(right, counted().count()) }
    }

    /// Harmonic mean of both; 0 if nothing is right.
    pub fn f1(&self) -> f64 {
        2.0 * self.recall.part as f64 / (self.recall.whole + self.precision.whole).max(1) as f64
    }
}

/// Mean precision over recall: each face counts with the best precision at which it is found; 0 if it never is.
pub fn average_precision(pictures: &[Matches]) -> f64 {
    let mut counted: Vec<(f32, bool)> = pictures.iter().flat_map(|one| one.counted.clone()).collect();
    counted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let wanted: usize = pictures.iter().map(|one| one.wanted).sum();
    let mut right = 0usize;
    let mut steps = Vec::new();
    for (index, (_, is_right)) in counted.iter().enumerate() {
        right += usize::from(*is_right);
        if *is_right {
            steps.push(right as f64 / (index + 1) as f64);
        }
    }
    // From the least sure face on, the best precision so far.
    let [mut best, mut sum] = [0f64; 2];
    for precision in steps.into_iter().rev() {
        best = best.max(precision);
        sum += best;
    }
    sum / wanted.max(1) as f64
}

/// The threshold of the best F1, in steps of a hundredth.
pub fn best_threshold(pictures: &[Matches]) -> f32 {
    let tried = (5..95).map(|hundredths| hundredths as f32 / 100.0);
    // The middle of equally good ones: both sides have room.
    let scored: Vec<(f32, f64)> =
        tried.map(|threshold| (threshold, Agreement::of(pictures, threshold).f1())).collect();
    let best = scored.iter().map(|(_, f1)| *f1).fold(0.0, f64::max);
    let equal: Vec<f32> =
        scored.iter().filter(|(_, f1)| *f1 == best).map(|(threshold, _)| *threshold).collect();
    equal[equal.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(left: f32, score: f32) -> Detection {
        Detection { corners: [left, 0.0, left + 10.0, 10.0], score }
    }

    #[test]
    fn each_face_is_found_once_and_doubtful_ones_count_nowhere() {
        let wanted = [[0.0, 0.0, 10.0, 10.0], [100.0, 0.0, 110.0, 10.0]];
        let doubtful = [[195.0, -5.0, 215.0, 15.0]];
        let boxes =
            vec![found(2.0, 0.5), found(0.0, 0.9), found(40.0, 0.7), found(200.0, 0.8), found(106.0, 0.6)];
        let matches = Matches::of(boxes, &wanted, &doubtful);
        assert_eq!(matches.counted, [(0.9, true), (0.7, false), (0.6, false), (0.5, false)]);
        let agreement = Agreement::of(&[matches], 0.6);
        assert_eq!((agreement.recall.part, agreement.recall.whole), (1, 2));
        assert_eq!((agreement.precision.part, agreement.precision.whole), (1, 3));
        assert_eq!(agreement.f1(), 2.0 / 5.0);
    }

    /// statsmodels.stats.proportion.proportion_confint(count, n, method="wilson")
    #[test]
    fn intervals_are_wilsons() {
        for (part, whole, want) in [
            (9, 10, [0.595_850_085_7, 0.982_123_784_8]),
            (10, 10, [0.722_467_200_1, 1.0]),
            (0, 20, [0.0, 0.161_125_156_1]),
        ] {
            let interval = Share::of(part, whole).interval.unwrap();
            for (found, want) in interval.into_iter().zip(want) {
                assert!((found - want).abs() < 1e-6, "{part} of {whole}: {interval:?}");
            }
        }
        assert_eq!(Share::of(0, 0).interval, None);
    }

    /// By hand: precisions at the faces 1, 2/3, 3/4, of four faces.
    #[test]
    fn average_precision_is_the_area_under_the_best_precision() {
        let counted = vec![(0.9, true), (0.8, false), (0.7, true), (0.6, true), (0.5, false)];
        let matches = [Matches { counted, wanted: 4 }];
        assert!((average_precision(&matches) - (1.0 + 0.75 + 0.75) / 4.0).abs() < 1e-12);
        assert_eq!(average_precision(&[]), 0.0);
        // At 0.6 three of four are right and three of four found: no other threshold is as good.
        let threshold = best_threshold(&matches);
        assert!(threshold > 0.5 && threshold <= 0.6, "{threshold}");
    }
}
