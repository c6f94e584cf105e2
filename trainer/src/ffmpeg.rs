//! The `ffmpeg` of the system, as a child that opens one file, writes to one pipe, and never outlives its use.
//!
//! What the file is, its first bytes say; `ffmpeg` is told, and may open nothing else: no address, no playlist, no other
//! format inside. The file's name is never an option.

use crate::detect::Failure;
use engine::video::Container;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Code of the failure where there is no `ffmpeg` to call.
pub const MISSING: &str = "ffmpeg_missing";
/// Largest picture that is decoded, in pixels; one of 8K fits.
const MAX_PIXELS: u32 = 36_000_000;
/// Longest line of what `ffmpeg` says that is looked at.
const MAX_LINE_BYTES: u64 = 4096;
/// The oldest version whose options are known.
const OLDEST: u32 = 4;
/// A child that has closed its pipes ends within this time or is ended.
const END: Duration = Duration::from_secs(5);

/// The name of `ffmpeg`'s reader, and the names under which the list of allowed ones knows it.
fn reader(container: Container) -> [&'static str; 2] {
    match container {
        Container::Mov => ["mov", "mov,mp4,m4a,3gp,3g2,mj2"],
        Container::Matroska => ["matroska", "matroska,webm"],
        Container::Avi => ["avi", "avi"],
        Container::MpegTs => ["mpegts", "mpegts"],
    }
}

/// The program.
#[derive(Debug, Clone)]
pub struct Ffmpeg {
    program: PathBuf,
    /// Options that pass each frame on once, with its own time.
    passthrough: [&'static str; 2],
}

impl Ffmpeg {
    /// The program by path or by name, once it has told its version.
    ///
    /// # Errors
    /// With the code [`MISSING`] if it is not there, does not answer, or is too old, and how to get one.
    pub fn find(program: &Path) -> Result<Self, Failure> {
        let mut ffmpeg = Ffmpeg { program: program.to_owned(), passthrough: ["-fps_mode", "passthrough"] };
        let mut command = Command::new(program);
        command.arg("-version").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = ffmpeg.spawn(&mut command)?;
        let stdout = child.child.stdout.take();
        let lines = stdout.map(|stdout| lines_of(stdout, |_| true));
        let first = lines.and_then(|lines| lines.recv_timeout(END).ok()).unwrap_or_default();
        if !child.wait().is_some_and(|status| status.success()) {
            return Err(ffmpeg.missing("does not answer"));
        }
        match version(&first) {
            Some((major, _)) if major < OLDEST => {
                return Err(ffmpeg.missing(&format!("is version {major}, too old; {OLDEST}.0 is the oldest")));
            }
            Some(version) if version < (5, 1) => ffmpeg.passthrough = ["-vsync", "passthrough"],
            // What was built from a state between versions is newer.
            Some(_) | None if first.starts_with("ffmpeg version ") => {}
            _ => return Err(ffmpeg.missing("is no ffmpeg")),
        }
        Ok(ffmpeg)
    }

    /// A command that reads the video at `path` and nothing else; what is to be done with it is still to be said.
    ///
    /// # Errors
    /// If the folder of this program is unknown.
    pub fn reading(&self, path: &Path, container: Container) -> Result<Command, Failure> {
        let absolute = std::path::absolute(path)
            .map_err(|error| Failure { code: "io".into(), message: error.to_string() })?;
        let mut file = OsString::from("file:");
        file.push(absolute);
        let [reader, allowed] = reader(container);
        let mut command = Command::new(&self.program);
        command.args(["-hide_banner", "-nostdin", "-nostats", "-v", "info", "-threads", "1"]);
        command.args(["-protocol_whitelist", "file,pipe", "-format_whitelist", allowed, "-f", reader]);
        command.args(["-max_pixels", &MAX_PIXELS.to_string(), "-i"]).arg(file);
        // Not a cover of a song, which is a video to ffmpeg.
        command.args(["-map", "0:V:0", "-an", "-sn", "-dn"]).args(self.passthrough);
        Ok(command)
    }

    /// Starts `command`.
    ///
    /// # Errors
    /// With the code [`MISSING`] if the program is not there.
    pub fn spawn(&self, command: &mut Command) -> Result<Running, Failure> {
        command.stdin(Stdio::null());
        #[cfg(unix)]
        {
            // Ctrl-C is for us: we end it.
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        match command.spawn() {
            Ok(child) => Ok(Running { child }),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.missing("is not there")),
            Err(error) => Err(self.missing(&format!("does not start: {error}"))),
        }
    }

    fn missing(&self, what: &str) -> Failure {
        let message = format!(
            "{} {what}; videos need ffmpeg: `apt install ffmpeg`, `brew install ffmpeg` or `winget install ffmpeg`, or name \
             one with --ffmpeg",
            self.program.display()
        );
        Failure { code: MISSING.into(), message }
    }
}

/// A running child, which is ended when this goes.
pub struct Running {
    /// The child.
    pub child: Child,
}

impl Running {
    /// How the child ended; nothing if it had to be ended.
    pub fn wait(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        None
    }

    /// Ends the child.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines that a child writes and `keep` wants, each cut to a bearable length; what it writes is taken from it in any case, so
/// that it never waits.
pub fn lines_of(pipe: impl Read + Send + 'static, keep: fn(&str) -> bool) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || read_lines(BufReader::new(pipe), keep, &sender));
    receiver
}

fn read_lines(mut pipe: impl BufRead, keep: fn(&str) -> bool, sender: &Sender<String>) {
    loop {
        let mut line = Vec::new();
        match pipe.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        if keep(&line) {
            // Whoever listened may have gone; the child must still not wait.
            let _ = sender.send(line.trim_end().to_owned());
        }
    }
}

/// Major and minor of "ffmpeg version 5.1.9-0+deb12u1 Copyright …"; nothing for a state between versions.
fn version(line: &str) -> Option<(u32, u32)> {
    let word = line.strip_prefix("ffmpeg version ")?.split_whitespace().next()?;
    let mut numbers = word.trim_start_matches('n').split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_ffmpeg_prints_them() {
        let cases = [
            ("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026", Some((5, 1))),
            ("ffmpeg version 4.3.6", Some((4, 3))),
            ("ffmpeg version n7.0 Copyright", Some((7, 0))),
            ("ffmpeg version N-112233-gabcdef", None),
            ("ffmpeg version 2024-01-01-git-abcdef", Some((2024, 1))),
            ("something else", None),
        ];
        for (line, want) in cases {
            assert_eq!(version(line), want, "{line}");
        }
    }

    #[test]
    fn a_name_is_never_an_option_or_an_address() {
        let ffmpeg = Ffmpeg { program: "ffmpeg".into(), passthrough: ["-fps_mode", "passthrough"] };
        for name in ["-y.mp4", "http://host/a.mp4", "concat:a|b"] {
            let command = ffmpeg.reading(Path::new(name), Container::Avi).unwrap();
            let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
            let at = words.iter().position(|word| word == "-i").unwrap();
            // A path keeps one slash of two.
            let path = name.replace("//", "/");
            assert!(words[at + 1].starts_with("file:/") && words[at + 1].ends_with(&path), "{words:?}");
            let has = |pair: [&str; 2]| words.windows(2).any(|words| words == pair);
            assert!(has(["-protocol_whitelist", "file,pipe"]) && has(["-format_whitelist", "avi"]));
            assert!(has(["-f", "avi"]) && words.contains(&"-nostdin".to_owned()));
        }
    }

    #[test]
    fn lines_are_cut_and_none_is_waited_for() {
        let text = [vec![b'x'; 10_000], b"\nkeep this\n".to_vec()].concat();
        let lines = lines_of(std::io::Cursor::new(text), |line| line.starts_with("keep"));
        assert_eq!(lines.iter().collect::<Vec<_>>(), ["keep this"]);
    }
}
