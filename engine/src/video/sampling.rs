//! Which frames are looked at: more where much changes, never more or fewer than was said.
//!
//! Time is cut into ticks of 1 / `max_fps`, and of each tick at most one frame is taken. In a quiet scene three ticks are left out
//! after each sample, in a slow one one, else none (the original AWARE-NET's steps), but never so many that there would be
//! fewer than `base_fps`. Only media times count, so a rate that varies, is wrong or unknown does no harm.

use crate::error::Error;
use serde::{Deserialize, Serialize};

/// Activity below which a scene is quiet, and below which it is slow.
const QUIET: f64 = 0.05;
const SLOW: f64 = 0.1;
/// Media times are rounded, in Matroska to milliseconds; a frame this early is due, in seconds.
pub const EARLY_S: f64 = 1e-3;
/// No video is as long; thirty years.
pub const LATEST_S: f64 = 1e9;

/// When the next frame may be due behind one at `time_s`, of `max_fps` a second; both as [`Sampler`] counts.
pub fn next_tick_s(time_s: f64, max_fps: f64) -> f64 {
    (((time_s + EARLY_S) * max_fps).floor() + 1.0) / max_fps
}

/// How densely a video is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingConfig {
    /// Samples a second of a quiet scene.
    pub base_fps: f64,
    /// Samples a second of a scene where much changes.
    pub max_fps: f64,
    /// Samples of the whole video at most; a longer one is looked at less densely.
    pub max_samples: u32,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        // 20 minutes at the full rate, one hour at the base rate.
        SamplingConfig { base_fps: 5.0, max_fps: 15.0, max_samples: 18_000 }
    }
}

impl SamplingConfig {
    /// Checks `0 < base_fps <= max_fps <= 240` and `1 <= max_samples <= 100000`.
    ///
    /// # Errors
    /// [`Error::Manifest`] with the values.
    pub fn check(&self) -> Result<(), Error> {
        // Written so that NaN fails.
        let is_rate = 0.0 < self.base_fps && self.base_fps <= self.max_fps && self.max_fps <= 240.0;
        if is_rate && (1..=100_000).contains(&self.max_samples) {
            return Ok(());
        }
        let detail = format!(
            "sampling needs 0 < base_fps <= max_fps <= 240 and 1 <= max_samples <= 100000, got {}, {} and {}",
            self.base_fps, self.max_fps, self.max_samples
        );
        Err(Error::Manifest { detail })
    }
}

/// What will be looked at, known before the work starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SamplingPlan {
    /// Samples a second, at least.
    pub base_fps: f64,
    /// Samples a second, at most.
    pub max_fps: f64,
    /// Samples in all, at most, however long the video turns out to be.
    pub max_samples: u32,
    /// Fewest and most samples, if the video is as long as it says and has as many frames.
    pub expected: Option<[u32; 2]>,
}

impl SamplingPlan {
    /// The plan for a video of `duration_s`, if that is known.
    pub fn new(config: &SamplingConfig, duration_s: Option<f64>) -> Self {
        let cap = f64::from(config.max_samples);
        let Some(duration_s) = duration_s.filter(|duration| duration.is_finite() && *duration > 0.0) else {
            let SamplingConfig { base_fps, max_fps, max_samples } = *config;
            return SamplingPlan { base_fps, max_fps, max_samples, expected: None };
        };
        // One sample falls on the start.
        let max_fps = config.max_fps.min((cap - 1.0).max(1.0) / duration_s);
        let base_fps = config.base_fps.min(max_fps);
        let samples = |rate: f64| (duration_s * rate + 1.0).min(cap) as u32;
        let expected = Some([samples(base_fps), samples(max_fps)]);
        SamplingPlan { base_fps, max_fps, max_samples: config.max_samples, expected }
    }

    /// Ticks that may be left out after a sample.
    fn most_skipped(&self) -> u64 {
        ((self.max_fps / self.base_fps + 1e-6) as u64).max(1) - 1
    }

    fn tick(&self, time_s: f64) -> u64 {
        ((time_s + EARLY_S) * self.max_fps).max(0.0) as u64
    }
}

/// Chooses frames one after another.
#[derive(Debug, Clone)]
pub struct Sampler {
    plan: SamplingPlan,
    next_tick: u64,
    last_tick: u64,
    samples: u32,
}

impl Sampler {
    /// A sampler that has taken nothing yet.
    pub fn new(plan: SamplingPlan) -> Self {
        Sampler { plan, next_tick: 0, last_tick: 0, samples: 0 }
    }

    /// Whether the frame at `time_s` is due; it counts as taken then. A time that is no number or before the last one is not.
    pub fn takes(&mut self, time_s: f64) -> bool {
        let tick = self.plan.tick(time_s);
        if self.is_full() || !time_s.is_finite() || time_s > LATEST_S || tick < self.next_tick {
            return false;
        }
        self.samples += 1;
        self.last_tick = tick;
        self.next_tick = tick.saturating_add(1);
        true
    }

    /// Takes note of the scene's activity at the frame taken last; none while it is unknown, which leaves nothing out.
    pub fn note(&mut self, activity: Option<f64>) {
        let skipped = match activity {
            Some(activity) if activity < QUIET => 3,
            Some(activity) if activity < SLOW => 1,
            _ => 0,
        };
        let skipped = self.plan.most_skipped().min(skipped);
        self.next_tick = self.last_tick.saturating_add(1 + skipped);
    }

    /// Media time before which no frame is due, in seconds.
    pub fn next_due_s(&self) -> f64 {
        self.next_tick as f64 / self.plan.max_fps
    }

    /// Whether no more frames are taken.
    pub fn is_full(&self) -> bool {
        self.samples >= self.plan.max_samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of `seconds` of video at `source_fps` with this activity throughout.
    fn samples(config: SamplingConfig, source_fps: f64, seconds: f64, activity: Option<f64>) -> usize {
        let mut sampler = Sampler::new(SamplingPlan::new(&config, Some(seconds)));
        let frames = 0..(seconds * source_fps) as u32;
        let takes = |frame: &u32| {
            let takes = sampler.takes(f64::from(*frame) / source_fps);
            if takes {
                sampler.note(activity);
            }
            takes
        };
        frames.filter(takes).count()
    }

    #[test]
    fn the_rate_follows_the_activity_and_is_obeyed_at_every_frame_rate() {
        let config = SamplingConfig::default();
        for source_fps in [24.0, 25.0, 29.97, 30.0, 50.0, 60.0, 120.0] {
            // 15 a second, every second tick of them, and 5 where 3.75 would be too few.
            for (activity, want) in [(None, 150), (Some(0.5), 150), (Some(0.07), 75), (Some(0.0), 50)] {
                let count = samples(config, source_fps, 10.0, activity);
                assert!(count.abs_diff(want) <= 2, "{source_fps} fps, {activity:?}: {count}, not {want}");
            }
        }
        // There are no more frames than there are.
        assert_eq!(samples(config, 10.0, 10.0, None), 100);
    }

    #[test]
    fn a_configured_rate_is_obeyed() {
        for rate in [0.5, 1.0, 2.0, 7.0, 30.0] {
            let config = SamplingConfig { base_fps: rate, max_fps: rate, ..SamplingConfig::default() };
            for activity in [None, Some(0.0), Some(0.07), Some(1.0)] {
                let count = samples(config, 60.0, 20.0, activity);
                assert!(count.abs_diff((20.0 * rate) as usize) <= 1, "{rate}, {activity:?}: {count}");
            }
        }
        let slow = SamplingConfig { base_fps: 1.0, ..SamplingConfig::default() };
        // Three ticks of 1/15 s are left out at most.
        assert!(samples(slow, 60.0, 20.0, Some(0.0)).abs_diff(75) <= 1);
    }

    #[test]
    fn a_long_video_is_capped_and_covered_to_its_end() {
        let config = SamplingConfig::default();
        let plan = SamplingPlan::new(&config, Some(3.0 * 3600.0));
        assert!(
            plan.max_fps < 1.67 && plan.base_fps == plan.max_fps && plan.max_samples == 18_000,
            "{plan:?}"
        );
        let mut sampler = Sampler::new(plan);
        let times = (0..3 * 3600 * 10).map(|frame| f64::from(frame) / 10.0);
        let taken: Vec<f64> = times.filter(|time| sampler.takes(*time)).collect();
        assert!(taken.len() <= 18_000 && *taken.last().unwrap() > 3.0 * 3600.0 - 2.0, "{}", taken.len());
        let one = SamplingPlan::new(&SamplingConfig { max_samples: 1, ..config }, Some(10.0));
        let mut sampler = Sampler::new(one);
        assert_eq!((0..100).filter(|frame| sampler.takes(f64::from(*frame) / 10.0)).count(), 1);
    }

    /// As Matroska writes the times of 30 frames a second.
    #[test]
    fn times_in_whole_milliseconds_lose_no_frame() {
        let mut sampler = Sampler::new(SamplingPlan::new(&SamplingConfig::default(), None));
        let times = (0..30).map(|frame| (f64::from(frame) * 1000.0 / 30.0).round() / 1e3);
        assert_eq!(times.filter(|time| sampler.takes(*time)).count(), 15);
    }

    #[test]
    fn times_that_are_none_or_go_back_are_left_out() {
        let mut sampler = Sampler::new(SamplingPlan::new(&SamplingConfig::default(), None));
        assert!(!sampler.takes(f64::NAN) && !sampler.takes(f64::INFINITY));
        assert!(sampler.takes(-3.0) && sampler.takes(1.0));
        assert!(!sampler.takes(1.0) && !sampler.takes(0.5));
        assert!(!sampler.takes(1e300) && sampler.takes(2.0));
    }

    #[test]
    fn before_its_time_no_frame_is_due() {
        let mut sampler = Sampler::new(SamplingPlan::new(&SamplingConfig::default(), Some(10.0)));
        assert_eq!(sampler.next_due_s(), 0.0);
        assert!(sampler.takes(0.0));
        for activity in [None, Some(0.07), Some(0.0)] {
            sampler.note(activity);
            let due = sampler.next_due_s();
            assert!(!sampler.takes(due - 2.0 * EARLY_S) && sampler.takes(due), "{due}");
        }
        // One tick, two, and three.
        assert!((sampler.next_due_s() - 7.0 / 15.0).abs() < 1e-12, "{}", sampler.next_due_s());
    }

    #[test]
    fn rates_out_of_order_are_refused() {
        let config = SamplingConfig::default();
        for (base_fps, max_fps, max_samples) in [
            (0.0, 15.0, 9),
            (6.0, 5.0, 9),
            (f64::NAN, 5.0, 9),
            (5.0, f64::NAN, 9),
            (1.0, 241.0, 9),
            (5.0, 15.0, 0),
        ] {
            assert!(SamplingConfig { base_fps, max_fps, max_samples }.check().is_err());
        }
        assert!(config.check().is_ok());
        for duration in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            assert_eq!(SamplingPlan::new(&config, Some(duration)).expected, None);
        }
    }
}
