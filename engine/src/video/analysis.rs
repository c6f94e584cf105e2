//! A video, frame by frame, in the order of time -> [`VideoReport`].
//!
//! For each frame that [`Analysis::takes`]: [`Analysis::look`] at the whole, then [`Analysis::add`] its faces.

use super::latency::Latency;
use super::motion::{Motion, MotionProfile};
use super::region::Region;
use super::report::{
    Coverage, End, FaceSample, Media, Sample, Track, VIDEO_SCHEMA_VERSION, VideoNotice, VideoReport,
};
use super::sampling::{LATEST_S, Sampler, SamplingConfig, SamplingPlan};
use super::scene::{self, SceneDetector};
use super::temporal::{Consistency, Window, smooth};
use super::thumbnail::Thumbnail;
use super::track::{MAX_FACES, TrackId, Tracker};
use super::verdict::{FakeShare, TrackVerdict, VideoVerdict};
use crate::crop::FaceBox;
use crate::error::Error;
use crate::frame::Frame;
use crate::order::descending;
use crate::quality::{self, Quality};
use crate::report::ModelIdentity;
use crate::verdict::{ProbabilityFake, Thresholds};
use std::collections::{BTreeMap, BTreeSet};

/// Part of a video's length that may be missing at its end: the last frame begins before it.
const END_S: f64 = 1.0;

/// How a video is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisConfig {
    /// How densely it is looked at.
    pub sampling: SamplingConfig,
    /// Scene score above which a scene begins.
    pub scene_threshold: f64,
    /// Least [`Quality::overall`] of a face that is judged.
    pub quality_threshold: f64,
    /// Share of fake samples that makes a person fake.
    pub fake_share: FakeShare,
    /// Thresholds of the bundle.
    pub thresholds: Thresholds,
    /// The bundle.
    pub model: ModelIdentity,
}

impl AnalysisConfig {
    /// The defaults, with a bundle's thresholds and name.
    pub fn new(thresholds: Thresholds, model: ModelIdentity) -> Self {
        AnalysisConfig {
            sampling: SamplingConfig::default(),
            scene_threshold: scene::THRESHOLD,
            quality_threshold: quality::THRESHOLD,
            fake_share: FakeShare::THIRTY,
            thresholds,
            model,
        }
    }
}

/// A face as the caller found it in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgedFace {
    /// Where it is, in pixels.
    pub region: FaceBox,
    /// How much it can say; none if it is too small to be judged.
    pub quality: Option<Quality>,
    /// P(fake); none where it was not judged, for whichever reason.
    pub probability_fake: Option<ProbabilityFake>,
}

/// The work on one video.
#[derive(Debug, Clone)]
pub struct Analysis {
    config: AnalysisConfig,
    media: Media,
    plan: SamplingPlan,
    sampler: Sampler,
    scenes: SceneDetector,
    previous: Option<Thumbnail>,
    tracker: Tracker,
    windows: BTreeMap<TrackId, Window>,
    timeline: Vec<Sample>,
    reached_s: f64,
    /// Where the video itself ends, if that was reached.
    ended_s: Option<f64>,
    latency: Latency,
    notices: BTreeSet<VideoNotice>,
}

impl Analysis {
    /// Work on a video that the container describes so; nothing is looked at yet, but [`Analysis::plan`] is known.
    ///
    /// # Errors
    /// If the configuration's rates are out of range.
    pub fn new(config: AnalysisConfig, media: Media) -> Result<Self, Error> {
        config.sampling.check()?;
        let plan = SamplingPlan::new(&config.sampling, media.duration_s);
        let is_sparse = plan.max_fps < config.sampling.max_fps;
        Ok(Analysis {
            plan,
            sampler: Sampler::new(plan),
            scenes: SceneDetector::new(config.scene_threshold),
            previous: None,
            tracker: Tracker::default(),
            windows: BTreeMap::new(),
            timeline: Vec::new(),
            reached_s: 0.0,
            ended_s: None,
            latency: Latency::default(),
            notices: is_sparse.then_some(VideoNotice::Sparse).into_iter().collect(),
            config,
            media,
        })
    }

    /// What will be looked at.
    pub fn plan(&self) -> &SamplingPlan {
        &self.plan
    }

    /// Whether the frame at `time_s` is due. Frames come in the order of time; if so, [`Analysis::look`] and [`Analysis::add`]
    /// follow.
    pub fn takes(&mut self, time_s: f64) -> bool {
        if (0.0..=LATEST_S).contains(&time_s) {
            self.reached_s = self.reached_s.max(time_s);
        }
        self.sampler.takes(time_s)
    }

    /// Media time before which [`Analysis::takes`] no frame, in seconds.
    pub fn next_due_s(&self) -> f64 {
        self.sampler.next_due_s()
    }

    /// The sample that was looked at last.
    pub fn last(&self) -> Option<&Sample> {
        self.timeline.last()
    }

    /// Number of samples so far.
    pub fn samples(&self) -> u32 {
        self.timeline.len() as u32
    }

    /// Whether no more frames are taken.
    pub fn is_full(&self) -> bool {
        self.sampler.is_full()
    }

    /// Looks at the whole of `frame`: scene and motion. People of an earlier scene are gone then.
    pub fn look(&mut self, frame: &Frame, time_s: f64) {
        let small = Thumbnail::of(frame);
        let step = self.scenes.step(&small);
        if step.is_cut {
            self.tracker.cut();
        }
        self.sampler.note(step.activity);
        let previous = self.previous.as_ref().filter(|_| !step.is_cut);
        let motion = previous.and_then(|previous| Motion::between(previous.grey(), small.grey()));
        self.previous = Some(small);
        let sample =
            Sample { time_s, scene_score: step.score, is_cut: step.is_cut, motion, faces: Vec::new() };
        self.timeline.push(sample);
    }

    /// Those of `regions` that are to be judged: the largest, as no more are followed.
    pub fn choose(&mut self, regions: Vec<Region>) -> Vec<Region> {
        if regions.len() <= MAX_FACES {
            return regions;
        }
        self.notices.insert(VideoNotice::TooManyFaces);
        let order = descending(regions.iter().map(|region| region.face.area()));
        order.into_iter().take(MAX_FACES).map(|at| regions[at]).collect()
    }

    /// Whether a face of this quality is to be judged.
    pub fn judges(&self, quality: &Quality) -> bool {
        quality.overall >= self.config.quality_threshold
    }

    /// Adds the faces of the frame that was looked at last; `latency_ms` is the time that all of it took. The numbers of the
    /// people come back, in the order of `faces`.
    ///
    /// # Panics
    /// If no frame was looked at.
    pub fn add(&mut self, faces: &[JudgedFace], latency_ms: f64) -> Vec<Option<TrackId>> {
        let mut order = descending(faces.iter().map(|face| face.region.area()));
        if order.len() > MAX_FACES {
            order.truncate(MAX_FACES);
            self.notices.insert(VideoNotice::TooManyFaces);
        }
        let regions: Vec<FaceBox> = order.iter().map(|i| faces[*i].region).collect();
        let Some(sample) = self.timeline.last_mut() else { panic!("faces of no frame") };
        let tracks = self.tracker.step(sample.time_s, &regions);
        let mut ids = vec![None; faces.len()];
        for (i, track) in order.into_iter().zip(tracks) {
            let JudgedFace { region, quality, probability_fake } = faces[i];
            let probability_fake = probability_fake.map(ProbabilityFake::value);
            let consistency = track.zip(probability_fake).map(|(track, p)| {
                let window = self.windows.entry(track).or_default();
                window.push(p)
            });
            match quality {
                None => drop(self.notices.insert(VideoNotice::SmallFaces)),
                Some(_) if track.is_none() => drop(self.notices.insert(VideoNotice::TooManyFaces)),
                Some(_) if probability_fake.is_none() => drop(self.notices.insert(VideoNotice::LowQuality)),
                Some(_) => {}
            }
            ids[i] = track;
            sample.faces.push(FaceSample {
                track,
                region,
                quality,
                probability_fake,
                smoothed: None,
                consistency,
            });
        }
        self.latency.add(latency_ms);
        ids
    }

    /// The picture has another size from now on: nothing before is compared with what comes.
    pub fn size_changed(&mut self) {
        self.scenes.reset();
        self.previous = None;
        self.tracker.cut();
        self.notices.insert(VideoNotice::SizeChanged);
    }

    /// Notes something that the caller knows.
    pub fn note(&mut self, notice: VideoNotice) {
        self.notices.insert(notice);
    }

    /// Takes note that the video's own end was reached, at `time_s`. A player may leave out frames, the last ones too, which
    /// makes the file no shorter.
    pub fn ended(&mut self, time_s: f64) {
        self.ended_s = Some(time_s).filter(|time_s| (0.0..=LATEST_S).contains(time_s));
    }

    /// The result of what was looked at, which may be nothing. A `whole` video that ends before its length is `truncated`; of
    /// one whose last part nobody saw that is said.
    pub fn finish(mut self, end: End) -> VideoReport {
        let share = self.media.duration_s.map(|duration| (self.reached_s / duration).clamp(0.0, 1.0));
        let ends_before =
            |time_s: f64| self.media.duration_s.is_some_and(|duration| time_s < duration - END_S);
        let is_short = ends_before(self.ended_s.unwrap_or(0.0).max(self.reached_s));
        if end == End::Whole && !is_short && ends_before(self.reached_s) {
            self.notices.insert(VideoNotice::LeftOut);
        }
        let end = if end == End::Whole && self.is_full() && is_short {
            End::Full
        } else if end == End::Whole && is_short {
            End::Truncated
        } else {
            end
        };
        self.notices.extend(match end {
            End::Whole => None,
            End::Truncated => Some(VideoNotice::Truncated),
            End::Full => Some(VideoNotice::Full),
            End::Interrupted => Some(VideoNotice::Interrupted),
        });
        let tracks = self.tracks();
        let verdicts: Vec<_> = tracks.iter().map(|track| (track.id, track.verdict)).collect();
        let moved = |sample: &Sample| Some((sample.time_s, sample.motion?.mean));
        let moved: Vec<_> = self.timeline.iter().filter_map(moved).collect();
        let is_judged = |sample: &&Sample| sample.faces.iter().any(|face| face.smoothed.is_some());
        VideoReport {
            schema_version: VIDEO_SCHEMA_VERSION.into(),
            engine_version: crate::VERSION.into(),
            verdict: VideoVerdict::of(&verdicts),
            fake_share: self.config.fake_share,
            thresholds: self.config.thresholds,
            media: self.media,
            plan: self.plan,
            coverage: Coverage {
                end,
                reached_s: self.reached_s,
                share,
                samples: self.samples(),
                samples_judged: self.timeline.iter().filter(is_judged).count() as u32,
            },
            tracks,
            cuts_s: self.timeline.iter().filter(|sample| sample.is_cut).map(|sample| sample.time_s).collect(),
            motion: MotionProfile::of(&moved),
            latency: self.latency,
            notices: self.notices.into_iter().collect(),
            model: self.config.model,
            timeline: self.timeline,
        }
    }

    /// Smooths each person's P(fake), writes it into the timeline, and judges by it.
    fn tracks(&mut self) -> Vec<Track> {
        let mut people: BTreeMap<TrackId, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, sample) in self.timeline.iter().enumerate() {
            for (of, face) in sample.faces.iter().enumerate() {
                if let (Some(track), Some(_)) = (face.track, face.probability_fake) {
                    people.entry(track).or_default().push((at, of));
                }
            }
        }
        let mut tracks = Vec::new();
        for (id, places) in people {
            let values: Vec<f64> =
                places.iter().filter_map(|(at, of)| self.timeline[*at].faces[*of].probability_fake).collect();
            let smoothed = smooth(&values);
            let mut quality = 0.0;
            for ((at, of), smoothed) in places.iter().zip(&smoothed) {
                let face = &mut self.timeline[*at].faces[*of];
                face.smoothed = Some(*smoothed);
                quality += face.quality.map_or(0.0, |quality| quality.overall);
            }
            let time_s =
                |place: Option<&(usize, usize)>| place.map_or(0.0, |(at, _)| self.timeline[*at].time_s);
            let last = places.last().and_then(|(at, of)| self.timeline[*at].faces[*of].consistency);
            tracks.push(Track {
                id,
                span_s: [time_s(places.first()), time_s(places.last())],
                samples: places.len() as u32,
                verdict: TrackVerdict::of(&smoothed, &self.config.thresholds, self.config.fake_share),
                consistency: last.unwrap_or(Consistency(0.0)),
                quality: quality / places.len() as f64,
            });
        }
        tracks
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::VideoLabel;
    use super::*;
    use crate::verdict::Label;

    const GOOD: Quality = Quality { blur: 0.0, brightness: 1.0, contrast: 1.0, noise: 0.0, overall: 1.0 };

    fn analysis(duration_s: Option<f64>) -> Analysis {
        let model = ModelIdentity { name: "test".into(), version: "1".into() };
        let config = AnalysisConfig::new(Thresholds { lower: 0.3, upper: 0.7 }, model);
        let media = Media { size: [64, 48], duration_s, frame_rate: None, frames: None };
        Analysis::new(config, media).unwrap()
    }

    fn frame(rgb: [u8; 3]) -> Frame {
        Frame::from_rgb(64, 48, rgb.repeat(64 * 48))
    }

    fn face(x: i32, probability_fake: f64) -> JudgedFace {
        let region = FaceBox { x, y: 5, width: 20, height: 20 };
        JudgedFace { region, quality: Some(GOOD), probability_fake: ProbabilityFake::new(probability_fake) }
    }

    const RED: [u8; 3] = [200, 30, 30];
    const BLUE: [u8; 3] = [30, 30, 200];

    /// Five samples a second.
    fn run(analysis: &mut Analysis, scenes: &[([u8; 3], Vec<JudgedFace>)]) {
        for (at, (colour, faces)) in scenes.iter().enumerate() {
            let time_s = at as f64 / 5.0;
            assert!(analysis.takes(time_s), "{time_s}");
            analysis.look(&frame(*colour), time_s);
            analysis.add(faces, 3.0);
        }
    }

    #[test]
    fn each_person_has_a_verdict_and_one_fake_decides() {
        let mut analysis = analysis(Some(2.0));
        run(&mut analysis, &vec![(RED, vec![face(0, 0.1), face(40, 0.9)]); 10]);
        let report = analysis.finish(End::Whole);
        assert_eq!(report.verdict.label, VideoLabel::Fake);
        assert_eq!(report.verdict.decided_by, Some(2));
        let labels: Vec<_> = report.tracks.iter().map(|track| (track.id, track.verdict.label)).collect();
        assert_eq!(labels, [(1, Label::Real), (2, Label::Fake)]);
        assert_eq!((report.coverage.samples, report.coverage.samples_judged), (10, 10));
        assert_eq!((report.coverage.end, report.tracks[1].span_s), (End::Whole, [0.0, 1.8]));
        assert!((report.coverage.share.unwrap() - 0.9).abs() < 1e-12);
        assert_eq!(report.latency.counts.iter().sum::<u32>(), 10);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<VideoReport>(&json).unwrap(), report);
    }

    #[test]
    fn of_a_crowd_the_largest_are_chosen_and_that_is_said() {
        let region = |side| Region { face: FaceBox { x: 0, y: 0, width: side, height: side }, crop: None };
        let mut few = analysis(None);
        assert_eq!(few.choose(vec![region(3), region(5)]), [region(3), region(5)]);
        assert!(few.finish(End::Whole).notices.is_empty());
        let mut crowd = analysis(None);
        let chosen = crowd.choose((1..=MAX_FACES as u32 + 2).map(region).collect());
        assert_eq!(chosen.len(), MAX_FACES);
        assert!(chosen.iter().all(|region| region.face.width > 2));
        assert_eq!(crowd.finish(End::Whole).notices, [VideoNotice::TooManyFaces]);
    }

    /// A single wild frame in five is smoothed away; without smoothing it would be one fake sample in three.
    #[test]
    fn smoothing_reaches_the_verdict() {
        let wild = [0.2, 0.2, 0.95, 0.2, 0.2, 0.95, 0.2, 0.2, 0.95];
        let mut smoothed = analysis(None);
        run(&mut smoothed, &wild.map(|p| (RED, vec![face(0, p)])));
        let report = smoothed.finish(End::Whole);
        let track = &report.tracks[0];
        assert_eq!(track.verdict.fake_share, 0.0, "{track:?}");
        assert_ne!(report.verdict.label, VideoLabel::Fake);
        let direct = TrackVerdict::of(&wild, &report.thresholds, report.fake_share);
        assert_eq!(direct.label, Label::Fake);
        let face = &report.timeline[2].faces[0];
        assert!(face.probability_fake == Some(0.95) && face.smoothed.unwrap() < 0.6, "{face:?}");
    }

    #[test]
    fn a_cut_ends_people_and_consistency() {
        let mut analysis = analysis(None);
        let mut scenes = vec![(RED, vec![face(0, 0.1)]); 6];
        scenes.extend(vec![(BLUE, vec![face(0, 0.9)]); 6]);
        run(&mut analysis, &scenes);
        let report = analysis.finish(End::Whole);
        assert_eq!(report.cuts_s, [1.2]);
        let tracks: Vec<_> = report.tracks.iter().map(|track| (track.id, track.verdict.label)).collect();
        assert_eq!(tracks, [(1, Label::Real), (2, Label::Fake)]);
        assert_eq!(report.timeline[6].faces[0].consistency, Some(Consistency(0.0)));
        assert_eq!(report.timeline[6].motion, None);
        assert_eq!(report.verdict.label, VideoLabel::Fake);
    }

    #[test]
    fn without_faces_nothing_is_determined() {
        let mut empty = analysis(Some(1.0));
        run(&mut empty, &vec![(RED, vec![]); 5]);
        let report = empty.finish(End::Whole);
        assert_eq!(
            report.verdict,
            VideoVerdict { label: VideoLabel::Undetermined, confidence: 0.0, decided_by: None }
        );
        let nothing = analysis(Some(1.0)).finish(End::Interrupted);
        assert_eq!(
            (nothing.verdict.label, nothing.notices),
            (VideoLabel::Undetermined, vec![VideoNotice::Interrupted])
        );
    }

    #[test]
    fn what_was_not_judged_is_told_and_does_not_count() {
        let mut analysis = analysis(None);
        let dark = JudgedFace {
            quality: Some(Quality { overall: 0.2, ..GOOD }),
            probability_fake: None,
            ..face(0, 0.0)
        };
        let small = JudgedFace { quality: None, probability_fake: None, ..face(40, 0.0) };
        assert!(!analysis.judges(&dark.quality.unwrap()) && analysis.judges(&GOOD));
        run(&mut analysis, &vec![(RED, vec![dark, small]); 5]);
        let report = analysis.finish(End::Whole);
        assert_eq!(report.verdict.label, VideoLabel::Undetermined);
        assert_eq!(report.notices, [VideoNotice::SmallFaces, VideoNotice::LowQuality]);
    }

    #[test]
    fn an_end_before_the_length_is_told() {
        let ends = |duration_s: f64, max_samples: u32| {
            let mut analysis = analysis(Some(duration_s));
            analysis.plan.max_samples = max_samples;
            analysis.sampler = Sampler::new(analysis.plan);
            run(&mut analysis, &vec![(RED, vec![face(0, 0.1)]); 5]);
            let report = analysis.finish(End::Whole);
            (report.coverage.end, report.notices)
        };
        assert_eq!(ends(1.0, 100), (End::Whole, vec![]));
        assert_eq!(ends(4.0, 100), (End::Truncated, vec![VideoNotice::Truncated]));
        assert_eq!(ends(4.0, 5), (End::Full, vec![VideoNotice::Full]));
        let mut endless = analysis(Some(4.0));
        run(&mut endless, &[]);
        assert_eq!(endless.finish(End::Truncated).coverage.share, Some(0.0));
    }

    /// A busy browser leaves out the last frames of a video and still plays to its end.
    #[test]
    fn the_end_may_be_known_apart_from_the_last_frame() {
        let ends = |ended_s: Option<f64>, end: End| {
            let mut analysis = analysis(Some(4.0));
            run(&mut analysis, &vec![(RED, vec![face(0, 0.1)]); 5]);
            ended_s.iter().for_each(|ended_s| analysis.ended(*ended_s));
            let report = analysis.finish(end);
            // What was looked at is told as it is.
            assert!((report.coverage.reached_s, report.coverage.share) == (0.8, Some(0.2)));
            (report.coverage.end, report.notices)
        };
        let truncated = (End::Truncated, vec![VideoNotice::Truncated]);
        assert_eq!(ends(Some(4.0), End::Whole), (End::Whole, vec![VideoNotice::LeftOut]));
        assert_eq!(ends(Some(3.5), End::Whole), (End::Whole, vec![VideoNotice::LeftOut]));
        for ended_s in [None, Some(2.0), Some(f64::NAN), Some(f64::INFINITY), Some(-1.0)] {
            assert_eq!(ends(ended_s, End::Whole), truncated, "{ended_s:?}");
        }
        assert_eq!(ends(Some(4.0), End::Truncated), truncated);
        assert_eq!(ends(Some(4.0), End::Interrupted), (End::Interrupted, vec![VideoNotice::Interrupted]));
    }

    #[test]
    fn another_size_connects_nobody() {
        let mut analysis = analysis(None);
        run(&mut analysis, &vec![(RED, vec![face(0, 0.1)]); 3]);
        analysis.size_changed();
        assert!(analysis.takes(1.0));
        analysis.look(&frame(BLUE), 1.0);
        assert_eq!(analysis.add(&[face(0, 0.1)], 1.0), [Some(2)]);
        let report = analysis.finish(End::Whole);
        assert_eq!((report.cuts_s.len(), report.notices), (0, vec![VideoNotice::SizeChanged]));
    }

    #[test]
    fn of_a_crowd_the_largest_are_followed() {
        let mut analysis = analysis(None);
        let crowd: Vec<_> = (0..30)
            .map(|i| JudgedFace {
                region: FaceBox { x: i * 100, y: 0, width: 20 + i as u32, height: 20 },
                ..face(0, 0.1)
            })
            .collect();
        assert!(analysis.takes(0.0));
        analysis.look(&frame(RED), 0.0);
        let ids = analysis.add(&crowd, 1.0);
        assert_eq!(ids.iter().flatten().count(), MAX_FACES);
        assert!(ids[..10].iter().all(Option::is_none) && ids[29] == Some(1));
        assert_eq!(analysis.finish(End::Whole).notices, [VideoNotice::TooManyFaces]);
    }
}
