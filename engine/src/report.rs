//! The one result of a judgement, shared by page, command line and JSON.

use crate::crop::Crop;
use crate::people::FaceReport;
use crate::stability::View;
use crate::stage::Role;
use crate::verdict::{Preset, Thresholds, Verdict};
use serde::{Deserialize, Serialize};

/// Version of this schema. 1.2 added faces; 1.1 added roles, views, uncertainty, mode, preset and multiply-adds.
pub const REPORT_SCHEMA_VERSION: &str = "1.2";

/// Everything that led to a verdict, but neither pixels nor file name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `major.minor` of this schema.
    pub schema_version: String,
    /// Version of the engine.
    pub engine_version: String,
    /// The decision.
    pub verdict: Verdict,
    /// Width and height of the upright picture, in pixels.
    pub picture_size: [u32; 2],
    /// The region that was judged.
    pub crop: Crop,
    /// The faces that were found, the surest first; empty where none was looked for or found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faces: Vec<FaceReport>,
    /// What each stage said, in the order in which they ran.
    pub stages: Vec<StageReport>,
    /// What the stage that decided said of mild variants of the picture, or the filter where that was a meta-model; empty if no
    /// answer was sure enough to ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<ViewReport>,
    /// The largest distance of a view's answer from the picture's, in log-odds; absent without views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f64>,
    /// Thresholds that made the label: those of the stage that decided, moved apart by the uncertainty.
    pub thresholds: Thresholds,
    /// Where the stages' thresholds come from.
    #[serde(default)]
    pub preset: Preset,
    /// Whether every stage that was needed was there.
    #[serde(default)]
    pub mode: Mode,
    /// Names of stages that were needed and not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What the networks cost; absent if a network's cost is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiply_adds: Option<Cost>,
    /// Time from bytes to the verdict that was not spent in networks, in milliseconds.
    pub prepare_ms: f64,
    /// Time from bytes to verdict, in milliseconds.
    pub total_ms: f64,
    /// What a reader must know to read the verdict rightly.
    pub notices: Vec<Notice>,
    /// The networks that ran.
    pub model: ModelIdentity,
}

impl Report {
    /// Notes that the judgement took `total_ms`, networks and all.
    pub fn set_times(&mut self, total_ms: f64) {
        let stages = self.stages.iter().map(|stage| stage.latency_ms);
        let networks: f64 = stages.chain(self.views.iter().map(|view| view.latency_ms)).sum();
        self.total_ms = total_ms;
        self.prepare_ms = (total_ms - networks).max(0.0);
    }
}

/// What one stage said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// Name of the stage.
    pub name: String,
    /// What it is there for.
    #[serde(default)]
    pub role: Role,
    /// Output of the network; of a meta-model the log-odds of its P(fake).
    pub logit: f32,
    /// P(fake) after the stage's temperature.
    pub probability_fake: f64,
    /// Where its answer counts as sure before uncertainty; absent for experts, which decide nothing alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Time in the network, in milliseconds.
    pub latency_ms: f64,
    /// What ran the network: "cpu", for one.
    pub backend: String,
    /// Lower-case hexadecimal SHA-256 of the network's file.
    pub sha256: String,
}

/// What the first stage said of a variant of the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewReport {
    /// Which variant.
    pub view: View,
    /// Output of the network.
    pub logit: f32,
    /// P(fake) after the stage's temperature.
    pub probability_fake: f64,
    /// Time in the network, in milliseconds.
    pub latency_ms: f64,
}

/// Whether every stage that was needed was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Every one was.
    #[default]
    Complete,
    /// One was not, so that an answer that was not sure stays uncertain.
    Degraded,
}

/// Multiply-adds of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Of all runs of this judgement.
    pub spent: u64,
    /// Of all stages once.
    pub all_stages: u64,
}

/// Which bundle judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// Name of the bundle.
    pub name: String,
    /// Version of the bundle.
    pub version: String,
}

/// A limit of this judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// No face was looked for: the middle of the whole picture was judged.
    NoFaceDetector,
    /// No face was found: the middle of the whole picture was judged, and does not count as sure.
    NoFace,
    /// At least one face is too small to be judged.
    SmallFaces,
    /// There are more faces than are judged, or one of them is nothing that can show a face.
    FacesLeftOut,
    /// The picture of the face that decided says little.
    LowQuality,
    /// There are several faces: the report is of the one that decided.
    SeveralFaces,
    /// The judged region is smaller than the network's input and was enlarged.
    SmallPicture,
    /// The file is an animation; its first picture was judged.
    FirstFrame,
    /// The answer alone would be sure, but mild changes of the picture move it too far.
    Unstable,
    /// A network that was needed is missing.
    StageMissing,
    /// The GPU failed or computed wrong numbers, and the CPU did the work.
    GpuLeft,
}

impl Notice {
    /// The notice as a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Notice::NoFaceDetector => {
                "No face was looked for: the middle square of the whole picture was judged, so a face should fill it."
            }
            Notice::NoFace => {
                "No face was found: the middle of the picture was judged all the same, and its answer does not count as sure."
            }
            Notice::SmallFaces => "Faces of fewer than 64 pixels were not judged.",
            Notice::FacesLeftOut => "Not every face was judged: the largest were.",
            Notice::LowQuality => "The face is blurred, dark or flat: the answer is worth less.",
            Notice::SeveralFaces => {
                "Several faces: the verdict is of the one that looks most like a fake; each has its own below."
            }
            Notice::SmallPicture => "The picture is smaller than the network's input: details are missing.",
            Notice::FirstFrame => "The file is an animation: only its first picture was judged.",
            Notice::Unstable => {
                "Mild changes, such as saving the picture again, move the answer: it does not count as sure."
            }
            Notice::StageMissing => {
                "A network that takes the second look is missing: what the first one cannot tell stays uncertain."
            }
            Notice::GpuLeft => {
                "The graphics processor failed or computed wrong numbers: it is not used, and the result is the main processor's."
            }
        }
    }
}
