//! The cascade: picture bytes -> [`Report`].

use crate::bundle::{Bundle, Manifest, Stage};
use crate::crop::{Crop, CropSource};
use crate::error::Error;
use crate::frame::Frame;
use crate::report::{ModelIdentity, Notice, REPORT_SCHEMA_VERSION, Report, StageReport};
use crate::runtime::{ModelError, Session};
use crate::tensor::Tensor;
use crate::verdict::{Verdict, probability_fake};

/// A loaded bundle, ready to judge pictures.
pub struct Detector {
    manifest: Manifest,
    stage: Stage,
    sha256: String,
    session: Session,
}

impl Detector {
    /// Loads the networks of `bundle`.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime refuses a network, [`Error::Manifest`] if the network's input
    /// is not what the manifest prepares.
    pub fn load(bundle: &Bundle) -> Result<Self, Error> {
        Self::load_with(bundle, Session::load)
    }

    /// As [`Detector::load`], with the fastest kernels for this machine; `now_ms` is any clock in milliseconds.
    ///
    /// # Errors
    /// Those of [`Detector::load`].
    pub fn load_fastest(bundle: &Bundle, now_ms: &dyn Fn() -> f64) -> Result<Self, Error> {
        Self::load_with(bundle, |onnx| Session::load_fastest(onnx, now_ms))
    }

    fn load_with(
        bundle: &Bundle,
        load: impl Fn(&[u8]) -> Result<Session, ModelError>,
    ) -> Result<Self, Error> {
        let manifest = bundle.manifest().clone();
        let stage = manifest.stages[0].clone();
        let missing = || Error::Manifest { detail: format!("stage {:?} has no file", stage.name) };
        let onnx = bundle.content(&stage.file).ok_or_else(missing)?;
        let sha256 = manifest.file(&stage.file).ok_or_else(missing)?.sha256.clone();
        let session = load(onnx).map_err(|source| Error::Model { file: stage.file.clone(), source })?;
        let side = manifest.preprocess.size as usize;
        if session.input_shape() != [1, 3, side, side] {
            let detail = format!(
                "preprocess.size {side} makes a [1, 3, {side}, {side}] input, but {:?} takes {:?}",
                stage.file,
                session.input_shape()
            );
            return Err(Error::Manifest { detail });
        }
        let ends = [session.plan().inputs.len(), session.plan().outputs.len()];
        if ends != [1, 1] {
            let detail = format!(
                "{:?} has {} inputs and {} outputs, expected one of each",
                stage.file, ends[0], ends[1]
            );
            return Err(Error::Manifest { detail });
        }
        if session.output_shape().iter().product::<usize>() != 1 {
            let detail = format!("{:?} gives {:?}, expected one logit", stage.file, session.output_shape());
            return Err(Error::Manifest { detail });
        }
        Ok(Detector { manifest, stage, sha256, session })
    }

    /// What the loaded bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Judges the picture in `bytes` (JPEG, PNG or WebP); `now_ms` is any clock in milliseconds.
    ///
    /// # Errors
    /// Those of [`Frame::from_encoded`], and [`Error::Numeric`].
    pub fn judge(&mut self, bytes: &[u8], now_ms: &dyn Fn() -> f64) -> Result<Report, Error> {
        self.judge_crop(bytes, &Crop::centre_square, now_ms)
    }

    /// As [`Detector::judge`], of the region that `crop_of` chooses in the decoded picture.
    ///
    /// # Errors
    /// As [`Detector::judge`].
    pub fn judge_crop(
        &mut self,
        bytes: &[u8],
        crop_of: &dyn Fn(&Frame) -> Crop,
        now_ms: &dyn Fn() -> f64,
    ) -> Result<Report, Error> {
        let started_ms = now_ms();
        let (frame, crop, input) = self.prepare(bytes, crop_of)?;
        let prepared_ms = now_ms();
        let logit = self.logit(&input)?;
        let finished_ms = now_ms();

        let probability_fake = probability_fake(logit, self.stage.temperature);
        let thresholds = self.manifest.thresholds;
        Ok(Report {
            schema_version: REPORT_SCHEMA_VERSION.into(),
            engine_version: env!("CARGO_PKG_VERSION").into(),
            verdict: Verdict {
                label: thresholds.label(probability_fake),
                probability_fake,
                decided_by: self.stage.name.clone(),
            },
            picture_size: [frame.width(), frame.height()],
            crop,
            stages: vec![StageReport {
                name: self.stage.name.clone(),
                logit,
                probability_fake,
                latency_ms: finished_ms - prepared_ms,
                backend: "cpu".into(),
                sha256: self.sha256.clone(),
            }],
            thresholds,
            prepare_ms: prepared_ms - started_ms,
            total_ms: finished_ms - started_ms,
            notices: self.notices(&crop),
            model: ModelIdentity { name: self.manifest.name.clone(), version: self.manifest.version.clone() },
        })
    }

    /// The network input `[1, 3, S, S]` that [`Detector::judge`] makes of the picture in `bytes`.
    ///
    /// # Errors
    /// Those of [`Frame::from_encoded`].
    pub fn input(&self, bytes: &[u8]) -> Result<Tensor, Error> {
        let (_, _, input) = self.prepare(bytes, &Crop::centre_square)?;
        Ok(input)
    }

    /// The network's output for an input `[1, 3, S, S]` made by [`crate::Preprocess::tensor`].
    ///
    /// # Errors
    /// [`Error::Numeric`] if it is not finite.
    pub fn logit(&mut self, input: &Tensor) -> Result<f32, Error> {
        let output = self
            .session
            .run(input)
            .map_err(|source| Error::Model { file: self.stage.file.clone(), source })?;
        let logit = output.values()[0];
        if logit.is_finite() { Ok(logit) } else { Err(Error::Numeric { stage: self.stage.name.clone() }) }
    }

    fn prepare(
        &self,
        bytes: &[u8],
        crop_of: &dyn Fn(&Frame) -> Crop,
    ) -> Result<(Frame, Crop, Tensor), Error> {
        let frame = Frame::from_encoded(bytes)?;
        let crop = crop_of(&frame);
        let input = self.manifest.preprocess.tensor(&frame, &crop);
        Ok((frame, crop, input))
    }

    fn notices(&self, crop: &Crop) -> Vec<Notice> {
        let mut notices = Vec::new();
        if crop.source == CropSource::CentreSquare {
            notices.push(Notice::NoFaceDetector);
        }
        if crop.width().min(crop.height()) < self.manifest.preprocess.size {
            notices.push(Notice::SmallPicture);
        }
        notices
    }
}
