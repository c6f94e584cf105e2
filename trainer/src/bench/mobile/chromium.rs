//! The user's own Chromium as a child: without a window, in a profile of its own, with this machine for its whole network.

use super::devtools::Devtools;
use super::patience::Patience;
use super::signals::{IS_SUPPORTED, end_group, has_group, is_root};
use crate::ffmpeg::lines_of;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Names and places of the browser, in the order in which they are tried.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
/// Puts the pipes, which come as standard input and output, where Chromium looks for them.
const PIPES: &str = "exec 3<&0 4>&1 </dev/null >/dev/null; exec \"$0\" \"$@\"";
/// Nothing of this is asked for, and some of it would ask the network.
const QUIET: [&str; 12] = [
    "--headless=new",
    "--remote-debugging-pipe",
    // Names of hosts lead nowhere but to the page.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-proxy-server",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--password-store=basic",
];
/// A browser that ends, by itself or since it was told to, is gone within this time; who asked to stop waits for it.
const END: Duration = Duration::from_millis(500);
/// Most lines of what a browser says that an error shows.
const LINES: usize = 4;

/// The browser's program: the one that is named, or the first that is there.
///
/// # Errors
/// If there is none, with what to do; on systems where processes cannot be slowed down.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf> {
    ensure!(IS_SUPPORTED, "a phone is simulated on Linux and macOS only: here no process can be slowed down");
    let advice = "name a Chromium with --chromium, or in AWARE_CHROMIUM";
    match named {
        Some(name) => on_path(name).with_context(|| format!("{} is no program; {advice}", name.display())),
        None => NAMES.iter().find_map(|name| on_path(Path::new(name))).with_context(|| {
            format!("there is no browser: none of {} is on the PATH; {advice}", NAMES[..4].join(", "))
        }),
    }
}

fn on_path(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A running browser, which is ended when this goes.
pub(super) struct Chromium {
    /// Name and version, in its own words.
    pub version: String,
    devtools: Devtools,
    child: Child,
    said: Receiver<String>,
    profile: TempDir,
}

impl Chromium {
    /// Starts `program`.
    ///
    /// # Errors
    /// If it does not start, or is no Chromium: with what it said.
    pub fn start(program: &Path, patience: &Patience) -> Result<Self> {
        let profile = tempfile::Builder::new().prefix("aware-phone-").tempdir();
        let profile = profile.context("cannot make a folder for the browser's profile")?;
        let mut command = Command::new("sh");
        // It leaves its lock elsewhere when it is ended.
        command.env("TMPDIR", profile.path());
        command.args(["-c", PIPES]).arg(program).args(QUIET);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        if is_root() {
            // Chromium refuses to start as root with it.
            command.arg("--no-sandbox");
        }
        command.arg("about:blank").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        {
            // Ctrl-C is for us: we end it, and all of its processes. One that stands still when this program is killed is woken by
            // the system, since a group without a parent must not stand still.
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let Some(((to, from), said)) = pipes else { bail!("{} has no pipes", program.display()) };
        let said = lines_of(said, is_telling);
        let devtools = Devtools::over(to, from);
        let mut browser = Chromium { version: String::new(), devtools, child, said, profile };
        let version = browser
            .call(None, "Browser.getVersion", json!({}), patience)
            .with_context(|| format!("{} does not start", program.display()))?;
        let version = version.get("product").and_then(Value::as_str);
        browser.version =
            version.context("the browser does not tell its version")?.chars().take(60).collect();
        Ok(browser)
    }

    /// A folder that goes with the browser.
    pub fn folder(&self) -> PathBuf {
        self.profile.path().join("saved")
    }

    /// See [`Devtools::call`]; an error has what the browser said itself.
    pub fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
        patience: &Patience,
    ) -> Result<Value> {
        let answer = self.devtools.call(session, method, params, patience);
        answer.map_err(|error| self.explained(error))
    }

    /// See [`Devtools::event`].
    pub fn event(
        &mut self,
        method: &str,
        is_wanted: impl Fn(&Value) -> bool,
        patience: &Patience,
    ) -> Result<Value> {
        let event = self.devtools.event(method, is_wanted, patience);
        event.map_err(|error| self.explained(error))
    }

    /// The processes that show pages and run their workers.
    ///
    /// # Errors
    /// As [`Devtools::call`].
    pub fn renderers(&mut self, patience: &Patience) -> Result<BTreeSet<u32>> {
        let told = self.call(None, "SystemInfo.getProcessInfo", json!({}), patience)?;
        let processes =
            told.get("processInfo").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let renderers = processes.iter().filter(|process| process["type"] == "renderer");
        Ok(renderers.filter_map(|process| u32::try_from(process["id"].as_u64()?).ok()).collect())
    }

    fn explained(&mut self, error: anyhow::Error) -> anyhow::Error {
        // One that ends closes its pipes first.
        let deadline = Instant::now() + END;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                return error;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // All that it said is there after a moment.
        let mut lines: Vec<String> = Vec::new();
        while let Ok(line) = self.said.recv_timeout(END) {
            lines.push(line.chars().take(300).collect());
        }
        let first = lines.len().saturating_sub(LINES);
        if lines.is_empty() { error } else { anyhow!("{error:#}; it said: {}", lines[first..].join(" / ")) }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let group = self.child.id();
        end_group(group);
        let _ = self.child.kill();
        let _ = self.child.wait();
        let deadline = Instant::now() + END;
        // The profile goes next, and nobody may write to it any more.
        while has_group(group) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a line of the browser tells why it failed: on machines without a desktop it complains of that all the time.
fn is_telling(line: &str) -> bool {
    !line.trim().is_empty() && !line.contains("dbus/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_found_by_path_and_by_name_or_missed_with_advice() {
        assert!(find(Some(Path::new("sh"))).unwrap().ends_with("sh"));
        let program = find(Some(Path::new("sh"))).unwrap();
        assert_eq!(find(Some(&program)).unwrap(), program);
        for name in ["no-such-browser", "/no/such/browser", "./Cargo.toml/browser", "/"] {
            let error = find(Some(Path::new(name))).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("AWARE_CHROMIUM"), "{error}");
        }
    }
}
