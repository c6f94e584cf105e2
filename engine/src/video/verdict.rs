//! A person's smoothed P(fake) -> real, fake or uncertain; people -> the video's verdict.

use crate::verdict::{Label, ProbabilityFake, Thresholds};
use serde::{Deserialize, Serialize};

/// A person with fewer samples gets no sure verdict.
pub const MIN_SAMPLES: usize = 3;

/// Share of a person's samples that have to be fake for the person to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FakeShare(f64);

impl FakeShare {
    /// More than 30 %: the rule of the original's video analysis, and the default.
    pub const THIRTY: FakeShare = FakeShare(0.3);
    /// More than 50 %: the rule of the original's cascade.
    pub const FIFTY: FakeShare = FakeShare(0.5);
}

/// What a video is judged to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoLabel {
    /// Everybody in it is real.
    Real,
    /// Somebody in it is fake.
    Fake,
    /// The networks do not know.
    Uncertain,
    /// Nothing could be judged: no face, or none good enough.
    Undetermined,
}

/// The verdict on one person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrackVerdict {
    /// Fake if more of the samples than the rule's share are; real if all but that share are; else uncertain, as with fewer
    /// than [`MIN_SAMPLES`].
    pub label: Label,
    /// Mean of the smoothed P(fake).
    pub probability_fake: f64,
    /// Share of the samples that are fake by the bundle's thresholds, after smoothing.
    pub fake_share: f64,
    /// Share of the samples that are real, likewise.
    pub real_share: f64,
    /// Mean probability of the label over the samples that have it; 0.5 for uncertain.
    pub confidence: f64,
}

/// The verdict on the whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VideoVerdict {
    /// Fake if anybody is, real if everybody is, uncertain between; undetermined without anybody.
    pub label: VideoLabel,
    /// That of the person who decided; 0 for undetermined.
    pub confidence: f64,
    /// Number of the person who decided: the surest fake, else the one most likely to be.
    pub decided_by: Option<u32>,
}

impl TrackVerdict {
    /// The verdict on a person with these smoothed P(fake), at least one.
    pub fn of(smoothed: &[f64], thresholds: &Thresholds, rule: FakeShare) -> Self {
        assert!(!smoothed.is_empty(), "a person without samples");
        let count = smoothed.len() as f64;
        let label_of = |p: f64| ProbabilityFake::new(p).map_or(Label::Uncertain, |p| thresholds.label(p));
        let with = |label: Label| smoothed.iter().copied().filter(move |p| label_of(*p) == label);
        let share = |label: Label| with(label).count() as f64 / count;
        let (fake_share, real_share) = (share(Label::Fake), share(Label::Real));
        let label = if smoothed.len() < MIN_SAMPLES {
            Label::Uncertain
        } else if fake_share > rule.0 {
            Label::Fake
        } else if real_share >= 1.0 - rule.0 {
            Label::Real
        } else {
            Label::Uncertain
        };
        let mean = |label: Label| with(label).sum::<f64>() / with(label).count().max(1) as f64;
        let confidence = match label {
            Label::Fake => mean(Label::Fake),
            Label::Real => 1.0 - mean(Label::Real),
            _ => 0.5,
        };
        let probability_fake = smoothed.iter().sum::<f64>() / count;
        TrackVerdict { label, probability_fake, fake_share, real_share, confidence }
    }
}

impl VideoVerdict {
    /// The verdict on people with these numbers.
    pub fn of(people: &[(u32, TrackVerdict)]) -> Self {
        let label = if people.is_empty() {
            VideoLabel::Undetermined
        } else if people.iter().any(|(_, verdict)| verdict.label == Label::Fake) {
            VideoLabel::Fake
        } else if people.iter().all(|(_, verdict)| verdict.label == Label::Real) {
            VideoLabel::Real
        } else {
            VideoLabel::Uncertain
        };
        let candidates = people.iter().filter(|(_, verdict)| match label {
            VideoLabel::Fake => verdict.label == Label::Fake,
            VideoLabel::Uncertain => verdict.label != Label::Real,
            VideoLabel::Real | VideoLabel::Undetermined => true,
        });
        let surest = candidates.max_by(|(_, a), (_, b)| a.probability_fake.total_cmp(&b.probability_fake));
        VideoVerdict {
            label,
            confidence: surest.map_or(0.0, |(_, verdict)| verdict.confidence),
            decided_by: surest.map(|(id, _)| *id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { lower: 0.3, upper: 0.7 };

    fn track(values: &[f64], rule: FakeShare) -> TrackVerdict {
        TrackVerdict::of(values, &THRESHOLDS, rule)
    }

    /// `count` of ten samples at `p`, the others at 0.1.
    fn tenths(count: usize, p: f64) -> Vec<f64> {
        (0..10).map(|i| if i < count { p } else { 0.1 }).collect()
    }

    #[test]
    fn the_share_of_fake_samples_decides() {
        struct Case {
            values: Vec<f64>,
            thirty: Label,
            fifty: Label,
        }
        let cases = [
            Case { values: tenths(3, 0.9), thirty: Label::Real, fifty: Label::Real },
            Case { values: tenths(4, 0.9), thirty: Label::Fake, fifty: Label::Real },
            Case { values: tenths(5, 0.9), thirty: Label::Fake, fifty: Label::Real },
            Case { values: tenths(6, 0.9), thirty: Label::Fake, fifty: Label::Fake },
            Case { values: tenths(4, 0.5), thirty: Label::Uncertain, fifty: Label::Real },
            Case { values: tenths(6, 0.5), thirty: Label::Uncertain, fifty: Label::Uncertain },
            Case { values: tenths(0, 0.5), thirty: Label::Real, fifty: Label::Real },
            Case { values: vec![0.99, 0.99], thirty: Label::Uncertain, fifty: Label::Uncertain },
        ];
        for Case { values, thirty, fifty } in cases {
            assert_eq!(track(&values, FakeShare::THIRTY).label, thirty, "{values:?}");
            assert_eq!(track(&values, FakeShare::FIFTY).label, fifty, "{values:?}");
        }
    }

    #[test]
    fn confidence_is_that_of_the_samples_that_decided() {
        let fake = track(&tenths(4, 0.9), FakeShare::THIRTY);
        assert!((fake.confidence - 0.9).abs() < 1e-12 && (fake.fake_share - 0.4).abs() < 1e-12);
        assert!((fake.probability_fake - 0.42).abs() < 1e-12);
        let real = track(&tenths(3, 0.9), FakeShare::THIRTY);
        assert!((real.confidence - 0.9).abs() < 1e-12 && (real.real_share - 0.7).abs() < 1e-12);
        assert_eq!(track(&[0.5; 4], FakeShare::THIRTY).confidence, 0.5);
    }

    #[test]
    fn one_fake_person_makes_the_video_fake() {
        let (real, fake, unsure) = (
            track(&[0.1; 5], FakeShare::THIRTY),
            track(&[0.8; 5], FakeShare::THIRTY),
            track(&[0.5; 5], FakeShare::THIRTY),
        );
        let verdict = |people: &[TrackVerdict]| {
            let people: Vec<_> = (1..).zip(people.iter().copied()).collect();
            let verdict = VideoVerdict::of(&people);
            (verdict.label, verdict.decided_by)
        };
        assert_eq!(verdict(&[]), (VideoLabel::Undetermined, None));
        assert_eq!(verdict(&[real, real]).0, VideoLabel::Real);
        assert_eq!(verdict(&[real, unsure]), (VideoLabel::Uncertain, Some(2)));
        assert_eq!(verdict(&[real, fake, unsure]), (VideoLabel::Fake, Some(2)));
    }
}
