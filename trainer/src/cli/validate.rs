//! `aware validate`: the pictures of a manifest, or a bundle on this machine.

use super::progress_bar;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trainer::report::problems;
use trainer::validation::validate_bundle;

/// Examples of `aware validate --help`.
pub(super) const EXAMPLES: &str = "A bundle passes if each file is the one that its manifest lists, if its networks \
    load and are made of the numbers that it says, and if its golden vectors (pictures by formula) give the same bits \
    here as where it was made. The page checks the same with \"Check this device\".\n\n\
    Exit codes:\n  0  everything holds\n  1  something does not\n  2  the arguments are wrong\n\n\
    Examples:\n  aware validate runs/manifest.csv\n  aware validate models/faces\n  aware validate --json models/faces | jq .passed";

#[derive(Args)]
pub(super) struct ValidateArgs {
    /// Manifest of `aware prepare`, or folder of a bundle.
    path: PathBuf,
    /// Timed runs of each network of a bundle.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// JSON in place of a table; of a bundle only.
    #[arg(long)]
    json: bool,
}

pub(super) fn run_validate(args: &ValidateArgs) -> Result<ExitCode> {
    if args.path.is_dir() {
        return run_validate_bundle(args);
    }
    ensure!(!args.json, "--json is for bundles, and {} is no folder", args.path.display());
    validate_manifest(&args.path)?;
    Ok(ExitCode::SUCCESS)
}

fn run_validate_bundle(args: &ValidateArgs) -> Result<ExitCode> {
    let validation = validate_bundle(&args.path, args.runs as usize);
    let text = if args.json { serde_json::to_string_pretty(&validation)? + "\n" } else { validation.text() };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(if validation.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn validate_manifest(manifest: &Path) -> Result<()> {
    let found = problems(manifest, &progress_bar("{pos}/{len} pictures"))?;
    for (path, problem) in &found {
        println!("{:?}: {problem}", path.display().to_string());
    }
    if !found.is_empty() {
        bail!("{} problems in {}", found.len(), manifest.display());
    }
    println!("{} holds", manifest.display());
    Ok(())
}
