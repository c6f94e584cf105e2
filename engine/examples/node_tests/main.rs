//! Runs ONNX's own tests of single operators through the engine, and counts.
//!
//!     node_tests FOLDER [--at-least N] [--json FILE]
//!
//! `tools/node_tests.py` writes such a folder. A test is run as it is. Where the engine refuses it, it is run
//! again with all inputs but the first as constants, which is what networks have: the tests feed shapes, axes
//! and weights at run time. Where it refuses that too, a test of one node is run so with its first output alone:
//! the engine computes no indices, masks and moments. Ends with 1 if a result is wrong or fewer than N tests pass, with 2 if the tests
//! cannot be read.

mod case;
mod judge;
mod summary;

use case::Case;
use judge::judge;
use std::path::PathBuf;
use std::process::ExitCode;
use summary::Summary;

fn main() -> ExitCode {
    let summary = Arguments::parse().and_then(|arguments| {
        let summary = Summary::new(run(&arguments)?);
        print!("{summary}");
        if let Some(path) = &arguments.json {
            let text = format!("{:#}\n", summary.json());
            std::fs::write(path, text)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok((summary, arguments.at_least))
    });
    match summary {
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        Ok((summary, at_least)) if summary.wrong() > 0 || summary.passed() < at_least => {
            eprintln!(
                "error: {} wrong, {} passed, expected {at_least} at least",
                summary.wrong(),
                summary.passed()
            );
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::SUCCESS,
    }
}

/// What the command line says.
#[derive(Default)]
struct Arguments {
    folder: PathBuf,
    at_least: usize,
    json: Option<PathBuf>,
}

impl Arguments {
    fn parse() -> Result<Self, String> {
        let mut parsed = Arguments::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match &word[..] {
                "--at-least" => {
                    parsed.at_least = value()?.parse().map_err(|_| "--at-least needs a number")?
                }
                "--json" => parsed.json = Some(value()?.into()),
                _ if parsed.folder.as_os_str().is_empty() && !word.starts_with("--") => {
                    parsed.folder = word.into()
                }
                _ => return Err(format!("{word:?} is not understood")),
            }
        }
        match parsed.folder.as_os_str().is_empty() {
            true => Err("name the folder of the tests".into()),
            false => Ok(parsed),
        }
    }
}

/// Every test in the folder, by name.
fn run(arguments: &Arguments) -> Result<Vec<(String, judge::Outcome)>, String> {
    let folder = &arguments.folder;
    let context = |error| format!("cannot list {}: {error}", folder.display());
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(context)? {
        folders.push(entry.map_err(context)?.path());
    }
    folders.retain(|path| path.is_dir());
    folders.sort();
    // A panic is a result here; its message stands with it.
    std::panic::set_hook(Box::new(|_| ()));
    let outcomes = folders.iter().map(|folder| {
        let case = Case::read(folder)?;
        let outcome = judge(&case);
        Ok((case.name, outcome))
    });
    let outcomes = outcomes.collect();
    drop(std::panic::take_hook());
    outcomes
}
