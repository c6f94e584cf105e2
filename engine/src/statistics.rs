//! What became of many judgements, in a size that does not grow with them.

use crate::report::{Mode, Report};
use crate::stage::Role;
use crate::verdict::Label;
use serde::{Deserialize, Serialize};

/// Classes of latencies: the first below 1/16 ms, each next one twice as wide, the last without end.
const CLASSES: usize = 24;

/// Counts, costs and times of judgements.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Pictures with a verdict.
    pub judged: u64,
    /// Pictures without one: not applicable, damaged, and so on.
    pub refused: u64,
    /// Verdicts by label.
    pub labels: Labels,
    /// Verdicts that the filter gave alone and surely.
    pub filtered: Labels,
    /// Verdicts for which a second stage was asked, whether it was there or not.
    pub escalated: u64,
    /// Verdicts without a stage that was needed.
    pub degraded: u64,
    /// Verdicts that mild changes of the picture made uncertain.
    pub unstable: u64,
    /// What is known of pictures whose truth was told.
    pub truth: Truth,
    /// Multiply-adds of all runs.
    pub multiply_adds_spent: u128,
    /// Multiply-adds of all stages once for the same pictures.
    pub multiply_adds_all_stages: u128,
    /// Times from bytes to verdict.
    pub latency: Latency,
}

/// A count for each label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// [`Label::Real`].
    pub real: u64,
    /// [`Label::Fake`].
    pub fake: u64,
    /// [`Label::Uncertain`].
    pub uncertain: u64,
}

/// Counts of pictures whose truth is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Real pictures.
    pub reals: u64,
    /// Fake pictures.
    pub fakes: u64,
    /// Fakes that the filter alone called real.
    pub leaked: u64,
    /// Reals that the filter alone called fake.
    pub false_alarms: u64,
    /// Fakes that were called real by whatever stage.
    pub missed: u64,
    /// Reals that were called fake by whatever stage.
    pub accused: u64,
}

/// Times in milliseconds, by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Sum of all.
    pub sum_ms: f64,
    /// The longest.
    pub max_ms: f64,
    classes: [u64; CLASSES],
}

impl Statistics {
    /// Counts `report`; `truth` is what the picture is, if that is known.
    pub fn note(&mut self, report: &Report, truth: Option<Label>) {
        let label = report.verdict.label;
        let escalated = report.stages.len() > 1 || report.mode == Mode::Degraded;
        let first = report.stages.first();
        let by_filter = !escalated && first.is_some_and(|stage| stage.role == Role::Filter);
        self.judged += 1;
        self.labels.add(label);
        self.escalated += u64::from(escalated);
        self.degraded += u64::from(report.mode == Mode::Degraded);
        self.unstable += u64::from(report.notices.contains(&crate::report::Notice::Unstable));
        let filtered = by_filter && label != Label::Uncertain;
        if filtered {
            self.filtered.add(label);
        }
        match truth {
            Some(Label::Real) => {
                self.truth.reals += 1;
                self.truth.accused += u64::from(label == Label::Fake);
                self.truth.false_alarms += u64::from(filtered && label == Label::Fake);
            }
            Some(Label::Fake) => {
                self.truth.fakes += 1;
                self.truth.missed += u64::from(label == Label::Real);
                self.truth.leaked += u64::from(filtered && label == Label::Real);
            }
            Some(Label::Uncertain) | None => {}
        }
        if let Some(cost) = report.multiply_adds {
            self.multiply_adds_spent += u128::from(cost.spent);
            self.multiply_adds_all_stages += u128::from(cost.all_stages);
        }
        self.latency.note(report.total_ms);
    }

    /// Counts a picture without a verdict.
    pub fn note_refused(&mut self) {
        self.refused += 1;
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Statistics::default();
    }

    /// Share of the verdicts that the filter gave alone and surely.
    pub fn filtration(&self) -> Option<f64> {
        share(self.filtered.real + self.filtered.fake, self.judged)
    }

    /// Share of the verdicts for which a second stage was asked.
    pub fn escalation(&self) -> Option<f64> {
        share(self.escalated, self.judged)
    }

    /// Share of the known fakes that the filter alone called real.
    pub fn leakage(&self) -> Option<f64> {
        share(self.truth.leaked, self.truth.fakes)
    }

    /// Share of the multiply-adds of all stages always that were not spent; below 0 where views cost more than that.
    pub fn saved(&self) -> Option<f64> {
        let all = self.multiply_adds_all_stages as f64;
        (all > 0.0).then(|| 1.0 - self.multiply_adds_spent as f64 / all)
    }
}

impl Labels {
    fn add(&mut self, label: Label) {
        match label {
            Label::Real => self.real += 1,
            Label::Fake => self.fake += 1,
            Label::Uncertain => self.uncertain += 1,
        }
    }
}

impl Latency {
    fn note(&mut self, ms: f64) {
        // A clock that went back counts as no time.
        let ms = if ms.is_finite() { ms.max(0.0) } else { 0.0 };
        self.sum_ms += ms;
        self.max_ms = self.max_ms.max(ms);
        let class = (0..CLASSES - 1).find(|&class| ms < Self::end_ms(class));
        self.classes[class.unwrap_or(CLASSES - 1)] += 1;
    }

    /// Mean in milliseconds; nothing without times.
    pub fn mean_ms(&self) -> Option<f64> {
        let count: u64 = self.classes.iter().sum();
        (count > 0).then(|| self.sum_ms / count as f64)
    }

    /// An upper bound of the time that a share `quantile` of all stays within: the end of its class, at most twice
    /// the time itself above 1/16 ms.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let count: u64 = self.classes.iter().sum();
        let mut below = 0;
        let class = self.classes.iter().position(|&here| {
            below += here;
            count > 0 && below as f64 >= quantile * count as f64
        })?;
        Some(Self::end_ms(class).min(self.max_ms))
    }

    fn end_ms(class: usize) -> f64 {
        (1_u64 << class) as f64 / 16.0
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_from_above() {
        let mut latency = Latency::default();
        assert_eq!((latency.mean_ms(), latency.quantile_ms(0.5)), (None, None));
        for ms in [0.01, 3.0, 3.0, 5.0, 100.0, f64::NAN, -1.0] {
            latency.note(ms);
        }
        assert_eq!(latency.classes.iter().sum::<u64>(), 7);
        assert_eq!(latency.quantile_ms(0.5), Some(4.0));
        assert_eq!(latency.quantile_ms(0.8), Some(8.0));
        assert_eq!(latency.quantile_ms(1.0), Some(100.0));
        latency.note(1e30);
        assert_eq!(latency.quantile_ms(1.0), Some(Latency::end_ms(CLASSES - 1)));
    }
}
