//! Videos in `aware detect`.

use super::progress_bar;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use engine::video::report::Media;
use engine::video::verdict::FakeShare;
use engine::video::{Container, JudgedFace, SamplingConfig, SamplingPlan, VideoReport};
use engine::{Bundle, Detector, Frame, Preset, quality};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trainer::annotate::Annotator;
use trainer::detect::{Finding, Outcome};
use trainer::faces::FaceFinder;
use trainer::files::{path_bytes, write_json, write_whole};
use trainer::interrupt::Interrupt;
use trainer::regions::{FaceSource, WholeFrame};
use trainer::timeline::timeline;
use trainer::video_detect::{Crew, VideoConfig, VideoObserver, detect_video};

#[derive(Args)]
pub(super) struct VideoArgs {
    /// Samples a second of videos; else 5 in quiet scenes and up to 15 where much changes.
    #[arg(long, value_name = "RATE", help_heading = "Videos")]
    fps: Option<f64>,
    /// Samples of a video at most; longer ones are looked at less densely.
    #[arg(long, value_name = "COUNT", help_heading = "Videos",
        default_value_t = SamplingConfig::default().max_samples,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_samples: u32,
    /// A person is fake if more than this share of the samples is.
    #[arg(long, value_enum, help_heading = "Videos", default_value = "30")]
    fake_share: FakeShareArg,
    /// Least quality of a face in a video that is judged, 0 to 1.
    #[arg(long, value_name = "QUALITY", help_heading = "Videos", default_value_t = quality::THRESHOLD)]
    quality: f64,
    /// Write the course of one video as a plot (FILE.svg) or the whole report (FILE.json).
    #[arg(long, value_name = "FILE", help_heading = "Videos")]
    timeline: Option<PathBuf>,
    /// Write frames of one video with boxes to a new folder, one a second at most.
    #[arg(long, value_name = "DIR", help_heading = "Videos")]
    annotated: Option<PathBuf>,
    /// The program that decodes videos.
    #[arg(long, value_name = "PROGRAM", help_heading = "Videos", default_value = "ffmpeg")]
    ffmpeg: PathBuf,
    /// Longest time in which a video may give no frame.
    #[arg(long, value_name = "SECONDS", help_heading = "Videos", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    video_timeout: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FakeShareArg {
    /// 30 %.
    #[value(name = "30")]
    Thirty,
    /// 50 %.
    #[value(name = "50")]
    Fifty,
}

impl VideoArgs {
    /// Refuses what contradicts itself, before anything is judged.
    pub(super) fn check(&self, files: usize) -> Result<()> {
        let names_one = self.timeline.is_some() || self.annotated.is_some();
        ensure!(!names_one || files == 1, "--timeline and --annotated are for one video");
        ensure!((0.0..=1.0).contains(&self.quality), "--quality is {}, expected 0 to 1", self.quality);
        if let Some(path) = &self.timeline {
            let extension = path.extension().unwrap_or_default();
            let is_known = extension == "svg" || extension == "json";
            ensure!(is_known, "{} ends with neither .svg nor .json", path.display());
            ensure!(path.symlink_metadata().is_err(), "{} exists already", path.display());
        }
        self.sampling().check().context("in --fps")
    }

    fn sampling(&self) -> SamplingConfig {
        let usual = SamplingConfig { max_samples: self.max_samples, ..SamplingConfig::default() };
        self.fps.map_or(usual, |rate| SamplingConfig { base_fps: rate, max_fps: rate, ..usual })
    }

    fn config(&self) -> VideoConfig {
        VideoConfig {
            ffmpeg: self.ffmpeg.clone(),
            stall: Duration::from_secs(self.video_timeout),
            sampling: self.sampling(),
            fake_share: match self.fake_share {
                FakeShareArg::Thirty => FakeShare::THIRTY,
                FakeShareArg::Fifty => FakeShare::FIFTY,
            },
            quality_threshold: self.quality,
        }
    }
}

/// Judges videos, and writes what was asked for.
pub(super) struct VideoJudge<'a> {
    /// What was asked for.
    pub args: &'a VideoArgs,
    /// What judges.
    pub bundle: &'a Bundle,
    /// Where answers count as sure.
    pub preset: Preset,
    /// What finds faces; without it whole frames are judged.
    pub finder: Option<&'a FaceFinder>,
    /// Who may ask to stop.
    pub interrupt: &'a Interrupt,
}

impl VideoJudge<'_> {
    /// What becomes of the video at `path`.
    pub(super) fn finding(&mut self, path: &Path, container: Container) -> Result<Finding> {
        let mut detector = Detector::load(self.bundle)?;
        detector.set_preset(self.preset);
        let thresholds = detector.manifest().thresholds;
        let annotated = self.args.annotated.as_deref();
        let annotator = annotated.map(|folder| Annotator::create(folder, thresholds)).transpose()?;
        let mut observer =
            Observer { name: shown(path), progress: progress_bar("second {pos}/{len}"), annotator };
        let mut whole_frame = WholeFrame;
        let faces: &mut dyn FaceSource = match &mut self.finder {
            Some(finder) => finder,
            None => &mut whole_frame,
        };
        let interrupt = self.interrupt;
        let mut crew = Crew { detector: &mut detector, faces, observer: &mut observer, interrupt };
        let judged = detect_video(&mut crew, (path, container), &self.args.config());
        observer.progress.finish_and_clear();
        let outcome = match judged {
            Ok(report) => {
                write_timeline(self.args.timeline.as_deref(), path, &report)?;
                Outcome::Video(Box::new(report))
            }
            Err(failure) => Outcome::Error(failure),
        };
        Ok(Finding { file: path.to_string_lossy().into_owned(), file_bytes: path_bytes(path), outcome })
    }
}

fn write_timeline(path: Option<&Path>, video: &Path, report: &VideoReport) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => write_whole(path, timeline(report, &shown(video)).svg()?.as_bytes()),
        Some("json") => write_json(path, report),
        _ => bail!("{} ends with neither .svg nor .json", path.display()),
    }
}

/// A name that may reach a terminal.
fn shown(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(120).collect()
}

struct Observer {
    name: String,
    progress: ProgressBar,
    annotator: Option<Annotator>,
}

impl VideoObserver for Observer {
    fn planned(&mut self, media: &Media, plan: &SamplingPlan) {
        let [width, height] = media.size;
        let length = media.duration_s.map_or("unknown length".into(), |length| format!("{length:.1} s"));
        let in_all =
            plan.expected.map_or(String::new(), |[least, most]| format!(", {least} to {most} in all"));
        let (base, most) = (plan.base_fps, plan.max_fps);
        eprintln!(
            "{}: {length}, {width} x {height}; {base:.2} to {most:.2} samples a second{in_all}",
            self.name
        );
        self.progress.set_length(media.duration_s.unwrap_or_default() as u64);
    }

    fn judged(
        &mut self,
        time_s: f64,
        frame: &Frame,
        faces: &[JudgedFace],
        _people: &[Option<u32>],
    ) -> Result<()> {
        self.progress.set_position(time_s.max(0.0) as u64);
        self.annotator.as_mut().map_or(Ok(()), |annotator| annotator.add(time_s, frame, faces))
    }
}
