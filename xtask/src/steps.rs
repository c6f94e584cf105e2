//! `cargo xtask test`: every check of the project, one named step each.
//!
//! All steps build into one target folder, native code with the release profile and the page with its own
//! profile: what one has built, the next one takes.

use crate::bench::NATIVE_MANIFEST;
use crate::pipeline::{self, Mode, PipelineConfig};
use crate::process::{LONG, run_shown};
use crate::project::Project;
use crate::say::say;
use crate::{arm, artifacts, browser, fuzz, install, wasm};
use anyhow::{Context, Result, ensure};
use site::Server;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Crates that are made for this machine; the others are made for browsers.
const NATIVE: [&str; 8] = ["-p", "engine", "-p", "site", "-p", "trainer", "-p", "xtask"];
const WASM: [&str; 2] = ["--target", "wasm32-unknown-unknown"];

/// What to do after a failed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Run no other step.
    Stop,
    /// Run the others all the same.
    KeepGoing,
}

impl From<bool> for OnFailure {
    fn from(keep_going: bool) -> Self {
        if keep_going { OnFailure::KeepGoing } else { OnFailure::Stop }
    }
}

/// One check.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Project) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "tools", about: "install what is missing", run: install::install_all },
    Step { name: "format", about: "rustfmt changes nothing", run: format },
    Step { name: "clippy", about: "no warning in the native crates", run: clippy },
    Step { name: "clippy-wasm", about: "no warning in the page's crates", run: clippy_wasm },
    Step { name: "rust", about: "tests of engine, site, trainer and xtask on this machine", run: rust },
    Step { name: "arm", about: "tests of the engine's kernels for 64-bit ARM, emulated", run: arm::test },
    Step { name: "fuzz", about: "hostile models, a bounded number", run: fuzz::smoke },
    Step { name: "web", about: "unit tests of the page on this machine", run: web },
    Step { name: "wasm", about: "tests of the engine as WebAssembly", run: wasm_tests },
    Step {
        name: "chromium",
        about: "tests of the integer kernels in Chromium, by each instruction set",
        run: chromium,
    },
    Step { name: "build", about: "program and page", run: build },
    Step { name: "browser", about: "tests of the page in headless Chromium", run: browser },
    Step {
        name: "firefox",
        about: "the core of these tests in headless Firefox, if Debian's package can be had",
        run: firefox,
    },
    Step {
        name: "pipeline",
        about: "from pictures to a validated bundle and a report on it, on a toy set",
        run: pipeline,
    },
    Step { name: "gpu", about: "all three networks on a GPU, or its imitation, beside the CPU", run: gpu },
    Step {
        name: "onnx",
        about: "checks of the networks by onnx and onnxruntime, of the engine by ONNX's own tests",
        run: onnx,
    },
    Step {
        name: "tflite",
        about: "the networks as TFLite files in LiteRT, layer by layer beside the engine",
        run: tflite,
    },
    Step { name: "ray", about: "a scan driven by Ray, a worker and a scan of which are killed", run: ray },
];

/// Prints the steps.
pub fn list() {
    STEPS.iter().for_each(|step| say!("{:12} {}", step.name, step.about));
}

/// Runs all steps, or those of `only`; the last line counts them.
///
/// # Errors
/// If `only` names no step. A failed step is no error, but an exit code.
pub fn run(project: &Project, only: &[String], on_failure: OnFailure) -> Result<ExitCode> {
    for name in only {
        ensure!(
            STEPS.iter().any(|step| step.name == name),
            "there is no step {name:?}; see `cargo xtask test --list`"
        );
    }
    let chosen = STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name));
    let (mut passed, mut failed) = (0, 0);
    for step in chosen {
        say!("== {}: {}", step.name, step.about);
        let started = Instant::now();
        let result = (step.run)(project);
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                passed += 1;
                say!("== {} passed in {seconds:.1} s\n", step.name);
            }
            Err(error) => {
                failed += 1;
                say!("== {} FAILED in {seconds:.1} s: {error:#}\n", step.name);
                if on_failure == OnFailure::Stop {
                    break;
                }
            }
        }
    }
    say!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo(project: &Project, arguments: &[&[&str]]) -> Result<()> {
    run_shown(project.cargo().args(arguments.concat()), LONG)
}

fn format(project: &Project) -> Result<()> {
    cargo(project, &[&["fmt", "--all", "--check"]])?;
    // Outside the workspace.
    for manifest in [NATIVE_MANIFEST, fuzz::MANIFEST] {
        cargo(project, &[&["fmt", "--manifest-path", manifest, "--check"]])?;
    }
    Ok(())
}

fn clippy(project: &Project) -> Result<()> {
    cargo(project, &[&["clippy", "--release", "--all-targets"], &NATIVE, &["--", "-D", "warnings"]])
}

fn clippy_wasm(project: &Project) -> Result<()> {
    // The profile with which Trunk builds: both take the same procedural macros.
    let crates = ["-p", "web", "-p", WGPU];
    cargo(project, &[&["clippy", "--profile", "web"], &WASM, &crates, &["--", "-D", "warnings"]])
}

/// web/wgpu-compat; the version tells it from the real one.
const WGPU: &str = "wgpu@0.16.99";

fn rust(project: &Project) -> Result<()> {
    cargo(project, &[&["test", "--release", "--no-fail-fast"], &NATIVE])
}

fn web(project: &Project) -> Result<()> {
    cargo(project, &[&["test", "--release", "-p", "web", "--lib"]])
}

fn wasm_tests(project: &Project) -> Result<()> {
    cargo(project, &[&["test", "--release", "--no-fail-fast"], &WASM, &["-p", "engine", "--tests"]])
}

fn chromium(project: &Project) -> Result<()> {
    let runner = project.web().join("tests/chromium_runner.mjs");
    let chromium = browser::chromium(project)?;
    for build in [None, Some(&wasm::RELAXED)] {
        let mut tests = project.cargo();
        tests.args(["test", "--release"]).args(WASM).args([
            "-p",
            "engine",
            "--test",
            "int8",
            "--test",
            "operators",
        ]);
        tests.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", format!("node {}", runner.display()));
        tests.env("AWARE_CHROMIUM", &chromium);
        // Without flags of its own a build takes those of .cargo/config.toml, as the step before this one did.
        if let Some(build) = build {
            tests.env("RUSTFLAGS", build.flags).arg("--target-dir").arg(build.folder(project));
        }
        run_shown(&mut tests, LONG)?;
    }
    Ok(())
}

fn build(project: &Project) -> Result<()> {
    artifacts::build_program(project)?;
    artifacts::build_page(project)
}

fn browser(project: &Project) -> Result<()> {
    let mut tests = page_tests(project, &browser_tests(project)?)?;
    run_shown(tests.env("AWARE_CHROMIUM", browser::chromium(project)?), LONG)
}

fn firefox(project: &Project) -> Result<()> {
    let firefox = match browser::firefox(project) {
        Ok(firefox) => firefox,
        Err(why) => {
            say!("left out: there is no Firefox ({})", format!("{why:#}").replace('\n', " "));
            return Ok(());
        }
    };
    let mut tests = page_tests(project, &[project.web().join("tests/firefox.mjs")])?;
    run_shown(tests.env("AWARE_BROWSER", "firefox").env("AWARE_FIREFOX", firefox), LONG)
}

/// A run of the tests in `files` on a server of the page, by a browser that is still to be named.
fn page_tests(project: &Project, files: &[PathBuf]) -> Result<Command> {
    let server = Server::bind(&project.dist(), 0)?;
    server.start();
    let mut node = project.command("node");
    // One browser at a time: two starve each other's time limits on small machines.
    node.args(["--test", "--test-concurrency=1", "--test-reporter=spec"]).args(files);
    // Each test finds the same program, page and browser.
    node.env("AWARE_URL", server.url()).env("AWARE_BIN", project.aware());
    Ok(node)
}

/// The test files, by name: a folder as argument means something else to each version of node.
fn browser_tests(project: &Project) -> Result<Vec<PathBuf>> {
    let folder = project.web().join("tests");
    let context = || format!("cannot list {}", folder.display());
    let entries = std::fs::read_dir(&folder).with_context(context)?;
    let files = entries.map(|entry| Ok(entry.with_context(context)?.path())).collect::<Result<Vec<_>>>()?;
    let is_test = |path: &PathBuf| path.to_string_lossy().ends_with(".test.mjs");
    let mut tests: Vec<PathBuf> = files.into_iter().filter(is_test).collect();
    tests.sort();
    ensure!(!tests.is_empty(), "{} holds no file NAME.test.mjs", folder.display());
    Ok(tests)
}

fn pipeline(project: &Project) -> Result<()> {
    let output = project.target.join("pipeline");
    if output.exists() {
        std::fs::remove_dir_all(&output).with_context(|| format!("cannot remove {}", output.display()))?;
    }
    pipeline::run(project, &PipelineConfig { mode: Mode::Test, data: None, output })
}

fn onnx(project: &Project) -> Result<()> {
    let mut check = python(project, "tools/check_onnx.py");
    check.arg("--aware").arg(project.aware());
    run_shown(&mut check, LONG)?;
    const BOOSTED: &str = "boosted";
    cargo(project, &[&["build", "--release", "-p", "trainer", "--example", BOOSTED]])?;
    let mut check = python(project, "tools/check_trees.py");
    run_shown(check.arg("--boosted").arg(project.target.join("release/examples").join(BOOSTED)), LONG)?;
    let tests = project.target.join("node-tests");
    run_shown(python(project, "tools/node_tests.py").arg("--output").arg(&tests), LONG)?;
    let mut run = project.cargo();
    run.args(["run", "--release", "-p", "engine", "--example", "node_tests", "--"]);
    run_shown(run.arg(tests).args(["--at-least", NODE_TESTS]), LONG)
}

fn tflite(project: &Project) -> Result<()> {
    const ENGINE: &str = "run_onnx";
    cargo(project, &[&["build", "--release", "-p", "engine", "--example", ENGINE]])?;
    let mut check = python(project, "tools/check_tflite.py");
    check.arg("--aware").arg(project.aware());
    check.arg("--engine").arg(project.target.join("release/examples").join(ENGINE));
    run_shown(&mut check, LONG)
}

fn ray(project: &Project) -> Result<()> {
    let mut check = python(project, "tools/check_ray.py");
    check.arg("--aware").arg(project.aware()).arg("--output").arg(project.target.join("ray"));
    run_shown(&mut check, LONG)
}

/// The networks of the cascade, the largest difference between GPU and CPU, relative above 1 (none in integers alone;
/// GenConViT's attention is floats, whose products a device may fuse), and whether wonnx runs it: what has convolutions alone.
const ON_GPU: [(&str, &str, bool); 3] =
    [("mobilenetv4-conv-small", "0", true), ("efficientnetv2-lite", "0", true), ("genconvit", "1e-4", false)];

fn gpu(project: &Project) -> Result<()> {
    cargo(project, &[&["build", "--release", "--example", "gpu"], &NATIVE])?;
    let folder = project.target.join("gpu");
    for (network, tolerance, in_wonnx) in ON_GPU {
        let export = |arguments: &[&str], name: String| {
            let file = folder.join(name).with_extension("onnx");
            let mut export = project.command(project.aware());
            export.args(["export", "--network", network, "--image-size", "64"]).args(arguments);
            run_shown(export.arg("--output").arg(&file), LONG).map(|()| file)
        };
        let file = export(&["--int8"], network.to_owned())?;
        if in_wonnx {
            export(&[], format!("{network}-float"))?;
        }
        let mut compare = project.command(project.target.join("release/examples/gpu"));
        run_shown(compare.args(["--runs", "1", "--tolerance", tolerance]).arg(&file), LONG)?;
    }
    // The same in Chromium.
    wasm::build_engine(project, &wasm::RELAXED, "bench", "bench", &folder.join("relaxed"))?;
    wasm::build_with_wonnx(project, &wasm::RELAXED, "bench_gpu", &folder.join("gpu"))?;
    let mut check = project.command("node");
    check.arg("web/bench/check_gpu.mjs").arg("--folder").arg(&folder);
    check.args(ON_GPU.map(|(network, tolerance, in_wonnx)| {
        format!("{network}={tolerance}{}", if in_wonnx { ",wonnx" } else { "" })
    }));
    check.env("AWARE_CHROMIUM", browser::chromium(project)?);
    run_shown(&mut check, LONG)
}

/// How many of ONNX's own tests of operators the engine passes; the others feed or ask for what it has not.
const NODE_TESTS: &str = "204";

/// A script in the Python environment, which writes nothing beside it.
fn python(project: &Project, script: &str) -> Command {
    let mut command = project.command(project.python());
    command.args(["-B", script]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
