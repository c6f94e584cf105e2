//! How unsure an answer is, and how that narrows what counts as sure.
//!
//! The measure is the largest distance in log-odds between what the filter says of the picture and of mild variants of
//! it ([`crate::stability`]). Both thresholds move away from the middle by that distance times [`Uncertainty::gain`]: with
//! a gain of 1 or more an answer is sure only if every variant alone would give it.

use crate::error::Error;
use crate::stability::View;
use crate::verdict::{ProbabilityFake, Thresholds};
use serde::{Deserialize, Serialize};

/// Largest gain that a manifest may ask for.
const MAX_GAIN: f64 = 16.0;

/// How uncertainty is measured and what follows from it; part of a bundle's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uncertainty {
    /// Variants of the picture that the filter looks at before an answer counts as sure.
    pub views: Vec<View>,
    /// By how many log-odds the thresholds move for each log-odds between the variants; 0 to 16.
    pub gain: f64,
}

impl Default for Uncertainty {
    fn default() -> Self {
        Uncertainty { views: View::ALL.to_vec(), gain: 1.0 }
    }
}

impl Uncertainty {
    /// Checks every field's range.
    ///
    /// # Errors
    /// [`Error::Manifest`] naming the field.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |detail: String| Err(Error::Manifest { detail });
        // Written so that NaN fails.
        if !(0.0..=MAX_GAIN).contains(&self.gain) {
            return refuse(format!("uncertainty.gain is {}, expected 0 to {MAX_GAIN}", self.gain));
        }
        let is_double = |(index, view): (usize, &View)| self.views[..index].contains(view);
        if self.views.iter().enumerate().any(is_double) {
            return refuse("uncertainty.views names a view twice".into());
        }
        Ok(())
    }
}

/// The largest distance in log-odds of `others` from `main`; 0 without others.
pub fn spread(main: ProbabilityFake, others: &[ProbabilityFake]) -> f64 {
    let distance = |other: &ProbabilityFake| (other.log_odds() - main.log_odds()).abs();
    others.iter().map(distance).fold(0.0, f64::max)
}

/// `thresholds` with both ends moved `by` log-odds away from the middle; `by` is 0 or more.
pub fn widened(thresholds: Thresholds, by: f64) -> Thresholds {
    if by == 0.0 {
        return thresholds;
    }
    let moved = |end: f64, by: f64| match end {
        // No answer is sure on a side that ends there.
        0.0 | 1.0 => end,
        end => 1.0 / (1.0 + libm::exp(-(libm::log(end) - libm::log(1.0 - end) + by))),
    };
    // Rounding must not narrow the band.
    Thresholds {
        lower: moved(thresholds.lower, -by).min(thresholds.lower),
        upper: moved(thresholds.upper, by).max(thresholds.upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Label;

    fn p(value: f64) -> ProbabilityFake {
        ProbabilityFake::new(value).unwrap()
    }

    /// Numbers in `[0, 1)`, the same ones every time.
    fn numbers() -> impl Iterator<Item = f64> {
        let mut state = 1_u64;
        std::iter::from_fn(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Some((state >> 11) as f64 / (1_u64 << 53) as f64)
        })
    }

    #[test]
    fn e4_more_uncertainty_never_makes_an_answer_sure() {
        let mut numbers = numbers();
        let mut next = || numbers.next().unwrap();
        for _ in 0..20_000 {
            let (a, b) = (next(), next());
            let thresholds = Thresholds { lower: a.min(b), upper: a.max(b) };
            let (a, b) = (next() * 6.0, next() * 6.0);
            let (less, more) = (widened(thresholds, a.min(b)), widened(thresholds, a.max(b)));
            assert!(more.lower <= less.lower && less.lower <= thresholds.lower, "{thresholds:?} {a} {b}");
            assert!(more.upper >= less.upper && less.upper >= thresholds.upper, "{thresholds:?} {a} {b}");
            assert!(0.0 <= more.lower && more.upper <= 1.0);
            let judged = p(next());
            let sure = |band: Thresholds| band.label(judged) != Label::Uncertain;
            assert!(!sure(more) || more.label(judged) == thresholds.label(judged), "never another answer");
            assert!(!sure(more) || sure(less));
        }
    }

    #[test]
    fn e4_what_is_sure_is_sure_in_every_view() {
        let mut numbers = numbers();
        let mut next = || numbers.next().unwrap();
        let thresholds = Thresholds { lower: 0.2, upper: 0.7 };
        let mut counted = 0;
        for _ in 0..20_000 {
            let (main, views) = (p(next()), [p(next()), p(next())]);
            let label = widened(thresholds, spread(main, &views)).label(main);
            if label != Label::Uncertain {
                counted += 1;
                assert!(views.iter().all(|&view| thresholds.label(view) == label), "{main:?} {views:?}");
            }
        }
        assert!(counted > 300, "{counted}");
    }

    #[test]
    fn the_band_by_hand() {
        let band = widened(Thresholds { lower: 0.5, upper: 0.75 }, 3f64.ln());
        assert!((band.lower - 0.25).abs() < 1e-15 && (band.upper - 0.9).abs() < 1e-15, "{band:?}");
        let never = Thresholds { lower: 0.0, upper: 1.0 };
        assert_eq!(widened(never, 2.0), never);
        assert_eq!(widened(band, 0.0), band);
        assert!((spread(p(0.5), &[p(0.75), p(0.1)]) - 9f64.ln()).abs() < 1e-12);
        assert_eq!(spread(p(0.5), &[]), 0.0);
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for gain in [-0.1, 16.1, f64::NAN, f64::INFINITY] {
            assert!(Uncertainty { gain, ..Uncertainty::default() }.check().is_err(), "{gain}");
        }
        assert!(Uncertainty { views: vec![View::Closer, View::Closer], gain: 1.0 }.check().is_err());
        assert!(Uncertainty::default().check().is_ok());
    }
}
