//! `cargo xtask bench`: how fast the engine is in a browser and beside other runtimes, and how fast a network learns.

use crate::process::{LONG, run_shown};
use crate::project::Project;
use crate::{browser, wasm};
use anyhow::Result;
use std::path::{Path, PathBuf};
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
    export_models(project, &models, None)?;
    for build in [&wasm::SIMD128, &wasm::RELAXED] {
        wasm::build_engine(project, build, "bench", "bench", &engines.join(build.name))?;
    }
    let mut node = project.command("node");
    node.arg("web/bench/run.mjs").arg("--models").arg(&models).arg("--engine").arg(&engines);
    node.env("AWARE_CHROMIUM", browser::chromium(project)?);
    config.append_to(&mut node)?;
    run_shown(&mut node, LONG)
}

/// Builds `aware` and exports a 256-pixel network with random weights into `models`: in floats, in integers with seven-bit
/// activations, and with eight bits, the form that onnxruntime fuses.
fn export_models(project: &Project, models: &Path, network: Option<&str>) -> Result<()> {
    crate::artifacts::build_program(project)?;
    let forms: [(&str, &[&str]); 3] =
        [("float", &[]), ("int8", &["--int8"]), ("int8-fused", &["--int8", "--activation-bits", "8"])];
    for (name, arguments) in forms {
        let mut export = project.command(project.aware());
        export.args(["export", "--image-size", "256"]).args(arguments);
        if let Some(network) = network {
            export.args(["--network", network]);
        }
        run_shown(export.arg("--output").arg(models.join(format!("{name}.onnx"))), LONG)?;
    }
    Ok(())
}

/// The package that times the engine beside other runtimes; outside the workspace.
pub const NATIVE_MANIFEST: &str = "engine/bench/Cargo.toml";

/// Exports a 256-pixel network, `network` or the default one, and times the engine beside onnxruntime, tract and rten on
/// it.
///
/// # Errors
/// If a build or the benchmark itself fails; not if a peer cannot run the network.
pub fn bench_native(project: &Project, config: &BenchConfig, network: Option<&str>) -> Result<()> {
    let folder = project.target.join("bench");
    let (models, build) = (folder.join("models"), folder.join("native"));
    export_models(project, &models, network)?;
    let mut cargo = project.cargo();
    cargo.args(["build", "--release", "--locked", "--manifest-path", NATIVE_MANIFEST, "--target-dir"]);
    run_shown(cargo.arg(&build), LONG)?;
    let mut bench = project.command(build.join("release/bench-native"));
    bench.arg("--models").arg(&models);
    if let Some(library) = onnxruntime_library(project) {
        bench.arg("--onnxruntime").arg(library);
    }
    // rten starts these threads as well as those that it is given.
    bench.env("RTEN_NUM_THREADS", "1");
    config.append_to(&mut bench)?;
    run_shown(&mut bench, LONG)
}

/// The shared library in the Python package, if it is installed.
fn onnxruntime_library(project: &Project) -> Option<PathBuf> {
    let entries =
        |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let pythons = entries(project.venv().join("lib"));
    pythons.flat_map(|python| entries(python.join("site-packages/onnxruntime/capi"))).find(|path| {
        // Beside it lies libonnxruntime_providers_shared.
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime."))
    })
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
