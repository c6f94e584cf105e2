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
    pub fn label(&self, probability_fake: f64) -> Label {
        if probability_fake >= self.upper {
            Label::Fake
        } else if probability_fake <= self.lower {
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
            assert_eq!(thresholds.label(probability), want, "P(fake) = {probability}");
        }
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
