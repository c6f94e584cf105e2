//! `engine/fuzz`: hostile files that nobody thought of, a bounded number of them.

use crate::process::{LONG, QUICK, run_captured, run_shown};
use crate::project::Project;
use anyhow::{Context, Result};

/// The package; outside the workspace.
pub const MANIFEST: &str = "engine/fuzz/Cargo.toml";

const TARGETS: [&str; 2] = ["onnx", "plan"];
/// Tried files of each target; the seed makes a run repeatable.
const LIMITS: [&str; 7] = [
    "-runs=200000",
    "-seed=1",
    "-max_total_time=60",
    "-max_len=65536",
    "-timeout=20",
    "-rss_limit_mb=2048",
    "-verbosity=0",
];
/// What cargo-fuzz hands to the compiler, without its sanitizers, which a stable compiler does not have.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Runs every target on files made of the test data; what it finds beside it stays in `target/fuzz`.
///
/// # Errors
/// If a build fails, or a file makes the engine panic, hang or take too much memory.
pub fn smoke(project: &Project) -> Result<()> {
    let folder = project.target.join("fuzz");
    // With a target named, build scripts and macros are built without the flags.
    let version = run_captured(project.command("rustc").arg("-vV"), QUICK)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let mut build = project.cargo();
    build.args([
        "build",
        "--release",
        "--manifest-path",
        MANIFEST,
        "--locked",
        "--target",
        host,
        "--target-dir",
    ]);
    run_shown(build.arg(&folder).env("RUSTFLAGS", FLAGS), LONG)?;
    for target in TARGETS {
        let corpus = folder.join("corpus").join(target);
        std::fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        let mut fuzz = project.command(folder.join(host).join("release").join(target));
        fuzz.args(LIMITS).arg(format!("-artifact_prefix={}/", folder.display())).arg(&corpus);
        fuzz.args(["engine/tests/data/ops", "engine/tests/data/hostile"]);
        run_shown(&mut fuzz, LONG).with_context(|| format!("the file is in {}", folder.display()))?;
    }
    Ok(())
}
