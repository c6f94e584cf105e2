//! A video or a camera in the worker: frames in the order of time -> the engine's [`Analysis`].

use crate::message::Failure;
use engine::quality::Quality;
use engine::report::ModelIdentity;
use engine::video::report::{End, Media, VideoNotice};
use engine::video::{Analysis, AnalysisConfig, JudgedFace, Region, SamplingPlan, VideoReport};
use engine::{Crop, Frame, Manifest};

/// The work on one video.
pub struct Watch {
    /// That of the request.
    pub id: u32,
    analysis: Analysis,
    size: Option<[u32; 2]>,
}

impl Watch {
    /// Work on `media` by the bundle of `manifest`.
    ///
    /// # Errors
    /// None with the default sampling.
    pub fn new(id: u32, manifest: &Manifest, media: Media, looks_for_faces: bool) -> Result<Self, Failure> {
        let model = ModelIdentity { name: manifest.name.clone(), version: manifest.version.clone() };
        let mut analysis = Analysis::new(AnalysisConfig::new(manifest.thresholds, model), media)?;
        if !looks_for_faces {
            analysis.note(VideoNotice::NoFaceDetector);
        }
        Ok(Watch { id, analysis, size: None })
    }

    /// What will be looked at.
    pub fn plan(&self) -> &SamplingPlan {
        self.analysis.plan()
    }

    /// Looks at the whole of `frame`, if it is due.
    pub fn looks(&mut self, frame: &Frame, time_s: f64) -> bool {
        let size = [frame.width(), frame.height()];
        if self.size.replace(size).is_some_and(|before| before != size) {
            self.analysis.size_changed();
        }
        let is_due = self.analysis.takes(time_s);
        if is_due {
            self.analysis.look(frame, time_s);
        }
        is_due
    }

    /// The quality of `crop`, and whether it is good enough to be judged.
    pub fn quality(&self, frame: &Frame, crop: &Crop) -> (Quality, bool) {
        let quality = Quality::of_crop(frame, crop);
        (quality, self.analysis.judges(&quality))
    }

    /// Adds the faces of the frame that was looked at; `latency_ms` is the time that all of it took.
    pub fn add(&mut self, faces: &[JudgedFace], latency_ms: f64) {
        self.analysis.add(faces, latency_ms);
    }

    /// Those of `regions` that are to be judged.
    pub fn choose(&mut self, regions: Vec<Region>) -> Vec<Region> {
        self.analysis.choose(regions)
    }

    /// The work so far.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// The result of what was looked at; the video's own end was reached at `ended_s`, if at all.
    pub fn finish(mut self, end: End, ended_s: Option<f64>) -> VideoReport {
        if let Some(ended_s) = ended_s {
            self.analysis.ended(ended_s);
        }
        self.analysis.finish(end)
    }
}
