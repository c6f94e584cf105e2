//! What the page is doing, without the document.

use crate::device_check::DeviceCheck;
use crate::history::History;
use crate::message::{Failure, GpuState, ModelCard, Progress, SecondOpinion};
use crate::offline::Offline;
use crate::player::Counts;
use crate::samples::Sample;
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
            (Phase::Loading, Task::Judging) => "Loading the model; the picture is judged right after.".into(),
            (Phase::Loading, Task::Watching(_)) => {
                "Loading the model; the camera is judged right after.".into()
            }
            (Phase::Loading, _) => "Loading the model. You can choose a picture meanwhile.".into(),
            (Phase::Idle, _) => {
                "Ready. The model is on this device; it works without a network from now on.".into()
            }
            (Phase::Judging, Task::AskingForCamera) => {
                "Waiting for your leave to use the camera: the browser asks you for it.".into()
            }
            (Phase::Judging, _) if self.waiting > 0 => format!("Judging; {} more files wait.", self.waiting),
            (Phase::Judging, _) => "Judging the picture.".into(),
            (Phase::Watching, Task::Watching(watching)) => match watching.is_live {
                true => {
                    "The camera runs, and is judged on this device alone. Stop it for the verdict.".into()
                }
                false => "Watching the video. You can stop and keep the result so far.".into(),
            },
            (Phase::Watched, Task::Watched(report)) => {
                format!("Verdict: {}.", video_label_text(report.verdict.label))
            }
            (Phase::Result, Task::Judged(report)) => {
                let verdict = &report.verdict;
                format!(
                    "Verdict: {}. Probability of a fake: {}.",
                    label_text(verdict.label),
                    percent(verdict.probability_fake)
                )
            }
            _ => self.failure().map(|failure| format!("No verdict: {}", failure.message)).unwrap_or_default(),
        }
    }

    /// The second opinion as a sentence; empty if nobody asked.
    pub fn second_sentence(&self) -> String {
        match &self.second {
            Second::Off => String::new(),
            Second::Running => {
                "Fetching the network in floats and asking wonnx on WebGPU. Where that runs in software, it takes a \
                 while."
                    .into()
            }
            Second::Done(opinion) => {
                format!(
                    "wonnx on WebGPU, with the network in floats, says: probability of a fake {}.",
                    percent(opinion.probability_fake)
                )
            }
            Second::Failed(_) => "There is no second opinion; the verdict above stays.".into(),
        }
    }
}

/// The label in a word.
pub fn label_text(label: Label) -> &'static str {
    match label {
        Label::Real => "Real",
        Label::Fake => "Fake",
        Label::Uncertain => "Uncertain",
    }
}

/// The label of a video in a word.
pub fn video_label_text(label: VideoLabel) -> &'static str {
    match label {
        VideoLabel::Real => "Real",
        VideoLabel::Fake => "Fake",
        VideoLabel::Uncertain => "Uncertain",
        VideoLabel::Undetermined => "Not judged",
    }
}

/// What the label says of a video.
pub fn video_meaning(label: VideoLabel) -> &'static str {
    match label {
        VideoLabel::Real => meaning(Label::Real),
        VideoLabel::Fake => {
            "Somebody in it looks generated to the network, in too many moments for chance alone. That is no proof: \
             strong compression, filters and retouching can look alike to it."
        }
        VideoLabel::Uncertain => meaning(Label::Uncertain),
        VideoLabel::Undetermined => {
            "Nothing in it could be judged: no face, or none that is large, sharp and light enough. That says nothing \
             about whether it is genuine."
        }
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
        let samples = self.samples;
        if self.is_live {
            let offered = (taken + dropped).max(1);
            return format!(
                "{samples} frames looked at, {rate:.1} a second; {:.0}\u{a0}% of those that were due came too fast and were \
                 left out",
                f64::from(dropped) * 100.0 / f64::from(offered)
            );
        }
        let plan = self.plan.and_then(|plan| plan.expected).map(|[least, most]| match least == most {
            true => format!(" of about {most}"),
            false => format!(" of {least} to {most}"),
        });
        let length =
            self.media.and_then(|media| media.duration_s).map(|length| format!(" of {}", clock(length)));
        format!(
            "{}{}, {samples} frames looked at{}, {rate:.1} a second",
            clock(time_s),
            length.unwrap_or_default(),
            plan.unwrap_or_default()
        )
    }
}

/// What the label says of the picture.
pub fn meaning(label: Label) -> &'static str {
    match label {
        Label::Real => {
            "The network found nothing that it knows from generated faces. That is no proof: it can be wrong, \
             and a real picture can be shown with a false story."
        }
        Label::Fake => {
            "The network found what it knows from generated faces. That is no proof: strong compression, filters \
             and retouching can look alike to it."
        }
        Label::Uncertain => {
            "The network does not know. Take that as no answer, not as half an answer: it speaks neither for the \
             picture nor against it."
        }
    }
}

/// What to do after such a label.
pub fn next_step(label: Label) -> &'static str {
    match label {
        Label::Real => {
            "Next: find out where the picture was published first, and whether place and time fit the story."
        }
        Label::Fake => {
            "Next: do not pass it on as genuine. Ask whoever published it for the original file, and judge that."
        }
        Label::Uncertain => {
            "Next: look for a larger or earlier copy, best the original file instead of a screenshot, and judge that."
        }
    }
}

/// P(fake) in percent, never rounded to certainty.
pub fn percent(probability: f64) -> String {
    if probability > 0.999 {
        "over 99.9\u{a0}%".into()
    } else if probability < 0.001 {
        "under 0.1\u{a0}%".into()
    } else {
        format!("{:.1}\u{a0}%", probability * 100.0)
    }
}

/// A download in megabytes.
pub fn megabytes(progress: Progress) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    match progress.total {
        0 => "…".into(),
        total => format!("{:.1} of {:.1} MB", megabytes(progress.received), megabytes(total)),
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
        let media = Media { size: [4, 3], duration_s: Some(125.0), frame_rate: None };
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
    fn percentages_are_never_certain() {
        let cases = [
            (0.0, "under 0.1\u{a0}%"),
            (0.0012, "0.1\u{a0}%"),
            (0.5, "50.0\u{a0}%"),
            (0.999, "99.9\u{a0}%"),
            (1.0, "over 99.9\u{a0}%"),
        ];
        for (probability, text) in cases {
            assert_eq!(percent(probability), text);
        }
    }

    #[test]
    fn downloads_of_unknown_size_show_no_numbers() {
        assert_eq!(megabytes(Progress { received: 5, total: 0 }), "…");
        assert_eq!(megabytes(Progress { received: 3_100_000, total: 10_000_000 }), "3.1 of 10.0 MB");
    }
}
