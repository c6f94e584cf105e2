//! `aware paths`: a file that says where data sets lie.

use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use trainer::files::back_up;
use trainer::paths::DataPaths;
use trainer::readers::Place;

/// Examples of `aware paths --help`.
pub(super) const EXAMPLES: &str = "The file is JSON; every key may be left out:\n  \
    {\"celebdf_v2\": \"/data/Celeb-DF-v2\", \"ffpp\": \"/data/FF++\", \"dfdc\": null,\n   \
    \"dfdc_classified\": null, \"df40\": null, \"compressions\": [\"c23\"]}\n\n\
    Examples:\n  aware paths write runs/paths.json\n  aware paths check runs/paths.json\n  \
    aware prepare --config runs/paths.json";

#[derive(Args)]
pub(super) struct PathsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ask for the folder of each set and write the file.
    Write {
        /// The file; what it says already is offered, and kept as NAME.bak-1, NAME.bak-2, ...
        file: PathBuf,
    },
    /// Check the file and count what lies in the folders.
    Check {
        /// The file.
        file: PathBuf,
    },
}

pub(super) fn run_paths(args: &PathsArgs) -> Result<()> {
    match &args.command {
        Command::Write { file } => {
            let before = if file.exists() { DataPaths::read(file)? } else { DataPaths::default() };
            let paths = before.ask(&mut std::io::stdin().lock(), &mut std::io::stderr().lock())?;
            if let Some(backup) = back_up(file)? {
                println!("the file before is {}", backup.display());
            }
            paths.write(file)?;
            println!("{}", file.display());
            Ok(())
        }
        Command::Check { file } => {
            let paths = DataPaths::read(file)?;
            paths.places()?.iter().try_for_each(print_summary)?;
            if paths.ffpp.is_some() && !paths.compressions.is_empty() {
                let names: Vec<_> = paths.compressions.iter().map(|compression| compression.name()).collect();
                println!("ffpp is prepared in {} only", names.join(", "));
            }
            Ok(())
        }
    }
}

fn print_summary(place: &Place) -> Result<()> {
    let (mut counts, mut skipped) = ([0_usize; 2], 0_usize);
    place.read(&mut |found| match found {
        Ok(item) => counts[usize::from(item.label)] += 1,
        Err(_) => skipped += 1,
    })?;
    let [real, fake] = counts;
    let folder = place.folder.display();
    println!("{:18} {real:7} real  {fake:7} fake  {skipped:5} unusable  {folder}", place.dataset);
    Ok(())
}
