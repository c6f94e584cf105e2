//! The cascade driven on this processor: picture bytes -> [`Report`].

use crate::bundle::{Bundle, Manifest};
use crate::cascade::{Cascade, FILTER, Next};
use crate::crop::Crop;
use crate::error::Error;
use crate::faces::Faces;
use crate::frame::Frame;
use crate::manifest::{Loading, Role, Stage};
use crate::meta::{Given, features};
use crate::people::Gathering;
use crate::report::Report;
use crate::runtime::{ModelError, Session};
use crate::tensor::Tensor;
use crate::uncertainty::spread;
use crate::verdict::{Preset, ProbabilityFake};
use std::sync::Arc;

/// A loaded bundle, ready to judge pictures.
pub struct Detector {
    cascade: Arc<Cascade>,
    /// One for each stage; nothing where the file has not arrived.
    networks: Vec<Option<Session>>,
}

/// What every loaded stage says of a region, wherever a judgement would have stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Examination {
    /// One for each stage, in the order of the manifest; nothing where a stage, or one that it reads, is not loaded.
    pub stages: Vec<Option<(Given, ProbabilityFake)>>,
    /// The largest distance of a view's answer from the picture's, in log-odds; nothing without views.
    pub uncertainty: Option<f64>,
}

impl Detector {
    /// Loads the networks of `bundle`; a stage that is loaded lazily may be missing.
    ///
    /// # Errors
    /// [`Error::Model`] if the runtime refuses a network, [`Error::Manifest`] if a network's input or output
    /// is not what the manifest prepares or reads.
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
        let networks = manifest.stages.iter().map(|_| None).collect();
        let mut detector = Detector { cascade: Arc::new(Cascade::new(manifest)), networks };
        for (index, stage) in bundle.manifest().stages.iter().enumerate() {
            match bundle.content(&stage.file) {
                Some(onnx) => detector.install(index, onnx, &load)?,
                None if stage.loading == Loading::Lazy => {}
                None => {
                    return Err(Error::Manifest { detail: format!("stage {:?} has no file", stage.name) });
                }
            }
        }
        Ok(detector)
    }

    /// Takes the file of `stage`, an index into the manifest's stages, now that it has arrived.
    ///
    /// # Errors
    /// [`Error::ModelIntegrity`] if it is not the file that the manifest describes, and those of [`Detector::load`].
    pub fn take(&mut self, stage: usize, onnx: &[u8]) -> Result<(), Error> {
        let manifest = self.cascade.manifest();
        let name = manifest.stages.get(stage).map_or("", |stage| &stage.file);
        let entry = manifest.file(name);
        let unknown = || Error::Manifest { detail: format!("there is no stage {stage}") };
        entry.ok_or_else(unknown)?.check(onnx)?;
        self.install(stage, onnx, &Session::load)
    }

    fn install(
        &mut self,
        index: usize,
        onnx: &[u8],
        load: &impl Fn(&[u8]) -> Result<Session, ModelError>,
    ) -> Result<(), Error> {
        let manifest = self.cascade.manifest();
        let stage = &manifest.stages[index];
        let session = load(onnx).map_err(|source| Error::Model { file: stage.file.clone(), source })?;
        check_ends(stage, manifest.preprocess_of(stage).size as usize, &session)?;
        let multiply_adds = session.plan().multiply_adds();
        Arc::make_mut(&mut self.cascade).set_multiply_adds(index, multiply_adds);
        self.networks[index] = Some(session);
        Ok(())
    }

    /// What the loaded bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        self.cascade.manifest()
    }

    /// The routing, for whoever drives a judgement with networks of its own.
    pub fn cascade(&self) -> Arc<Cascade> {
        self.cascade.clone()
    }

    /// Whether the network of `stage` is loaded.
    pub fn has(&self, stage: usize) -> bool {
        self.networks.get(stage).is_some_and(Option::is_some)
    }

    /// Takes the thresholds of `preset` from now on.
    pub fn set_preset(&mut self, preset: Preset) {
        Arc::make_mut(&mut self.cascade).set_preset(preset);
    }

    /// Judges the picture in `bytes` (JPEG, PNG, WebP or GIF); `now_ms` is any clock in milliseconds.
    ///
    /// # Errors
    /// Those of [`Frame::from_encoded`] and of [`Detector::judge_frame`].
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
        let frame = Frame::from_encoded(bytes)?;
        let crop = crop_of(&frame);
        let mut report = self.judge_frame(&frame, crop, now_ms)?;
        report.set_times(now_ms() - started_ms);
        Ok(report)
    }

    /// Judges the picture in `bytes` by the faces that `find` sees in it; see [`Gathering`].
    ///
    /// # Errors
    /// Those of [`Detector::judge`], of `find` and of [`Gathering`].
    pub fn judge_faces<E: From<Error>>(
        &mut self,
        bytes: &[u8],
        find: &mut dyn FnMut(&Frame) -> Result<Faces, E>,
        now_ms: &dyn Fn() -> f64,
    ) -> Result<Report, E> {
        let started_ms = now_ms();
        let frame = Frame::from_encoded(bytes)?;
        let mut gathering = Gathering::new(&frame, find(&frame)?)?;
        while let Some(crop) = gathering.next() {
            gathering.supply(self.judge_frame(&frame, crop, now_ms))?;
        }
        let mut report = gathering.finish()?;
        report.set_times(now_ms() - started_ms);
        Ok(report)
    }

    /// Judges `crop` of `frame`.
    ///
    /// # Errors
    /// [`Error::NotApplicable`], [`Error::Numeric`] and [`Error::Stage`].
    pub fn judge_frame(
        &mut self,
        frame: &Frame,
        crop: Crop,
        now_ms: &dyn Fn() -> f64,
    ) -> Result<Report, Error> {
        let started_ms = now_ms();
        let cascade = self.cascade();
        let mut judgement = cascade.begin(frame, crop)?;
        loop {
            match judgement.next() {
                Next::Done(mut report) => {
                    report.set_times(now_ms() - started_ms);
                    return Ok(*report);
                }
                Next::Run { stage, .. } if !self.has(stage) => judgement.missing(stage)?,
                Next::Run { stage, input } => {
                    let run_ms = now_ms();
                    let outputs = self.run(stage, &input)?;
                    judgement.supply(stage, &outputs, now_ms() - run_ms, "cpu")?;
                }
            }
        }
    }

    /// Judges `pictures` one by one: as many results, in their order. A picture that fails spoils no other.
    pub fn judge_batch(
        &mut self,
        pictures: &[&[u8]],
        now_ms: &dyn Fn() -> f64,
    ) -> Vec<Result<Report, Error>> {
        pictures.iter().map(|bytes| self.judge(bytes, now_ms)).collect()
    }

    /// The filter's input `[1, 3, S, S]` that [`Detector::judge`] makes of the picture in `bytes`.
    ///
    /// # Errors
    /// Those of [`Frame::from_encoded`].
    pub fn input(&self, bytes: &[u8]) -> Result<Tensor, Error> {
        let frame = Frame::from_encoded(bytes)?;
        let manifest = self.manifest();
        Ok(self.cascade.input(&manifest.stages[FILTER], &frame, &Crop::centre_square(&frame)))
    }

    /// The filter's logit for an input `[1, 3, S, S]` made by [`crate::Preprocess::tensor`].
    ///
    /// # Errors
    /// [`Error::Numeric`] if it is not finite.
    pub fn logit(&mut self, input: &Tensor) -> Result<f32, Error> {
        let outputs = self.run(FILTER, input)?;
        Ok(Given::of_network(&self.manifest().stages[FILTER].name, &outputs)?.logit)
    }

    /// Every output of the network of `stage` for `input`.
    ///
    /// # Errors
    /// [`Error::Stage`] if it is not loaded, [`Error::Model`] if it takes another input.
    pub fn run(&mut self, stage: usize, input: &Tensor) -> Result<Vec<Tensor>, Error> {
        let description = self.cascade.manifest().stages.get(stage);
        let name = description.map_or("?", |stage| &stage.name);
        let file = description.map_or("?", |stage| &stage.file);
        let Some(session) = self.networks.get_mut(stage).and_then(Option::as_mut) else {
            return Err(Error::Stage { stage: name.into(), detail: "its network is not loaded".into() });
        };
        session.run_all(&[input]).map_err(|source| Error::Model { file: file.into(), source })
    }

    /// Runs every loaded stage on `crop` of `frame`, and the filter on every view, whatever they say.
    ///
    /// # Errors
    /// Those of [`Detector::judge_frame`] but [`Error::NotApplicable`].
    pub fn examine(&mut self, frame: &Frame, crop: &Crop) -> Result<Examination, Error> {
        let cascade = self.cascade();
        let mut stages: Vec<Option<(Given, ProbabilityFake)>> = Vec::new();
        for (index, stage) in cascade.manifest().stages.iter().enumerate() {
            let so_far: Option<Vec<&Given>> =
                stages.iter().map(|stage| stage.as_ref().map(|(given, _)| given)).collect();
            let input = match (stage.role, so_far) {
                (Role::Meta, Some(given)) => Some(features(given.into_iter())),
                (Role::Meta, None) => None,
                _ => Some(cascade.input(stage, frame, crop)),
            };
            let answer = match input.filter(|_| self.has(index)) {
                Some(input) => Some(answer(stage, &self.run(index, &input)?)?),
                None => None,
            };
            stages.push(answer);
        }
        let mut views = Vec::new();
        for &view in cascade.views() {
            let filter = &cascade.manifest().stages[FILTER];
            let outputs = self.run(FILTER, &cascade.view_input(filter, view, frame, crop))?;
            views.push(answer(filter, &outputs)?.1);
        }
        let main = stages[FILTER].as_ref().map(|(_, probability)| *probability);
        let uncertainty = main.filter(|_| !views.is_empty()).map(|main| spread(main, &views));
        Ok(Examination { stages, uncertainty })
    }
}

/// What the outputs of `stage` say.
fn answer(stage: &Stage, outputs: &[Tensor]) -> Result<(Given, ProbabilityFake), Error> {
    if stage.role == Role::Meta {
        return Given::of_meta(&stage.name, outputs);
    }
    let given = Given::of_network(&stage.name, outputs)?;
    let probability = ProbabilityFake::of_logit(given.logit, stage.temperature);
    Ok((given, probability))
}

/// Checks that the network of `stage` takes what is prepared for it and gives what is read.
fn check_ends(stage: &Stage, side: usize, session: &Session) -> Result<(), Error> {
    let refuse = |detail: String| Err(Error::Manifest { detail });
    let (file, plan) = (&stage.file, session.plan());
    let (input, output) = (session.input_shape(), session.output_shape());
    let outputs = plan.outputs.len();
    if plan.inputs.len() != 1 || outputs == 0 {
        return refuse(format!(
            "{file:?} has {} inputs and {outputs} outputs, expected one input",
            plan.inputs.len()
        ));
    }
    if stage.role == Role::Meta {
        if !matches!(input, [1, _]) || output != [1, 2] || outputs != 1 {
            return refuse(format!(
                "{file:?} takes {input:?} and gives {output:?}, expected [1, F] and [1, 2]"
            ));
        }
        return Ok(());
    }
    if input != [1, 3, side, side] {
        return refuse(format!(
            "preprocess.size {side} makes a [1, 3, {side}, {side}] input, but {file:?} takes {input:?}"
        ));
    }
    if output.iter().product::<usize>() != 1 {
        return refuse(format!("{file:?} gives {output:?}, expected one logit"));
    }
    Ok(())
}
