//! Scene cuts: how much the colours of two frames differ.
//!
//! Score = 1 - correlation of two histograms of hue, saturation and value in 50 x 60 x 60 bins, in OpenCV's 8-bit HSV; a
//! cut above 0.3; the activity is the mean of the last ten scores. The original AWARE-NET's measures.

use super::thumbnail::Thumbnail;
use std::collections::VecDeque;

/// Score above which a frame begins a new scene, if nobody says otherwise.
pub const THRESHOLD: f64 = 0.3;
/// Scores that make the activity.
const RECENT: usize = 10;
const BINS: [usize; 3] = [50, 60, 60];

/// What a frame is beside the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SceneStep {
    /// 0 for the same colours, about 1 for others, up to 2; none for the first frame.
    pub score: Option<f64>,
    /// Whether it begins a new scene; the first frame does not.
    pub is_cut: bool,
    /// Mean of the last scores of this scene; none until there is one.
    pub activity: Option<f64>,
}

/// Compares each frame with the one before.
#[derive(Debug, Clone)]
pub struct SceneDetector {
    threshold: f64,
    previous: Option<Histogram>,
    recent: VecDeque<f64>,
}

impl SceneDetector {
    /// A detector for cuts above `threshold`.
    pub fn new(threshold: f64) -> Self {
        SceneDetector { threshold, previous: None, recent: VecDeque::new() }
    }

    /// Takes the next frame.
    pub fn step(&mut self, frame: &Thumbnail) -> SceneStep {
        let histogram = Histogram::of(frame.rgb());
        let score = self.previous.as_ref().map(|previous| 1.0 - previous.correlation(&histogram));
        self.previous = Some(histogram);
        let is_cut = score.is_some_and(|score| score > self.threshold);
        if is_cut {
            self.recent.clear();
        } else if let Some(score) = score {
            self.recent.push_back(score);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        SceneStep { score, is_cut, activity: self.activity() }
    }

    /// Forgets what was before, as at the start.
    pub fn reset(&mut self) {
        self.previous = None;
        self.recent.clear();
    }

    fn activity(&self) -> Option<f64> {
        let count = self.recent.len();
        (count > 0).then(|| self.recent.iter().sum::<f64>() / count as f64)
    }
}

/// Number of pixels by colour.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Histogram {
    counts: Vec<u32>,
}

impl Histogram {
    fn of(rgb: &[u8]) -> Self {
        let mut counts = vec![0; BINS.iter().product()];
        for pixel in rgb.chunks_exact(3) {
            let hsv = hsv([pixel[0], pixel[1], pixel[2]]);
            let [h, s, v] = [hsv[0] * BINS[0] / 180, hsv[1] * BINS[1] / 256, hsv[2] * BINS[2] / 256];
            counts[(h * BINS[1] + s) * BINS[2] + v] += 1;
        }
        Histogram { counts }
    }

    /// Pearson's, from sums that are exact.
    fn correlation(&self, other: &Self) -> f64 {
        let sum = |of: &dyn Fn(u64, u64) -> u64| -> f64 {
            let pairs = self.counts.iter().zip(&other.counts);
            pairs.map(|(a, b)| of(u64::from(*a), u64::from(*b))).sum::<u64>() as f64
        };
        let count = self.counts.len() as f64;
        let (a, b) = (sum(&|a, _| a), sum(&|_, b| b));
        let covariance = count * sum(&|a, b| a * b) - a * b;
        let variances = (count * sum(&|a, _| a * a) - a * a) * (count * sum(&|_, b| b * b) - b * b);
        if variances > 0.0 { covariance / variances.sqrt() } else { 1.0 }
    }
}

/// Hue 0 to 179, saturation and value 0 to 255, in OpenCV's 12-bit fixed point.
fn hsv([r, g, b]: [u8; 3]) -> [usize; 3] {
    let [r, g, b] = [r, g, b].map(i32::from);
    let (value, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = value - least;
    let divided = |numerator: i32, divisor: i32| {
        if divisor == 0 {
            0
        } else {
            (f64::from(numerator << 12) / f64::from(divisor)).round_ties_even() as i32
        }
    };
    let saturation = (range * divided(255, value) + (1 << 11)) >> 12;
    let sector = if value == r {
        g - b
    } else if value == g {
        b - r + 2 * range
    } else {
        r - g + 4 * range
    };
    let hue = (sector * divided(180, 6 * range) + (1 << 11)) >> 12;
    let hue = if hue < 0 { hue + 180 } else { hue };
    // A hue of 180 belongs to no bin in OpenCV's range; it is 0.
    [hue as usize % 180, saturation.clamp(0, 255) as usize, value as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn flat(rgb: [u8; 3]) -> Thumbnail {
        Thumbnail::of(&Frame::from_rgb(16, 9, rgb.repeat(16 * 9)))
    }

    #[test]
    fn colours_have_opencv_s_hsv() {
        // By hand: H = 60 (g - b) / range / 2 and so on, S = 255 range / V.
        let cases = [
            ([255, 0, 0], [0, 255, 255]),
            ([0, 255, 0], [60, 255, 255]),
            ([0, 0, 255], [120, 255, 255]),
            ([255, 255, 0], [30, 255, 255]),
            ([255, 0, 255], [150, 255, 255]),
            ([90, 90, 90], [0, 0, 90]),
            ([0, 0, 0], [0, 0, 0]),
            ([200, 100, 50], [10, 191, 200]),
        ];
        for (rgb, want) in cases {
            assert_eq!(hsv(rgb), want, "{rgb:?}");
        }
    }

    #[test]
    fn a_cut_is_where_the_colours_change_and_activity_starts_anew() {
        let mut scenes = SceneDetector::new(THRESHOLD);
        let first = scenes.step(&flat([200, 40, 40]));
        assert_eq!(first, SceneStep { score: None, is_cut: false, activity: None });
        let same = scenes.step(&flat([200, 40, 40]));
        assert!(!same.is_cut && same.score.unwrap().abs() < 1e-12 && same.activity.unwrap().abs() < 1e-12);
        let other = scenes.step(&flat([40, 40, 200]));
        assert!(other.is_cut && other.score.unwrap() > 0.99 && other.activity.is_none());
        scenes.reset();
        assert_eq!(scenes.step(&flat([200, 40, 40])).score, None);
    }

    #[test]
    fn activity_is_the_mean_of_the_last_ten() {
        // A share of the picture takes another colour, so the score is known: below, against two bins of n pixels.
        let half = |other: usize| {
            let rgb: Vec<u8> =
                (0..100).flat_map(|i| if i < other { [0, 0, 250] } else { [250, 0, 0] }).collect();
            Thumbnail::of(&Frame::from_rgb(10, 10, rgb))
        };
        let mut scenes = SceneDetector::new(1.9);
        scenes.step(&half(0));
        let moved = scenes.step(&half(10)).score.unwrap();
        // Pearson over nearly all empty bins is the cosine: 90 / sqrt(90^2 + 10^2).
        assert!((moved - (1.0 - 90.0 / 8200_f64.sqrt())).abs() < 1e-4, "{moved}");
        for _ in 0..9 {
            scenes.step(&half(10));
        }
        let activity = |scenes: &mut SceneDetector| scenes.step(&half(10)).activity.unwrap();
        assert!(activity(&mut scenes).abs() < 1e-12, "the eleventh score has pushed the first one out");
    }
}
