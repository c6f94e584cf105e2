//! `aware ready`: whether a bundle is ready to ship.

use super::bench::peak_memory;
use super::judge::print;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use trainer::ready::{Evidence, checklist, text};
use trainer::validation::validate_bundle;

/// Examples of `aware ready --help`.
pub(super) const EXAMPLES: &str = "The bundle itself is checked on this machine. What needs pictures, training or a browser \
    comes from reports: bench.json of `aware bench`, optimization_comparison.json of `aware optimize`, and what \
    `cargo xtask test` printed. Without its report a line says \"not measured\" and names the command. A report of another \
    bundle or version is an error. docs/ready.md lists the lines.\n\n\
    Exit codes:\n  0  no line fails; with --strict, every line passes\n  1  a report cannot be read, or is of something else\n  \
    2  the arguments are wrong\n  3  a line fails\n\n\
    Examples:\n  aware ready models/cascade\n  \
    aware ready models/cascade --report runs/bench/bench.json runs/optimized/optimization_comparison.json runs/tests.log\n  \
    aware ready models/cascade --json | jq '.lines[] | select(.passed == false)'";

/// Exit code where a line fails; an error has another one.
const NOT_READY: u8 = 3;

#[derive(Args)]
pub(super) struct ReadyArgs {
    /// Folder of the bundle.
    bundle: PathBuf,
    /// Reports of measurements.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    report: Vec<PathBuf>,
    /// Fail if a line was not measured, too.
    #[arg(long)]
    strict: bool,
    /// The checklist as JSON, in place of a table.
    #[arg(long)]
    json: bool,
}

pub(super) fn run_ready(args: &ReadyArgs) -> Result<ExitCode> {
    let mut evidence = Evidence::of(validate_bundle(&args.bundle, 10), &args.bundle)?;
    evidence.peak_memory_bytes = peak_memory(&args.bundle)?;
    args.report.iter().try_for_each(|path| evidence.take(path))?;
    let lines = checklist(&evidence);
    let count = |passed: Option<bool>| lines.iter().filter(|line| line.passed == passed).count();
    let (failed, unknown) = (count(Some(false)), count(None));
    let is_ready = failed == 0 && (unknown == 0 || !args.strict);
    match args.json {
        true => {
            let json = serde_json::json!({ "ready": is_ready, "failed": failed, "not_measured": unknown, "lines": lines });
            print(&(serde_json::to_string_pretty(&json)? + "\n"))?;
        }
        false => print(&text(&lines))?,
    }
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}
