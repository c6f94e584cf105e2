//! What is due, what is in flight, and how fast that goes.

use engine::video::report::End;
use engine::video::sampling::next_tick_s;

/// How many frames came and went.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// Frames that were handed out.
    pub taken: u32,
    /// Frames of a camera that came while one was in flight.
    pub dropped: u32,
    /// Media time of the last one, in seconds.
    pub time_s: f64,
    /// Frames handed out a second, since the first.
    pub rate: f64,
}

impl Counts {
    /// Counts the frame at `time_s`, which is handed out `elapsed_ms` after the first one.
    pub fn take(&mut self, time_s: f64, elapsed_ms: f64) {
        self.rate = if elapsed_ms > 0.0 { f64::from(self.taken) * 1e3 / elapsed_ms } else { 0.0 };
        self.taken += 1;
        self.time_s = time_s;
    }
}

/// What is due, and what is in flight.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Frames that may be due a second.
    pub max_fps: f64,
    pub next_due_s: f64,
    pub in_flight: bool,
    /// Time of a frame of a file that waits, standing still.
    pub waiting: Option<f64>,
    pub is_playing: bool,
    /// How it ended, and at which time of its own, if it did while a frame was in flight.
    pub end: Option<(End, Option<f64>)>,
    pub is_over: bool,
    /// Media time of the last frame that was shown, due or not, in seconds.
    pub seen_s: f64,
    /// The end is looked at once more.
    pub is_probing: bool,
    /// Media time of a camera's first frame.
    pub first_s: Option<f64>,
    pub first_ms: f64,
    pub last_ms: f64,
    pub counts: Counts,
}

impl Pace {
    /// Takes note that the frame at `time_s` is in flight from now on.
    pub fn take(&mut self, time_s: f64, now_ms: f64) {
        self.in_flight = true;
        if self.counts.taken == 0 {
            self.first_ms = now_ms;
        }
        self.counts.take(time_s, now_ms - self.first_ms);
        // Until the answer says more.
        self.next_due_s = next_tick_s(time_s, self.max_fps);
    }
}
