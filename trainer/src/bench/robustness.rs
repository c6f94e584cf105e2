//! What verdicts are worth on changed pictures: AUC over the strength of a change.
//!
//! The judged square is cut out first, and made smaller where it has more than [`MAX_SIDE`] pixels a side, so that a strength
//! means the same for every picture. Noise comes from the picture's place in the split: the same in every run.

use super::accuracy::{SEED, UNKNOWN};
use super::figures::{Curve, CurvePoint};
use super::run::{Eye, Observer};
use super::subject::Subject;
use crate::dataset::Sample;
use crate::metrics::{Scored, auc, auc_interval};
use crate::raster::Raster;
use anyhow::{Context, Result, bail};
use engine::preprocess::{resize, resize_square};
use engine::{Crop, Detector, Error, Frame};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Longest side of a square that is changed, in pixels.
pub const MAX_SIDE: u32 = 256;
/// Side of the square that deviations of blurs are given for, in pixels.
const BLUR_SIDE: f32 = 256.0;

/// A change of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// JPEG of a quality.
    Jpeg,
    /// Sides times a factor.
    Resize,
    /// Gaussian of a deviation, in pixels of a square of 256.
    Blur,
    /// Normal noise of a deviation, of 255.
    Noise,
    /// Values times a factor.
    Brightness,
    /// The middle part of a share of the side.
    Crop,
}

impl Change {
    /// Every change.
    pub const ALL: [Change; 6] =
        [Change::Jpeg, Change::Resize, Change::Blur, Change::Noise, Change::Brightness, Change::Crop];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Change::Jpeg => "jpeg",
            Change::Resize => "resize",
            Change::Blur => "blur",
            Change::Noise => "noise",
            Change::Brightness => "brightness",
            Change::Crop => "crop",
        }
    }

    /// What its strength is.
    pub fn unit(self) -> &'static str {
        match self {
            Change::Jpeg => "quality",
            Change::Resize => "factor of the sides",
            Change::Blur => "deviation in pixels of 256",
            Change::Noise => "deviation of 255",
            Change::Brightness => "factor",
            Change::Crop => "share of the side",
        }
    }

    /// The strengths that are tried.
    pub fn strengths(self) -> &'static [f64] {
        match self {
            Change::Jpeg => &[95.0, 80.0, 65.0, 50.0, 40.0, 30.0],
            Change::Resize => &[0.75, 0.5, 0.35, 0.25],
            Change::Blur => &[0.5, 1.0, 2.0, 4.0],
            Change::Noise => &[2.0, 5.0, 10.0, 20.0],
            Change::Brightness => &[0.5, 0.75, 1.25, 1.5],
            Change::Crop => &[0.9, 0.8, 0.7, 0.6],
        }
    }

    /// The square `picture`, changed; `seed` draws noise.
    ///
    /// # Errors
    /// If it does not encode.
    pub fn apply(self, picture: &Frame, strength: f64, seed: u64) -> Result<Frame> {
        let side = picture.width();
        let scaled = |factor: f64| ((f64::from(side) * factor).round() as u32).max(1);
        let raster = || Raster::from_rgb(picture.rgb(), side as usize);
        let square = |raster: Raster| Frame::from_rgb(side, side, raster.to_rgb());
        Ok(match self {
            Change::Jpeg => return recompressed(picture, strength as u8),
            Change::Resize => {
                let small = scaled(strength);
                Frame::from_rgb(small, small, resize(picture, &Crop::centre_square(picture), [small; 2]))
            }
            Change::Blur => square(raster().blurred(strength as f32 * side as f32 / BLUR_SIDE)),
            Change::Noise => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut noisy = raster();
                for value in &mut noisy.values {
                    let drawn: f32 = StandardNormal.sample(&mut rng);
                    *value += drawn * strength as f32;
                }
                square(noisy)
            }
            Change::Brightness => {
                let mut brighter = raster();
                brighter.values.iter_mut().for_each(|value| *value *= strength as f32);
                square(brighter)
            }
            Change::Crop => {
                let inner = scaled(strength);
                let margin = (side - inner) / 2;
                let middle = Crop { x: margin, y: margin, side: inner, ..Crop::centre_square(picture) };
                Frame::from_rgb(inner, inner, resize_square(picture, &middle, inner))
            }
        })
    }
}

fn recompressed(picture: &Frame, quality: u8) -> Result<Frame> {
    let mut jpeg = Vec::new();
    let [width, height] = [picture.width(), picture.height()].map(|side| side as u16);
    jpeg_encoder::Encoder::new(&mut jpeg, quality)
        .encode(picture.rgb(), width, height, jpeg_encoder::ColorType::Rgb)
        .context("cannot encode a picture as JPEG")?;
    Ok(Frame::from_encoded(&jpeg)?)
}

/// A picture as it is, or changed by so much.
type Variant = Option<(Change, f64)>;

/// Curves of each of `subjects`, by all threads; nothing if somebody asked to stop meanwhile.
///
/// # Errors
/// If a picture does not load, or a network fails.
pub(super) fn curves(
    subjects: &[Subject],
    eye: &Eye,
    samples: &[Sample],
    observer: &Observer,
) -> Result<Option<Vec<Vec<Curve>>>> {
    let all = Change::ALL.into_iter();
    let changed = all.flat_map(|change| change.strengths().iter().map(move |&s| Some((change, s))));
    let variants: Vec<Variant> = std::iter::once(None).chain(changed).collect();
    let judge = Judge { subjects, eye, variants: &variants, idle: Mutex::default() };
    let one = |(index, sample): (usize, &Sample)| {
        if observer.is_stopped() {
            return Ok(None);
        }
        let scores = judge.scores(sample, index as u64).with_context(|| sample.name())?;
        observer.step();
        Ok(Some(scores))
    };
    let scores = samples.par_iter().enumerate().map(one).collect::<Result<Option<Vec<_>>>>()?;
    let Some(scores) = scores else { return Ok(None) };
    let point = |subject: usize, variant: usize| {
        let scored = scores
            .iter()
            .zip(samples)
            .map(|(scores, sample)| Scored { score: scores[variant][subject], fake: sample.is_fake() });
        let scored: Vec<Scored> = scored.collect();
        let strength = variants[variant].map_or(0.0, |(_, strength)| strength);
        CurvePoint { strength, auc: auc(&scored), auc_interval: auc_interval(&scored, SEED) }
    };
    let curve = |subject: usize, change: Change| Curve {
        change: change.name().into(),
        unit: change.unit().into(),
        unchanged: point(subject, 0),
        points: (0..variants.len())
            .filter(|&variant| variants[variant].is_some_and(|(own, _)| own == change))
            .map(|variant| point(subject, variant))
            .collect(),
    };
    let of = |subject: usize| Change::ALL.into_iter().map(|change| curve(subject, change)).collect();
    Ok(Some((0..subjects.len()).map(of).collect()))
}

struct Judge<'a> {
    subjects: &'a [Subject],
    eye: &'a Eye,
    variants: &'a [Variant],
    /// Detectors of all subjects, each set for one thread.
    idle: Mutex<Vec<Vec<Detector>>>,
}

impl Judge<'_> {
    /// P(fake) of `sample`, `[variants][subjects]`.
    fn scores(&self, sample: &Sample, seed: u64) -> Result<Vec<Vec<f64>>> {
        let (frame, crop) = self.eye.look(sample)?;
        let side = crop.width().max(crop.height()).min(MAX_SIDE);
        let square = Frame::from_rgb(side, side, resize_square(&frame, &crop, side));
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut detectors = match taken {
            Some(detectors) => detectors,
            None => {
                let load = |subject: &Subject| Detector::load(&subject.bundle);
                self.subjects.iter().map(load).collect::<Result<Vec<_>, _>>()?
            }
        };
        let mut of = |variant: &Variant| {
            let picture = match variant {
                Some((change, strength)) => &change.apply(&square, *strength, seed)?,
                None => &square,
            };
            detectors.iter_mut().map(|detector| score(detector, picture)).collect::<Result<Vec<_>>>()
        };
        let scores = self.variants.iter().map(&mut of).collect::<Result<Vec<_>>>()?;
        idle().push(detectors);
        Ok(scores)
    }
}

fn score(detector: &mut Detector, picture: &Frame) -> Result<f64> {
    match detector.judge_frame(picture, Crop::centre_square(picture), &|| 0.0) {
        Ok(report) => Ok(report.verdict.probability_fake),
        Err(Error::NotApplicable { .. }) => Ok(UNKNOWN),
        Err(error) => bail!(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::pattern::{Pattern, PatternKind};

    #[test]
    fn each_change_changes_more_the_stronger_it_is_and_the_same_every_time() -> Result<()> {
        let picture = Pattern { kind: PatternKind::Noise, width: 256, height: 256, seed: 3 }.frame()?;
        for change in [Change::Jpeg, Change::Blur, Change::Noise] {
            let distance = |strength: f64| -> Result<u64> {
                let changed = change.apply(&picture, strength, 1)?;
                assert_eq!(changed, change.apply(&picture, strength, 1)?, "{change:?}");
                Ok(picture.rgb().iter().zip(changed.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum())
            };
            let (first, last) = (change.strengths()[0], change.strengths()[change.strengths().len() - 1]);
            assert!(0 < distance(first)? && distance(first)? < distance(last)?, "{change:?}");
        }
        let sides = |change: Change, strength: f64| change.apply(&picture, strength, 1).map(|f| f.width());
        assert_eq!((sides(Change::Resize, 0.25)?, sides(Change::Crop, 0.5)?), (64, 128));
        let dark = Change::Brightness.apply(&picture, 0.5, 1)?;
        assert!(dark.rgb().iter().zip(picture.rgb()).all(|(dark, own)| dark.abs_diff(own / 2) <= 1));
        Ok(())
    }
}
