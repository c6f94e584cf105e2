//! `cargo xtask bench`: how fast the engine is in a browser, and how fast a network learns.

use crate::browser;
use crate::process::{LONG, run_shown};
use crate::project::Project;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// Cargo's profile of the page: what is measured is what is shipped.
const PROFILE: &str = "web";

/// Choices of a benchmark.
pub struct BenchConfig {
    /// Where the results also go.
    pub json: Option<PathBuf>,
    /// Measured runs of each engine.
    pub runs: Option<u32>,
}

impl BenchConfig {
    fn append_to(&self, command: &mut Command) -> Result<()> {
        if let Some(json) = &self.json {
            // Named from where the user is, while the command runs in the root.
            command.arg("--json").arg(std::path::absolute(json)?);
        }
        if let Some(runs) = self.runs {
            command.arg("--runs").arg(runs.to_string());
        }
        Ok(())
    }
}

/// Exports a 256-pixel network, builds the benchmark page, and runs it in headless Chromium.
///
/// # Errors
/// If a build or the benchmark itself fails.
pub fn bench_page(project: &Project, config: &BenchConfig) -> Result<()> {
    let folder = project.target.join("bench");
    let model = folder.join("mobilenetv4-256.onnx");
    crate::artifacts::build_program(project)?;
    run_shown(
        project.command(project.aware()).args(["export", "--image-size", "256", "--output"]).arg(&model),
        LONG,
    )?;

    let page = folder.join("page");
    let cargo =
        ["build", "--profile", PROFILE, "--target", "wasm32-unknown-unknown", "-p", "web", "--bin", "bench"];
    run_shown(project.cargo().args(cargo), LONG)?;
    let wasm = project.target.join("wasm32-unknown-unknown").join(PROFILE).join("bench.wasm");
    let mut bindgen = project.command("wasm-bindgen");
    bindgen.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(&page).arg(wasm);
    run_shown(&mut bindgen, LONG).context("run `cargo xtask setup` if a tool is missing")?;

    let mut node = project.command("node");
    node.arg("web/bench/run.mjs").arg(&model).arg("--engine").arg(&page);
    node.env("AWARE_CHROMIUM", browser::chromium(project)?);
    config.append_to(&mut node)?;
    run_shown(&mut node, LONG)
}

/// A training step on our operations and on stock candle's, in turns.
///
/// # Errors
/// If the build or the benchmark itself fails.
pub fn bench_train(project: &Project, config: &BenchConfig) -> Result<()> {
    let mut example = project.cargo();
    example.args(["run", "--release", "-p", "trainer", "--example", "bench_train", "--"]);
    config.append_to(&mut example)?;
    // As `aware` has it: all cores for products, which candle would otherwise give to physical cores only, and none
    // for its own pool, which spins. Both favour stock candle too.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    example.env("CANDLE_NUM_THREADS", "1").env("RAYON_NUM_THREADS", cores.to_string());
    run_shown(&mut example, LONG)
}
