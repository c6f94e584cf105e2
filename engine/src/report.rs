//! The one result of a judgement, shared by page, command line and JSON.

use crate::crop::Crop;
use crate::verdict::{Thresholds, Verdict};
use serde::{Deserialize, Serialize};

/// Version of this schema.
pub const REPORT_SCHEMA_VERSION: &str = "1.0";

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
    /// What each stage said, in the order in which they ran.
    pub stages: Vec<StageReport>,
    /// Thresholds that made the label.
    pub thresholds: Thresholds,
    /// Time from bytes to tensor, in milliseconds.
    pub prepare_ms: f64,
    /// Time from bytes to verdict, in milliseconds.
    pub total_ms: f64,
    /// What a reader must know to read the verdict rightly.
    pub notices: Vec<Notice>,
    /// The networks that ran.
    pub model: ModelIdentity,
}

/// What one stage said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// Name of the stage.
    pub name: String,
    /// Output of the network.
    pub logit: f32,
    /// P(fake) after the stage's temperature.
    pub probability_fake: f64,
    /// Time in the network, in milliseconds.
    pub latency_ms: f64,
    /// What ran the network: "cpu".
    pub backend: String,
    /// Lower-case hexadecimal SHA-256 of the network's file.
    pub sha256: String,
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
    /// No face was looked for, or none found: the middle of the whole picture was judged.
    NoFaceDetector,
    /// The judged region is smaller than the network's input and was enlarged.
    SmallPicture,
}

impl Notice {
    /// The notice as a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Notice::NoFaceDetector => {
                "No face was looked for or found: the middle square of the whole picture was judged, so a face should fill it."
            }
            Notice::SmallPicture => "The picture is smaller than the network's input: details are missing.",
        }
    }
}
