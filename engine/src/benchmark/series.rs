//! Times of one thing that ran again and again.

use crate::order::{ascending, of_number};
use serde::{Deserialize, Serialize};

/// Most runs that are kept; later ones are not.
pub const MAX_RUNS: usize = 20_000;
/// Points of [`Summary::course_ms`].
pub const COURSE: usize = 60;
/// Blocks whose 90th percentiles are compared.
const BLOCKS: usize = 5;
/// Difference of those, as a share of the whole's, above which a series is not stable.
pub const UNSTABLE: f64 = 0.15;
/// Length of the beginning and the end that are compared, in seconds.
pub const END_S: f64 = 10.0;

/// Runs in the order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    times_ms: Vec<f64>,
    /// When each ended, in seconds since the first began.
    ended_s: Vec<f64>,
}

/// What a series comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Number of runs.
    pub runs: u32,
    /// Fastest run, in milliseconds.
    pub min_ms: f64,
    /// Half of the runs took this long at most; by nearest rank, as all percentiles.
    pub p50_ms: f64,
    /// The headline.
    pub p90_ms: f64,
    /// Of a hundred runs one took longer.
    pub p99_ms: f64,
    /// Slowest run.
    pub max_ms: f64,
    /// Mean of the runs.
    pub mean_ms: f64,
    /// Largest less least 90th percentile of five parts of the series, as a share of [`Summary::p90_ms`]; none of fewer runs
    /// than fifty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// Medians of the first and the last ten seconds, in milliseconds; none of shorter series than twenty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_ms: Option<[f64; 2]>,
    /// Medians of at most sixty equal parts, in the order of time.
    pub course_ms: Vec<f64>,
}

impl Series {
    /// Adds a run that took `time_ms` and ended `ended_s` after the first one began.
    pub fn push(&mut self, time_ms: f64, ended_s: f64) {
        if self.times_ms.len() < MAX_RUNS && time_ms.is_finite() && time_ms >= 0.0 {
            self.times_ms.push(time_ms);
            self.ended_s.push(ended_s);
        }
    }

    /// Number of runs.
    pub fn len(&self) -> usize {
        self.times_ms.len()
    }

    /// Whether there is no run yet.
    pub fn is_empty(&self) -> bool {
        self.times_ms.is_empty()
    }

    /// What the runs come to; nothing without any.
    pub fn summary(&self) -> Option<Summary> {
        let times = &self.times_ms;
        let ordered = sorted(times);
        let (first, last) = (ordered.first()?, ordered.last()?);
        let p90_ms = rank(&ordered, 0.9);
        Some(Summary {
            runs: times.len() as u32,
            min_ms: *first,
            p50_ms: rank(&ordered, 0.5),
            p90_ms,
            p99_ms: rank(&ordered, 0.99),
            max_ms: *last,
            mean_ms: times.iter().sum::<f64>() / times.len() as f64,
            spread: self.spread(p90_ms),
            ends_ms: self.ends_ms(),
            course_ms: parts(times, COURSE).map(|part| rank(&sorted(part), 0.5)).collect(),
        })
    }

    fn spread(&self, p90_ms: f64) -> Option<f64> {
        if self.len() < 10 * BLOCKS || p90_ms <= 0.0 {
            return None;
        }
        let blocks: Vec<f64> = parts(&self.times_ms, BLOCKS).map(|part| rank(&sorted(part), 0.9)).collect();
        let blocks = sorted(&blocks);
        Some((blocks.last()? - blocks.first()?) / p90_ms)
    }

    fn ends_ms(&self) -> Option<[f64; 2]> {
        let end_s = *self.ended_s.last()?;
        let within = |keep: &dyn Fn(f64) -> bool| {
            let runs = self.times_ms.iter().zip(&self.ended_s);
            runs.filter(|run| keep(*run.1)).map(|run| *run.0).collect::<Vec<f64>>()
        };
        let (first, last) = (within(&|at_s| at_s <= END_S), within(&|at_s| at_s > end_s - END_S));
        if end_s < 2.0 * END_S || first.is_empty() || last.is_empty() {
            return None;
        }
        Some([rank(&sorted(&first), 0.5), rank(&sorted(&last), 0.5)])
    }
}

impl Summary {
    /// Whether the parts of the series differ by more than [`UNSTABLE`].
    pub fn is_unstable(&self) -> bool {
        self.spread.is_some_and(|spread| spread > UNSTABLE)
    }
}

/// At most `count` parts of `times`, as equal as they can be, none of them empty.
fn parts(times: &[f64], count: usize) -> impl Iterator<Item = &[f64]> {
    let count = count.min(times.len()).max(1);
    (0..count).map(move |part| &times[part * times.len() / count..(part + 1) * times.len() / count])
}

fn sorted(values: &[f64]) -> Vec<f64> {
    ascending(values.iter().map(|value| of_number(*value))).into_iter().map(|at| values[at]).collect()
}

/// The least of `sorted` that a share of `share` does not exceed.
fn rank(sorted: &[f64], share: f64) -> f64 {
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.max(1) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(times_ms: impl Iterator<Item = f64>) -> Series {
        let mut series = Series::default();
        let mut ended_s = 0.0;
        for time_ms in times_ms {
            ended_s += time_ms / 1e3;
            series.push(time_ms, ended_s);
        }
        series
    }

    /// As `numpy.percentile(range(1, 101), [50, 90, 99], method="inverted_cdf")` gives them: 50, 90, 99.
    #[test]
    fn percentiles_are_those_of_nearest_rank() {
        let backwards = series((1..=100).rev().map(f64::from)).summary().unwrap();
        let percentiles = [backwards.p50_ms, backwards.p90_ms, backwards.p99_ms];
        assert_eq!(percentiles, [50.0, 90.0, 99.0]);
        assert_eq!((backwards.min_ms, backwards.max_ms, backwards.mean_ms), (1.0, 100.0, 50.5));
        let one = series([7.0].into_iter()).summary().unwrap();
        assert_eq!(
            (one.min_ms, one.p50_ms, one.p99_ms, one.spread, one.ends_ms),
            (7.0, 7.0, 7.0, None, None)
        );
        assert_eq!(one.course_ms, [7.0]);
        assert_eq!(Series::default().summary(), None);
    }

    #[test]
    fn a_series_whose_parts_differ_is_unstable() {
        let even = series((0..200).map(|run| if run % 10 == 0 { 3.0 } else { 2.0 })).summary().unwrap();
        assert!(!even.is_unstable(), "{even:?}");
        let slower = series((0..200).map(|run| if run < 100 { 2.0 } else { 2.5 })).summary().unwrap();
        assert!(slower.is_unstable() && (slower.spread.unwrap() - 0.2).abs() < 1e-12, "{slower:?}");
    }

    #[test]
    fn the_ends_are_compared_where_there_are_two() {
        let hot = series((0..400).map(|run| if run < 200 { 50.0 } else { 100.0 })).summary().unwrap();
        assert_eq!(hot.ends_ms, Some([50.0, 100.0]));
        assert_eq!(hot.course_ms.len(), COURSE);
        assert_eq!(series((0..399).map(|_| 50.0)).summary().unwrap().ends_ms, None);
    }

    #[test]
    fn what_is_no_time_is_left_out_and_their_number_is_bounded() {
        let odd = series([f64::NAN, -1.0, f64::INFINITY, 2.0].into_iter());
        assert_eq!(odd.len(), 1);
        assert_eq!(series((0..MAX_RUNS + 5).map(|_| 1.0)).len(), MAX_RUNS);
    }
}
