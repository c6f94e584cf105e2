//! Saved results of the page's benchmark -> one table of devices.

use crate::files::read_limited;
use anyhow::{Context, Result, ensure};
use engine::benchmark::BenchmarkReport;
use engine::benchmark::report::{Environment, MAX_BYTES};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Longest name of a browser or platform in the table, in characters.
const MAX_NAME: usize = 60;

/// A saved result and its file.
pub struct Measured {
    /// Name of the file, without folder.
    pub file: String,
    /// What it holds.
    pub report: BenchmarkReport,
}

/// The results among the JSON files of `folder`, by name.
///
/// # Errors
/// If a JSON file is no result of a benchmark, or there is none.
pub fn read_results(folder: &Path) -> Result<Vec<Measured>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |path: &PathBuf| -> Result<Measured> {
        let context = || path.display().to_string();
        let json = read_limited(path, MAX_BYTES as u64).with_context(context)?;
        let report = BenchmarkReport::parse(&json).with_context(context)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Measured { file, report })
    };
    let results: Vec<Measured> = files.iter().map(read).collect::<Result<_>>()?;
    ensure!(!results.is_empty(), "{} holds no result of a benchmark (*.json)", folder.display());
    Ok(results)
}

/// The table in Markdown: valid results of devices first, then simulated ones by themselves, then what is not valid, by name only.
pub fn table(results: &[Measured]) -> String {
    let is_own = |measured: &&Measured| measured.report.is_valid() && measured.report.simulated.is_none();
    let is_simulated =
        |measured: &&Measured| measured.report.is_valid() && measured.report.simulated.is_some();
    let mut text = String::from("# Devices\n\n");
    text += "Made by `aware devices docs/devices` from results that the page saved (`#benchmark`, \"Save result\"): put a file \
             into this folder and run it again. Milliseconds a run, warm: 90th percentile, and the median in brackets.\n\n";
    text += "## Measured\n\n";
    rows(&mut text, results.iter().filter(is_own));
    let mut simulated = results.iter().filter(is_simulated).peekable();
    if simulated.peek().is_some() {
        text += "\n## Simulated\n\nA faster machine, slowed down by its browser: nobody's device.\n\n";
        rows(&mut text, simulated);
    }
    let mut invalid = results.iter().filter(|measured| !measured.report.is_valid()).peekable();
    if invalid.peek().is_some() {
        text += "\n## Not valid\n\n";
        for measured in invalid {
            let reasons: Vec<&str> = measured.report.invalid.iter().map(|reason| reason.text()).collect();
            let _ = writeln!(text, "* `{}`: {}", plain(&measured.file), reasons.join(" "));
        }
    }
    text
}

fn rows<'a>(text: &mut String, results: impl Iterator<Item = &'a Measured>) {
    let mut results = results.peekable();
    if results.peek().is_none() {
        *text += "None yet.\n";
        return;
    }
    *text += "| device | what | where | ms | runs | golden vectors | model | file |\n|---|---|---|---:|---:|---|---|---|\n";
    for Measured { file, report } in results {
        for cell in &report.cells {
            let Some(summary) = &cell.summary else { continue };
            let golden = report.places.iter().find(|place| place.place == cell.place);
            let golden = match golden.and_then(|place| place.golden_passed) {
                Some(true) => "right",
                Some(false) => "wrong",
                None => "not run",
            };
            let unstable = if summary.is_unstable() { ", unstable" } else { "" };
            let simulated =
                report.simulated.as_ref().map(|how| format!(", simulated {how}")).unwrap_or_default();
            let _ = writeln!(
                text,
                "| {}{} | {} | {} | {:.2} ({:.2}){unstable} | {} | {golden} | {} {} | `{}` |",
                device(&report.environment),
                plain(&simulated),
                plain(&cell.subject),
                plain(&cell.place),
                summary.p90_ms,
                summary.p50_ms,
                summary.runs,
                plain(&report.model.name),
                plain(&report.model.version),
                plain(file),
            );
        }
    }
}

/// The device in few words: platform, processors, browser.
fn device(environment: &Environment) -> String {
    let browser = ["Edg/", "Firefox/", "Chrome/", "Version/"].iter().find_map(|name| {
        let at = environment.user_agent.find(name)?;
        environment.user_agent[at..].split([' ', ')']).next().map(|found| match *name {
            "Version/" => found.replace("Version/", "Safari "),
            _ => found.replace('/', " "),
        })
    });
    let parts = [
        environment.platform.clone(),
        environment.cores.map(|cores| format!("{cores} processors")),
        browser,
        environment.adapter.clone(),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().map(|part| plain(&part)).collect();
    parts.join(", ")
}

/// `text` as it may stand in a cell: nothing in it means anything to Markdown or HTML.
fn plain(text: &str) -> String {
    let is_kept = |c: &char| c.is_alphanumeric() || " .,:;/()+-_=".contains(*c);
    text.chars().filter(is_kept).take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::benchmark::report::{Mode, Model};
    use engine::benchmark::{Cell, PlaceReport, Reason, Series, Settings};

    fn measured(file: &str, change: impl Fn(&mut BenchmarkReport)) -> Measured {
        let mut series = Series::default();
        (0..100).for_each(|run| series.push(2.0 + f64::from(run % 2), 0.1));
        let mut report = BenchmarkReport {
            schema_version: "1.0".into(),
            engine_version: "0.1.0".into(),
            measured_at: "2026-11-27T12:00:00Z".into(),
            settings: Settings { mode: Mode::Quick, seconds: 5.0, least_runs: 20 },
            environment: Environment {
                user_agent:
                    "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
                        .into(),
                platform: Some("Android 16 Phone".into()),
                cores: Some(8.0),
                ..Environment::default()
            },
            model: Model { name: "AWARE".into(), version: "1".into(), sha256: String::new() },
            file: None,
            places: vec![PlaceReport {
                place: "cpu-relaxed".into(),
                golden_passed: Some(true),
                ..PlaceReport::default()
            }],
            cells: vec![Cell {
                place: "cpu-relaxed".into(),
                subject: "stage1".into(),
                summary: series.summary(),
                difference: None,
                problem: None,
            }],
            invalid: vec![],
            simulated: None,
        };
        change(&mut report);
        Measured { file: file.into(), report }
    }

    #[test]
    fn devices_simulations_and_what_is_not_valid_stand_apart() {
        let text = table(&[
            measured("a.json", |_| {}),
            measured("b.json", |report| report.simulated = Some("cpu-4x".into())),
            measured("c.json", |report| report.invalid = vec![Reason::TabHidden]),
        ]);
        let row = "| Android 16 Phone, 8 processors, Chrome 156.0.0.0 | stage1 | cpu-relaxed | 3.00 (2.00) | 100 | right | AWARE 1 | `a.json` |";
        assert!(text.contains(row), "{text}");
        let parts: Vec<&str> = text.split("\n## ").collect();
        assert!(
            parts[2].starts_with("Simulated")
                && parts[2].contains("simulated cpu-4x")
                && parts[2].contains("b.json")
        );
        assert!(parts[3].starts_with("Not valid") && parts[3].contains("`c.json`: The page was hidden"));
        assert_eq!(text.matches("| `").count(), 2);
    }

    #[test]
    fn what_a_file_says_cannot_leave_its_cell() {
        let hostile = measured("x|y`.json", |report| {
            report.environment.platform = Some("a|b\n<script>`[x](y)".into());
            report.cells[0].subject = "| | |".into();
        });
        let text = table(&[hostile]);
        assert!(!text.contains("<script>") && !text.contains("[x]"), "{text}");
        let row = text.lines().find(|line| line.contains("xy.json")).unwrap();
        assert_eq!(row.matches('|').count(), 9, "{row}");
    }
}
