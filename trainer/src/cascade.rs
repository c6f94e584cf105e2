//! What a first, cheap network may answer alone: shares that pass, fakes that slip through.

use crate::metrics::{Scored, percentiles};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Certainties the table is made for.
pub const CERTAINTIES: [f64; 4] = [0.90, 0.95, 0.98, 0.99];
/// Share of the fakes that may pass as real: less than this.
pub const MAX_LEAKAGE: f64 = 0.05;
/// Share of all pictures that must pass as real: more than this.
pub const MIN_FILTRATION: f64 = 0.30;
/// Resamples behind an interval.
const RESAMPLES: usize = 2000;

/// What a first stage does that answers alone where it is at least this certain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CascadeRow {
    /// Passed as real where P(fake) < 1 - certainty, called fake where P(fake) > certainty.
    pub certainty: f64,
    /// The side of those that pass as real.
    pub real: PassedReal,
    /// The side of those that are called fake.
    pub fake: CalledFake,
}

/// Pictures that pass as real without a second look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PassedReal {
    /// Share of all pictures.
    pub filtration: f64,
    /// Share of the fakes that pass; absent without fakes.
    pub leakage: Option<f64>,
    /// Share of reals among them; absent if none passes.
    pub precision: Option<f64>,
}

/// Pictures that are called fake without a second look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalledFake {
    /// Share of all pictures.
    pub share: f64,
    /// Share of the reals that are called fake; absent without reals.
    pub false_alarms: Option<f64>,
    /// Share of fakes among them; absent if none is called fake.
    pub precision: Option<f64>,
}

/// The table over [`CERTAINTIES`]; `scored` are P(fake).
pub fn cascade_table(scored: &[Scored]) -> Vec<CascadeRow> {
    let row = |&certainty: &f64| {
        let called = counts(scored, |score| score > certainty);
        CascadeRow {
            certainty,
            real: passed_real(scored, |score| score < 1.0 - certainty),
            fake: CalledFake {
                share: share(called.0 + called.1, scored.len()).unwrap_or(0.0),
                false_alarms: share(called.0, scored.iter().filter(|s| !s.fake).count()),
                precision: share(called.1, called.0 + called.1),
            },
        }
    };
    CERTAINTIES.iter().map(row).collect()
}

/// A threshold below which pictures pass as real, chosen on data that nothing else was learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// A picture passes if its P(fake) is at most this.
    pub threshold: f64,
    /// 95 % bootstrap interval of the threshold, groups drawn whole and the choice made anew on each
    /// draw; 0 where a draw allows none.
    pub threshold_interval: [f64; 2],
    /// What it does where it was chosen.
    #[serde(flatten)]
    pub here: AtThreshold,
}

/// What passes as real at a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtThreshold {
    /// What passes.
    pub real: PassedReal,
    /// 95 % bootstrap interval of the leakage, groups drawn whole; absent without fakes.
    pub leakage_interval: Option<[f64; 2]>,
    /// 95 % bootstrap interval of the filtration, groups drawn whole.
    pub filtration_interval: Option<[f64; 2]>,
    /// Whether both limits hold for the whole of both intervals, not only here.
    pub holds_in_interval: bool,
}

/// The threshold that lets most pass with a leakage below [`MAX_LEAKAGE`]; nothing if that is not a
/// filtration above [`MIN_FILTRATION`], since every lower threshold lets less pass.
///
/// `groups` names the group of each picture: pictures of one source are no independent evidence.
pub fn select_threshold(scored: &[Scored], groups: &[&str], seed: u64) -> Option<Selection> {
    let pictures = Pictures::of(scored, groups);
    let threshold = pictures.highest(&vec![1; pictures.groups])?;
    let here = at_threshold(scored, groups, threshold, seed);
    if here.real.filtration <= MIN_FILTRATION {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draw = |_| {
        let mut times = vec![0; pictures.groups];
        (0..pictures.groups).for_each(|_| times[rng.random_range(0..pictures.groups)] += 1);
        pictures.highest(&times).unwrap_or(0.0)
    };
    let threshold_interval = percentiles((0..RESAMPLES).map(draw).collect())?;
    Some(Selection { threshold, threshold_interval, here })
}

/// What passes as real of `scored` at a `threshold` that came from elsewhere.
pub fn at_threshold(scored: &[Scored], groups: &[&str], threshold: f64, seed: u64) -> AtThreshold {
    let [leakage_interval, filtration_interval] = intervals(scored, groups, threshold, seed);
    let leaks_little = leakage_interval.is_some_and(|[_, high]| high < MAX_LEAKAGE);
    let passes_much = filtration_interval.is_some_and(|[low, _]| low > MIN_FILTRATION);
    AtThreshold {
        real: passed_real(scored, |score| score <= threshold),
        leakage_interval,
        filtration_interval,
        holds_in_interval: leaks_little && passes_much,
    }
}

/// Pictures by rising score, with the number of their group.
struct Pictures {
    sorted: Vec<(Scored, usize)>,
    groups: usize,
}

impl Pictures {
    fn of(scored: &[Scored], groups: &[&str]) -> Self {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for group in groups {
            let next = numbers.len();
            numbers.entry(group).or_insert(next);
        }
        let mut sorted: Vec<(Scored, usize)> =
            scored.iter().zip(groups).map(|(scored, group)| (*scored, numbers[group])).collect();
        sorted.sort_by(|a, b| a.0.score.total_cmp(&b.0.score));
        Pictures { sorted, groups: numbers.len() }
    }

    /// The highest score up to which less than [`MAX_LEAKAGE`] of the fakes lie, each group counted `times`.
    fn highest(&self, times: &[usize]) -> Option<f64> {
        let count = |part: &[(Scored, usize)]| -> usize {
            part.iter().filter(|(s, _)| s.fake).map(|(_, group)| times[*group]).sum()
        };
        let fakes = count(&self.sorted);
        let (mut leaked, mut threshold) = (0, None);
        for tied in self.sorted.chunk_by(|a, b| a.0.score == b.0.score) {
            leaked += count(tied);
            if share(leaked, fakes)? >= MAX_LEAKAGE {
                break;
            }
            // A score that was not drawn is not known.
            if tied.iter().any(|(_, group)| times[*group] > 0) {
                threshold = Some(tied[0].0.score);
            }
        }
        threshold
    }
}

/// Intervals of leakage and filtration at `threshold`.
fn intervals(scored: &[Scored], groups: &[&str], threshold: f64, seed: u64) -> [Option<[f64; 2]>; 2] {
    // Of each group: pictures, passed, fakes, leaked.
    let mut counts: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for (s, group) in scored.iter().zip(groups) {
        let passed = s.score <= threshold;
        let one = [true, passed, s.fake, s.fake && passed].map(usize::from);
        let sum = counts.entry(group).or_default();
        *sum = std::array::from_fn(|i| sum[i] + one[i]);
    }
    let counts: Vec<[usize; 4]> = counts.into_values().collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut leakages, mut filtrations) = (Vec::new(), Vec::new());
    for _ in 0..RESAMPLES {
        let mut sum = [0; 4];
        for _ in 0..counts.len() {
            let one = counts[rng.random_range(0..counts.len())];
            sum = std::array::from_fn(|i| sum[i] + one[i]);
        }
        filtrations.extend(share(sum[1], sum[0]));
        leakages.extend(share(sum[3], sum[2]));
    }
    [percentiles(leakages), percentiles(filtrations)]
}

fn passed_real(scored: &[Scored], passes: impl Fn(f64) -> bool) -> PassedReal {
    let (reals, fakes) = counts(scored, passes);
    PassedReal {
        filtration: share(reals + fakes, scored.len()).unwrap_or(0.0),
        leakage: share(fakes, scored.iter().filter(|s| s.fake).count()),
        precision: share(reals, reals + fakes),
    }
}

/// Reals and fakes whose score is `wanted`.
fn counts(scored: &[Scored], wanted: impl Fn(f64) -> bool) -> (usize, usize) {
    let count = |fake: bool| scored.iter().filter(|s| s.fake == fake && wanted(s.score)).count();
    (count(false), count(true))
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(parts: &[(f64, bool, usize)]) -> Vec<Scored> {
        parts.iter().flat_map(|&(score, fake, count)| vec![Scored { score, fake }; count]).collect()
    }

    fn select(scored: &[Scored]) -> Option<Selection> {
        let names: Vec<String> = (0..scored.len()).map(|i| i.to_string()).collect();
        select_threshold(scored, &names.iter().map(String::as_str).collect::<Vec<_>>(), 1)
    }

    #[test]
    fn the_table_by_hand() {
        // 10 reals: 4 at 0.005, 2 at 0.04, 3 at 0.5, 1 at 0.97. 10 fakes: 1 at 0.03, 9 at 0.985.
        let set = scored(&[
            (0.005, false, 4),
            (0.04, false, 2),
            (0.5, false, 3),
            (0.97, false, 1),
            (0.03, true, 1),
            (0.985, true, 9),
        ]);
        let table = cascade_table(&set);
        let real = |i: usize| table[i].real;
        assert_eq!(real(0), PassedReal { filtration: 0.35, leakage: Some(0.1), precision: Some(6.0 / 7.0) });
        assert_eq!(real(1), real(0));
        assert_eq!(real(2), PassedReal { filtration: 0.2, leakage: Some(0.0), precision: Some(1.0) });
        let fake = |i: usize| table[i].fake;
        assert_eq!(fake(1), CalledFake { share: 0.5, false_alarms: Some(0.1), precision: Some(0.9) });
        assert_eq!(fake(2), CalledFake { share: 0.45, false_alarms: Some(0.0), precision: Some(1.0) });
        assert_eq!(fake(3), CalledFake { share: 0.0, false_alarms: Some(0.0), precision: None });
    }

    #[test]
    fn most_pass_below_the_leakage_limit() {
        // 1 of 50 fakes at 0.2 may leak; the 2 at 0.3 may not, so neither pass the reals there.
        let set = scored(&[
            (0.1, false, 40),
            (0.2, true, 1),
            (0.2, false, 5),
            (0.3, false, 5),
            (0.3, true, 2),
            (0.9, true, 47),
        ]);
        let selection = select(&set).unwrap();
        assert_eq!(selection.threshold, 0.2);
        assert_eq!((selection.here.real.leakage, selection.here.real.filtration), (Some(0.02), 0.46));
        let [low, high] = selection.here.filtration_interval.unwrap();
        assert!(low < 0.46 && 0.46 < high && low > 0.3 && high < 0.62, "{low} {high}");
        assert!(!selection.here.holds_in_interval, "one leak of fifty may well be five: {selection:?}");
        // A draw with three leaks at 0.2 stops at 0.1; one with the single fake left out may go on to 0.3.
        let [low, high] = selection.threshold_interval;
        assert!(low == 0.1 && (0.2..=0.3).contains(&high), "{low} {high}");
    }

    #[test]
    fn groups_are_drawn_whole() {
        let set = scored(&[(0.1, false, 60), (0.9, true, 60)]);
        let pairs: Vec<String> = (0..120).map(|i| (i / 20).to_string()).collect();
        let groups: Vec<&str> = pairs.iter().map(String::as_str).collect();
        let width = |s: &Selection| s.here.filtration_interval.map(|[low, high]| high - low).unwrap();
        let (grouped, single) = (select_threshold(&set, &groups, 1).unwrap(), select(&set).unwrap());
        assert!(width(&grouped) > 2.0 * width(&single), "{grouped:?} {single:?}");
        assert!(single.here.holds_in_interval);
    }

    #[test]
    fn a_threshold_from_elsewhere_is_judged_as_it_is() {
        let set = scored(&[(0.1, false, 10), (0.15, true, 5), (0.9, true, 5)]);
        let names: Vec<String> = (0..20).map(|i| i.to_string()).collect();
        let groups: Vec<&str> = names.iter().map(String::as_str).collect();
        let there = at_threshold(&set, &groups, 0.15, 1);
        assert_eq!((there.real.filtration, there.real.leakage), (0.75, Some(0.5)));
        assert!(!there.holds_in_interval);
        assert_eq!(at_threshold(&set[..10], &groups, 0.15, 1).leakage_interval, None, "no fakes");
    }

    #[test]
    fn no_threshold_where_none_satisfies_both() {
        assert_eq!(select(&scored(&[(0.1, true, 1), (0.2, false, 10), (0.3, true, 9)])), None, "leaks");
        assert_eq!(select(&scored(&[(0.1, false, 3), (0.3, true, 7)])), None, "30 % are not more than 30 %");
        assert_eq!(select(&scored(&[(0.1, false, 3)])), None, "no fakes");
    }
}
