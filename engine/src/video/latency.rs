//! How long samples took from their pixels to their result.

use serde::{Deserialize, Serialize};

/// A sample should be done in this time, in milliseconds.
pub const BUDGET_MS: f64 = 100.0;
/// Upper ends of the classes, in milliseconds; a last class takes the rest.
pub const BOUNDS_MS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, BUDGET_MS, 200.0, 500.0, 1000.0];

/// A histogram of times: bounded, however long the video is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many samples took at most each of [`BOUNDS_MS`] and more than the one before; the last one is of the rest.
    pub counts: [u32; BOUNDS_MS.len() + 1],
    /// Sum of all times, in milliseconds.
    pub sum_ms: f64,
    /// Longest time, in milliseconds.
    pub max_ms: f64,
}

impl Latency {
    /// Takes the time of one sample.
    pub fn add(&mut self, latency_ms: f64) {
        let class = BOUNDS_MS.iter().position(|bound| latency_ms <= *bound).unwrap_or(BOUNDS_MS.len());
        self.counts[class] += 1;
        self.sum_ms += latency_ms;
        self.max_ms = self.max_ms.max(latency_ms);
    }

    /// How many samples took longer than [`BUDGET_MS`].
    pub fn over_budget(&self) -> u32 {
        let classes = BOUNDS_MS.iter().chain([&f64::INFINITY]).zip(&self.counts);
        classes.filter(|(bound, _)| **bound > BUDGET_MS).map(|(_, count)| count).sum()
    }

    /// Mean time in milliseconds; 0 without samples.
    pub fn mean_ms(&self) -> f64 {
        let count: u32 = self.counts.iter().sum();
        self.sum_ms / f64::from(count.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_their_classes() {
        let mut latency = Latency::default();
        for time_ms in [0.5, 1.0, 1.1, 100.0, 100.1, 5000.0] {
            latency.add(time_ms);
        }
        assert_eq!(latency.counts, [2, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1]);
        assert_eq!((latency.over_budget(), latency.max_ms), (2, 5000.0));
        assert!((latency.mean_ms() - 5202.7 / 6.0).abs() < 1e-9);
        assert_eq!(Latency::default().mean_ms(), 0.0);
    }
}
