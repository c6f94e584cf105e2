//! The benchmark, part after part; what is done when somebody asks to stop is kept.

use super::accuracy::{Verdicts, control, judge};
use super::figures::Comparison;
use super::mobile::{MobileConfig, simulate};
use super::plan::{Part, Plan};
use super::report::BenchReport;
use super::robustness::curves;
use super::speed::time;
use super::subject::Subject;
use crate::dataset::Sample;
use crate::faces::FaceFinder;
use crate::files::read_limited;
use crate::interrupt::Interrupt;
use crate::optimize::auc_loss;
use anyhow::{Context, Result};
use engine::frame::MAX_FILE_BYTES;
use engine::{Crop, Detector, Error, Frame, Report};
use indicatif::ProgressBar;
use std::time::Instant;

/// Pictures that are timed in turns, from bytes to verdict.
const TIMED_PICTURES: usize = 16;

/// Who watches a benchmark, and may stop it.
pub struct Observer<'a> {
    /// Whether somebody asked to stop.
    pub interrupt: &'a Interrupt,
    /// Where it stands.
    pub progress: &'a ProgressBar,
}

impl Observer<'_> {
    pub(super) fn is_stopped(&self) -> bool {
        self.interrupt.stop().is_some()
    }

    pub(super) fn begin(&self, what: &'static str, steps: usize) {
        self.progress.set_message(what);
        self.progress.set_length(steps as u64);
        self.progress.set_position(0);
    }

    pub(super) fn step(&self) {
        self.progress.inc(1);
    }
}

/// What finds the region of a picture.
pub(super) struct Eye {
    finder: Option<FaceFinder>,
}

impl Eye {
    /// The picture of `sample`, and the region that is judged: of the largest face where faces are looked for and one is
    /// found, else of the manifest, else the middle.
    pub fn look(&self, sample: &Sample) -> Result<(Frame, Crop)> {
        let frame = Frame::from_encoded(&read(sample)?).with_context(|| sample.name())?;
        let found = self.finder.as_ref().map(|finder| finder.crop(&frame)).transpose()?.flatten();
        let crop = found.map_or_else(|| sample.crop(&frame), Ok)?;
        Ok((frame, crop))
    }

    /// What `detector` says of `sample`, or why nothing.
    pub fn judge_sample(&self, detector: &mut Detector, sample: &Sample) -> Result<Result<Report, Error>> {
        self.judge_bytes(detector, sample, &read(sample)?)
    }

    /// As [`Eye::judge_sample`], with the bytes of its file.
    pub fn judge_bytes(
        &self,
        detector: &mut Detector,
        sample: &Sample,
        bytes: &[u8],
    ) -> Result<Result<Report, Error>> {
        let clock = Instant::now();
        let now_ms = || clock.elapsed().as_secs_f64() * 1e3;
        let Some(finder) = &self.finder else {
            let frame = match Frame::from_encoded(bytes) {
                Ok(frame) => frame,
                Err(error) => return Ok(Err(error)),
            };
            let crop = sample.crop(&frame)?;
            return Ok(detector.judge_frame(&frame, crop, &now_ms));
        };
        let judged = detector.judge_faces(bytes, &mut |frame: &Frame| finder.faces(frame), &now_ms);
        match judged {
            Ok(report) => Ok(Ok(report)),
            Err(error) => error.downcast::<Error>().map(Err),
        }
    }
}

fn read(sample: &Sample) -> Result<Vec<u8>> {
    read_limited(&sample.image_path, MAX_FILE_BYTES as u64)
}

/// Runs the parts of `plan`, and hands `keep` the report after each.
///
/// # Errors
/// If a bundle is not sound, the pictures lack a class, one does not load, a network fails, and those of `keep`.
pub fn bench(
    plan: &Plan,
    observer: &Observer,
    keep: &mut dyn FnMut(&BenchReport) -> Result<()>,
) -> Result<BenchReport> {
    let pictures = plan.read_pictures()?;
    plan.mobile.as_ref().map_or(Ok(()), MobileConfig::check)?;
    let folders = [Some(&plan.bundle), plan.original.as_ref()];
    let mut subjects =
        folders.into_iter().flatten().map(|folder| Subject::read(folder)).collect::<Result<Vec<_>>>()?;
    let eye = Eye { finder: plan.faces.as_ref().map(FaceFinder::load).transpose()? };
    let mut report = BenchReport::new(plan, &subjects, &pictures.judged);
    for part in Part::ALL.into_iter().filter(|part| plan.parts.contains(part)) {
        match part {
            Part::Accuracy => {
                observer.begin("accuracy", pictures.judged.len() * subjects.len());
                let mut all = Vec::new();
                for (subject, result) in subjects.iter_mut().zip(report.detailed_results.iter_mut()) {
                    let verdicts = judge(subject, &eye, &pictures.judged, observer)?;
                    result.accuracy = Some(verdicts.accuracy(&pictures.judged));
                    all.push(verdicts);
                }
                report.comparison = compare(&all, &pictures.judged)?;
                report.finish();
                keep(&report)?;
                if !observer.is_stopped()
                    && let Some(control) = control(&subjects[0], &pictures.learned, &pictures.judged)?
                {
                    let results = report.detailed_results.iter_mut();
                    results
                        .filter_map(|result| result.accuracy.as_mut())
                        .for_each(|accuracy| accuracy.note_control(&pictures.judged, &control));
                }
            }
            Part::Speed => {
                let step = pictures.judged.len().div_ceil(TIMED_PICTURES);
                let timed = pictures.judged.iter().step_by(step);
                let encoded =
                    timed.map(|sample| Ok((sample.clone(), read(sample)?))).collect::<Result<Vec<_>>>()?;
                let mut timed: Vec<&mut Subject> = subjects.iter_mut().collect();
                let whole = time(&mut timed, &eye, &encoded, (&plan.config, observer))?;
                for ((subject, result), whole) in
                    subjects.iter().zip(report.detailed_results.iter_mut()).zip(whole)
                {
                    result.stages = subject.stages.clone();
                    result.end_to_end = whole;
                }
            }
            Part::Robustness => {
                observer.begin("robustness", pictures.judged.len());
                let all = curves(&subjects, &eye, &pictures.judged, observer)?;
                for (result, curves) in report.detailed_results.iter_mut().zip(all.into_iter().flatten()) {
                    result.robustness = curves;
                }
            }
            Part::Mobile => {
                let config = plan.mobile.as_ref().context("nobody said how a phone is simulated")?;
                let first = report.subject().context("there is no bundle")?;
                let network = first.stages.first().context("the bundle has no network")?.sha256.clone();
                let size_mb = first.performance.model_size_mb;
                simulate((config, &network), size_mb, observer, &mut |mobile| {
                    report.mobile_compatibility = Some(mobile.clone());
                    report.finish();
                    keep(&report)
                })?;
            }
        }
        report.stopped = observer.is_stopped();
        if !report.stopped {
            report.parts.push(part);
        }
        report.finish();
        keep(&report)?;
        if report.stopped {
            break;
        }
    }
    observer.progress.finish_and_clear();
    Ok(report)
}

/// What the first loses against the second, if there are two that judged the same pictures of both classes.
fn compare(all: &[Verdicts], samples: &[Sample]) -> Result<Option<Comparison>> {
    let [optimized, original] = all else { return Ok(None) };
    let count = optimized.scored.len().min(original.scored.len());
    let fakes = optimized.scored[..count].iter().filter(|scored| scored.fake).count();
    if fakes == 0 || fakes == count {
        return Ok(None);
    }
    let loss = auc_loss(&samples[..count], &original.scored[..count], &optimized.scored[..count])?;
    Ok(Some(Comparison::of(loss)))
}
