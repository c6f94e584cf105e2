//! Sources -> the program `aware` and the page.

use crate::process::{LONG, run_shown};
use crate::project::{Project, relative};
use crate::say::say;
use anyhow::{Context, Result};
use std::time::Instant;

/// Builds `aware` for this machine.
///
/// # Errors
/// If cargo fails.
pub fn build_program(project: &Project) -> Result<()> {
    timed(project, "program", &project.aware(), || {
        run_shown(project.cargo().args(["build", "--release", "-p", "trainer"]), LONG)
    })
}

/// Builds the page with the tools of [`crate::tools::TOOLS`] and without the network.
///
/// # Errors
/// If crates cannot be fetched, or Trunk fails.
pub fn build_page(project: &Project) -> Result<()> {
    timed(project, "page", &project.dist(), || {
        // Trunk is told to stay offline, and tells cargo so.
        run_shown(project.cargo().args(["fetch", "--quiet"]), LONG)?;
        let mut trunk = project.command("trunk");
        trunk.args(["build", "--release", "--offline"]);
        // Trunk takes it for the value of an option and refuses "1".
        trunk.env_remove("NO_COLOR");
        run_shown(&mut trunk, LONG).context("run `cargo xtask setup` if a tool is missing")
    })
}

fn timed(
    project: &Project,
    what: &str,
    output: &std::path::Path,
    build: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let started = Instant::now();
    build().with_context(|| format!("cannot build the {what}"))?;
    say!(
        "built     {:6.1} s  {}",
        started.elapsed().as_secs_f64(),
        relative(output, &project.root).display()
    );
    Ok(())
}
