//! A video file -> upright frames in square pixels with their media times, one after another, a few at a time.
//!
//! Two calls of [`ffmpeg`](crate::ffmpeg): the first frame tells size and length, then the frames come through a pipe. Of each
//! tick of 1 / `max_fps` the first frame is passed on. Their times are what the filter `showinfo` prints of each.

use crate::detect::Failure;
use crate::ffmpeg::{Ffmpeg, Running, lines_of};
use crate::interrupt::Interrupt;
use engine::Frame;
use engine::video::Container;
use engine::video::report::{FrameSource, Media};
use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Longest side of a frame, in pixels; larger ones are made smaller.
const MAX_SIDE: f64 = 1920.0;
/// Frames that wait: they bound the memory, and make `ffmpeg` wait.
const WAITING: usize = 2;
/// How often it is looked whether somebody wants to stop.
const STEP: Duration = Duration::from_millis(50);
/// A frame whose time is not told this soon after its pixels has none.
const TIME: Duration = Duration::from_secs(5);
/// Rate by which times are made where a file tells neither times nor a rate.
const USUAL_RATE: f64 = 25.0;
/// Lines of what `ffmpeg` says that are kept for a message.
const KEPT_LINES: usize = 8;

/// A video file that can be read.
#[derive(Debug, Clone)]
pub struct VideoFile {
    ffmpeg: Ffmpeg,
    path: PathBuf,
    container: Container,
    media: Media,
    stall: Duration,
}

/// A frame with its time.
#[derive(Debug)]
pub struct TimedFrame {
    /// Media time in seconds.
    pub time_s: f64,
    /// The picture, upright, in square pixels, always of the size in [`Media`]; black at two sides where the video has
    /// another shape from some time on.
    pub frame: Frame,
    /// Size as it is in the file, upright.
    pub stored_size: [u32; 2],
    /// When its pixels were there.
    pub arrived: Instant,
}

impl VideoFile {
    /// Looks at the first frame of the file at `path`; `stall` is the longest time without a frame.
    ///
    /// # Errors
    /// `no_video` if nothing in it is a video, `corrupt` if no frame comes out, `timeout`.
    pub fn open(
        ffmpeg: &Ffmpeg,
        path: &Path,
        container: Container,
        stall: Duration,
    ) -> Result<Self, Failure> {
        let mut command = ffmpeg.reading(path, container)?;
        command.args(["-frames:v", "1", "-vf", "showinfo=checksum=0", "-f", "null", "-"]);
        let mut child = ffmpeg.spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let (mut media, mut said) = (MediaHint::default(), LastLines::default());
        if let Some(stderr) = child.child.stderr.take() {
            let lines = lines_of(stderr, |_| true);
            let deadline = Instant::now() + stall;
            loop {
                match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(line) => {
                        media.take(&line);
                        said.push(line);
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        child.kill();
                        return Err(timeout(stall));
                    }
                }
            }
        }
        child.wait();
        let media = media.media(&said)?;
        Ok(VideoFile { ffmpeg: ffmpeg.clone(), path: path.to_owned(), container, media, stall })
    }

    /// What the container tells.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// The frames, at most `max_fps` a second.
    ///
    /// # Errors
    /// If `ffmpeg` does not start.
    pub fn frames(&self, max_fps: f64) -> Result<Frames, Failure> {
        let [width, height] = self.media.size;
        let mut command = self.ffmpeg.reading(&self.path, self.container)?;
        let tick = |time: &str| format!("floor({time}*{max_fps}+1e-6)");
        let (now, last) = (tick("t"), tick("prev_selected_t"));
        let filters = [
            format!("select='isnan(t)+isnan(prev_selected_t)+gt({now},{last})'"),
            "showinfo=checksum=0".into(),
            // Square pixels first, so that the shape is right.
            "scale=w='max(1,round(iw*if(gt(sar,0),sar,1)))':h=ih,setsar=1".into(),
            format!("scale={width}:{height}:force_original_aspect_ratio=decrease:flags=area"),
            // In these every side may be odd.
            "format=rgb24".into(),
            format!("pad={width}:{height}:(ow-iw)/2:(oh-ih)/2,setsar=1"),
        ];
        command.args(["-vf", &filters.join(","), "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]);
        let mut child = self.ffmpeg.spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
        let no_pipe = || Failure { code: "ffmpeg".into(), message: "ffmpeg has no pipe".into() };
        let stdout = child.child.stdout.take().ok_or_else(no_pipe)?;
        let stderr = child.child.stderr.take().ok_or_else(no_pipe)?;
        Ok(Frames {
            pixels: pixels_of(stdout, (width * height * 3) as usize),
            lines: lines_of(stderr, |_| true),
            said: LastLines::default(),
            child,
            media: self.media,
            stall: self.stall,
            last_s: None,
        })
    }
}

/// Frames as they come.
pub struct Frames {
    child: Running,
    pixels: Receiver<(Vec<u8>, Instant)>,
    lines: Receiver<String>,
    said: LastLines,
    media: Media,
    stall: Duration,
    last_s: Option<f64>,
}

/// What comes next.
pub enum Next {
    /// A frame.
    Frame(TimedFrame),
    /// The end of the video, or of what can be read of it.
    End {
        /// Whether `ffmpeg` ended without an error.
        is_clean: bool,
    },
    /// Somebody asked to stop.
    Stopped,
}

impl Frames {
    /// Waits for the next frame, the end, or somebody who asks to stop.
    ///
    /// # Errors
    /// `timeout` if nothing comes for too long, `ffmpeg` if frames come without their size.
    pub fn next(&mut self, interrupt: &Interrupt) -> Result<Next, Failure> {
        let deadline = Instant::now() + self.stall;
        let (rgb, arrived) = loop {
            if interrupt.stop().is_some() {
                self.child.kill();
                return Ok(Next::Stopped);
            }
            match self.pixels.recv_timeout(STEP) {
                Ok(frame) => break frame,
                Err(RecvTimeoutError::Disconnected) => {
                    let is_clean = self.child.wait().is_some_and(|status| status.success());
                    return Ok(Next::End { is_clean });
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.child.kill();
                    return Err(timeout(self.stall));
                }
            }
        };
        let shown = self.shown()?;
        let step = 1.0 / self.media.frame_rate.unwrap_or(USUAL_RATE);
        let time_s = shown.time_s.unwrap_or_else(|| self.last_s.map_or(0.0, |last| last + step));
        self.last_s = Some(time_s);
        let [width, height] = self.media.size;
        let frame = Frame::from_rgb(width, height, rgb);
        Ok(Next::Frame(TimedFrame { time_s, frame, stored_size: shown.size, arrived }))
    }

    /// What `ffmpeg` said last, for a message.
    pub fn message(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.said.push(line);
        }
        self.said.text()
    }

    fn shown(&mut self) -> Result<Shown, Failure> {
        let deadline = Instant::now() + TIME;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match Shown::parse(&line) {
                    Some(shown) => return Ok(shown),
                    None => self.said.push(line),
                },
                Err(_) => {
                    self.child.kill();
                    let message = "ffmpeg tells no times of its frames".into();
                    return Err(Failure { code: "ffmpeg".into(), message });
                }
            }
        }
    }
}

/// Frames of `bytes` each, a few of them waiting.
fn pixels_of(mut pipe: impl Read + Send + 'static, bytes: usize) -> Receiver<(Vec<u8>, Instant)> {
    let (sender, receiver) = sync_channel(WAITING);
    std::thread::spawn(move || {
        loop {
            let mut rgb = vec![0; bytes];
            // A frame that is cut off is none.
            if pipe.read_exact(&mut rgb).is_err() || sender.send((rgb, Instant::now())).is_err() {
                return;
            }
        }
    });
    receiver
}

fn timeout(stall: Duration) -> Failure {
    let message = format!("ffmpeg gave no frame for {} s and was stopped", stall.as_secs_f64());
    Failure { code: "timeout".into(), message }
}

/// What `showinfo` prints of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shown {
    /// Nothing where the file tells none.
    time_s: Option<f64>,
    size: [u32; 2],
    /// Width of a pixel over its height.
    pixel_aspect: f64,
}

impl Shown {
    fn parse(line: &str) -> Option<Self> {
        // What else a file makes ffmpeg say begins otherwise.
        let (_, line) = line.strip_prefix("[Parsed_showinfo_")?.split_once(']')?;
        let time = word(line, " pts_time:")?;
        let [width, height] = pair(word(line, " s:")?, 'x')?;
        let pixel_aspect =
            word(line, " sar:").and_then(|sar| pair(sar, '/')).map_or(1.0, |[across, down]| {
                if across > 0 && down > 0 { f64::from(across) / f64::from(down) } else { 1.0 }
            });
        let time_s = time.parse().ok().filter(|time: &f64| time.is_finite());
        Some(Shown { time_s, size: [width, height], pixel_aspect })
    }

    /// In square pixels, no side longer than [`MAX_SIDE`].
    fn square_size(&self) -> [u32; 2] {
        let [width, height] = self.size.map(f64::from);
        let width = (width * self.pixel_aspect).round().max(1.0);
        let scale = (MAX_SIDE / width.max(height)).min(1.0);
        [width, height].map(|side| (side * scale).round().max(1.0) as u32)
    }
}

fn word<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    line.split_once(before)?.1.split_whitespace().next()
}

fn pair(word: &str, between: char) -> Option<[u32; 2]> {
    let (a, b) = word.split_once(between)?;
    Some([a.parse().ok()?, b.parse().ok()?])
}

/// What is known of a video before its first frame.
#[derive(Debug, Default)]
struct MediaHint {
    duration_s: Option<f64>,
    frame_rate: Option<f64>,
    first: Option<Shown>,
    has_no_video: bool,
}

impl MediaHint {
    fn take(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("  Duration: ") {
            self.duration_s = self.duration_s.or_else(|| duration_s(rest));
        } else if line.starts_with("  Stream #0") && line.contains(" Video: ") && self.frame_rate.is_none() {
            let rate = line.split(',').find_map(|part| part.trim().strip_suffix(" fps"));
            self.frame_rate = rate.and_then(|rate| rate.parse().ok()).filter(|rate| *rate > 0.0);
        } else if line.contains("matches no streams") || line.contains("does not contain any stream") {
            self.has_no_video = true;
        }
        self.first = self.first.or_else(|| Shown::parse(line));
    }

    fn media(&self, said: &LastLines) -> Result<Media, Failure> {
        let fail = |code: &str, message: String| Failure { code: code.into(), message };
        match self.first {
            _ if self.has_no_video => Err(fail("no_video", "there is no video in it".into())),
            Some(first) => Ok(Media {
                size: first.square_size(),
                duration_s: self.duration_s,
                frame_rate: self.frame_rate,
                frames: Some(FrameSource::Decoded),
            }),
            None => Err(fail("corrupt", format!("no frame comes out of it: {}", said.text()))),
        }
    }
}

/// Seconds of `00:01:02.50, start: …`.
fn duration_s(text: &str) -> Option<f64> {
    let parts: Option<Vec<f64>> =
        text.split(',').next()?.trim().split(':').map(|part| part.parse().ok()).collect();
    let parts = parts?;
    let [hours, minutes, seconds] = parts.as_slice() else { return None };
    Some(hours * 3600.0 + minutes * 60.0 + seconds).filter(|length| *length > 0.0)
}

/// The last lines that `ffmpeg` said.
#[derive(Debug, Default)]
struct LastLines(VecDeque<String>);

impl LastLines {
    fn push(&mut self, line: String) {
        self.0.push_back(line);
        if self.0.len() > KEPT_LINES {
            self.0.pop_front();
        }
    }

    /// The first one that reads like a cause.
    fn text(&self) -> String {
        let is_cause = |line: &&String| {
            let line = line.to_ascii_lowercase();
            ["error", "invalid", "not found", "unknown", "unsupported"].iter().any(|word| line.contains(word))
        };
        let line = self.0.iter().find(is_cause).or(self.0.back());
        let text = line.map_or("ffmpeg says nothing", String::as_str);
        text.chars().filter(|c| !c.is_control()).take(300).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "[Parsed_showinfo_1 @ 0x55d0] n:   3 pts:   1536 pts_time:0.12    duration:    512 \
        duration_time:0.04    fmt:yuv420p cl:left sar:4/3 s:720x576 i:P iskey:0 type:P";

    #[test]
    fn times_and_sizes_are_read_as_ffmpeg_prints_them() {
        let shown = Shown::parse(LINE).unwrap();
        assert_eq!(shown.time_s, Some(0.12));
        assert_eq!((shown.size, shown.square_size()), ([720, 576], [960, 576]));
        let none =
            Shown::parse(&LINE.replace("pts_time:0.12", "pts_time:NOPTS").replace("4/3", "0/1")).unwrap();
        assert_eq!((none.time_s, none.square_size()), (None, [720, 576]));
        let large = Shown::parse(&LINE.replace("720x576", "7680x4320").replace("4/3", "1/1")).unwrap();
        assert_eq!(large.square_size(), [1920, 1080]);
        // A title must not pass for a frame.
        assert_eq!(Shown::parse(&format!("    title : {LINE}")), None);
        assert_eq!(Shown::parse("[Parsed_showinfo_1 @ 0x1] config in time_base: 1/12800"), None);
    }

    #[test]
    fn length_rate_and_lack_of_a_video_are_read() {
        let mut hint = MediaHint::default();
        let said = LastLines::default();
        hint.take("  Duration: 01:02:03.50, start: 0.000000, bitrate: 92 kb/s");
        hint.take(
            "  Stream #0:0[0x1](und): Video: h264 (High), yuv420p, 96x64 [SAR 1:1 DAR 3:2], 25 fps, 25 tbr",
        );
        assert_eq!(hint.media(&said).unwrap_err().code, "corrupt");
        hint.take(LINE);
        let media = hint.media(&said).unwrap();
        assert_eq!((media.duration_s, media.frame_rate), (Some(3723.5), Some(25.0)));
        hint.take("Stream map '0:V:0' matches no streams.");
        assert_eq!(hint.media(&said).unwrap_err().code, "no_video");
        let mut unknown = MediaHint::default();
        unknown.take("  Duration: N/A, bitrate: N/A");
        unknown.take("  Stream #0:0: Video: vp8, yuv420p, 96x64, 0 fps, 1k tbr");
        assert_eq!((unknown.duration_s, unknown.frame_rate), (None, None));
    }
}
