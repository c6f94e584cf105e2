//! Logit -> P(fake) -> real, fake or uncertain.

use crate::error::Error;
use serde::{Deserialize, Serialize};

/// What a picture is judged to be. Label 1 of the data sets is [`Label::Fake`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// P(fake) is at most the lower threshold.
    Real,
    /// P(fake) is at least the upper threshold.
    Fake,
    /// P(fake) lies between the thresholds: the networks do not know.
    Uncertain,
}

/// Probability that a picture is fake, in `[0, 1]`: 1 is [`Label::Fake`], everywhere. A type of its own, so that no
/// P(real) can stand where it is meant.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct ProbabilityFake(f64);

impl ProbabilityFake {
    /// sigmoid(`logit` / `temperature`) of a network whose logit grows with P(fake).
    pub fn of_logit(logit: f32, temperature: f64) -> Self {
        ProbabilityFake(probability_fake(logit, temperature))
    }

    /// A P(fake) from elsewhere, if it is in `[0, 1]`.
    pub fn new(value: f64) -> Option<Self> {
        // Written so that NaN is none.
        (0.0..=1.0).contains(&value).then_some(ProbabilityFake(value))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// ln(p / (1 - p)), at most [`MAX_LOG_ODDS`] from 0.
    pub fn log_odds(self) -> f64 {
        (libm::log(self.0) - libm::log(1.0 - self.0)).clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
    }
}

/// Largest log-odds that are told apart: beyond, P(fake) and 1 differ by less than the last bit of either.
pub const MAX_LOG_ODDS: f64 = 40.0;

/// Where the answers of a stage count as sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// As the bundle was fitted.
    #[default]
    Fitted,
    /// Real at or below 0.02, fake at or above 0.98: the original's numbers, whatever the network.
    Static,
    /// Real at or below 0.02, fake at or above 0.90: a fake is called sooner than a real.
    Asymmetric,
}

impl Preset {
    /// The thresholds of this preset for a stage whose bundle says `fitted`.
    pub fn thresholds(self, fitted: Thresholds) -> Thresholds {
        match self {
            Preset::Fitted => fitted,
            Preset::Static => Thresholds { lower: 0.02, upper: 0.98 },
            Preset::Asymmetric => Thresholds { lower: 0.02, upper: 0.90 },
        }
    }
}

/// P(fake) at which an answer counts as sure; part of a bundle's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Real at or below this P(fake).
    pub lower: f64,
    /// Fake at or above this P(fake).
    pub upper: f64,
}

impl Thresholds {
    /// Checks `0 <= lower < upper <= 1`.
    ///
    /// # Errors
    /// [`Error::Manifest`] with both values.
    pub fn check(&self) -> Result<(), Error> {
        // Written so that NaN fails.
        if 0.0 <= self.lower && self.lower < self.upper && self.upper <= 1.0 {
            return Ok(());
        }
        let detail = format!(
            "thresholds need 0 <= lower < upper <= 1, got lower {} and upper {}",
            self.lower, self.upper
        );
        Err(Error::Manifest { detail })
    }

    /// The label of a picture with this P(fake).
    pub fn label(&self, probability: ProbabilityFake) -> Label {
        if probability.0 >= self.upper {
            Label::Fake
        } else if probability.0 <= self.lower {
            Label::Real
        } else {
            Label::Uncertain
        }
    }
}

/// A decision and who took it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Real, fake or uncertain by the bundle's thresholds.
    pub label: Label,
    /// P(fake) in `[0, 1]`, after temperature scaling.
    pub probability_fake: f64,
    /// Name of the stage whose probability this is.
    pub decided_by: String,
}

/// P(fake) = 1 / (1 + exp(-logit / temperature)), the same bits on every target.
pub fn probability_fake(logit: f32, temperature: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-f64::from(logit) / temperature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_at_and_beside_the_thresholds() {
        let thresholds = Thresholds { lower: 0.3, upper: 0.7 };
        let cases = [
            (0.0, Label::Real),
            (0.3, Label::Real),
            (0.300_000_1, Label::Uncertain),
            (0.699_999_9, Label::Uncertain),
            (0.7, Label::Fake),
            (1.0, Label::Fake),
        ];
        for (probability, want) in cases {
            let judged = ProbabilityFake::new(probability).unwrap();
            assert_eq!(thresholds.label(judged), want, "P(fake) = {probability}");
        }
    }

    #[test]
    fn e3_presets_replace_what_was_fitted_or_keep_it() {
        let fitted = Thresholds { lower: 0.3, upper: 0.7 };
        let label = |preset: Preset, p| preset.thresholds(fitted).label(ProbabilityFake::new(p).unwrap());
        use Label::{Fake, Real, Uncertain};
        let cases = [
            (0.3, [Real, Uncertain, Uncertain]),
            (0.02, [Real, Real, Real]),
            (0.7, [Fake, Uncertain, Uncertain]),
            (0.9, [Fake, Uncertain, Fake]),
            (0.98, [Fake, Fake, Fake]),
        ];
        for (p, want) in cases {
            let found = [Preset::Fitted, Preset::Static, Preset::Asymmetric].map(|preset| label(preset, p));
            assert_eq!(found, want, "P(fake) = {p}");
        }
    }

    #[test]
    fn a_probability_is_one_and_its_log_odds_are_finite() {
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(ProbabilityFake::new(bad), None);
        }
        assert_eq!(ProbabilityFake::new(0.5).unwrap().log_odds(), 0.0);
        assert_eq!(ProbabilityFake::of_logit(1e30, 1.0).log_odds(), MAX_LOG_ODDS);
        assert_eq!(ProbabilityFake::of_logit(-1e30, 1.0).log_odds(), -MAX_LOG_ODDS);
        assert!((ProbabilityFake::of_logit(3.0, 2.0).log_odds() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn thresholds_out_of_order_are_refused() {
        for (lower, upper) in
            [(0.7, 0.3), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (f64::NAN, 0.5), (0.5, f64::NAN)]
        {
            assert!(Thresholds { lower, upper }.check().is_err(), "{lower} {upper}");
        }
        assert!(Thresholds { lower: 0.0, upper: 1.0 }.check().is_ok());
    }

    #[test]
    fn probability_is_the_sigmoid_of_the_scaled_logit() {
        assert_eq!(probability_fake(0.0, 1.0), 0.5);
        assert!((probability_fake(2.0, 1.0) - 0.880_797_077_977_882_4).abs() < 1e-15);
        assert!((probability_fake(2.0, 2.0) - 0.731_058_578_630_004_9).abs() < 1e-15);
        assert_eq!(probability_fake(f32::MAX, 1.0), 1.0);
        assert_eq!(probability_fake(f32::MIN, 1.0), 0.0);
    }
}
