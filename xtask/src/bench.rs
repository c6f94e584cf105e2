//! `cargo xtask bench`: how fast the engine is in a browser and beside other runtimes, and how fast a network learns.

use crate::process::{LONG, run_shown};
use crate::project::Project;
use crate::{browser, wasm};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Networks that the page will hold together.
const CASCADE: [&str; 3] = ["mobilenetv4-conv-small", "efficientnetv2-lite", "genconvit"];

/// What the page runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The CPU, one thread.
    Cpu,
    /// WebGPU.
    Gpu,
}

/// Which network is timed.
pub struct NetworkConfig {
    /// Preset.
    pub network: String,
    /// Width and height of the picture.
    pub image_size: u32,
}

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

/// Exports a network in floats and integers, builds the benchmark page's engines, and runs them in headless Chromium beside
/// onnxruntime-web and LiteRT.js; then measures the engine's memory with all networks of the cascade. On WebGPU, beside
/// onnxruntime-web and wonnx instead.
///
/// # Errors
/// If a build or the benchmark itself fails.
pub fn bench_page(
    project: &Project,
    backend: Backend,
    config: &BenchConfig,
    network: &NetworkConfig,
) -> Result<()> {
    let folder = project.target.join("bench");
    let [models, memory, engines] = ["models", "memory", "page"].map(|name| folder.join(name));
    crate::artifacts::build_program(project)?;
    for (name, arguments) in ONNX_FORMS.into_iter().chain(TFLITE_FORMS) {
        export(project, network, arguments, &models.join(name))?;
    }
    for name in CASCADE {
        let other = NetworkConfig { network: name.into(), image_size: network.image_size };
        export(project, &other, &["--int8"], &memory.join(name).with_extension("onnx"))?;
    }
    for build in [&wasm::SIMD128, &wasm::RELAXED] {
        wasm::build_engine(project, build, "bench", "bench", &engines.join(build.name))?;
    }
    if backend == Backend::Gpu {
        wasm::build_with_wonnx(project, &wasm::RELAXED, "bench_gpu", &engines.join("gpu"))?;
    }
    let mut node = project.command("node");
    node.arg("web/bench/run.mjs")
        .args((backend == Backend::Gpu).then_some("--gpu"))
        .arg("--models")
        .arg(&models)
        .arg("--memory")
        .arg(&memory);
    node.arg("--engine").arg(&engines);
    node.arg("--title").arg(format!("{} at {} px", network.network, network.image_size));
    node.env("AWARE_CHROMIUM", browser::chromium(project)?);
    config.append_to(&mut node)?;
    run_shown(&mut node, LONG)
}

/// A name of a file, and how the network in it is exported.
type Form = (&'static str, &'static [&'static str]);

/// In floats, in integers with seven-bit activations, and with eight bits, the form that onnxruntime fuses.
const ONNX_FORMS: [Form; 3] = [
    ("float.onnx", &[]),
    ("int8.onnx", &["--int8"]),
    ("int8-fused.onnx", &["--int8", "--activation-bits", "8"]),
];

/// For LiteRT.
const TFLITE_FORMS: [Form; 2] =
    [("float.tflite", &["--format", "tflite"]), ("int8.tflite", &["--format", "tflite", "--int8"])];

/// Writes a network with random weights to `file`.
fn export(project: &Project, network: &NetworkConfig, arguments: &[&str], file: &Path) -> Result<()> {
    let mut export = project.command(project.aware());
    export.args(["export", "--network", &network.network, "--image-size", &network.image_size.to_string()]);
    run_shown(export.args(arguments).arg("--output").arg(file), LONG)
}

/// The package that times the engine beside other runtimes; outside the workspace.
pub const NATIVE_MANIFEST: &str = "engine/bench/Cargo.toml";

/// Exports a network and times the engine beside onnxruntime, tract and rten on it.
///
/// # Errors
/// If a build or the benchmark itself fails; not if a peer cannot run the network.
pub fn bench_native(project: &Project, config: &BenchConfig, network: &NetworkConfig) -> Result<()> {
    let folder = project.target.join("bench");
    let (models, build) = (folder.join("models"), folder.join("native"));
    crate::artifacts::build_program(project)?;
    for (name, arguments) in ONNX_FORMS {
        export(project, network, arguments, &models.join(name))?;
    }
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
