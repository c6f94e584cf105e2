//! Learning rate over a run: linear warm-up, then half a cosine (arXiv 1608.03983).

/// Peak, length and warm-up of a run, in steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosineSchedule {
    /// Largest learning rate.
    pub peak: f64,
    /// Steps until the peak.
    pub warmup: u64,
    /// Steps of the whole run.
    pub total: u64,
}

impl CosineSchedule {
    /// The learning rate of step `step`, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let progress = (step - self.warmup) as f64 / (self.total.saturating_sub(self.warmup)).max(1) as f64;
        self.peak * 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls_to_zero() {
        let schedule = CosineSchedule { peak: 0.8, warmup: 4, total: 12 };
        let cases = [(0, 0.2), (3, 0.8), (4, 0.8), (8, 0.4), (12, 0.0), (99, 0.0)];
        for (step, want) in cases {
            assert!((schedule.rate(step) - want).abs() < 1e-12, "step {step}");
        }
    }
}
