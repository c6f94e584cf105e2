//! What page and workers tell each other, and nothing else that both sides know.
//!
//! A worker speaks first: messages sent before its wasm runs could be lost.

use crate::timing::{TimeRequest, TimeResponse};
use engine::golden::GoldenReport;
use engine::runtime::gpu::AdapterSummary;
use engine::video::report::{End, FaceSample, Media};
use engine::video::{Container, SamplingPlan, VideoReport};
use engine::{Crop, Error, HeatMap, Report};
use serde::{Deserialize, Serialize};
use serde_wasm_bindgen::preserve;
use web_sys::{Blob, ImageBitmap};

/// Page -> engine worker, once that is [`Response::Ready`].
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Judge a picture; answered by [`Response::Judged`] or [`Response::Failed`].
    Judge {
        /// Comes back with the answer.
        id: u32,
        /// The encoded picture; only the worker reads its bytes.
        #[serde(with = "preserve")]
        picture: Blob,
    },
    /// Run the golden vectors; answered by [`Response::Checked`].
    Check,
    /// Of the benchmark; answered by [`Response::Time`].
    Time(TimeRequest),
    /// Show what moved the filter's answer; answered by [`Response::Explained`] or [`Response::Failed`].
    Explain {
        /// Comes back with the answer.
        id: u32,
        /// The encoded picture.
        #[serde(with = "preserve")]
        picture: Blob,
        /// The region of it that was judged.
        crop: Crop,
    },
    /// Begin with a video or a camera; answered by [`Response::Planned`].
    Watch {
        /// Comes back with every answer about it.
        id: u32,
        /// What is known of it.
        media: Media,
    },
    /// Judge a frame of it; answered by [`Response::Looked`].
    Look {
        /// That of the video.
        id: u32,
        /// Media time in seconds.
        time_s: f64,
        /// Its pixels, which move to the worker.
        #[serde(with = "preserve")]
        picture: ImageBitmap,
    },
    /// End with it; answered by [`Response::Watched`].
    Finish {
        /// That of the video.
        id: u32,
        /// How it ended.
        end: End,
        /// Media time of its own end in seconds, if it was reached.
        ended_s: Option<f64>,
    },
}

/// Engine worker -> page.
#[derive(Debug, Serialize, Deserialize)]
pub enum Response {
    /// So much of the bundle is here.
    Loading(Progress),
    /// The bundle is verified and loaded.
    Ready(ModelCard),
    /// The judgement.
    Judged {
        /// That of the request.
        id: u32,
        /// The same report as the command line's.
        report: Box<Report>,
    },
    /// What was to be judged is a video; its frames are for the page to hand out.
    IsVideo {
        /// That of the request.
        id: u32,
        /// Its format.
        container: Container,
        /// The codec that the file names, if it does.
        codec: Option<String>,
    },
    /// What moved the filter's answer.
    Explained {
        /// That of the request.
        id: u32,
        /// For each part of the region.
        map: Box<HeatMap>,
    },
    /// What will be looked at of a video.
    Planned {
        /// That of the video.
        id: u32,
        /// How densely, at least and at most.
        plan: SamplingPlan,
    },
    /// A frame was looked at.
    Looked {
        /// That of the video.
        id: u32,
        /// Its faces; none if it was not due.
        faces: Vec<FaceSample>,
        /// Width and height of the frame that they are in, in pixels.
        size: [u32; 2],
        /// Samples so far.
        samples: u32,
        /// Media time before which no frame is due, in seconds.
        next_due_s: f64,
        /// No more frames are taken.
        is_full: bool,
        /// Time that it took, in milliseconds.
        latency_ms: f64,
    },
    /// The judgement on a video.
    Watched {
        /// That of the video.
        id: u32,
        /// The same kind of report as the command line's.
        report: Box<VideoReport>,
    },
    /// Whether the GPU is used, now that it is known, or has changed.
    Gpu(GpuState),
    /// To the benchmark.
    Time(TimeResponse),
    /// What became of the golden vectors.
    Checked(Result<GoldenReport, Failure>),
    /// There is no answer to a request; without `id`, there is no model.
    Failed {
        /// That of the request.
        id: Option<u32>,
        /// Why.
        failure: Failure,
    },
}

/// Page -> the worker of another runtime, once that is [`SecondResponse::Started`].
#[derive(Debug, Serialize, Deserialize)]
pub enum SecondRequest {
    /// Wonnx's opinion; answered by [`SecondResponse::Opinion`] or [`SecondResponse::Failed`].
    Opinion {
        /// The encoded picture.
        #[serde(with = "preserve")]
        picture: Blob,
        /// The region of it that was judged.
        crop: Crop,
    },
    /// Of the benchmark; answered by [`SecondResponse::Time`].
    Time(TimeRequest),
}

/// The worker of another runtime -> page.
#[derive(Debug, Serialize, Deserialize)]
pub enum SecondResponse {
    /// The worker listens.
    Started,
    /// To the benchmark.
    Time(TimeResponse),
    /// The result; the worker has nothing more to say.
    Opinion(SecondOpinion),
    /// There is no result; the worker has nothing more to say.
    Failed(Failure),
}

/// Page -> the worker that decodes videos, once that is [`FilmResponse::Started`].
#[derive(Debug, Serialize, Deserialize)]
pub enum FilmRequest {
    /// Open a file; answered by [`FilmResponse::Opened`] or [`FilmResponse::Unfit`].
    Open {
        /// The file; only the worker reads its bytes.
        #[serde(with = "preserve")]
        file: Blob,
    },
    /// Hand out the next frame that is due; answered by [`FilmResponse::Frame`] or [`FilmResponse::Ended`].
    Next {
        /// Media time before which none is, in seconds.
        due_s: f64,
        /// Frames that may be due a second.
        max_fps: f64,
    },
}

/// The worker that decodes videos -> page.
#[derive(Debug, Serialize, Deserialize)]
pub enum FilmResponse {
    /// The worker listens.
    Started,
    /// Frames come of it.
    Opened {
        /// What is known of it.
        media: Media,
    },
    /// It must be played instead.
    Unfit {
        /// Why, for whoever looks for it.
        reason: String,
    },
    /// A frame.
    Frame {
        /// Media time in seconds.
        time_s: f64,
        /// Its pixels, which move to the page.
        #[serde(with = "preserve")]
        picture: ImageBitmap,
    },
    /// There are no more frames.
    Ended {
        /// How it ended.
        end: End,
        /// Media time of its last frame in seconds, if it was reached.
        ended_s: Option<f64>,
    },
}

/// Where networks run, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuState {
    /// "cpu", or the GPU and how it multiplies.
    pub place: String,
    /// The adapter, if there is one.
    pub adapter: Option<AdapterSummary>,
    /// Why the GPU is not used.
    pub reason: Option<String>,
    /// It was used, or could have been, and then failed or computed wrong numbers.
    pub has_failed: bool,
    /// How often a lost device was replaced.
    pub replaced: u32,
    /// Fastest run of a row of layers on each place, in milliseconds.
    pub times_ms: Vec<(String, f64)>,
    /// The times are of an earlier visit.
    pub is_remembered: bool,
}

/// Bytes of a download.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes that are here.
    pub received: u64,
    /// Bytes of the whole; 0 while unknown.
    pub total: u64,
}

/// What the page says of the loaded bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Name of the bundle.
    pub name: String,
    /// Version of the bundle.
    pub version: String,
    /// Terms of the weights.
    pub licence: String,
    /// Whether it has golden vectors to check this device with.
    pub has_golden: bool,
    /// Its networks, in the order of the cascade; a meta-model is none.
    pub networks: Vec<String>,
    /// SHA-256 of the first of them.
    pub sha256: String,
    /// How long it took to get there.
    pub times: LoadTimes,
    /// How good it was on the pictures of its test, if the manifest says so.
    pub quality: Option<Quality>,
}

/// What a worker spent before its first answer, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadTimes {
    /// Files, from network or cache, with their digests.
    pub fetch_ms: f64,
    /// Networks, made ready for the processor.
    pub load_ms: f64,
    /// Device, pipelines and self-test, where the GPU is asked for by name.
    pub gpu_ms: Option<f64>,
}

/// Measured on pictures that took no part in training, of sets that have real and fake ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Share of right answers at P(fake) = 0.5.
    pub accuracy: f64,
    /// Chance that of a fake and a real picture of one set the fake one gets the higher P(fake); the mean over the sets.
    pub auc: f64,
    /// Number of pictures.
    pub pictures: u64,
}

/// What wonnx says of a picture, by the network in floats; equal to the engine's CPU within the order of sums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecondOpinion {
    /// Output of the network by wonnx.
    pub logit: f32,
    /// Output of the same file for the same input by the engine's CPU.
    pub cpu_logit: f32,
    /// P(fake) of wonnx's logit after the temperature of the network in floats.
    pub probability_fake: f64,
    /// Name and version of the bundle in floats.
    pub model: String,
    /// The adapter in the browser's words.
    pub adapter: String,
    /// The browser calls the adapter a fallback: software.
    pub is_fallback: bool,
    /// Time to open the device and build the pipelines, in milliseconds.
    pub load_ms: f64,
    /// Time of a run after a first one, in milliseconds.
    pub latency_ms: f64,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable name of the cause, for programs: the engine's codes and the page's own.
    pub code: String,
    /// The cause and what to do about it, for people.
    pub message: String,
}

impl Failure {
    /// A failure with one of the page's own codes.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Failure { code: code.into(), message: message.into() }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        // The code as the command line prints it.
        let code = serde_json::to_value(error.code()).ok();
        let code = code.as_ref().and_then(|code| code.as_str()).unwrap_or("engine");
        Failure::new(code, error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::from(&error)
    }
}

/// Page -> service worker.
#[derive(Debug, Serialize)]
pub enum KeeperRequest {
    /// A page of this version is open; the service worker hands out its files if it is of the same one.
    Start {
        /// That of the document.
        version: String,
    },
    /// Take the old version's place; answered by [`KeeperResponse::OtherTabs`] if that is in use elsewhere.
    Switch,
    /// Throw everything away; answered by [`KeeperResponse::Forgotten`].
    Forget,
}

/// Service worker -> page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeeperResponse {
    /// It does not keep the page.
    Failed {
        /// Why.
        reason: KeepFailure,
    },
    /// The old version stays for them.
    OtherTabs,
    /// Nothing is kept any more.
    Forgotten,
}

/// Why the page is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeepFailure {
    /// No room.
    Full,
    /// A file did not come, or was another one.
    Download,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_errors_keep_their_code_and_message() {
        let failure = Failure::from(Error::Empty);
        assert_eq!(failure, Failure::new("empty", Error::Empty.to_string()));
        let integrity = Error::ModelIntegrity { file: "a.onnx".into(), detail: "2 bytes".into() };
        assert_eq!(Failure::from(integrity).code, "model_integrity");
    }
}
