//! `cargo xtask bench`: how fast the engine is in a browser, and how fast a network learns.

use crate::process::{LONG, run_shown};
use crate::project::Project;
use crate::{browser, wasm};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

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

/// Exports a 256-pixel network in floats and integers, builds the benchmark page's engines, and runs them in headless
/// Chromium.
///
/// # Errors
/// If a build or the benchmark itself fails.
pub fn bench_page(project: &Project, config: &BenchConfig) -> Result<()> {
    let folder = project.target.join("bench");
    let (models, engines) = (folder.join("models"), folder.join("page"));
    crate::artifacts::build_program(project)?;
    let forms: [(&str, &[&str]); 3] =
        [("float", &[]), ("int8", &["--int8"]), ("int8-fused", &["--int8", "--activation-bits", "8"])];
    for (name, arguments) in forms {
        let mut export = project.command(project.aware());
        export.args(["export", "--image-size", "256"]).args(arguments);
        run_shown(export.arg("--output").arg(models.join(format!("{name}.onnx"))), LONG)?;
    }
    for build in [&wasm::SIMD128, &wasm::RELAXED] {
        wasm::build_engine(project, build, "bench", "bench", &engines.join(build.name))?;
    }
    let mut node = project.command("node");
    node.arg("web/bench/run.mjs").arg("--models").arg(&models).arg("--engine").arg(&engines);
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
