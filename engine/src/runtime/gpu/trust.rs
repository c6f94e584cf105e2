//! Whether the GPU is asked again after it failed.

use super::error::GpuError;

/// Two losses within so many milliseconds are no accident.
const PATIENCE_MS: f64 = 60_000.0;

/// What to do with the item in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Open another device and run the item once more.
    Reopen,
    /// Run it on the CPU, and everything after it.
    LeaveToCpu,
}

/// What the GPU has done so far.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    lost_ms: Option<f64>,
    /// Why it is not asked any more.
    reason: Option<GpuError>,
}

impl Trust {
    /// Why the GPU is not asked any more, if that is so.
    pub fn reason(&self) -> Option<&GpuError> {
        self.reason.as_ref()
    }

    /// Takes in that a run ended in `error` at `now_ms`, milliseconds of any clock.
    ///
    /// A lost device is replaced once; a second loss within a minute, and everything else at once, is the end: an error or
    /// a wrong number comes back with the next device.
    pub fn failed(&mut self, error: &GpuError, now_ms: f64) -> Remedy {
        let is_first = self.lost_ms.is_none_or(|lost_ms| now_ms - lost_ms > PATIENCE_MS);
        if matches!(error, GpuError::Lost { .. }) && is_first && self.reason.is_none() {
            self.lost_ms = Some(now_ms);
            return Remedy::Reopen;
        }
        self.reason.get_or_insert_with(|| error.clone());
        Remedy::LeaveToCpu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g04_a_lost_device_is_replaced_once_a_minute() {
        let lost = GpuError::Lost { detail: "gone".into() };
        let mut trust = Trust::default();
        assert_eq!(trust.failed(&lost, 5.0), Remedy::Reopen);
        assert_eq!(trust.failed(&lost, 60_006.0), Remedy::Reopen);
        assert_eq!(trust.reason(), None);
        assert_eq!(trust.failed(&lost, 120_006.0), Remedy::LeaveToCpu);
        assert_eq!(trust.reason(), Some(&lost));
        // For good.
        assert_eq!(trust.failed(&lost, 1e9), Remedy::LeaveToCpu);
    }

    #[test]
    fn g06_g07_errors_and_wrong_numbers_end_it_at_once() {
        for error in [
            GpuError::Fault { detail: "validation".into() },
            GpuError::Wrong { detail: "1 and 2".into() },
            GpuError::Unavailable { detail: "no adapter".into() },
        ] {
            let mut trust = Trust::default();
            assert_eq!(trust.failed(&error, 0.0), Remedy::LeaveToCpu);
            assert_eq!(trust.reason(), Some(&error));
        }
    }
}
