//! A video on disk -> its report: frames from a [`video_stream`](crate::video_stream), faces from [`regions`](crate::regions),
//! P(fake) from the bundle, all else from [`engine::video`].

use crate::detect::Failure;
use crate::ffmpeg::Ffmpeg;
use crate::files::read_head;
use crate::interrupt::Interrupt;
use crate::regions::FaceSource;
use crate::video_stream::{Next, TimedFrame, VideoFile};
use engine::quality::Quality;
use engine::report::ModelIdentity;
use engine::video::report::{End, Media, VideoNotice};
use engine::video::verdict::FakeShare;
use engine::video::{
    Analysis, AnalysisConfig, Container, JudgedFace, Region, SamplingConfig, SamplingPlan, VideoReport,
};
use engine::{Detector, Error, Frame, ProbabilityFake};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How videos are judged.
#[derive(Debug, Clone)]
pub struct VideoConfig {
    /// The program that decodes, by path or by name.
    pub ffmpeg: PathBuf,
    /// Longest time without a frame.
    pub stall: Duration,
    /// How densely they are looked at.
    pub sampling: SamplingConfig,
    /// Share of fake samples that makes a person fake.
    pub fake_share: FakeShare,
    /// Least quality of a face that is judged.
    pub quality_threshold: f64,
}

/// Hears of the work while it goes on.
pub trait VideoObserver {
    /// The work begins.
    fn planned(&mut self, media: &Media, plan: &SamplingPlan);

    /// The frame at `time_s` was judged; `people` are the numbers of the faces' people.
    ///
    /// # Errors
    /// If what is made of it fails; the work ends then.
    fn judged(
        &mut self,
        time_s: f64,
        frame: &Frame,
        faces: &[JudgedFace],
        people: &[Option<u32>],
    ) -> anyhow::Result<()>;
}

/// The container of the file at `path`, if it is a video.
pub fn container_of(path: &Path) -> Option<Container> {
    Container::sniff(&read_head(path, Container::HEAD_BYTES).ok()?)
}

/// Who works on a video.
pub struct Crew<'a> {
    /// Judges faces.
    pub detector: &'a mut Detector,
    /// Finds them.
    pub faces: &'a mut dyn FaceSource,
    /// Looks on.
    pub observer: &'a mut dyn VideoObserver,
    /// May stop it.
    pub interrupt: &'a Interrupt,
}

/// Judges the video at `path`. Where somebody stops it, the report is of the part before.
///
/// # Errors
/// With a code: that of [`Ffmpeg::find`] and [`VideoFile::open`], `faces` and the engine's.
pub fn detect_video(
    crew: &mut Crew,
    (path, container): (&Path, Container),
    config: &VideoConfig,
) -> Result<VideoReport, Failure> {
    let ffmpeg = Ffmpeg::find(&config.ffmpeg)?;
    let video = VideoFile::open(&ffmpeg, path, container, config.stall)?;
    let manifest = crew.detector.manifest();
    let model = ModelIdentity { name: manifest.name.clone(), version: manifest.version.clone() };
    let analysis_config = AnalysisConfig {
        sampling: config.sampling,
        fake_share: config.fake_share,
        quality_threshold: config.quality_threshold,
        ..AnalysisConfig::new(manifest.thresholds, model)
    };
    let mut analysis = Analysis::new(analysis_config, *video.media())
        .map_err(|error| failure("sampling", error.to_string()))?;
    crew.observer.planned(video.media(), analysis.plan());
    if !crew.faces.looks_for_faces() {
        analysis.note(VideoNotice::NoFaceDetector);
    }
    let mut frames = video.frames(analysis.plan().max_fps)?;
    let mut size = None;
    let end = loop {
        let frame = match frames.next(crew.interrupt)? {
            Next::Frame(frame) => frame,
            Next::Stopped => break End::Interrupted,
            Next::End { is_clean: true } => break End::Whole,
            Next::End { is_clean: false } if size.is_none() => {
                return Err(failure("corrupt", format!("no frame comes out of it: {}", frames.message())));
            }
            Next::End { is_clean: false } => break End::Truncated,
        };
        if size.is_some_and(|size| size != frame.stored_size) {
            analysis.size_changed();
        }
        size = Some(frame.stored_size);
        if analysis.is_full() {
            break End::Whole;
        }
        if analysis.takes(frame.time_s) {
            judge(&mut analysis, crew, &frame)?;
        }
    };
    Ok(analysis.finish(end))
}

fn judge(analysis: &mut Analysis, crew: &mut Crew, timed: &TimedFrame) -> Result<(), Failure> {
    analysis.look(&timed.frame, timed.time_s);
    let regions = crew.faces.regions(&timed.frame).map_err(|error| failure("faces", format!("{error:#}")))?;
    let regions = analysis.choose(regions);
    let judged: Result<Vec<JudgedFace>, Failure> =
        regions.iter().map(|region| judge_region(analysis, crew.detector, &timed.frame, region)).collect();
    let judged = judged?;
    let latency_ms = timed.arrived.elapsed().as_secs_f64() * 1e3;
    let people = analysis.add(&judged, latency_ms);
    let observed = crew.observer.judged(timed.time_s, &timed.frame, &judged, &people);
    observed.map_err(|error| failure("io", format!("{error:#}")))
}

fn judge_region(
    analysis: &Analysis,
    detector: &mut Detector,
    frame: &Frame,
    region: &Region,
) -> Result<JudgedFace, Failure> {
    let Some(crop) = region.crop else {
        return Ok(JudgedFace { region: region.face, quality: None, probability_fake: None });
    };
    let quality = Quality::of_crop(frame, &crop);
    let mut probability = None;
    if analysis.judges(&quality) {
        // Times of single networks are of no use here.
        probability = match detector.judge_frame(frame, crop, &|| 0.0) {
            Ok(report) => ProbabilityFake::new(report.verdict.probability_fake),
            Err(Error::NotApplicable { .. }) => None,
            Err(error) => return Err(failure(&crate::detect::code_of(&error), error.to_string())),
        };
    }
    Ok(JudgedFace { region: region.face, quality: Some(quality), probability_fake: probability })
}

fn failure(code: &str, message: String) -> Failure {
    Failure { code: code.into(), message }
}
