//! `aware classify-dfdc`.

use super::prepare::print_files;
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;
use trainer::classify::{ClassifyConfig, Placement, classify};

/// Examples of `aware classify-dfdc --help`.
pub(super) const EXAMPLES: &str = "PART/VIDEO becomes real/PART_VIDEO or fake/PART_VIDEO. `aware prepare` reads \
    DFDC as it is published, so this is for other programs.\n\n\
    Examples:\n  aware classify-dfdc DATA/DFDC --analyse-only\n  \
    aware classify-dfdc DATA/DFDC --output DATA/DFDC_classified --max-per-class 500";

#[derive(Args)]
pub(super) struct ClassifyArgs {
    /// DFDC as published: a metadata.json in each folder of videos.
    root: PathBuf,
    /// Folder that gets real/ and fake/; ROOT/classified by default.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Make symbolic links instead of copies.
    #[arg(long)]
    symlink: bool,
    /// Count, and write nothing.
    #[arg(long, conflicts_with_all = ["output", "symlink"])]
    analyse_only: bool,
    /// Take at most this many videos of each class, the first by name.
    #[arg(long, value_name = "N")]
    max_per_class: Option<usize>,
    /// Fail if more videos than this cannot be sorted.
    #[arg(long, value_name = "N")]
    max_errors: Option<usize>,
}

pub(super) fn run_classify(args: &ClassifyArgs) -> Result<()> {
    let config = ClassifyConfig {
        output: args.output.clone().unwrap_or_else(|| args.root.join("classified")),
        placement: match (args.analyse_only, args.symlink) {
            (true, _) => Placement::Analyse,
            (_, true) => Placement::Symlink,
            _ => Placement::Copy,
        },
        max_per_class: args.max_per_class,
    };
    let classified = classify(&args.root, &config)?;
    print_files("skipped", &classified.skipped);
    println!("{} real, {} fake, {} skipped", classified.real, classified.fake, classified.skipped.count);
    if config.placement != Placement::Analyse {
        println!("{} ({} were there before)", config.output.display(), classified.present);
    }
    if args.max_errors.is_some_and(|limit| classified.skipped.count > limit) {
        bail!("{} videos could not be sorted", classified.skipped.count);
    }
    Ok(())
}
