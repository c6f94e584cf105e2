//! The engine as WebAssembly, once for every instruction set that browsers have.

use crate::process::{LONG, run_shown};
use crate::project::Project;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Cargo's profile of the page.
const PROFILE: &str = "web";
const TARGET: &str = "wasm32-unknown-unknown";

/// An instruction set.
pub struct Build {
    /// Name of its folders.
    pub name: &'static str,
    /// The compiler's flags, in place of those in .cargo/config.toml, which says why they are there.
    pub flags: &'static str,
}

impl Build {
    /// Where it is built: cargo would build everything anew each time the flags change.
    pub fn folder(&self, project: &Project) -> PathBuf {
        project.target.join("wasm").join(self.name)
    }
}

/// WebAssembly SIMD.
pub const SIMD128: Build =
    Build { name: "simd128", flags: "-C target-feature=+simd128 -C llvm-args=-disable-lsr" };
/// With byte products, which not every browser has.
pub const RELAXED: Build =
    Build { name: "relaxed", flags: "-C target-feature=+simd128,+relaxed-simd -C llvm-args=-disable-lsr" };

/// Builds the program `program` of the crate `web` with `build`'s instructions, without wonnx, into
/// `OUTPUT/NAME.js` and `OUTPUT/NAME_bg.wasm`.
///
/// # Errors
/// If cargo or wasm-bindgen fails.
pub fn build_engine(
    project: &Project,
    build: &Build,
    program: &str,
    name: &str,
    output: &Path,
) -> Result<()> {
    build_program(project, build, &["--no-default-features", "--bin", program], name, output)
}

/// As [`build_engine`], with wonnx.
///
/// # Errors
/// If cargo or wasm-bindgen fails.
pub fn build_with_wonnx(project: &Project, build: &Build, program: &str, output: &Path) -> Result<()> {
    build_program(project, build, &["--bin", program], program, output)
}

/// `arguments` end with the name of the program.
fn build_program(
    project: &Project,
    build: &Build,
    arguments: &[&str],
    name: &str,
    output: &Path,
) -> Result<()> {
    let folder = build.folder(project);
    let mut cargo = project.cargo();
    cargo.args(["build", "--profile", PROFILE, "--target", TARGET, "-p", "web"]).args(arguments);
    cargo.arg("--target-dir").arg(&folder).env("RUSTFLAGS", build.flags);
    run_shown(&mut cargo, LONG)?;
    let mut bindgen = project.command("wasm-bindgen");
    bindgen.args(["--target", "web", "--no-typescript", "--out-name", name, "--out-dir"]).arg(output);
    let program = arguments.last().copied().unwrap_or(name);
    bindgen.arg(folder.join(TARGET).join(PROFILE).join(program).with_extension("wasm"));
    run_shown(&mut bindgen, LONG).context("run `cargo xtask setup` if a tool is missing")
}

/// Builds the worker of browsers with relaxed SIMD into `folder`, beside the one that Trunk made.
///
/// # Errors
/// If a build fails, or the folder cannot be written.
pub fn build_relaxed_worker(project: &Project, folder: &Path) -> Result<()> {
    build_engine(project, &RELAXED, "worker", "worker_relaxed", folder)?;
    let loader = folder.join("worker_relaxed_loader.js");
    std::fs::write(&loader, "import init from './worker_relaxed.js';await init();")
        .with_context(|| format!("cannot write {}", loader.display()))
}
