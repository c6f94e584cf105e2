//! `aware devices`.

use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use trainer::devices::{read_results, table};
use trainer::files::write_whole;

/// Examples of `aware devices --help`.
pub(super) const EXAMPLES: &str = "The page's benchmark saves its result as JSON. Results that were broken off, of a hidden \
    page or of a device that computes wrong are named and not used; simulated ones stand in a table of their own.\n\n\
    Examples:\n  aware devices docs/devices\n  aware devices results --output table.md";

#[derive(Args)]
pub(super) struct DevicesArgs {
    /// Folder of saved results (*.json).
    folder: PathBuf,
    /// The table; README.md of the folder if it is not named.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run_devices(args: &DevicesArgs) -> Result<ExitCode> {
    let results = read_results(&args.folder)?;
    let output = args.output.clone().unwrap_or_else(|| args.folder.join("README.md"));
    write_whole(&output, table(&results).as_bytes())?;
    eprintln!("{} results in {}", results.len(), output.display());
    Ok(ExitCode::SUCCESS)
}
