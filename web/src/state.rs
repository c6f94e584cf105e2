//! What the page is doing, without the document.

use crate::device_check::DeviceCheck;
use crate::history::History;
use crate::message::{Failure, GpuState, ModelCard, Progress, SecondOpinion};
use crate::offline::Offline;
use crate::player::Counts;
use crate::samples::Sample;
use crate::text::names::{failure_text, label, video_label};
use crate::text::number::{decimal, percent, percent_of};
use crate::text::{text, text_counted, text_with};
use engine::video::report::{FaceSample, Media};
use engine::video::verdict::VideoLabel;
use engine::video::{SamplingPlan, VideoReport};
use engine::{HeatMap, Label, Report};

/// Everything that the document shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The network.
    pub model: Model,
    /// The picture that was chosen last.
    pub picture: Option<Picture>,
    /// What becomes of it.
    pub task: Task,
    /// The judged picture, seen by wonnx.
    pub second: Second,
    /// What moved the answer on the judged picture.
    pub heat: Heat,
    /// Where networks run, once that is known.
    pub gpu: Option<GpuState>,
    /// Whether this device computes right.
    pub check: DeviceCheck,
    /// What was judged in this visit.
    pub history: History,
    /// Files that wait for their turn.
    pub waiting: usize,
    /// Whether the page is kept for use offline.
    pub offline: Offline,
}

/// How far the model is.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// On its way.
    Loading(Progress),
    /// The worker waits for pictures.
    Ready(ModelCard),
    /// It did not load; nothing is judged.
    Broken(Failure),
}

impl Default for Model {
    fn default() -> Self {
        Model::Loading(Progress::default())
    }
}

/// How far the picture is.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Task {
    /// Nothing was asked.
    #[default]
    Idle,
    /// Judged as soon as the model is ready.
    Judging,
    /// There is a verdict.
    Judged(Box<Report>),
    /// The camera was asked for; the visitor decides.
    AskingForCamera,
    /// A video or a camera runs.
    Watching(Box<Watching>),
    /// There is a verdict on it.
    Watched(Box<VideoReport>),
    /// There is none, and why.
    Failed(Failure),
}

/// A video or a camera that runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Watching {
    /// It is a camera.
    pub is_live: bool,
    /// What is known of it; nothing before it is open.
    pub media: Option<Media>,
    /// What will be looked at.
    pub plan: Option<SamplingPlan>,
    /// Frames that were looked at.
    pub samples: u32,
    /// Frames that came.
    pub counts: Counts,
    /// The faces in the last frame.
    pub faces: Vec<FaceSample>,
    /// Width and height of that frame, in pixels.
    pub size: [u32; 2],
}

/// What moved the answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Heat {
    /// Nobody asked.
    #[default]
    Off,
    /// On its way.
    Running,
    /// For each part of the region.
    Shown(Box<HeatMap>),
    /// It is not known, and why.
    Failed(Failure),
}

/// How far the second opinion is.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Second {
    /// Nobody asked.
    #[default]
    Off,
    /// On its way.
    Running,
    /// There is one.
    Done(SecondOpinion),
    /// There is none, and why.
    Failed(Failure),
}

/// What is known of a picture besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The file's name, to be shown and never to be used as a path.
    pub name: String,
    /// Its entry in the list, if it is a sample.
    pub sample: Option<Sample>,
    /// There are no pixels: the report on it was opened from a file, and nothing was judged.
    pub is_report: bool,
}

/// The state in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The model is on its way.
    Loading,
    /// Ready for a picture.
    Idle,
    /// A picture is being judged.
    Judging,
    /// There is a verdict.
    Result,
    /// A video or a camera runs.
    Watching,
    /// There is a verdict on it.
    Watched,
    /// There is no verdict.
    Error,
}

impl Phase {
    /// The word, for style sheet and tests.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Loading => "loading",
            Phase::Idle => "idle",
            Phase::Judging => "judging",
            Phase::Result => "result",
            Phase::Watching => "watching",
            Phase::Watched => "watched",
            Phase::Error => "error",
        }
    }
}

impl State {
    /// The state in a word.
    pub fn phase(&self) -> Phase {
        match (&self.task, &self.model) {
            (Task::Judged(_), _) => Phase::Result,
            (Task::Watched(_), _) => Phase::Watched,
            (Task::Failed(_), _) | (_, Model::Broken(_)) => Phase::Error,
            (_, Model::Loading(_)) => Phase::Loading,
            (Task::Judging | Task::AskingForCamera, Model::Ready(_)) => Phase::Judging,
            (Task::Watching(_), Model::Ready(_)) => Phase::Watching,
            (Task::Idle, Model::Ready(_)) => Phase::Idle,
        }
    }

    /// Why there is no verdict, in the phase [`Phase::Error`].
    pub fn failure(&self) -> Option<&Failure> {
        match (&self.task, &self.model) {
            (Task::Judged(_) | Task::Watched(_), _) => None,
            (Task::Failed(failure), _) | (_, Model::Broken(failure)) => Some(failure),
            _ => None,
        }
    }

    /// Whether the same may work when it is tried once more.
    pub fn can_retry(&self) -> bool {
        matches!(self.model, Model::Broken(_))
            || self.failure().is_some_and(|failure| {
                matches!(&failure.code[..], "worker_died" | "memory") || failure.code.starts_with("camera")
            })
    }

    /// The state as a sentence, for screen readers first.
    pub fn sentence(&self) -> String {
        match (self.phase(), &self.task) {
            (Phase::Loading, Task::Judging) => text("status.loading.picture").into(),
            (Phase::Loading, Task::Watching(_)) => text("status.loading.camera").into(),
            (Phase::Loading, _) => text("status.loading").into(),
            (Phase::Idle, _) => text("status.ready").into(),
            (Phase::Judging, Task::AskingForCamera) => text("status.camera_asked").into(),
            (Phase::Judging, _) if self.waiting > 0 => {
                text_counted(self.waiting, ["status.judging.one", "status.judging.other"])
            }
            (Phase::Judging, _) => text("status.judging").into(),
            (Phase::Watching, Task::Watching(watching)) => match watching.is_live {
                true => text("status.watching.camera").into(),
                false => text("status.watching.video").into(),
            },
            (Phase::Watched, Task::Watched(report)) => {
                text_with("status.verdict.video", &[("label", video_label(report.verdict.label))])
            }
            (Phase::Result, Task::Judged(report)) => {
                let verdict = &report.verdict;
                let percent = percent(verdict.probability_fake);
                text_with("status.verdict", &[("label", label(verdict.label)), ("percent", &percent)])
            }
            _ => self.failure().map(no_verdict).unwrap_or_default(),
        }
    }

    /// The second opinion as a sentence; empty if nobody asked.
    pub fn second_sentence(&self) -> String {
        match &self.second {
            Second::Off => String::new(),
            Second::Running => text("second.running").into(),
            Second::Done(opinion) => {
                text_with("second.done", &[("percent", &percent(opinion.probability_fake))])
            }
            Second::Failed(_) => text("second.failed").into(),
        }
    }
}

/// That there is no verdict, and why.
pub fn no_verdict(failure: &Failure) -> String {
    text_with("status.no_verdict", &[("why", failure_text(failure))])
}

/// What the label says of a video.
pub fn video_meaning(label: VideoLabel) -> &'static str {
    match label {
        VideoLabel::Real => meaning(Label::Real),
        VideoLabel::Fake => text("verdict.meaning.fake_video"),
        VideoLabel::Uncertain => meaning(Label::Uncertain),
        VideoLabel::Undetermined => text("verdict.meaning.undetermined"),
    }
}

/// A media time as minutes and seconds.
pub fn clock(time_s: f64) -> String {
    let seconds = time_s.max(0.0) as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

impl Watching {
    /// How far it is, as a sentence.
    pub fn sentence(&self) -> String {
        let Counts { taken, dropped, time_s, rate } = self.counts;
        let (samples, rate) = (self.samples.to_string(), decimal(rate, 1));
        if self.is_live {
            let offered = (taken + dropped).max(1);
            let share = percent_of(f64::from(dropped) / f64::from(offered), 0);
            let values = [("samples", &samples[..]), ("rate", &rate), ("share", &share)];
            return text_with("film.count.camera", &values);
        }
        let frames = match self.plan.and_then(|plan| plan.expected) {
            None => text_with("film.frames", &[("samples", &samples)]),
            Some([least, most]) if least == most => {
                text_with("film.frames.about", &[("samples", &samples), ("most", &most.to_string())])
            }
            Some([least, most]) => {
                let [least, most] = [least.to_string(), most.to_string()];
                let values = [("samples", &samples[..]), ("least", &least), ("most", &most)];
                text_with("film.frames.range", &values)
            }
        };
        let time = match self.media.and_then(|media| media.duration_s) {
            None => clock(time_s),
            Some(length_s) => {
                text_with("film.time_of", &[("time", &clock(time_s)), ("length", &clock(length_s))])
            }
        };
        text_with("film.count", &[("time", &time), ("frames", &frames), ("rate", &rate)])
    }
}

/// What the label says of the picture.
pub fn meaning(label: Label) -> &'static str {
    text(match label {
        Label::Real => "verdict.meaning.real",
        Label::Fake => "verdict.meaning.fake",
        Label::Uncertain => "verdict.meaning.uncertain",
    })
}

/// What to do after such a label.
pub fn next_step(label: Label) -> &'static str {
    text(match label {
        Label::Real => "verdict.next.real",
        Label::Fake => "verdict.next.fake",
        Label::Uncertain => "verdict.next.uncertain",
    })
}

/// A download in megabytes.
pub fn megabytes(progress: Progress) -> String {
    let megabytes = |bytes: u64| decimal(bytes as f64 / 1e6, 1);
    match progress.total {
        0 => "…".into(),
        total => {
            let [received, total] = [progress.received, total].map(megabytes);
            text_with("choose.megabytes", &[("received", &received), ("total", &total)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::LoadTimes;

    fn failure() -> Failure {
        Failure::new("empty", "the file is empty")
    }

    fn ready() -> Model {
        let text = String::new;
        Model::Ready(ModelCard {
            name: text(),
            version: text(),
            licence: text(),
            has_golden: true,
            networks: Vec::new(),
            sha256: text(),
            times: LoadTimes::default(),
            quality: None,
        })
    }

    #[test]
    fn the_phase_follows_model_and_picture() {
        let cases = [
            (Model::default(), Task::Idle, Phase::Loading),
            (Model::default(), Task::Judging, Phase::Loading),
            (Model::default(), Task::Failed(failure()), Phase::Error),
            (ready(), Task::Idle, Phase::Idle),
            (ready(), Task::Judging, Phase::Judging),
            (ready(), Task::Failed(failure()), Phase::Error),
            (Model::Broken(failure()), Task::Idle, Phase::Error),
            (Model::Broken(failure()), Task::Judging, Phase::Error),
        ];
        for (model, task, phase) in cases {
            let state = State { model, task, ..State::default() };
            assert_eq!(state.phase(), phase, "{state:?}");
            assert_eq!(state.failure().is_some(), phase == Phase::Error, "{state:?}");
            assert!(!state.sentence().is_empty(), "{state:?}");
        }
    }

    #[test]
    fn a_video_shows_how_far_it_is() {
        let media = Media { size: [4, 3], duration_s: Some(125.0), frame_rate: None, frames: None };
        let plan = SamplingPlan { base_fps: 5.0, max_fps: 15.0, max_samples: 100, expected: Some([5, 9]) };
        let counts = Counts { taken: 30, dropped: 10, time_s: 61.9, rate: 12.34 };
        let mut watching =
            Watching { media: Some(media), plan: Some(plan), samples: 30, counts, ..Watching::default() };
        assert_eq!(watching.sentence(), "1:01 of 2:05, 30 frames looked at of 5 to 9, 12.3 a second");
        watching.is_live = true;
        assert!(watching.sentence().contains("25\u{a0}%"), "{}", watching.sentence());
        assert!(Watching::default().sentence().starts_with("0:00, 0 frames"));
        let state = State { model: ready(), task: Task::Watching(Box::new(watching)), ..State::default() };
        assert_eq!(state.phase(), Phase::Watching);
        assert!(!state.sentence().is_empty());
    }

    #[test]
    fn downloads_of_unknown_size_show_no_numbers() {
        assert_eq!(megabytes(Progress { received: 5, total: 0 }), "…");
        assert_eq!(megabytes(Progress { received: 3_100_000, total: 10_000_000 }), "3.1 of 10.0 MB");
    }
}
