//! Runs a command within a time limit, and says what happened when it fails.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Limit of a question to a program.
pub const QUICK: Duration = Duration::from_secs(60);
/// Limit of a build, an installation or a run of tests.
pub const LONG: Duration = Duration::from_secs(25 * 60);

/// Lines of standard output, and of standard error, that a failure shows.
const TAIL_LINES: usize = 25;
/// How often a running command is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long a finished command's output is waited for: a process that it left behind may hold it.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs `command` silently; returns its standard output.
///
/// # Errors
/// If it does not start, fails, or takes longer than `limit`; with the last lines of its output.
pub fn run_captured(command: &mut Command, limit: Duration) -> Result<String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command)?;
    let stdout = child.stdout.take().map(read_lines);
    let stderr = child.stderr.take().map(read_lines);
    let ended = wait(&mut child, limit);
    let deadline = Instant::now() + DRAIN;
    let [stdout, stderr] =
        [stdout, stderr].map(|lines| lines.map_or_else(String::new, |lines| drain(&lines, deadline)));
    // One after the other: which pipe was read first is chance.
    let tail: Vec<&str> = [&stdout, &stderr].into_iter().flat_map(|text| last_lines(text)).collect();
    match ended {
        Ok(status) if status.success() => Ok(stdout),
        ended if tail.is_empty() => bail!("{} and printed nothing", failure(command, ended)),
        ended => bail!("{}; its last lines:\n{}", failure(command, ended), tail.join("\n")),
    }
}

/// Runs `command` with its output shown; its exit code comes back where it has one.
///
/// # Errors
/// If it does not start, or takes longer than `limit`.
pub fn run_for_code(command: &mut Command, limit: Duration) -> Result<Option<i32>> {
    let mut child = spawn(command)?;
    match wait(&mut child, limit) {
        Ok(status) => Ok(status.code()),
        ended => bail!(failure(command, ended)),
    }
}

/// Runs `command` with its output shown.
///
/// # Errors
/// If it does not start, fails, or takes longer than `limit`.
pub fn run_shown(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = spawn(command)?;
    match wait(&mut child, limit) {
        Ok(status) if status.success() => Ok(()),
        ended => bail!(failure(command, ended)),
    }
}

/// The command line, as one would type it.
pub fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@,+".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("{word:?}") }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().with_context(|| format!("cannot start `{}`", command_line(command)))
}

/// The exit status, or the limit that was exceeded.
fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, Duration> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if started.elapsed() < limit => std::thread::sleep(POLL),
            // A child that cannot be asked is as lost as one that hangs.
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(limit);
            }
        }
    }
}

fn failure(command: &Command, ended: Result<ExitStatus, Duration>) -> String {
    let line = command_line(command);
    match ended {
        Ok(status) => format!("`{line}` failed ({status})"),
        Err(limit) => format!("`{line}` was stopped after {} s", limit.as_secs()),
    }
}

/// The last lines of `text`.
fn last_lines(text: &str) -> impl Iterator<Item = &str> {
    let count = text.lines().count();
    text.lines().skip(count.saturating_sub(TAIL_LINES))
}

/// Sends the lines of `pipe` as they come.
fn read_lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            bytes.clear();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn drain(lines: &Receiver<String>, deadline: Instant) -> String {
    let mut text = String::new();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_returned_whole() {
        assert_eq!(run_captured(&mut shell("echo a; echo no >&2; printf b"), QUICK).unwrap(), "a\nb");
    }

    #[test]
    fn a_failure_shows_command_status_and_last_lines() {
        let error = run_captured(&mut shell("seq 100; echo why >&2; exit 3"), QUICK).unwrap_err().to_string();
        for part in ["sh -c", "exit status: 3", "100\n", "why"] {
            assert!(error.contains(part), "{part:?} in {error}");
        }
        assert!(!error.contains("\n50\n"), "{error}");
        let error = run_captured(&mut Command::new("no-such-program-anywhere"), QUICK).unwrap_err();
        assert!(format!("{error:#}").contains("cannot start `no-such-program-anywhere`"), "{error:#}");
    }

    #[test]
    fn a_command_that_hangs_is_stopped() {
        let error = run_captured(&mut shell("echo first; exec tail -f /dev/null"), Duration::from_secs(1))
            .unwrap_err();
        assert!(error.to_string().contains("was stopped after"), "{error}");
        assert!(error.to_string().contains("first"), "{error}");
    }
}
