//! Reports that come back from a file: anybody can write one, so each is held to what a report can say before it is shown.

use crate::error::Error;
use crate::manifest::is_read;
use crate::report::{REPORT_SCHEMA_VERSION, Report};
use crate::verdict::Thresholds;
use crate::video::VideoReport;
use crate::video::report::{FaceSample, Sample, VIDEO_SCHEMA_VERSION};
use crate::video::sampling::LATEST_S;
use crate::video::track::MAX_FACES;

/// Largest file, in bytes; an hour of video is a tenth of it.
pub const MAX_BYTES: usize = 64 << 20;
/// Longest text, in characters.
const MAX_TEXT: usize = 200;
/// Most stages, views, faces and notices of a picture.
const MAX_ROWS: usize = 256;
/// Most samples and people of a video.
const MAX_SAMPLES: usize = 50_000;

impl Report {
    /// Whether a report says nothing that none can say.
    ///
    /// # Errors
    /// [`Error::Report`] naming what is wrong.
    pub fn check(&self) -> Result<(), Error> {
        check_version(&self.schema_version, REPORT_SCHEMA_VERSION)?;
        let rows =
            [self.stages.len(), self.views.len(), self.faces.len(), self.missing.len(), self.notices.len()];
        let texts = [&self.engine_version, &self.model.name, &self.model.version, &self.verdict.decided_by];
        let of_stages = self.stages.iter().flat_map(|stage| [&stage.name, &stage.backend, &stage.sha256]);
        let [width, height] = self.picture_size;
        let is_inside =
            |start: u32, length: u32, of: u32| start.checked_add(length).is_some_and(|end| end <= of);
        let crop = self.crop;
        let mut shares = std::iter::once(self.verdict.probability_fake)
            .chain(self.stages.iter().map(|stage| stage.probability_fake))
            .chain(self.views.iter().map(|view| view.probability_fake))
            .chain(self.faces.iter().filter_map(|face| face.probability_fake));
        let times = [self.prepare_ms, self.total_ms].into_iter();
        let mut times = times.chain(self.stages.iter().map(|stage| stage.latency_ms));
        let is_right = rows.iter().all(|rows| *rows <= MAX_ROWS)
            && texts.into_iter().chain(of_stages).chain(&self.missing).all(|text| is_plain(text))
            && width > 0
            && height > 0
            && is_inside(crop.x, crop.width(), width)
            && is_inside(crop.y, crop.height(), height)
            && shares.all(is_share)
            && are_thresholds(&self.thresholds)
            && times.all(|time_ms| time_ms.is_finite() && time_ms >= 0.0)
            && self.stages.iter().all(|stage| stage.logit.is_finite())
            && self.stages.iter().any(|stage| stage.name == self.verdict.decided_by);
        is_right.then_some(()).ok_or_else(|| refusal("it says what no report of a picture can say".into()))
    }
}

impl VideoReport {
    /// Whether a report says nothing that none can say.
    ///
    /// # Errors
    /// [`Error::Report`] naming what is wrong.
    pub fn check(&self) -> Result<(), Error> {
        check_version(&self.schema_version, VIDEO_SCHEMA_VERSION)?;
        let texts = [&self.engine_version, &self.model.name, &self.model.version];
        let is_time = |time_s: f64| (0.0..=LATEST_S).contains(&time_s);
        let is_ordered = self.timeline.windows(2).all(|pair| pair[0].time_s <= pair[1].time_s);
        let is_face_right = |face: &FaceSample| {
            face.probability_fake.is_none_or(is_share) && face.smoothed.is_none_or(is_share)
        };
        let is_sample_right = |sample: &Sample| {
            is_time(sample.time_s)
                && sample.faces.len() <= MAX_FACES
                && sample.faces.iter().all(is_face_right)
        };
        let is_right = self.timeline.len() <= MAX_SAMPLES
            && self.tracks.len() <= MAX_SAMPLES
            && self.cuts_s.len() <= MAX_SAMPLES
            && self.notices.len() <= MAX_ROWS
            && texts.into_iter().all(|text| is_plain(text))
            && !self.media.size.contains(&0)
            && self.media.duration_s.is_none_or(|length_s| is_time(length_s) && length_s > 0.0)
            && self.timeline.iter().all(is_sample_right)
            && is_ordered
            && self.cuts_s.iter().all(|time_s| is_time(*time_s))
            && self.tracks.iter().all(|track| {
                is_share(track.verdict.probability_fake)
                    && is_share(track.verdict.fake_share)
                    && track.span_s.into_iter().all(is_time)
            })
            && is_share(self.verdict.confidence)
            && self.coverage.share.is_none_or(is_share)
            && is_time(self.coverage.reached_s)
            && are_thresholds(&self.thresholds);
        is_right.then_some(()).ok_or_else(|| refusal("it says what no report of a video can say".into()))
    }
}

fn check_version(version: &str, known: &str) -> Result<(), Error> {
    if is_read(version, known) {
        return Ok(());
    }
    Err(refusal(format!("schema_version is {version:.20}, this engine reads {known}")))
}

fn is_plain(text: &str) -> bool {
    text.chars().take(MAX_TEXT + 1).count() <= MAX_TEXT && !text.chars().any(char::is_control)
}

fn is_share(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

fn are_thresholds(thresholds: &Thresholds) -> bool {
    is_share(thresholds.lower) && is_share(thresholds.upper) && thresholds.lower <= thresholds.upper
}

fn refusal(detail: String) -> Error {
    Error::Report { detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn picture() -> Value {
        json!({
            "schema_version": "1.2", "engine_version": "0.1.0",
            "verdict": { "label": "real", "probability_fake": 0.2, "decided_by": "stage1" },
            "picture_size": [40, 30], "crop": { "x": 5, "y": 0, "side": 30, "source": "centre_square" },
            "stages": [{ "name": "stage1", "role": "filter", "logit": -1.4, "probability_fake": 0.2, "latency_ms": 2.0,
                         "backend": "cpu", "sha256": "00" }],
            "thresholds": { "lower": 0.3, "upper": 0.7 }, "prepare_ms": 1.0, "total_ms": 3.0, "notices": ["no_face"],
            "model": { "name": "a", "version": "1" }
        })
    }

    fn changed(mut value: Value, at: &str, to: Value) -> Value {
        *value.pointer_mut(at).unwrap() = to;
        value
    }

    #[test]
    fn a_report_of_a_picture_is_held_to_what_it_can_say() {
        let check = |value: Value| serde_json::from_value::<Report>(value).map(|report| report.check());
        assert!(matches!(check(picture()), Ok(Ok(()))), "{:?}", check(picture()));
        let cases = [
            ("/schema_version", json!("2.0")),
            ("/verdict/probability_fake", json!(1.01)),
            ("/verdict/decided_by", json!("nobody")),
            ("/picture_size", json!([0, 30])),
            ("/crop/x", json!(11)),
            ("/crop/x", json!(u32::MAX)),
            ("/stages/0/latency_ms", json!(-1.0)),
            ("/stages/0/backend", json!("x".repeat(MAX_TEXT + 1))),
            ("/stages/0/backend", json!("a\u{1b}[2J")),
            ("/thresholds/lower", json!(0.8)),
            ("/notices", json!(vec!["no_face"; MAX_ROWS + 1])),
        ];
        for (at, to) in cases {
            let refused = check(changed(picture(), at, to.clone()));
            assert!(matches!(refused, Ok(Err(Error::Report { .. }))), "{at} = {to}: {refused:?}");
        }
    }

    #[test]
    fn a_report_of_a_video_is_held_to_what_it_can_say() {
        use crate::report::ModelIdentity;
        use crate::video::report::{End, Media};
        use crate::video::{Analysis, AnalysisConfig};
        let model = ModelIdentity { name: "a".into(), version: "1".into() };
        let media = Media { size: [64, 48], duration_s: Some(2.0), frame_rate: None, frames: None };
        let mut analysis =
            Analysis::new(AnalysisConfig::new(Thresholds { lower: 0.3, upper: 0.7 }, model), media).unwrap();
        for time_s in [0.0, 1.0] {
            assert!(analysis.takes(time_s));
            analysis.look(&crate::Frame::from_rgb(64, 48, vec![90; 64 * 48 * 3]), time_s);
            analysis.add(&[], 1.0);
        }
        let report = analysis.finish(End::Whole);
        assert_eq!(report.check(), Ok(()));
        let value = serde_json::to_value(&report).unwrap();
        let cases = [
            ("/schema_version", json!("9.0")),
            ("/media/size", json!([0, 0])),
            ("/media/duration_s", json!(-1.0)),
            ("/timeline/0/time_s", json!(5.0)),
            ("/timeline/1/time_s", json!(1e300)),
            ("/coverage/share", json!(2.0)),
            ("/verdict/confidence", json!(-0.1)),
            ("/model/name", json!("\u{0}")),
        ];
        for (at, to) in cases {
            let report: VideoReport = serde_json::from_value(changed(value.clone(), at, to.clone())).unwrap();
            assert!(matches!(report.check(), Err(Error::Report { .. })), "{at} = {to}");
        }
    }
}
