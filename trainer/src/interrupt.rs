//! Signals that ask the program to stop: what is in hand is put in order first, but not for long.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// So long the program may put its work in order; two seconds are promised.
const GRACE: Duration = Duration::from_millis(1500);

/// Whether somebody asked the program to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

/// A signal that asked the program to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop(usize);

impl Interrupt {
    /// From now on SIGINT and SIGTERM do not end the program at once: it is asked to stop. It ends all the same if it takes
    /// more than 1.5 s, or at the second signal.
    ///
    /// # Errors
    /// If the system takes no handler.
    pub fn install() -> Result<Self> {
        let interrupt = Interrupt::default();
        interrupt.listen().context("cannot listen to signals")?;
        Ok(interrupt)
    }

    #[cfg(unix)]
    fn listen(&self) -> std::io::Result<()> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let interrupt = self.clone();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if interrupt.0.swap(signal as usize, Ordering::SeqCst) != 0 {
                    std::process::exit(128 + signal);
                }
                std::thread::spawn(move || {
                    std::thread::sleep(GRACE);
                    std::process::exit(128 + signal);
                });
            }
        });
        Ok(())
    }

    #[cfg(not(unix))]
    fn listen(&self) -> std::io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, self.0.clone(), signal as usize)?;
        }
        Ok(())
    }

    /// The signal that came, if one came.
    pub fn stop(&self) -> Option<Stop> {
        let signal = self.0.load(Ordering::SeqCst);
        (signal != 0).then_some(Stop(signal))
    }
}

impl Stop {
    /// What a shell gives for a program that the signal ended: 130 for SIGINT, 143 for SIGTERM.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from((128 + self.0).clamp(1, 255) as u8)
    }
}
