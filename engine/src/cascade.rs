//! The cascade: which network runs next, and who decides.
//!
//! 1. The filter looks at the picture. Where its P(fake) is at or beyond a threshold of its own, it looks at mild
//!    variants as well, and decides if the answer holds with thresholds that their spread has moved apart
//!    ([`crate::uncertainty`]).
//! 2. Else every expert looks, then the meta-model, which decides from all of it ([`crate::meta`]). Its answer passes the
//!    same test, by the filter's variants. An expert without a meta-model behind it decides itself, and looks at the
//!    variants itself.
//!    A crop without the detail that the experts were made for stays with the filter ([`Stage::min_side`]).
//! 3. A stage that is needed and missing leaves the answer uncertain, in a mode that the report names: no network is
//!    replaced by a guess.
//!
//! There is no I/O here, and no network: a [`Judgement`] says what to run next, and whoever drives it runs that wherever
//! and whenever it can: at once, on a GPU, or once a file has been fetched. [`crate::Detector`] drives it on this processor.

use crate::applicability;
use crate::crop::{Crop, CropSource};
use crate::error::Error;
use crate::frame::Frame;
use crate::manifest::{Manifest, Role, Stage};
use crate::meta::{Given, features};
use crate::report::{
    Cost, Mode, ModelIdentity, Notice, REPORT_SCHEMA_VERSION, Report, StageReport, ViewReport,
};
use crate::stability::View;
use crate::tensor::Tensor;
use crate::uncertainty::{spread, widened};
use crate::verdict::{Label, Preset, ProbabilityFake, Thresholds, Verdict};

/// Index of the filter among the stages.
pub const FILTER: usize = 0;

/// The routing that a manifest describes.
#[derive(Debug, Clone)]
pub struct Cascade {
    manifest: Manifest,
    preset: Preset,
}

/// What a judgement needs next.
#[derive(Debug)]
pub enum Next {
    /// A run of the network of `stage`, an index into the manifest's stages, on `input`: `[1, 3, S, S]`, or `[1, F]` for
    /// the meta-model. Answered by [`Judgement::supply`] or [`Judgement::missing`].
    Run {
        /// Index of the stage.
        stage: usize,
        /// What it reads.
        input: Tensor,
    },
    /// Nothing: this is the result, with its times still 0.
    Done(Box<Report>),
}

/// One region of a frame on its way to a verdict.
#[derive(Debug)]
pub struct Judgement<'a> {
    cascade: &'a Cascade,
    frame: &'a Frame,
    crop: Crop,
    step: Step,
    given: Vec<Given>,
    probabilities: Vec<ProbabilityFake>,
    reports: Vec<StageReport>,
    views: Vec<ViewReport>,
    /// The stage that looked at the views.
    viewer: Option<usize>,
    uncertainty: Option<f64>,
    /// Multiply-adds of all views so far.
    views_cost: u64,
    missing: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// The stage of this index runs.
    Stage(usize),
    /// The stage runs on the view of this index.
    View(usize, usize),
    /// The stage of this index decided, with these thresholds.
    Decided(usize, Thresholds),
}

impl Cascade {
    /// The cascade of a manifest that [`Manifest::parse`] has checked, with its own thresholds.
    pub fn new(manifest: Manifest) -> Self {
        Cascade { manifest, preset: Preset::Fitted }
    }

    /// What the bundle says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the thresholds come from.
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// Takes the thresholds of `preset` from now on.
    pub fn set_preset(&mut self, preset: Preset) {
        self.preset = preset;
    }

    /// Notes what a run of `stage` costs, where the manifest does not say.
    pub fn set_multiply_adds(&mut self, stage: usize, multiply_adds: u64) {
        if let Some(stage) = self.manifest.stages.get_mut(stage) {
            stage.multiply_adds.get_or_insert(multiply_adds);
        }
    }

    /// Begins to judge `crop` of `frame`.
    ///
    /// # Errors
    /// [`Error::NotApplicable`] if it cannot show a face.
    pub fn begin<'a>(&'a self, frame: &'a Frame, crop: Crop) -> Result<Judgement<'a>, Error> {
        applicability::check(frame, &crop)?;
        Ok(Judgement {
            cascade: self,
            frame,
            crop,
            step: Step::Stage(FILTER),
            given: Vec::new(),
            probabilities: Vec::new(),
            reports: Vec::new(),
            views: Vec::new(),
            viewer: None,
            uncertainty: None,
            views_cost: 0,
            missing: Vec::new(),
        })
    }

    /// The input `[1, 3, S, S]` of `stage`, which is no meta-model, for `crop` of `frame`.
    pub fn input(&self, stage: &Stage, frame: &Frame, crop: &Crop) -> Tensor {
        self.manifest.preprocess_of(stage).tensor(frame, crop)
    }

    /// The input `[1, 3, S, S]` of `stage`, which is no meta-model, for `view` of `crop` in `frame`.
    pub fn view_input(&self, stage: &Stage, view: View, frame: &Frame, crop: &Crop) -> Tensor {
        let preprocess = self.manifest.preprocess_of(stage);
        preprocess.normalise(&view.rgb(frame, crop, preprocess.size))
    }

    /// The views that an answer must hold in.
    pub fn views(&self) -> &[View] {
        self.manifest.uncertainty.as_ref().map_or(&[], |uncertainty| &uncertainty.views)
    }

    /// Whether an answer of `stage` can be the last one: the filter's, or that of whatever is behind all others.
    fn decides(&self, stage: usize) -> bool {
        stage == FILTER || stage + 1 == self.manifest.stages.len()
    }

    /// Whether `crop` is large enough for every expert.
    fn has_more_to_see(&self, crop: &Crop) -> bool {
        let side = crop.width().min(crop.height());
        self.manifest.stages.iter().all(|stage| stage.min_side.is_none_or(|least| side >= least))
    }

    fn thresholds(&self, stage: usize) -> Thresholds {
        self.preset.thresholds(self.manifest.thresholds_of(&self.manifest.stages[stage]))
    }
}

impl Judgement<'_> {
    /// What to do next; the same until it is answered.
    pub fn next(&self) -> Next {
        let (cascade, stages) = (self.cascade, &self.cascade.manifest.stages);
        match self.step {
            Step::Stage(stage) if stages[stage].role == Role::Meta => {
                Next::Run { stage, input: features(self.given.iter()) }
            }
            Step::Stage(stage) => {
                Next::Run { stage, input: cascade.input(&stages[stage], self.frame, &self.crop) }
            }
            Step::View(stage, index) => {
                let input =
                    cascade.view_input(&stages[stage], cascade.views()[index], self.frame, &self.crop);
                Next::Run { stage, input }
            }
            Step::Decided(stage, band) => Next::Done(Box::new(self.report(stage, band))),
        }
    }

    /// Takes the outputs of the run that [`Judgement::next`] asked for, all that the file of `stage` names.
    ///
    /// # Errors
    /// [`Error::Stage`] if another run was asked for or the outputs have another form, [`Error::Numeric`] if one is not
    /// finite. The judgement waits for the same run then.
    pub fn supply(
        &mut self,
        stage: usize,
        outputs: &[Tensor],
        latency_ms: f64,
        backend: &str,
    ) -> Result<(), Error> {
        self.expect(stage)?;
        let description = &self.cascade.manifest.stages[stage];
        let (given, probability) = if description.role == Role::Meta {
            Given::of_meta(&description.name, outputs)?
        } else {
            let given = Given::of_network(&description.name, outputs)?;
            let probability = ProbabilityFake::of_logit(given.logit, description.temperature);
            (given, probability)
        };
        if let Step::View(_, index) = self.step {
            if index == 0 {
                // Those that another stage looked at before made no answer.
                self.views.clear();
                (self.viewer, self.uncertainty) = (Some(stage), None);
            }
            self.views_cost = self.views_cost.saturating_add(description.multiply_adds.unwrap_or(0));
            self.views.push(ViewReport {
                view: self.cascade.views()[index],
                logit: given.logit,
                probability_fake: probability.value(),
                latency_ms,
            });
            self.viewed(stage, probability, index);
            return Ok(());
        }
        let entry = self.cascade.manifest.file(&description.file);
        self.reports.push(StageReport {
            name: description.name.clone(),
            role: description.role,
            logit: given.logit,
            probability_fake: probability.value(),
            thresholds: self.cascade.decides(stage).then(|| self.cascade.thresholds(stage)),
            latency_ms,
            backend: backend.into(),
            sha256: entry.map(|entry| entry.sha256.clone()).unwrap_or_default(),
        });
        self.given.push(given);
        self.probabilities.push(probability);
        self.step = if self.cascade.decides(stage) { self.decide(stage) } else { Step::Stage(stage + 1) };
        Ok(())
    }

    /// Says that the network of `stage`, which [`Judgement::next`] asked for, is not there.
    ///
    /// # Errors
    /// [`Error::Stage`] if another run was asked for, or if it is the filter: without it there is no answer.
    pub fn missing(&mut self, stage: usize) -> Result<(), Error> {
        self.expect(stage)?;
        let name = self.cascade.manifest.stages[stage].name.clone();
        if stage == FILTER {
            return Err(Error::Stage {
                stage: name,
                detail: "it is missing, and nothing decides without it".into(),
            });
        }
        self.missing.push(name);
        self.step = Step::Decided(FILTER, self.band(FILTER));
        Ok(())
    }

    fn expect(&self, stage: usize) -> Result<(), Error> {
        let asked = match self.step {
            Step::Stage(stage) => Some(stage),
            Step::View(stage, _) => Some(stage),
            Step::Decided(..) => None,
        };
        if asked == Some(stage) {
            return Ok(());
        }
        let name = self.cascade.manifest.stages.get(stage).map_or("?", |stage| &stage.name);
        Err(Error::Stage {
            stage: name.into(),
            detail: format!("stage {stage} answered, {asked:?} was asked"),
        })
    }

    /// Takes the answer of `stage` to the view of `index`.
    fn viewed(&mut self, stage: usize, probability: ProbabilityFake, index: usize) {
        let distance = spread(self.probabilities[stage], &[probability]);
        self.uncertainty = Some(self.uncertainty.map_or(distance, |so_far| so_far.max(distance)));
        self.step = if index + 1 < self.cascade.views().len() {
            Step::View(stage, index + 1)
        } else {
            // Views follow what can decide: whatever answered last.
            self.decide(self.probabilities.len() - 1)
        };
    }

    /// What follows from the answer of a stage that can decide.
    fn decide(&self, stage: usize) -> Step {
        let (label, band) = (self.label(stage), self.band(stage));
        let is_last = stage + 1 == self.cascade.manifest.stages.len();
        // A meta-model sees no picture: the filter looks for it.
        let viewer = if self.cascade.manifest.stages[stage].role == Role::Meta { FILTER } else { stage };
        if label != Label::Uncertain && self.viewer != Some(viewer) && !self.cascade.views().is_empty() {
            return Step::View(viewer, 0);
        }
        let is_sure = band.label(self.probabilities[stage]) != Label::Uncertain;
        if is_last || is_sure || !self.cascade.has_more_to_see(&self.crop) {
            return Step::Decided(stage, band);
        }
        Step::Stage(stage + 1)
    }

    /// What `stage` says without regard to uncertainty.
    fn label(&self, stage: usize) -> Label {
        self.cascade.thresholds(stage).label(self.probabilities[stage])
    }

    /// The thresholds of `stage`, moved apart by the uncertainty.
    fn band(&self, stage: usize) -> Thresholds {
        let gain = self.cascade.manifest.uncertainty.as_ref().map_or(0.0, |uncertainty| uncertainty.gain);
        widened(self.cascade.thresholds(stage), gain * self.uncertainty.unwrap_or(0.0))
    }

    fn report(&self, stage: usize, band: Thresholds) -> Report {
        let manifest = &self.cascade.manifest;
        let probability = self.probabilities[stage];
        let label = band.label(probability);
        Report {
            schema_version: REPORT_SCHEMA_VERSION.into(),
            engine_version: env!("CARGO_PKG_VERSION").into(),
            verdict: Verdict {
                label,
                probability_fake: probability.value(),
                decided_by: manifest.stages[stage].name.clone(),
            },
            picture_size: [self.frame.width(), self.frame.height()],
            crop: self.crop,
            faces: Vec::new(),
            stages: self.reports.clone(),
            views: self.views.clone(),
            uncertainty: self.uncertainty,
            thresholds: band,
            preset: self.cascade.preset,
            mode: if self.missing.is_empty() { Mode::Complete } else { Mode::Degraded },
            missing: self.missing.clone(),
            multiply_adds: self.cost(),
            prepare_ms: 0.0,
            total_ms: 0.0,
            notices: self.notices(label != self.label(stage)),
            model: ModelIdentity { name: manifest.name.clone(), version: manifest.version.clone() },
        }
    }

    fn cost(&self) -> Option<Cost> {
        let costs: Option<Vec<u64>> =
            self.cascade.manifest.stages.iter().map(|stage| stage.multiply_adds).collect();
        let costs = costs?;
        let sum = |costs: &[u64]| costs.iter().fold(0, |sum: u64, cost| sum.saturating_add(*cost));
        Some(Cost {
            spent: sum(&costs[..self.given.len()]).saturating_add(self.views_cost),
            all_stages: sum(&costs),
        })
    }

    fn notices(&self, is_unstable: bool) -> Vec<Notice> {
        let size = self.cascade.manifest.preprocess_of(&self.cascade.manifest.stages[FILTER]).size;
        let all = [
            (self.crop.source == CropSource::CentreSquare, Notice::NoFaceDetector),
            (self.crop.width().min(self.crop.height()) < size, Notice::SmallPicture),
            (self.frame.is_first_of_many(), Notice::FirstFrame),
            (is_unstable, Notice::Unstable),
            (!self.missing.is_empty(), Notice::StageMissing),
        ];
        all.into_iter().filter_map(|(holds, notice)| holds.then_some(notice)).collect()
    }
}
