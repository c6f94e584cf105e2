//! What the page is doing, without the document.

use crate::device_check::DeviceCheck;
use crate::message::{Failure, GpuState, ModelCard, Progress, SecondOpinion};
use crate::samples::Sample;
use engine::{Label, Report};

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
    /// Where networks run, once that is known.
    pub gpu: Option<GpuState>,
    /// Whether this device computes right.
    pub check: DeviceCheck,
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
    /// There is none, and why.
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
            Phase::Error => "error",
        }
    }
}

impl State {
    /// The state in a word.
    pub fn phase(&self) -> Phase {
        match (&self.task, &self.model) {
            (Task::Judged(_), _) => Phase::Result,
            (Task::Failed(_), _) | (_, Model::Broken(_)) => Phase::Error,
            (_, Model::Loading(_)) => Phase::Loading,
            (Task::Judging, Model::Ready(_)) => Phase::Judging,
            (Task::Idle, Model::Ready(_)) => Phase::Idle,
        }
    }

    /// Why there is no verdict, in the phase [`Phase::Error`].
    pub fn failure(&self) -> Option<&Failure> {
        match (&self.task, &self.model) {
            (Task::Judged(_), _) => None,
            (Task::Failed(failure), _) | (_, Model::Broken(failure)) => Some(failure),
            _ => None,
        }
    }

    /// Whether the same may work when it is tried once more.
    pub fn can_retry(&self) -> bool {
        matches!(self.model, Model::Broken(_))
            || self.failure().is_some_and(|failure| matches!(&failure.code[..], "worker_died" | "memory"))
    }

    /// The state as a sentence, for screen readers first.
    pub fn sentence(&self) -> String {
        match (self.phase(), &self.task) {
            (Phase::Loading, Task::Judging) => "Loading the model; the picture is judged right after.".into(),
            (Phase::Loading, _) => "Loading the model. You can choose a picture meanwhile.".into(),
            (Phase::Idle, _) => {
                "Ready. The model is on this device; it works without a network from now on.".into()
            }
            (Phase::Judging, _) => "Judging the picture.".into(),
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
