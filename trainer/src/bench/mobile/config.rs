//! How a phone is simulated.

use anyhow::{Result, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// Rates that a slow-down may have.
const RATES: std::ops::RangeInclusive<f64> = 1.0..=50.0;
/// Most rates of one report.
const MAX_RATES: usize = 8;
/// Lengths of a measurement, in seconds; the page takes no others.
const SECONDS: std::ops::RangeInclusive<f64> = 0.1..=3600.0;

/// Where page and browser are, and how much slower the page is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct MobileConfig {
    /// Folder of the built page.
    pub site: PathBuf,
    /// The browser, by path or by name; the first of Chromium's names that is on the PATH if nobody names one.
    pub chromium: Option<PathBuf>,
    /// Times that the page has less of the processor's time.
    pub rates: Vec<f64>,
    /// Length of each measurement, in seconds, not counting its beginning.
    pub seconds: f64,
    /// Least runs of each thing.
    pub runs: u32,
    /// Longest time of a measurement with all that belongs to it.
    pub timeout: Duration,
}

impl MobileConfig {
    /// Checks every field's range.
    ///
    /// # Errors
    /// Naming the field and its range.
    pub fn check(&self) -> Result<()> {
        ensure!(
            (1..=MAX_RATES).contains(&self.rates.len()),
            "there are {} rates, expected 1 to {MAX_RATES}",
            self.rates.len()
        );
        for rate in &self.rates {
            ensure!(
                RATES.contains(rate),
                "a rate is {rate}, expected {} to {}: how many times slower",
                RATES.start(),
                RATES.end()
            );
        }
        ensure!(
            SECONDS.contains(&self.seconds),
            "the seconds are {}, expected {} to {}",
            self.seconds,
            SECONDS.start(),
            SECONDS.end()
        );
        ensure!(self.runs > 0, "the runs are 0, expected 1 and more");
        Ok(())
    }

    /// The rates in their order, each once, behind 1: what all others are compared with.
    pub(super) fn all_rates(&self) -> Vec<f64> {
        let mut rates = self.rates.clone();
        rates.push(1.0);
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(rates: &[f64], seconds: f64) -> MobileConfig {
        MobileConfig {
            site: "dist".into(),
            chromium: None,
            rates: rates.to_vec(),
            seconds,
            runs: 20,
            timeout: Duration::from_secs(300),
        }
    }

    #[test]
    fn the_page_as_it_is_comes_first_and_each_rate_once() {
        assert_eq!(config(&[6.0, 4.0], 5.0).all_rates(), [1.0, 4.0, 6.0]);
        assert_eq!(config(&[4.0, 1.0, 4.0, 2.5], 5.0).all_rates(), [1.0, 2.5, 4.0]);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        config(&[4.0, 6.0], 5.0).check().unwrap();
        for (rates, seconds, says) in [
            (&[][..], 5.0, "0 rates"),
            (&[0.5], 5.0, "a rate is 0.5"),
            (&[f64::NAN], 5.0, "a rate is NaN"),
            (&[4.0, 51.0], 5.0, "a rate is 51"),
            (&[2.0; 9], 5.0, "9 rates"),
            (&[4.0], 0.0, "the seconds are 0"),
            (&[4.0], f64::INFINITY, "the seconds are inf"),
        ] {
            let refused = config(rates, seconds).check().unwrap_err().to_string();
            assert!(refused.contains(says), "{says}: {refused}");
        }
        assert!(MobileConfig { runs: 0, ..config(&[4.0], 5.0) }.check().is_err());
    }
}
