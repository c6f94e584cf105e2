//! A picture with people in it: each face that is large enough is judged, and the one that matters most decides.
//!
//! There is no network here, as in [`crate::cascade`]: [`Gathering::next`] says which region to judge, and whoever drives
//! it hands the report back.

use crate::crop::{Crop, CropKind};
use crate::error::Error;
use crate::faces::{Face, FaceNotice, Faces};
use crate::frame::Frame;
use crate::order::descending;
use crate::report::{Notice, Report};
use crate::verdict::Label;
use serde::{Deserialize, Serialize};

/// Most faces of a picture that are judged, the largest.
pub const MAX_JUDGED: usize = 16;

/// A face of a picture, and what the cascade says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceReport {
    /// Where it is, and how much the picture of it says.
    #[serde(flatten)]
    pub face: Face,
    /// Real, fake or uncertain; absent where it was not judged: too small, one too many, or nothing that can show a face.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// P(fake) of it; absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability_fake: Option<f64>,
    /// Whether the report is of this face.
    pub decided: bool,
}

/// The faces of one picture on their way to a report.
#[derive(Debug)]
pub struct Gathering {
    faces: Faces,
    /// Regions that wait, the next one last, with the index of their face; the middle of the picture has none.
    waiting: Vec<(Option<usize>, Crop)>,
    judged: Vec<(Option<usize>, Report)>,
    refused: Option<Error>,
}

impl Gathering {
    /// For `faces` of `frame`; where none was found, its middle is judged, and never counts as sure.
    ///
    /// # Errors
    /// [`Error::NotApplicable`] if there are faces and every one is too small.
    pub fn new(frame: &Frame, faces: Faces) -> Result<Self, Error> {
        let region = |(at, face): (usize, &Face)| {
            let crop = Crop::of_face(&face.region, frame, CropKind::Square)?;
            (!face.too_small).then_some((Some(at), crop))
        };
        // The largest first; of equals the surer one.
        let order = descending(faces.faces.iter().map(|face| face.region.area()));
        let mut waiting: Vec<_> = order.into_iter().filter_map(|at| region((at, &faces.faces[at]))).collect();
        waiting.truncate(MAX_JUDGED);
        waiting.reverse();
        if faces.faces.is_empty() {
            waiting.push((None, Crop::centre_square(frame)));
        } else if waiting.is_empty() {
            return Err(Error::NotApplicable {
                reason: "every face in it is too small, less than 64 pixels",
            });
        }
        Ok(Gathering { faces, waiting, judged: Vec::new(), refused: None })
    }

    /// The region to judge next, answered by [`Gathering::supply`]; nothing once all are.
    pub fn next(&self) -> Option<Crop> {
        self.waiting.last().map(|(_, crop)| *crop)
    }

    /// Takes what the cascade says of the region that was asked for. A face that cannot show one spoils no other.
    ///
    /// # Errors
    /// The cascade's own, but for [`Error::NotApplicable`].
    pub fn supply(&mut self, answer: Result<Report, Error>) -> Result<(), Error> {
        let Some((at, _)) = self.waiting.pop() else { return Ok(()) };
        match answer {
            Ok(report) => self.judged.push((at, report)),
            Err(error @ Error::NotApplicable { .. }) => drop(self.refused.get_or_insert(error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The report of the face that decides: a fake one before an uncertain one before a real one, and of these the one with
    /// the highest P(fake). So a picture is real only if everybody in it is.
    ///
    /// # Errors
    /// [`Error::NotApplicable`] if no face could be judged.
    pub fn finish(self) -> Result<Report, Error> {
        let weight = |label: Label| match label {
            Label::Real => 0,
            Label::Uncertain => 1,
            Label::Fake => 2,
        };
        let rank = |report: &Report| (weight(report.verdict.label), report.verdict.probability_fake);
        let decider = self.judged.iter().enumerate().reduce(|best, next| {
            let [(a, p), (b, q)] = [rank(&best.1.1), rank(&next.1.1)];
            if b > a || b == a && q > p { next } else { best }
        });
        let Some((decider, _)) = decider else {
            return Err(self.refused.unwrap_or(Error::NotApplicable { reason: "it shows no face" }));
        };
        let mut faces: Vec<FaceReport> =
            self.faces.faces.iter().map(|face| FaceReport::unjudged(*face)).collect();
        for (index, (at, report)) in self.judged.iter().enumerate() {
            let Some(face) = at.and_then(|at| faces.get_mut(at)) else { continue };
            face.label = Some(report.verdict.label);
            face.probability_fake = Some(report.verdict.probability_fake);
            face.decided = index == decider;
        }
        let mut judged = self.judged;
        let mut report = judged.swap_remove(decider).1;
        if faces.is_empty() {
            report.notices.retain(|notice| *notice != Notice::NoFaceDetector);
            report.notices.insert(0, Notice::NoFace);
            report.verdict.label = Label::Uncertain;
        }
        let is_left_out = |face: &FaceReport| face.label.is_none() && !face.face.too_small;
        let said = |notice| self.faces.notices.contains(&notice);
        let notices = [
            (said(FaceNotice::TooSmall), Notice::SmallFaces),
            (said(FaceNotice::TooMany) || faces.iter().any(is_left_out), Notice::FacesLeftOut),
            (faces.iter().any(|face| face.decided && face.face.low_quality), Notice::LowQuality),
            (faces.len() > 1, Notice::SeveralFaces),
        ];
        report.notices.extend(notices.into_iter().filter_map(|(holds, notice)| holds.then_some(notice)));
        report.faces = faces;
        Ok(report)
    }
}

impl FaceReport {
    fn unjudged(face: Face) -> Self {
        FaceReport { face, label: None, probability_fake: None, decided: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crop::FaceBox;
    use crate::faces::QUALITY_THRESHOLD;
    use crate::report::{Mode, ModelIdentity, REPORT_SCHEMA_VERSION};
    use crate::verdict::{Preset, Thresholds, Verdict};

    fn frame() -> Frame {
        Frame::from_rgb(400, 300, (0..400 * 300 * 3).map(|at| (at % 251) as u8).collect())
    }

    fn face(x: i32, side: u32) -> Face {
        let region = FaceBox { x, y: 10, width: side, height: side };
        Face::new(&frame(), region, 0.5 + side as f32 / 1000.0, QUALITY_THRESHOLD)
    }

    fn report(crop: Crop, label: Label, probability_fake: f64) -> Report {
        Report {
            schema_version: REPORT_SCHEMA_VERSION.into(),
            engine_version: String::new(),
            verdict: Verdict { label, probability_fake, decided_by: "filter".into() },
            picture_size: [400, 300],
            crop,
            faces: Vec::new(),
            stages: Vec::new(),
            views: Vec::new(),
            uncertainty: None,
            thresholds: Thresholds { lower: 0.1, upper: 0.9 },
            preset: Preset::Fitted,
            mode: Mode::Complete,
            missing: Vec::new(),
            multiply_adds: None,
            prepare_ms: 0.0,
            total_ms: 0.0,
            notices: Vec::new(),
            model: ModelIdentity { name: String::new(), version: String::new() },
        }
    }

    /// Judges `faces`, the answers in the order in which regions are asked for.
    fn gather(faces: Vec<Face>, answers: &[(Label, f64)]) -> Result<Report, Error> {
        let mut gathering = Gathering::new(&frame(), Faces::new(faces))?;
        let mut asked = 0;
        while let Some(crop) = gathering.next() {
            let (label, probability) = answers[asked];
            asked += 1;
            gathering.supply(Ok(report(crop, label, probability)))?;
        }
        assert_eq!(asked, answers.len(), "regions that were asked for");
        gathering.finish()
    }

    #[test]
    fn the_face_that_matters_most_decides() {
        use Label::{Fake, Real, Uncertain};
        // The larger face is asked for first.
        let two = || vec![face(10, 80), face(200, 120)];
        for (answers, label, probability) in [
            ([(Real, 0.05), (Real, 0.08)], Real, 0.08),
            ([(Real, 0.05), (Fake, 0.93)], Fake, 0.93),
            ([(Fake, 0.91), (Uncertain, 0.95)], Fake, 0.91),
            ([(Uncertain, 0.2), (Real, 0.05)], Uncertain, 0.2),
        ] {
            let report = gather(two(), &answers).unwrap();
            assert_eq!((report.verdict.label, report.verdict.probability_fake), (label, probability));
            let decider: Vec<&FaceReport> = report.faces.iter().filter(|face| face.decided).collect();
            assert_eq!(decider.len(), 1);
            assert_eq!(decider[0].probability_fake, Some(probability));
            assert!(report.notices.contains(&Notice::SeveralFaces));
        }
        let report = gather(two(), &[(Real, 0.05), (Real, 0.08)]).unwrap();
        // The surer one is listed first, and was asked for first.
        assert_eq!(
            report.faces.iter().map(|face| face.probability_fake).collect::<Vec<_>>(),
            [Some(0.05), Some(0.08)]
        );
    }

    #[test]
    fn i11_without_a_face_nothing_is_sure() {
        let report = gather(Vec::new(), &[(Label::Fake, 0.99)]).unwrap();
        assert_eq!(report.verdict.label, Label::Uncertain);
        assert!(report.notices.contains(&Notice::NoFace) && report.faces.is_empty());
    }

    #[test]
    fn i11_small_faces_are_listed_and_not_judged() {
        let report = gather(vec![face(10, 30), face(200, 120)], &[(Label::Real, 0.05)]).unwrap();
        assert!(report.notices.contains(&Notice::SmallFaces));
        assert_eq!(report.faces.iter().filter(|face| face.label.is_some()).count(), 1);
        let refused = gather(vec![face(10, 30)], &[]).unwrap_err();
        assert!(matches!(refused, Error::NotApplicable { .. }), "{refused}");
    }

    #[test]
    fn i11_a_crowd_is_judged_in_part_and_that_is_said() {
        let crowd = (0..20).map(|at| face(at * 10, 70)).collect();
        let report = gather(crowd, &[(Label::Real, 0.05); MAX_JUDGED]).unwrap();
        assert_eq!(report.faces.len(), 20);
        assert!(report.notices.contains(&Notice::FacesLeftOut));
    }

    #[test]
    fn a_face_that_is_none_spoils_no_other() {
        let mut gathering = Gathering::new(&frame(), Faces::new(vec![face(10, 80), face(200, 120)])).unwrap();
        let refusal = || Err(Error::NotApplicable { reason: "it is of one colour" });
        gathering.supply(refusal()).unwrap();
        let crop = gathering.next().unwrap();
        gathering.supply(Ok(report(crop, Label::Real, 0.01))).unwrap();
        assert_eq!(gathering.finish().unwrap().verdict.label, Label::Real);
        let mut gathering = Gathering::new(&frame(), Faces::new(vec![face(10, 80)])).unwrap();
        gathering.supply(refusal()).unwrap();
        assert!(matches!(gathering.finish(), Err(Error::NotApplicable { reason: "it is of one colour" })));
        let mut gathering = Gathering::new(&frame(), Faces::new(vec![face(10, 80)])).unwrap();
        assert!(gathering.supply(Err(Error::Numeric { stage: "filter".into() })).is_err());
    }
}
