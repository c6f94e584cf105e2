//! Tests for 64-bit ARM, by an emulator: the kernels of phones, on machines that are none.

use crate::process::{LONG, run_shown};
use crate::project::Project;
use anyhow::Result;

/// What is built for.
pub const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Links for it.
pub const LINKER: &str = "aarch64-linux-gnu-gcc";
/// Runs what was built.
pub const EMULATOR: &str = "qemu-aarch64";
/// Debian's libraries for it.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Runs the tests of the engine's kernels and operators.
///
/// # Errors
/// If a build or a test fails.
pub fn test(project: &Project) -> Result<()> {
    let mut tests = project.cargo();
    tests.args(["test", "--release", "--no-fail-fast", "--target", TARGET, "-p", "engine", "--lib"]);
    tests.args(["--test", "int8", "--test", "operators"]);
    tests.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    tests.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", EMULATOR).env("QEMU_LD_PREFIX", LIBRARIES);
    run_shown(&mut tests, LONG)
}
