//! The built page on a simulated phone: the user's own Chromium, with a phone's screen and a share of the processor's time.
//!
//! 1. [`MobileConfig`]: where page and browser are, and how much slower;
//! 2. [`chromium`]: the browser as a child, driven over [`devtools`]; it never outlives its use;
//! 3. [`throttle`]: its renderer processes run for a share of the time, by [`signals`];
//! 4. [`visit`]: the page measures itself and saves its result;
//! 5. [`MobileReport`]: the results beside each other, all of them called simulated.
//!
//! It tells how the page bears a slower processor, and not how fast a phone is: the core is the same one with less time, with its
//! caches, its instructions and its cooling.

mod chromium;
mod config;
mod devtools;
mod patience;
mod report;
mod signals;
mod throttle;
mod visit;

pub use config::MobileConfig;
pub use report::{MobileFigures, MobileReport, MobileRun};

use super::run::Observer;
use anyhow::Result;
use chromium::Chromium;
use patience::Patience;
use site::Server;
use visit::Visit;

/// Measures the page at each rate of `config`, and hands `keep` the report after each; nothing more once somebody asks to stop.
///
/// `network` is the SHA-256 of the network that the page must judge with.
///
/// # Errors
/// If there is no page or no browser, the browser fails or hangs, the page is of another version or has another network, and those
/// of `keep`.
pub(super) fn simulate(
    (config, network): (&MobileConfig, &str),
    model_size_mb: f64,
    observer: &Observer,
    keep: &mut dyn FnMut(&MobileReport) -> Result<()>,
) -> Result<()> {
    let server = Server::bind(&config.site, 0)?;
    let program = chromium::find(config.chromium.as_deref())?;
    server.start();
    let rates = config.all_rates();
    observer.begin("simulated phone", rates.len());
    let measured = (|| -> Result<()> {
        let patience = Patience::new(observer.interrupt, config.timeout);
        let mut browser = Chromium::start(&program, &patience)?;
        let mut report = MobileReport::new(&browser.version, model_size_mb);
        for rate in rates {
            let patience = Patience::new(observer.interrupt, config.timeout);
            let visit = Visit { url: &server.url(), config, rate, network };
            report.add(visit.measure(&mut browser, &patience)?);
            keep(&report)?;
            observer.step();
        }
        Ok(())
    })();
    // Whoever asked to stop knows why nothing answers any more.
    if observer.is_stopped() { Ok(()) } else { measured }
}
