//! The range of a value over many pictures, and the part of it that is worth its steps.

use crate::export::{ActivationBits, Range};
use candle_core::{Result, Tensor};

/// Values kept of each batch.
const KEPT_OF_A_BATCH: usize = 4096;
/// Values kept in all.
const MAX_KEPT: usize = 1 << 17;
/// Ranges that are tried, from the whole one down to [`SMALLEST`] of it.
const TRIED: usize = 50;
/// The smallest part of the whole range that is tried.
const SMALLEST: f32 = 0.3;

/// Smallest and largest value so far, and some of the values between.
#[derive(Debug, Clone)]
pub struct Observer {
    range: Range,
    kept: Vec<f32>,
}

impl Default for Observer {
    fn default() -> Self {
        Observer { range: Range::EMPTY, kept: Vec::new() }
    }
}

impl Observer {
    /// Takes in the values of a batch, in any shape.
    ///
    /// # Errors
    /// None but candle's own.
    pub fn watch(&mut self, values: &Tensor) -> Result<()> {
        let values: Vec<f32> = values.flatten_all()?.to_vec1()?;
        self.range = self.range.with(&values);
        // An odd step, so that it does not keep to one column of a map or one picture of the batch.
        let step = (values.len() / KEPT_OF_A_BATCH) | 1;
        let room = MAX_KEPT.saturating_sub(self.kept.len());
        self.kept.extend(values.into_iter().step_by(step).take(room));
        Ok(())
    }

    /// The smallest range that holds every value; none if there was no value, or one that is no number.
    pub fn whole(&self) -> Option<Range> {
        let is_sound = self.range.low.is_finite() && self.range.high.is_finite();
        (is_sound && self.range.low <= self.range.high).then_some(self.range)
    }

    /// The part of the whole range, with 0 in it, whose steps lie nearest to the values by their squared error: a few
    /// outliers are cut off where finer steps for all others are worth more.
    pub fn nearest(&self, bits: ActivationBits) -> Option<Range> {
        let whole = self.whole()?;
        let (low, high) = (whole.low.min(0.0), whole.high.max(0.0));
        let part = |i: usize| {
            let share = 1.0 - (1.0 - SMALLEST) * i as f32 / TRIED as f32;
            Range { low: low * share, high: high * share }
        };
        let error = |range: &Range| {
            let step = (range.high - range.low) / bits.steps();
            let square = |&value: &f32| {
                let value = f64::from(value);
                let kept = value.clamp(f64::from(range.low), f64::from(range.high));
                let nearest = (kept / f64::from(step)).round() * f64::from(step);
                (value - nearest).powi(2)
            };
            self.kept.iter().map(square).sum::<f64>()
        };
        if high <= low {
            return Some(whole);
        }
        let tried = (0..=TRIED).map(part).map(|range| (range, error(&range)));
        tried.min_by(|a, b| a.1.total_cmp(&b.1)).map(|best| best.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn observer(values: Vec<f32>) -> Result<Observer> {
        let mut observer = Observer::default();
        let count = values.len();
        observer.watch(&Tensor::from_vec(values, count, &Device::Cpu)?)?;
        Ok(observer)
    }

    #[test]
    fn an_outlier_is_cut_off_where_finer_steps_are_worth_more() -> Result<()> {
        let even: Vec<f32> = (0..4000).map(|i| i as f32 / 4000.0).collect();
        let mut observer = observer(even.clone())?;
        let Some(range) = observer.nearest(ActivationBits::Seven) else { panic!("no range") };
        assert!(range.high > 0.98, "{range:?}");
        // One value of 80,000 a little farther out costs less than it gives to all others.
        for _ in 0..19 {
            observer.watch(&Tensor::from_vec(even.clone(), even.len(), &Device::Cpu)?)?;
        }
        observer.watch(&Tensor::new(&[1.05f32], &Device::Cpu)?)?;
        let Some(range) = observer.nearest(ActivationBits::Seven) else { panic!("no range") };
        assert!((0.98..1.03).contains(&range.high), "{range:?}");
        assert_eq!(observer.whole(), Some(Range { low: 0.0, high: 1.05 }));
        Ok(())
    }

    #[test]
    fn nothing_and_no_number_have_no_range() -> Result<()> {
        assert_eq!(Observer::default().whole(), None);
        assert_eq!(observer(vec![1.0, f32::INFINITY])?.whole(), None);
        Ok(())
    }
}
