//! A person's P(fake) over time: smoothed, and how consistent it is.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Samples over which consistency is measured.
pub const WINDOW: usize = 8;
/// Samples over which P(fake) is smoothed.
const SMOOTHED: usize = 5;

/// How consistent the last [`WINDOW`] samples of a person are.
///
/// 0.7 / (1 + 4 Var(label)) + 0.3 / (1 + 4 Var(confidence)), where the label is 1 from P(fake) 0.5 and the confidence is
/// P(fake) or 1 - P(fake), whichever is larger; 0 for fewer than two samples. The original AWARE-NET's formula.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Consistency(pub f64);

/// The last samples of a person.
#[derive(Debug, Clone, Default)]
pub struct Window {
    recent: VecDeque<f64>,
}

impl Window {
    /// Takes the next P(fake), and gives the consistency with it.
    pub fn push(&mut self, probability_fake: f64) -> Consistency {
        self.recent.push_back(probability_fake);
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        if self.recent.len() < 2 {
            return Consistency(0.0);
        }
        let label = |p: &f64| if *p >= 0.5 { 1.0 } else { 0.0 };
        let agreement = |of: &dyn Fn(&f64) -> f64| 1.0 / (1.0 + 4.0 * self.variance(of));
        Consistency(0.7 * agreement(&label) + 0.3 * agreement(&|p: &f64| p.max(1.0 - p)))
    }

    fn variance(&self, of: &dyn Fn(&f64) -> f64) -> f64 {
        let count = self.recent.len() as f64;
        let mean = self.recent.iter().map(of).sum::<f64>() / count;
        self.recent.iter().map(|p| (of(p) - mean) * (of(p) - mean)).sum::<f64>() / count
    }
}

/// `values` smoothed by Savitzky and Golay's filter of order 1 over five samples (fewer where there are not as many), within
/// `[0, 1]`: a mean in the middle, a fitted line at both ends, as `scipy.signal.savgol_filter` does it.
pub fn smooth(values: &[f64]) -> Vec<f64> {
    let window = values.len().min(SMOOTHED);
    // An odd number has a middle.
    let window = if window.is_multiple_of(2) { window.saturating_sub(1) } else { window };
    if window < 3 {
        return values.to_vec();
    }
    let half = window / 2;
    let last = values.len() - window;
    let at = |i: usize| {
        let start = i.saturating_sub(half).min(last);
        let part = &values[start..start + window];
        let offset = |k: usize| k as f64 - half as f64;
        let mean = part.iter().sum::<f64>() / window as f64;
        let slope = part.iter().enumerate().map(|(k, value)| offset(k) * value).sum::<f64>()
            / (0..window).map(|k| offset(k) * offset(k)).sum::<f64>();
        (mean + slope * offset(i - start)).clamp(0.0, 1.0)
    };
    (0..values.len()).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(values: &[f64]) -> f64 {
        let mut window = Window::default();
        values.iter().map(|value| window.push(*value).0).last().unwrap()
    }

    #[test]
    fn consistency_is_the_original_s_formula() {
        assert_eq!(last(&[0.9]), 0.0);
        assert_eq!(last(&[0.9, 0.9]), 1.0);
        // Labels 1 and 0: variance 1/4; confidences equal.
        assert!((last(&[0.9, 0.1]) - (0.7 / 2.0 + 0.3)).abs() < 1e-12);
        // Confidences 0.9 and 0.7: variance 0.01.
        assert!((last(&[0.9, 0.7]) - (0.7 + 0.3 / 1.04)).abs() < 1e-12);
    }

    #[test]
    fn only_the_last_eight_count() {
        let mut values = vec![0.1; 5];
        values.extend([0.9; 8]);
        assert!((last(&values) - 1.0).abs() < 1e-12);
        assert!(last(&values[..12]) < 0.9);
    }

    /// By hand; by scipy itself: `engine/tests/video.rs`.
    #[test]
    fn smoothing_is_scipy_s() {
        struct Case {
            values: &'static [f64],
            want: &'static [f64],
        }
        let cases = [
            Case { values: &[], want: &[] },
            Case { values: &[0.3], want: &[0.3] },
            Case { values: &[0.3, 0.9], want: &[0.3, 0.9] },
            Case { values: &[0.0, 0.6, 0.3], want: &[0.15, 0.3, 0.45] },
            Case { values: &[0.1, 0.9, 0.2, 0.8, 0.4, 0.6], want: &[0.38, 0.43, 0.48, 0.58, 0.54, 0.5] },
        ];
        for Case { values, want } in cases {
            let smoothed = smooth(values);
            assert_eq!(smoothed.len(), want.len());
            for (value, want) in smoothed.iter().zip(want) {
                assert!((value - want).abs() < 1e-12, "{values:?}: {smoothed:?}");
            }
        }
    }

    #[test]
    fn smoothed_values_stay_probabilities() {
        let smoothed = smooth(&[0.0, 0.0, 0.0, 1.0, 1.0]);
        assert!(smoothed.iter().all(|value| (0.0..=1.0).contains(value)), "{smoothed:?}");
    }
}
