//! Videos -> frames as PNG, through the `ffmpeg` of the system.
//!
//! A child process reads the video, so a broken one costs its own frames only. It may open nothing
//! but files, by the format that the name says, for a limited time; the name is never an option.

use crate::readers::Item;
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longest side of a frame; larger ones are made smaller.
const MAX_SIDE: u32 = 1920;
/// Of what `ffmpeg` says so much is kept.
const MAX_MESSAGE_BYTES: u64 = 64 << 10;

/// Where in a video frames are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// Every Nth frame from the start, until there are enough.
    Stride(u32),
    /// Evenly over the whole length.
    Whole,
}

/// How frames are taken out of videos.
#[derive(Debug, Clone)]
pub struct FrameConfig {
    /// Frames go to `folder/SET/CLASS/VIDEO/`.
    pub folder: PathBuf,
    /// The program, by path or by name.
    pub ffmpeg: PathBuf,
    /// Which frames.
    pub coverage: Coverage,
    /// At most so many of a video.
    pub max_frames: u32,
    /// A video that takes longer is given up.
    pub timeout: Duration,
}

impl FrameConfig {
    /// Whether there is an `ffmpeg` to call.
    ///
    /// # Errors
    /// If there is none, with how to get one.
    pub fn check(&self) -> Result<()> {
        let mut command = Command::new(&self.ffmpeg);
        let done = self.run(command.arg("-version"))?;
        ensure!(done.success, "{} -version failed: {}", self.ffmpeg.display(), done.message.trim());
        Ok(())
    }

    /// The frames of the video `item` of `dataset`, as items of its people. Frames that an earlier
    /// run took in the same way are used again.
    ///
    /// # Errors
    /// If `ffmpeg` fails, takes too long, or finds no frame.
    pub fn frames(&self, dataset: &str, item: &Item) -> Result<Vec<Item>> {
        let class = if item.label == 0 { "real" } else { "fake" };
        let folder = self.folder.join(dataset).join(class).join(self.name_of(item)?);
        if !folder.is_dir() {
            self.extract(&item.path, &folder)?;
        }
        let mut paths = Vec::new();
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            paths.push(entry?.path());
        }
        paths.sort();
        ensure!(!paths.is_empty(), "no frame in the video");
        let frame = |path: PathBuf| {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Item {
                name: format!("{}/{file}", item.name),
                path,
                media: crate::readers::Media::Picture,
                ..item.clone()
            }
        };
        Ok(paths.into_iter().map(frame).collect())
    }

    /// A plain name that changes with the video and with what is taken of it.
    fn name_of(&self, item: &Item) -> Result<String> {
        let metadata = std::fs::symlink_metadata(&item.path)?;
        ensure!(metadata.is_file(), "not a regular file");
        let (coverage, max) = (self.coverage, self.max_frames);
        let changed = metadata.modified()?;
        let key = format!("{}/{}/{changed:?}/{coverage:?}/{max}", item.name, metadata.len());
        let digest: String = Sha256::digest(key).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let stem = item.path.file_stem().unwrap_or_default().to_string_lossy();
        Ok(format!("{}-{digest}", stem.chars().take(60).map(plain).collect::<String>()))
    }

    /// Writes the frames to a neighbour of `folder` that gets its name when all are there.
    fn extract(&self, video: &Path, folder: &Path) -> Result<()> {
        let input = input(video)?;
        let pick = match self.coverage {
            Coverage::Stride(stride) => format!("select='not(mod(n,{}))'", stride.max(1)),
            Coverage::Whole => format!("fps={}/{}", self.max_frames, self.length_s(&input)?),
        };
        let fit = format!(
            "scale=w='min(iw,{MAX_SIDE})':h='min(ih,{MAX_SIDE})':force_original_aspect_ratio=decrease"
        );
        let mut temporary = folder.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let write = || -> Result<()> {
            std::fs::create_dir_all(&temporary)?;
            let mut command = Command::new(&self.ffmpeg);
            // In the folder, since a "%" in its name would be taken for the frame's number.
            command
                .current_dir(&temporary)
                .args(["-hide_banner", "-nostdin", "-v", "error", "-threads", "1"])
                .args(&input);
            command.args(["-map", "0:v:0", "-an", "-sn", "-dn", "-frames:v", &self.max_frames.to_string()]);
            // New times a frame each, or gaps would be filled with copies.
            command.args([
                "-vf",
                &format!("{pick},{fit},setpts=N/(25*TB)"),
                "-r",
                "25",
                "-f",
                "image2",
                "%06d.png",
            ]);
            let done = self.run(&mut command)?;
            ensure!(
                done.success,
                "ffmpeg: {}",
                done.message.lines().next().unwrap_or("failed without a word")
            );
            let is_empty = std::fs::read_dir(&temporary)?.next().is_none();
            ensure!(!is_empty, "ffmpeg found no frame in it");
            Ok(std::fs::rename(&temporary, folder)?)
        };
        write().inspect_err(|_| {
            // The error that matters is the first one.
            let _ = std::fs::remove_dir_all(&temporary);
        })
    }

    /// What `ffmpeg` says of the length; it calls the lack of an output an error, but speaks first.
    fn length_s(&self, input: &[OsString]) -> Result<f64> {
        let mut command = Command::new(&self.ffmpeg);
        let done = self.run(command.args(["-hide_banner", "-nostdin"]).args(input))?;
        length_s(&done.message).context("the length of the video is unknown, so it cannot be covered whole")
    }

    fn run(&self, command: &mut Command) -> Result<Done> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "there is no {}; videos need ffmpeg: `apt install ffmpeg`, `brew install ffmpeg` or `winget \
                 install ffmpeg`, or name one with --ffmpeg",
                self.ffmpeg.display()
            ),
            child => child.with_context(|| format!("cannot start {}", self.ffmpeg.display()))?,
        };
        let (sender, receiver) = mpsc::channel();
        if let Some(mut stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                let mut message = Vec::new();
                let _ = stderr.by_ref().take(MAX_MESSAGE_BYTES).read_to_end(&mut message);
                let _ = sender.send(String::from_utf8_lossy(&message).into_owned());
                // Whoever writes more must not wait for a reader.
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            });
        }
        let deadline = Instant::now() + self.timeout;
        loop {
            if let Some(status) = child.try_wait()? {
                // A grandchild may hold the pipe open for ever.
                let message = receiver.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                return Ok(Done { success: status.success(), message });
            }
            if Instant::now() >= deadline {
                child.kill()?;
                child.wait()?;
                bail!("ffmpeg took more than {} s and was stopped", self.timeout.as_secs_f64());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

struct Done {
    success: bool,
    message: String,
}

/// Options that open `video` and nothing else: no address, no playlist in a video's name.
fn input(video: &Path) -> Result<Vec<OsString>> {
    let extension = video.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let format = match extension.as_str() {
        "mp4" | "mov" => "mov",
        "mkv" | "webm" => "matroska",
        "avi" => "avi",
        other => bail!("{other:?} is no extension of a video that is read"),
    };
    let mut path = OsString::from("file:");
    path.push(std::path::absolute(video)?);
    Ok(["-protocol_whitelist", "file,pipe", "-f", format, "-i"]
        .map(OsString::from)
        .into_iter()
        .chain([path])
        .collect())
}

/// Seconds of `Duration: 00:01:02.50` in what `ffmpeg` said.
fn length_s(message: &str) -> Option<f64> {
    let (_, rest) = message.split_once("Duration: ")?;
    let parts: Vec<f64> =
        rest.split(',').next()?.trim().split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = parts.as_slice() else { return None };
    Some(hours * 3600.0 + minutes * 60.0 + seconds).filter(|length| *length > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_read_from_what_ffmpeg_says() {
        assert_eq!(length_s("  Duration: 01:02:03.50, start: 0.0"), Some(3723.5));
        assert_eq!(length_s("  Duration: N/A, start: 0.0"), None);
        assert_eq!(length_s("no such file"), None);
    }

    #[test]
    fn a_name_is_never_an_option_or_an_address() {
        let options = input(Path::new("-y.mp4")).unwrap();
        let last = options.last().unwrap().to_string_lossy().into_owned();
        assert!(last.starts_with("file:/") && last.ends_with("/-y.mp4"), "{last}");
        assert!(input(Path::new("http://host/a.m3u8")).is_err());
    }
}
