//! The one result of a video, shared by page, program and JSON.

use super::latency::Latency;
use super::motion::{Motion, MotionProfile};
use super::sampling::SamplingPlan;
use super::temporal::Consistency;
use super::verdict::{FakeShare, TrackVerdict, VideoVerdict};
use crate::crop::FaceBox;
use crate::quality::Quality;
use crate::report::ModelIdentity;
use crate::verdict::Thresholds;
use serde::{Deserialize, Serialize};

/// Version of this schema.
pub const VIDEO_SCHEMA_VERSION: &str = "1.1";

/// Everything that led to a verdict, but neither pixels nor file name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoReport {
    /// `major.minor` of this schema.
    pub schema_version: String,
    /// Version of the engine.
    pub engine_version: String,
    /// The networks that ran.
    pub model: ModelIdentity,
    /// The decision on the whole.
    pub verdict: VideoVerdict,
    /// The rule that made it.
    pub fake_share: FakeShare,
    /// Thresholds that made the labels.
    pub thresholds: Thresholds,
    /// The video as its container describes it.
    pub media: Media,
    /// What was to be looked at.
    pub plan: SamplingPlan,
    /// What was looked at.
    pub coverage: Coverage,
    /// The people in it, in the order in which they appear.
    pub tracks: Vec<Track>,
    /// Times at which scenes begin, in seconds.
    pub cuts_s: Vec<f64>,
    /// Motion over the whole; none where nothing moved that can be seen.
    pub motion: Option<MotionProfile>,
    /// Every sample, in the order of time.
    pub timeline: Vec<Sample>,
    /// How long samples took.
    pub latency: Latency,
    /// What a reader must know to read the verdict rightly.
    pub notices: Vec<VideoNotice>,
}

/// A video as its container describes it, and how its frames come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// Width and height of the upright picture in square pixels, of the first frame.
    pub size: [u32; 2],
    /// Length in seconds, if it is told.
    pub duration_s: Option<f64>,
    /// Frames a second, if that is told; nothing depends on it.
    pub frame_rate: Option<f64>,
    /// How frames come out of it; none in reports of schema 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<FrameSource>,
}

/// How frames come out of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameSource {
    /// One after the other, as fast as they decode: every frame that is due is looked at.
    Decoded,
    /// While it plays: a busy device may leave some out, and takes the next one.
    Played,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// How the work ended.
    pub end: End,
    /// Time of the last frame that was there, in seconds.
    pub reached_s: f64,
    /// Share of the length that was reached, 0 to 1; none where the length is unknown.
    pub share: Option<f64>,
    /// Number of samples.
    pub samples: u32,
    /// Samples with a face that was judged.
    pub samples_judged: u32,
}

/// How the work on a video ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// At the video's end.
    Whole,
    /// Before its end: the file is cut off or broken.
    Truncated,
    /// At the most samples that were allowed.
    Full,
    /// Somebody stopped it.
    Interrupted,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// Number, from 1.
    pub id: u32,
    /// First and last time at which the person was judged, in seconds.
    pub span_s: [f64; 2],
    /// How often the person was judged.
    pub samples: u32,
    /// The verdict on the person.
    pub verdict: TrackVerdict,
    /// Consistency over the last window.
    pub consistency: Consistency,
    /// Mean of [`Quality::overall`].
    pub quality: f64,
}

/// A frame that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Media time in seconds.
    pub time_s: f64,
    /// Scene score against the sample before; none for the first.
    pub scene_score: Option<f64>,
    /// Whether a scene begins.
    pub is_cut: bool,
    /// Motion since the sample before; none at cuts and where nothing has texture.
    pub motion: Option<Motion>,
    /// The faces in it.
    pub faces: Vec<FaceSample>,
}

/// A face in a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceSample {
    /// Number of the person; none for faces that are not followed.
    pub track: Option<u32>,
    /// Where it is, in pixels.
    pub region: FaceBox,
    /// How much it can say; none if it was too small to be looked at.
    pub quality: Option<Quality>,
    /// P(fake) of this frame alone; none where it was not judged.
    pub probability_fake: Option<f64>,
    /// P(fake) after smoothing, which makes the verdict.
    pub smoothed: Option<f64>,
    /// Consistency of the person with it.
    pub consistency: Option<Consistency>,
}

/// A limit of this judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoNotice {
    /// No face was looked for: the middle of each frame was judged.
    NoFaceDetector,
    /// Faces smaller than the least region were not judged.
    SmallFaces,
    /// Faces of too little quality were not judged.
    LowQuality,
    /// There were more faces in a frame, or people in the video, than are followed.
    TooManyFaces,
    /// A video that is so long is looked at less densely.
    Sparse,
    /// The size of the picture changed on the way; people before and after are not connected.
    SizeChanged,
    /// The player left out the last frames: they were not looked at.
    LeftOut,
    /// The file ended before the length that it tells.
    Truncated,
    /// The most samples were reached before the end.
    Full,
    /// Somebody stopped it: this is of a part only.
    Interrupted,
}

impl VideoNotice {
    /// The notice as a sentence.
    pub fn text(self) -> &'static str {
        match self {
            VideoNotice::NoFaceDetector => {
                "No face was looked for: the middle square of each frame was judged, so a face should fill it."
            }
            VideoNotice::SmallFaces => "Faces that are too small were not judged.",
            VideoNotice::LowQuality => "Faces that are too blurred, dark or flat were not judged.",
            VideoNotice::TooManyFaces => {
                "There were more faces than are followed; the smallest were not judged."
            }
            VideoNotice::Sparse => "The video is so long that it is looked at less densely.",
            VideoNotice::SizeChanged => "The size of the picture changes on the way.",
            VideoNotice::LeftOut => "The player left out the last frames: they were not looked at.",
            VideoNotice::Truncated => {
                "The file ends before its time: the verdict is of the part that is there."
            }
            VideoNotice::Full => "The most samples were reached: the verdict is of the part before.",
            VideoNotice::Interrupted => "Stopped before the end: the verdict is of the part before.",
        }
    }
}
