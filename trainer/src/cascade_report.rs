//! What a fitted cascade is worth on pictures that nothing was fitted on.

use crate::cascade::Selection;
use crate::dataset::Sample;
use crate::decider::Decider;
use crate::evaluate::{number, with_interval};
use crate::figure::{Axis, BLUE, Figure, INK, Mark, ORANGE, Panel, Series, TEAL};
use crate::files::{read_limited, write_json, write_whole};
use crate::metrics::{Metrics, Scored, auc, auc_interval, percentiles, sigmoid};
use crate::stacking::{Row, Stacked, Strategy, Table};
use anyhow::{Context, Result, bail};
use engine::frame::MAX_FILE_BYTES;
use engine::uncertainty::{Uncertainty, widened};
use engine::verdict::{MAX_LOG_ODDS, probability_fake};
use engine::{Detector, Error, Frame, Label, ProbabilityFake, Statistics, Thresholds};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Resamples behind an interval.
const RESAMPLES: usize = 2000;
/// Points of the curve.
const POINTS: usize = 20;
/// Share of the multiply-adds that is to be saved.
const WANTED_SAVING: f64 = 0.60;
/// AUC that this may cost.
const ALLOWED_LOSS: f64 = 0.01;

/// What was fitted on the validation split.
pub struct Fit {
    /// Where the filter's answer counts as sure.
    pub filter: Thresholds,
    /// The threshold that keeps leakage and filtration within their limits, if there is one.
    pub selection: Option<Selection>,
    /// Where the last word counts as sure.
    pub last: Thresholds,
    /// Who has it.
    pub decider: Decider,
    /// AUC of the first expert alone on the validation split, by what the meta-model was chosen by.
    pub expert_auc: Option<f64>,
    /// How the meta-model was chosen, whether it ships or not.
    pub stacked: Stacked,
    /// Of the stages before the meta-model.
    pub temperatures: Vec<f64>,
    /// Of the meta-model.
    pub meta_temperature: f64,
    /// How mild changes make an answer less sure.
    pub uncertainty: Uncertainty,
}

/// What is judged.
pub struct Sources<'a> {
    /// Names of the stages before the meta-model.
    pub names: &'a [String],
    /// Answers on the validation split.
    pub val: &'a Table,
    /// Answers on the test split.
    pub test: &'a Table,
    /// The test split.
    pub samples: &'a [Sample],
    /// What the control says of it.
    pub controls: &'a [Scored],
}

/// The report of `aware fit-cascade`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether the meta-model is a part of the bundle: it is left out where the only expert knows as much.
    pub has_meta_model: bool,
    /// Strategy that was chosen for it.
    pub strategy: Strategy,
    /// Number of trials behind the choice.
    pub trials: usize,
    /// AUC of the chosen meta-model out of fold on the validation split: of the best of all trials, so a little too high.
    pub val_auc_out_of_fold: f64,
    /// AUC of the first expert alone on the validation split, counted in the same way.
    pub val_auc_of_expert: Option<f64>,
    /// AUC of each stage alone on the validation split.
    pub val_stages: BTreeMap<String, Option<f64>>,
    /// Temperatures of the stages, the meta-model's last.
    pub temperatures: Vec<f64>,
    /// Where the filter answers alone.
    pub filter_thresholds: Thresholds,
    /// Whether a threshold has less than 5 % leakage and more than 30 % filtration on the validation split.
    pub leakage_selection: Option<Selection>,
    /// Where the last word counts as sure.
    pub last_thresholds: Thresholds,
    /// Share of the gain by value.
    pub importance: BTreeMap<String, f64>,
    /// Share of the gain by stage.
    pub contribution: BTreeMap<String, f64>,
    /// Each stage alone on the test split.
    pub stages: BTreeMap<String, Metrics>,
    /// Whoever has the last word, on every picture of the test split.
    pub all_stages: Metrics,
    /// What the cascade says of the test split.
    pub cascade: Metrics,
    /// AUC of cues that know nothing of faces, with its interval.
    pub trivial_cues: (Option<f64>, Option<[f64; 2]>),
    /// AUC of the cascade less that of all stages always, with its interval; sources drawn whole.
    pub cascade_difference: (Option<f64>, Option<[f64; 2]>),
    /// AUC of all stages less that of the best one alone on the validation split, with its interval.
    pub gain_over_best_stage: (Option<f64>, Option<[f64; 2]>),
    /// What the engine did with the test split.
    pub statistics: Statistics,
    /// Share of the multiply-adds that were not spent.
    pub saved: Option<f64>,
    /// Share of the test split that the filter answered alone.
    pub filtration: Option<f64>,
    /// Share of the test split that went further.
    pub escalation: Option<f64>,
    /// Share of the fakes that the filter alone called real.
    pub leakage: Option<f64>,
    /// Test pictures that the engine refused to judge.
    pub refused: u64,
    /// How savings and AUC change with the share that the filter answers alone.
    pub curve: Vec<CurvePoint>,
}

/// A cascade whose filter answers where it is at least so sure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Distance of P(fake) from 0.5 in log-odds from which the filter answers, chosen on the validation split.
    pub certainty: f64,
    /// Share that the filter answered alone.
    pub filtration: f64,
    /// Share of the fakes that it called real.
    pub leakage: f64,
    /// Share of the multiply-adds of all stages always that were not spent, views counted on this side alone.
    pub saved: f64,
    /// The same with views counted on neither side: what the routing saves.
    pub saved_by_routing: f64,
    /// AUC of what the cascade says.
    pub auc: f64,
    /// Less the AUC of all stages always.
    pub difference: f64,
    /// 2.5 percentile of the difference, sources drawn whole.
    pub difference_low: f64,
    /// 97.5 percentile.
    pub difference_high: f64,
}

/// Judges what was `fit` once on the test split, by `detector`, the bundle that was written, where the engine's own
/// decisions count.
///
/// # Errors
/// If a picture does not load.
pub fn judge(fit: &Fit, about: &Sources, detector: &mut Detector, seed: u64) -> Result<Report> {
    let (val, test) = (about.val, about.test);
    let stage = |table: &Table, index: usize| -> Vec<Scored> {
        let column = table.columns.iter().position(|column| column.stage == index).unwrap_or(0);
        let one = |row: &Row| Scored {
            score: probability_fake(row.values[column], fit.temperatures[index]),
            fake: row.is_fake(),
        };
        table.rows.iter().map(one).collect()
    };
    let names = about.names;
    let val_stages: BTreeMap<String, Option<f64>> =
        names.iter().enumerate().map(|(index, name)| (name.clone(), auc(&stage(val, index)))).collect();
    let best = (0..names.len()).max_by(|&a, &b| {
        let of = |index: usize| val_stages[&names[index]].unwrap_or(0.0);
        of(a).total_cmp(&of(b))
    });
    let (by_all, by_best) = (fit.decider.scored(test), stage(test, best.unwrap_or(0)));
    let (cascade, statistics) = by_engine(about, detector)?;
    let groups: Vec<&str> = test.rows.iter().map(|row| row.source.as_str()).collect();
    let importance = fit.stacked.ensemble.importance(val.columns.len());
    let mut contribution: BTreeMap<String, f64> = BTreeMap::new();
    for (column, share) in val.columns.iter().zip(&importance) {
        *contribution.entry(names[column.stage].clone()).or_default() += share;
    }
    let named = val.columns.iter().map(|column| column.name.clone()).zip(importance);
    let costs: Option<Vec<u64>> =
        detector.manifest().stages.iter().map(|stage| stage.multiply_adds).collect();
    let costs = costs.context("a network's cost is not known")?;
    let curve = Curve { fit, filter: (&stage(val, 0), &stage(test, 0)), all: &by_all, test, costs: &costs };
    Ok(Report {
        has_meta_model: fit.decider.is_meta(),
        strategy: fit.stacked.best.strategy,
        trials: fit.stacked.trials.len(),
        val_auc_out_of_fold: fit.stacked.best.auc,
        val_auc_of_expert: fit.expert_auc,
        val_stages,
        temperatures: fit.temperatures.iter().copied().chain([fit.meta_temperature]).collect(),
        filter_thresholds: fit.filter,
        leakage_selection: fit.selection.clone(),
        last_thresholds: fit.last,
        importance: named.filter(|(_, share)| *share > 0.0).collect(),
        contribution,
        stages: names
            .iter()
            .enumerate()
            .map(|(i, name)| (name.clone(), Metrics::of(&stage(test, i), seed)))
            .collect(),
        all_stages: Metrics::of(&by_all, seed),
        cascade: Metrics::of(&cascade, seed),
        trivial_cues: (auc(about.controls), auc_interval(about.controls, seed)),
        cascade_difference: difference(&cascade, &by_all, &groups, seed),
        gain_over_best_stage: difference(&by_all, &by_best, &groups, seed),
        saved: statistics.saved(),
        filtration: statistics.filtration(),
        escalation: statistics.escalation(),
        leakage: statistics.leakage(),
        refused: statistics.refused,
        statistics,
        curve: curve.points(&groups, seed)?,
    })
}

/// What the engine says of the test split, picture by picture; 0.5 for one that it refuses.
fn by_engine(about: &Sources, detector: &mut Detector) -> Result<(Vec<Scored>, Statistics)> {
    let clock = std::time::Instant::now();
    let now_ms = || clock.elapsed().as_secs_f64() * 1e3;
    let (mut scored, mut statistics) = (Vec::new(), Statistics::default());
    for sample in about.samples {
        let bytes = read_limited(&sample.image_path, MAX_FILE_BYTES as u64)?;
        let frame = Frame::from_encoded(&bytes).with_context(|| sample.name())?;
        let fake = sample.is_fake();
        let score = match detector.judge_frame(&frame, sample.crop(&frame)?, &now_ms) {
            Ok(report) => {
                statistics.note(&report, Some(if fake { Label::Fake } else { Label::Real }));
                report.verdict.probability_fake
            }
            Err(Error::NotApplicable { .. }) => {
                statistics.note_refused();
                0.5
            }
            Err(error) => bail!("{}: {error}", sample.name()),
        };
        scored.push(Scored { score, fake });
    }
    Ok((scored, statistics))
}

/// AUC of `a` less that of `b` on the same pictures, and its 95 % interval, `groups` drawn whole.
fn difference(a: &[Scored], b: &[Scored], groups: &[&str], seed: u64) -> (Option<f64>, Option<[f64; 2]>) {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    groups.iter().enumerate().for_each(|(index, group)| members.entry(group).or_default().push(index));
    let members: Vec<Vec<usize>> = members.into_values().collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draws = (0..RESAMPLES).filter_map(|_| {
        let drawn =
            (0..members.len()).flat_map(|_| members[rng.random_range(0..members.len())].iter().copied());
        let drawn: Vec<usize> = drawn.collect();
        let of = |scored: &[Scored]| auc(&drawn.iter().map(|&index| scored[index]).collect::<Vec<_>>());
        Some(of(a)? - of(b)?)
    });
    (auc(a).zip(auc(b)).map(|(a, b)| a - b), percentiles(draws.collect()))
}

/// What the curve is drawn from.
struct Curve<'a> {
    fit: &'a Fit,
    /// P(fake) of the filter on validation and test split.
    filter: (&'a [Scored], &'a [Scored]),
    /// P(fake) of the last word on the test split.
    all: &'a [Scored],
    test: &'a Table,
    /// Multiply-adds of each stage.
    costs: &'a [u64],
}

impl Curve<'_> {
    fn points(&self, groups: &[&str], seed: u64) -> Result<Vec<CurvePoint>> {
        let distance = |s: &Scored| ProbabilityFake::new(s.score).map_or(0.0, |p| p.log_odds().abs());
        let mut certainties: Vec<f64> = self.filter.0.iter().map(distance).collect();
        certainties.sort_by(|a, b| b.total_cmp(a));
        let at = |step: usize| match step {
            0 => MAX_LOG_ODDS,
            step => certainties[(certainties.len() * step / POINTS).saturating_sub(1)],
        };
        (0..=POINTS).map(|step| self.point(at(step), groups, seed)).collect()
    }

    /// The cascade whose filter answers at `certainty` and beyond, if the answer holds in all views, and where a crop is too small
    /// for the experts.
    fn point(&self, certainty: f64, groups: &[&str], seed: u64) -> Result<CurvePoint> {
        let end = sigmoid(certainty);
        let band = Thresholds { lower: 1.0 - end, upper: end };
        let count = self.test.rows.len() as f64;
        let (mut mixed, mut spent, mut routed) = (Vec::new(), 0.0, 0.0);
        let (mut filtered, mut leaked, mut fakes) = (0.0, 0.0, 0.0);
        let (first, others) = (self.costs[0] as f64, self.costs[1..].iter().sum::<u64>() as f64);
        for ((row, own), all) in self.test.rows.iter().zip(self.filter.1).zip(self.all) {
            let Some(p) = ProbabilityFake::new(own.score) else { bail!("{} is no probability", own.score) };
            // At 0.5 both ends meet, and whatever is there is answered.
            let sure = |band: Thresholds| p.value() >= band.upper || p.value() <= band.lower;
            let asks_views = sure(band);
            let is_sure = asks_views && sure(widened(band, self.fit.uncertainty.gain * row.uncertainty));
            let answers = is_sure || !self.fit.decider.is_asked(row);
            spent += first;
            spent += if asks_views { first * self.fit.uncertainty.views.len() as f64 } else { 0.0 };
            spent += if answers { 0.0 } else { others };
            routed += first + if answers { 0.0 } else { others };
            filtered += f64::from(u8::from(answers));
            fakes += f64::from(u8::from(own.fake));
            leaked += f64::from(u8::from(answers && own.fake && p.value() < 0.5));
            mixed.push(if answers { *own } else { *all });
        }
        let (difference, interval) = difference(&mixed, self.all, groups, seed);
        let [low, high] = interval.context("the test split has one class only")?;
        Ok(CurvePoint {
            certainty,
            filtration: filtered / count,
            leakage: if fakes > 0.0 { leaked / fakes } else { 0.0 },
            saved: 1.0 - spent / (count * (first + others)),
            saved_by_routing: 1.0 - routed / (count * (first + others)),
            auc: auc(&mixed).context("the test split has one class only")?,
            difference: difference.context("the test split has one class only")?,
            difference_low: low,
            difference_high: high,
        })
    }
}

impl Report {
    /// Writes report.json, curve.csv and curve.svg to `folder`.
    ///
    /// # Errors
    /// If one cannot be written whole.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join("report.json"), self)?;
        let mut csv = csv::Writer::from_writer(Vec::new());
        for point in &self.curve {
            csv.serialize(point)?;
        }
        write_whole(&folder.join("curve.csv"), &csv.into_inner().context("cannot finish the curve")?)?;
        write_whole(&folder.join("curve.svg"), self.figure().svg()?.as_bytes())
    }

    /// Multiply-adds saved against AUC.
    fn figure(&self) -> Figure {
        let series = |name: &str, colour, of: &dyn Fn(&CurvePoint) -> f64| Series {
            name: name.into(),
            colour,
            points: self.curve.iter().map(|point| (point.saved_by_routing, of(point))).collect(),
        };
        let values = self.curve.iter().flat_map(|point| [point.difference_low, point.difference_high]);
        let (low, high) =
            values.fold((-0.03_f64, 0.02_f64), |(low, high), value| (low.min(value), high.max(value)));
        let views = series("views counted", TEAL, &|point| point.difference);
        let counted = self.curve.iter().map(|point| (point.saved, point.difference)).collect();
        let views = Series { points: counted, ..views };
        let from = self.curve.iter().map(|point| point.saved).fold(0.0, f64::min);
        let line = |name: &str, points: Vec<(f64, f64)>| {
            Mark::Dashes(Series { name: name.into(), colour: INK, points })
        };
        let mut marks = vec![
            line(
                "goal: 60 % saved at 1 point",
                vec![(WANTED_SAVING, high), (WANTED_SAVING, -ALLOWED_LOSS), (1.0, -ALLOWED_LOSS)],
            ),
            Mark::Dashes(series("95 % interval", BLUE, &|point| point.difference_low)),
            Mark::Dashes(series("", BLUE, &|point| point.difference_high)),
            Mark::Line(series("cascade less all stages", BLUE, &|point| point.difference)),
            Mark::Line(views),
        ];
        if let (Some(saved), Some(difference)) = (self.saved, self.cascade_difference.0) {
            let points = vec![(saved, difference)];
            marks.push(Mark::Dots(Series { name: "the bundle's thresholds".into(), colour: ORANGE, points }));
        }
        Figure {
            title: "What the cascade saves and what it costs".into(),
            caption: vec![
                format!(
                    "Test split, {} real, {} fake; sources drawn whole",
                    self.cascade.real, self.cascade.fake
                ),
                format!(
                    "All stages: AUC {}",
                    with_interval(self.all_stages.auc, self.all_stages.auc_interval)
                ),
            ],
            panels: vec![Panel {
                x: Axis::new("share of the multiply-adds saved", from, 1.0),
                y: Axis::new("difference of AUC", low, high),
                marks,
            }],
        }
    }

    /// What goes into the bundle's manifest.
    pub fn summary(&self) -> serde_json::Value {
        let stages: BTreeMap<&str, Option<f64>> =
            self.stages.iter().map(|(name, metrics)| (name.as_str(), metrics.auc)).collect();
        serde_json::json!({
            "has_meta_model": self.has_meta_model,
            "strategy": self.strategy,
            "val_auc_out_of_fold": self.val_auc_out_of_fold,
            "test_auc_of_stages": stages,
            "test_auc_of_all_stages": self.all_stages.auc,
            "test_auc_of_trivial_cues": self.trivial_cues,
            "test_auc_difference_of_cascade": self.cascade_difference,
            "filtration": self.filtration,
            "escalation": self.escalation,
            "leakage": self.leakage,
            "multiply_adds_saved": self.saved,
        })
    }

    /// A page of text for people.
    pub fn text(&self) -> String {
        let line = |name: &str, metrics: &Metrics| {
            format!(
                "  {name:24} AUC {}, accuracy {:.3}, ECE {:.3}\n",
                with_interval(metrics.auc, metrics.auc_interval),
                metrics.accuracy,
                metrics.ece
            )
        };
        let mut text = format!(
            "meta-model: {:?}, best of {} trials, AUC {:.4} out of fold on the validation split, the first expert's {}\n{}",
            self.strategy,
            self.trials,
            self.val_auc_out_of_fold,
            number(self.val_auc_of_expert),
            if self.has_meta_model {
                ""
            } else {
                "it knows no more than the expert, which decides without it\n"
            }
        );
        text += &format!("test split, {} real, {} fake:\n", self.cascade.real, self.cascade.fake);
        text += &format!(
            "  {:24} AUC {}\n",
            "trivial cues",
            with_interval(self.trivial_cues.0, self.trivial_cues.1)
        );
        for (name, metrics) in &self.stages {
            text += &line(name, metrics);
        }
        text += &line("all stages always", &self.all_stages);
        text += &line("the cascade", &self.cascade);
        let of = |(value, interval): (Option<f64>, Option<[f64; 2]>)| with_interval(value, interval);
        text += &format!("  cascade less all stages  {}\n", of(self.cascade_difference));
        text += &format!("  all less the best stage  {}\n", of(self.gain_over_best_stage));
        let percent =
            |share: Option<f64>| share.map_or("-".into(), |share| format!("{:.1} %", share * 100.0));
        text += &format!(
            "filtration {}, escalation {}, leakage {}, multiply-adds saved {}\n",
            percent(self.filtration),
            percent(self.escalation),
            percent(self.leakage),
            percent(self.saved)
        );
        let parts: Vec<String> = self
            .contribution
            .iter()
            .map(|(name, share)| format!("{name} {}", number(Some(*share))))
            .collect();
        text += &format!("share of the gain: {}\n", parts.join(", "));
        text += &format!(
            "60 % of the multiply-adds saved at no more than 1 point of AUC: {} by the routing alone, {} with views counted\n",
            self.goal(|point| point.saved_by_routing),
            self.goal(|point| point.saved)
        );
        text
    }

    /// Whether the curve reaches the goal of savings, counted by `saved`.
    fn goal(&self, saved: fn(&CurvePoint) -> f64) -> &'static str {
        let meets = |point: &CurvePoint| saved(point) >= WANTED_SAVING && point.difference >= -ALLOWED_LOSS;
        if self.curve.iter().any(meets) { "met" } else { "missed" }
    }
}
