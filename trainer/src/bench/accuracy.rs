//! What the whole cascade says of a labelled split, what that is worth, and what it cost.

use super::figures::{Accuracy, CascadeFigures, SetFigures};
use super::run::{Eye, Observer};
use super::subject::Subject;
use crate::dataset::Sample;
use crate::judgement::Judgement;
use crate::loader::Loader;
use crate::metrics::{Metrics, Scored, auc, auc_interval};
use crate::trivial::Control;
use anyhow::{Result, bail};
use engine::{Error, Label, Report, Statistics};
use std::collections::BTreeMap;

/// Seed of every bootstrap here.
pub(super) const SEED: u64 = 1;
/// P(fake) of a picture that the engine refuses to judge.
pub(super) const UNKNOWN: f64 = 0.5;

/// Verdicts on the first pictures of a split, all of them unless somebody asked to stop.
pub(super) struct Verdicts {
    /// P(fake) of each.
    pub scored: Vec<Scored>,
    /// What was counted.
    pub statistics: Statistics,
    /// Time in networks, views included, of each that was judged, in milliseconds.
    network_ms: Vec<f64>,
    /// Runs of the filter on views of them.
    views: u64,
}

/// Judges `samples` one after the other on one thread, so that their times count.
///
/// # Errors
/// If a picture does not load, or a network fails.
pub(super) fn judge(
    subject: &mut Subject,
    eye: &Eye,
    samples: &[Sample],
    observer: &Observer,
) -> Result<Verdicts> {
    let mut verdicts =
        Verdicts { scored: Vec::new(), statistics: Statistics::default(), network_ms: Vec::new(), views: 0 };
    for sample in samples {
        if observer.is_stopped() {
            break;
        }
        let fake = sample.is_fake();
        let score = match eye.judge_sample(&mut subject.detector, sample)? {
            Ok(report) => {
                verdicts.note(&report, fake);
                report.verdict.probability_fake
            }
            Err(Error::NotApplicable { .. }) => {
                verdicts.statistics.note_refused();
                UNKNOWN
            }
            Err(error) => bail!("{}: {error}", sample.name()),
        };
        verdicts.scored.push(Scored { score, fake });
        observer.step();
    }
    Ok(verdicts)
}

impl Verdicts {
    fn note(&mut self, report: &Report, fake: bool) {
        self.statistics.note(report, Some(if fake { Label::Fake } else { Label::Real }));
        let stages = report.stages.iter().map(|stage| stage.latency_ms);
        self.network_ms.push(stages.chain(report.views.iter().map(|view| view.latency_ms)).sum());
        self.views += report.views.len() as u64;
    }

    /// The figures, set by set and over "all".
    pub fn accuracy(&self, samples: &[Sample]) -> Accuracy {
        let samples = &samples[..self.scored.len()];
        let statistics = &self.statistics;
        let share = |part: u64| (statistics.judged > 0).then(|| part as f64 / statistics.judged as f64);
        let network_ms = self.network_ms.iter().sum::<f64>();
        let sets = by_set(samples).into_iter().map(|(name, indices)| {
            let scored: Vec<Scored> = indices.into_iter().map(|index| self.scored[index]).collect();
            (name, SetFigures::of(&scored))
        });
        Accuracy {
            sets: sets.collect(),
            cascade: CascadeFigures {
                judged: statistics.judged,
                refused: statistics.refused,
                uncertain: share(statistics.labels.uncertain),
                filtration: statistics.filtration(),
                escalation: statistics.escalation(),
                leakage: statistics.leakage(),
                multiply_adds_spent: share_of(statistics.multiply_adds_spent, statistics.judged),
                multiply_adds_all_stages: share_of(statistics.multiply_adds_all_stages, statistics.judged),
                multiply_adds_saved: statistics.saved(),
                views_a_picture: share(self.views),
                measured_ms: (statistics.judged > 0).then(|| network_ms / statistics.judged as f64),
                predicted_ms: None,
                predicted_with_views_ms: None,
            },
        }
    }
}

fn share_of(sum: u128, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

/// Indices into `samples` by data set, and of "all".
fn by_set(samples: &[Sample]) -> BTreeMap<String, Vec<usize>> {
    let mut sets: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, sample) in samples.iter().enumerate() {
        sets.entry(sample.dataset.clone()).or_default().push(index);
    }
    // Last, so that a data set that calls itself so does not hide the whole.
    sets.insert("all".into(), (0..samples.len()).collect());
    sets
}

/// The control's P(fake) of `judged`, learned from `learned`; nothing if that lacks a class.
///
/// # Errors
/// If a picture does not load.
pub(super) fn control(
    subject: &Subject,
    learned: &[Sample],
    judged: &[Sample],
) -> Result<Option<Vec<Scored>>> {
    let fakes = learned.iter().filter(|sample| sample.is_fake()).count();
    if fakes == 0 || fakes == learned.len() {
        return Ok(None);
    }
    let loader =
        |samples: &[Sample]| Loader::new(samples.to_vec(), subject.detector.manifest().preprocess.clone());
    Ok(Some(Control::fit(&loader(learned))?.scores(&loader(judged))?))
}

impl Accuracy {
    /// The same with what the control is worth on the same pictures.
    pub(super) fn note_control(&mut self, samples: &[Sample], control: &[Scored]) {
        for (name, indices) in by_set(samples) {
            let scored: Vec<Scored> = indices.into_iter().map(|index| control[index]).collect();
            if let Some(set) = self.sets.get_mut(&name) {
                set.trivial_cues_auc = auc(&scored);
                set.trivial_cues_auc_interval = auc_interval(&scored, SEED);
            }
        }
    }
}

impl SetFigures {
    fn of(scored: &[Scored]) -> Self {
        let judgement = Judgement::of(scored);
        SetFigures {
            metrics: Metrics::of(scored, SEED),
            brier: judgement.brier,
            equal_error_rate: judgement.equal_error_rate,
            trivial_cues_auc: None,
            trivial_cues_auc_interval: None,
        }
    }
}
