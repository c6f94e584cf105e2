//! Headless browsers on the page.

use crate::process::run_captured;
use crate::project::Project;
use crate::system;
use crate::tools::FIREFOX;
use anyhow::{Context, Result};
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Above the script's own limit, which has the better message.
const LIMIT: Duration = Duration::from_secs(300);

/// What the page says of a picture, in its own words.
pub struct PageVerdict {
    /// "real", "fake" or "uncertain".
    pub label: String,
    /// P(fake) with all digits.
    pub probability_fake: String,
    /// What ran the network.
    pub backend: String,
    /// Time in the network.
    pub latency: String,
    /// Time from bytes to verdict.
    pub total: String,
}

/// The browser to use.
///
/// # Errors
/// If there is none, with what to do.
pub fn chromium(project: &Project) -> Result<OsString> {
    let named = system::find(project, system::tool("chromium")?)?;
    Ok(on_path(&named).unwrap_or(named))
}

/// Firefox, installed if it is missing.
///
/// # Errors
/// If it cannot be had: why.
pub fn firefox(project: &Project) -> Result<OsString> {
    let named = system::find_or_install(project, &FIREFOX)?;
    Ok(on_path(&named).unwrap_or(named))
}

/// Playwright takes no name, but a path.
fn on_path(program: &OsString) -> Option<OsString> {
    let path = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())?;
    Some(found.into_os_string())
}

/// Gives `picture` to the page at `url`.
///
/// # Errors
/// If the browser fails, or the page gives no verdict in time.
pub fn judge(project: &Project, url: &str, picture: &Path) -> Result<PageVerdict> {
    let mut node = project.command("node");
    node.arg("xtask/drive.mjs").arg(url).arg(picture).env("AWARE_CHROMIUM", chromium(project)?);
    let line = run_captured(&mut node, LIMIT).context("the page gave no verdict")?;
    let json: Value = serde_json::from_str(&line).with_context(|| format!("in {line:?}"))?;
    let text = |name: &str| {
        let value = json[name].as_str().filter(|text| !text.is_empty());
        value.map(str::to_owned).with_context(|| format!("the page shows no {name}: {line}"))
    };
    Ok(PageVerdict {
        label: text("label")?,
        probability_fake: text("probability_fake")?,
        backend: text("backend")?,
        latency: text("latency")?,
        total: text("total")?,
    })
}
