//! `cargo xtask demo`: the samples, judged by the program and by the page.

use crate::process::{QUICK, run_captured};
use crate::project::Project;
use crate::say::say;
use crate::{artifacts, browser, install};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use site::Server;
use std::path::PathBuf;
use std::process::Command;

/// Where the page is shown, if nobody says otherwise.
pub const PORT: u16 = 8080;

/// Installs, builds, judges the samples, and serves the page on `port` until Ctrl-C.
///
/// # Errors
/// If any of it fails.
pub fn show(project: &Project, port: u16) -> Result<()> {
    prepare(project)?;
    let server = Server::bind(&project.dist(), port)?;
    say!("\nThe page is at {} until Ctrl-C; nothing leaves this machine.", server.url());
    server.run()
}

/// The same, but lets the page judge a sample in a headless browser, and ends.
///
/// # Errors
/// If any of it fails, or page and program disagree in a single bit.
pub fn check(project: &Project) -> Result<()> {
    prepare(project)?;
    let server = Server::bind(&project.dist(), 0)?;
    server.start();
    let picture = samples(project)?.into_iter().next().context("there is no sample")?;
    let page = browser::judge(project, &server.url(), &picture)?;
    say!(
        "\npage: {}: {}  P(fake) {}  on {}, network {}, total {}",
        picture.display(),
        page.label.to_uppercase(),
        page.probability_fake,
        page.backend,
        page.latency,
        page.total
    );
    let native = native_verdict(project, &picture)?;
    let (ours, theirs) = (parse(&page.probability_fake)?, parse(&native.probability_fake)?);
    ensure!(
        ours.to_bits() == theirs.to_bits() && page.label == native.label,
        "page and program disagree: the page says {} {ours:?}, the program {} {theirs:?}",
        page.label,
        native.label
    );
    say!("page and program agree bit for bit");
    Ok(())
}

/// Everything up to the verdicts of the program.
fn prepare(project: &Project) -> Result<()> {
    install::install_all(project)?;
    artifacts::build_program(project)?;
    artifacts::build_page(project)?;
    let verdicts = run_captured(detect(project).args(samples(project)?), QUICK)?;
    say!("\n{}", verdicts.trim_end());
    Ok(())
}

fn detect(project: &Project) -> Command {
    let mut command = project.command(project.aware());
    command.arg("detect");
    command
}

/// The sample pictures, by name.
fn samples(project: &Project) -> Result<Vec<PathBuf>> {
    let folder = project.root.join("models/samples");
    let context = || format!("cannot list {}", folder.display());
    let is_picture = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| ["png", "jpg", "jpeg", "webp"].contains(&extension))
    };
    let mut pictures = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        pictures.extend(Some(path).filter(is_picture));
    }
    pictures.sort();
    // Shorter to read, and commands run in the root.
    Ok(pictures.iter().map(|path| crate::project::relative(path, &project.root).to_path_buf()).collect())
}

/// What the program says of a picture, in its own digits.
struct NativeVerdict {
    label: String,
    probability_fake: String,
}

/// The verdict of `aware detect --json`.
fn native_verdict(project: &Project, picture: &PathBuf) -> Result<NativeVerdict> {
    let line = run_captured(detect(project).arg("--json").arg(picture), QUICK)?;
    let json: Value = serde_json::from_str(&line).with_context(|| format!("in {line:?}"))?;
    let label = json["report"]["verdict"]["label"].as_str();
    // The digits as they stand there: serde_json reads numbers with an error of up to one bit.
    let verdict =
        line.split_once("\"verdict\":{").and_then(|(_, rest)| rest.split_once("\"probability_fake\":"));
    let digits = verdict.and_then(|(_, rest)| rest.split([',', '}']).next());
    let (label, digits) = label.zip(digits).with_context(|| format!("aware gave no verdict: {line}"))?;
    Ok(NativeVerdict { label: label.into(), probability_fake: digits.into() })
}

fn parse(digits: &str) -> Result<f64> {
    digits.parse().with_context(|| format!("P(fake) {digits:?} is no number"))
}
