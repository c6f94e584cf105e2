//! How long a browser is waited for, and who may ask to stop.

use crate::interrupt::Interrupt;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// How often a wait looks up.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// A time limit that ends early when somebody asks to stop.
pub(super) struct Patience<'a> {
    interrupt: &'a Interrupt,
    limit: Duration,
    began: Instant,
}

impl<'a> Patience<'a> {
    /// From now on, for `limit`.
    pub fn new(interrupt: &'a Interrupt, limit: Duration) -> Self {
        Patience { interrupt, limit, began: Instant::now() }
    }

    /// Whether it is worth to go on waiting for `what`.
    ///
    /// # Errors
    /// If somebody asked to stop, or the time is over.
    pub fn check(&self, what: &str) -> Result<()> {
        ensure!(self.interrupt.stop().is_none(), "stopped on somebody's wish");
        ensure!(
            self.began.elapsed() < self.limit,
            "the browser hangs, or this machine is too busy: {what} was not done {} s after the beginning; \
             --browser-timeout allows more",
            self.limit.as_secs_f64()
        );
        Ok(())
    }
}
