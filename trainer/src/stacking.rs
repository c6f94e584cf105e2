//! The meta-model: trees on what the stages gave, chosen and judged out of fold.
//!
//! Stages are frozen and have not learned from the pictures here, so that one table of their answers serves all folds, and
//! what the trees learn holds for the networks that ship. Folds keep the pictures of one source together.

use crate::boosting::{BoostingConfig, Ensemble};
use crate::judged_by::JudgedBy;
use crate::metrics::Scored;
use anyhow::{Context, Result, ensure};
use nalgebra::DMatrix;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Weight of the first expert's values in [`Strategy::Weighted`]; the second one's is the rest.
const FIRST_WEIGHT: f64 = 0.6;

/// What the stages gave of some pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// One for each value, in the order in which the engine gives them to the meta-model.
    pub columns: Vec<Column>,
    /// One for each picture.
    pub rows: Vec<Row>,
}

/// A value that a stage gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Index of the stage: 0 is the filter.
    pub stage: usize,
    /// Name of stage and value.
    pub name: String,
}

/// What the stages gave of one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The picture.
    pub path: String,
    /// 0 real, 1 fake.
    pub label: u8,
    /// Name of the data set.
    pub dataset: String,
    /// Pictures of one source stay in one fold.
    pub source: String,
    /// One for each column.
    pub values: Vec<f32>,
    /// How far the views move the filter's answer, in log-odds.
    pub uncertainty: f64,
    /// The smaller side of what was judged, in pixels.
    pub side: u32,
}

impl Table {
    /// The set of each row.
    pub fn sets(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row.dataset.as_str()).collect()
    }
}

impl Row {
    /// Whether the picture is a fake.
    pub fn is_fake(&self) -> bool {
        self.label == 1
    }
}

/// Which values the trees see, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Those of the first expert.
    FirstExpert,
    /// Those of the second expert.
    SecondExpert,
    /// All of them.
    Concatenated,
    /// All, those of the first expert times 0.6 and of the second times 0.4. Trees compare, and do not care.
    Weighted,
    /// All, standardised by what the fold taught. Trees do not care here either, but for how numbers are rounded.
    Normalised,
    /// The half with the largest variance for its size, of each stage.
    TopVariance,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Strategy; 6] = [
        Strategy::FirstExpert,
        Strategy::SecondExpert,
        Strategy::Concatenated,
        Strategy::Weighted,
        Strategy::Normalised,
        Strategy::TopVariance,
    ];

    /// The view of `table` that this strategy takes, fitted on the rows of `learned`; nothing if its stage is not there.
    fn view(self, table: &Table, learned: &[usize]) -> Option<View> {
        let of = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (0..table.columns.len()).filter(|&c| wanted(table.columns[c].stage)).collect()
        };
        let all = || of(&|_| true);
        let mut columns = match self {
            Strategy::FirstExpert => of(&|stage| stage == 1),
            Strategy::SecondExpert => of(&|stage| stage == 2),
            Strategy::TopVariance => top_variance(table, learned),
            _ => all(),
        };
        // What never changes has nothing to say.
        columns.retain(|&c| moments(table, learned, c).1 > 0.0);
        let scale = |c: usize| match (self, table.columns[c].stage) {
            (Strategy::Weighted, 1) => (0.0, FIRST_WEIGHT),
            (Strategy::Weighted, 2) => (0.0, 1.0 - FIRST_WEIGHT),
            (Strategy::Normalised, _) => {
                let (mean, deviation) = moments(table, learned, c);
                (mean, if deviation > 0.0 { 1.0 / deviation } else { 1.0 })
            }
            _ => (0.0, 1.0),
        };
        let scales = columns.iter().map(|&c| scale(c)).collect();
        (!columns.is_empty()).then_some(View { columns, scales })
    }
}

/// Columns in the order in which trees see them, each less an offset, times a positive factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct View {
    columns: Vec<usize>,
    scales: Vec<(f64, f64)>,
}

impl View {
    fn value(&self, index: usize, raw: f32) -> f64 {
        let (offset, factor) = self.scales[index];
        (f64::from(raw) - offset) * factor
    }

    /// `[N, columns]` of `rows`.
    fn matrix(&self, table: &Table, rows: &[usize]) -> DMatrix<f64> {
        DMatrix::from_fn(rows.len(), self.columns.len(), |r, c| {
            self.value(c, table.rows[rows[r]].values[self.columns[c]])
        })
    }

    /// Trees that ask the same questions of plain rows of the table.
    fn served(&self, ensemble: Ensemble) -> Ensemble {
        ensemble.mapped(|index, value| (self.columns[index], self.raw(index, value)))
    }

    /// The smallest 32-bit number whose scaled value is not below `value`.
    fn raw(&self, index: usize, value: f64) -> f64 {
        let (offset, factor) = self.scales[index];
        let mut raw = (value / factor + offset) as f32;
        while self.value(index, raw) < value {
            raw = raw.next_up();
        }
        while self.value(index, raw.next_down()) >= value {
            raw = raw.next_down();
        }
        f64::from(raw)
    }
}

fn moments(table: &Table, rows: &[usize], column: usize) -> (f64, f64) {
    let values = || rows.iter().map(|&r| f64::from(table.rows[r].values[column]));
    let count = rows.len().max(1) as f64;
    let mean = values().sum::<f64>() / count;
    (mean, (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt())
}

/// The half of each stage's columns with the largest variance, at least one, in the table's order.
fn top_variance(table: &Table, learned: &[usize]) -> Vec<usize> {
    let mut stages: BTreeMap<usize, Vec<(f64, usize)>> = BTreeMap::new();
    for (c, column) in table.columns.iter().enumerate() {
        stages.entry(column.stage).or_default().push((moments(table, learned, c).1, c));
    }
    let mut kept = Vec::new();
    for mut columns in stages.into_values() {
        columns.sort_by(|a, b| b.0.total_cmp(&a.0));
        let half = columns.len().div_ceil(2);
        kept.extend(columns[..half].iter().map(|(_, c)| *c));
    }
    kept.sort_unstable();
    kept
}

/// How long to look, and how.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// Number of folds.
    pub folds: usize,
    /// Kinds of trees that are tried for each strategy.
    pub trials: usize,
    /// How they are chosen.
    pub search: Search,
    /// Draws folds, kinds of trees and rows.
    pub seed: u64,
    /// What the best one is best at.
    pub judged_by: JudgedBy,
}

/// How kinds of trees are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// Drawn at random.
    Random,
    /// The first ones of a fixed grid.
    Grid,
}

impl Default for SearchConfig {
    fn default() -> Self {
        SearchConfig { folds: 5, trials: 40, search: Search::Random, seed: 1, judged_by: JudgedBy::Sets }
    }
}

impl SearchConfig {
    /// A search that ends in seconds and shows that all works, not what it can do.
    pub fn quick() -> Self {
        SearchConfig { folds: 3, trials: 4, ..SearchConfig::default() }
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// Naming the field.
    pub fn check(&self) -> Result<()> {
        ensure!((2..=20).contains(&self.folds), "folds is {}, expected 2 to 20", self.folds);
        ensure!((1..=10_000).contains(&self.trials), "trials is {}, expected 1 to 10000", self.trials);
        Ok(())
    }

    /// The kinds of trees that are tried.
    fn kinds(&self) -> Vec<BoostingConfig> {
        match self.search {
            Search::Random => {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                (0..self.trials).map(|_| random(&mut rng, self.seed)).collect()
            }
            Search::Grid => grid(self.seed).into_iter().take(self.trials).collect(),
        }
    }
}

fn random(rng: &mut ChaCha8Rng, seed: u64) -> BoostingConfig {
    let mut pick = |choices: &[f64]| choices[rng.random_range(0..choices.len())];
    BoostingConfig {
        trees: pick(&[25.0, 50.0, 100.0, 200.0]) as usize,
        learning_rate: pick(&[0.02, 0.05, 0.1, 0.2]) as f32,
        depth: pick(&[1.0, 2.0, 3.0, 4.0]) as usize,
        l2: pick(&[0.5, 1.0, 3.0, 10.0]) as f32,
        min_leaf_weight: pick(&[1.0, 3.0, 5.0]) as f32,
        row_share: pick(&[0.6, 0.8, 1.0]) as f32,
        column_share: pick(&[0.5, 0.7, 1.0]),
        seed,
    }
}

fn grid(seed: u64) -> Vec<BoostingConfig> {
    let mut kinds = Vec::new();
    for depth in [2, 1, 3] {
        for (trees, learning_rate) in [(100, 0.05), (50, 0.1), (200, 0.02)] {
            for l2 in [1.0, 10.0] {
                let (min_leaf_weight, row_share, column_share) = (3.0, 0.8, 0.7);
                kinds.push(BoostingConfig {
                    trees,
                    learning_rate,
                    depth,
                    l2,
                    min_leaf_weight,
                    row_share,
                    column_share,
                    seed,
                });
            }
        }
    }
    kinds
}

/// One strategy with one kind of trees, judged out of fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which values.
    pub strategy: Strategy,
    /// Which trees.
    pub boosting: BoostingConfig,
    /// AUC by what the search is judged by, each picture judged by trees that saw neither it nor its source.
    pub auc: f64,
}

/// The chosen meta-model.
#[derive(Debug, Clone, PartialEq)]
pub struct Stacked {
    /// What was chosen.
    pub best: Trial,
    /// Every trial, strategies in their order.
    pub trials: Vec<Trial>,
    /// What trees that saw neither a picture nor its source say of it, one logit a row.
    pub out_of_fold: Vec<f32>,
    /// Trees that saw every row, asking about the table's columns.
    pub ensemble: Ensemble,
}

/// The number of each row's fold: sources whole, classes alike, the same for one seed.
///
/// # Errors
/// If there are fewer sources of a class than folds.
pub fn folds(table: &Table, count: usize, seed: u64) -> Result<Vec<usize>> {
    let mut sources: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for row in &table.rows {
        sources.entry(&row.source).or_default()[usize::from(row.is_fake())] += 1;
    }
    for class in 0..2 {
        let found = sources.values().filter(|counts| counts[class] > 0).count();
        let name = ["real", "fake"][class];
        ensure!(found >= count, "{found} sources hold {name} pictures, {count} folds need one each");
    }
    let mut order: Vec<(&str, [usize; 2])> = sources.into_iter().collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    // Large ones first: what is dealt out last evens out what the large ones left uneven.
    order.sort_by_key(|(_, counts)| std::cmp::Reverse(counts[0] + counts[1]));
    let mut filled = vec![[0usize; 2]; count];
    let mut fold_of = BTreeMap::new();
    for (source, counts) in order {
        let wanted = usize::from(counts[1] > counts[0]);
        let fold = (0..count).min_by_key(|&fold| (filled[fold][wanted], filled[fold][0] + filled[fold][1]));
        let fold = fold.unwrap_or(0);
        (0..2).for_each(|class| filled[fold][class] += counts[class]);
        fold_of.insert(source, fold);
    }
    Ok(table.rows.iter().map(|row| fold_of[row.source.as_str()]).collect())
}

/// Chooses, fits and judges a meta-model on `table`; `done` holds trials that were made before, which are not made again,
/// and `keep` is told of each new one.
///
/// # Errors
/// If the folds cannot be made, no strategy has its stages, or trees do not grow.
pub fn stack(
    table: &Table,
    config: &SearchConfig,
    done: &[Trial],
    keep: &(dyn Fn(&Trial) -> Result<()> + Sync),
) -> Result<Stacked> {
    config.check()?;
    let folds = folds(table, config.folds, config.seed)?;
    let kinds = config.kinds();
    let everything: Vec<usize> = (0..table.rows.len()).collect();
    let possible = Strategy::ALL.into_iter().filter(|strategy| strategy.view(table, &everything).is_some());
    let wanted: Vec<(Strategy, BoostingConfig)> =
        possible.flat_map(|strategy| kinds.iter().map(move |kind| (strategy, *kind))).collect();
    let trial = |&(strategy, boosting): &(Strategy, BoostingConfig)| -> Result<Trial> {
        let same = |trial: &&Trial| (trial.strategy, trial.boosting) == (strategy, boosting);
        if let Some(trial) = done.iter().find(same) {
            return Ok(trial.clone());
        }
        let logits = out_of_fold(table, &folds, strategy, &boosting)?;
        let auc = config.judged_by.auc(&table.sets(), &scored(table, &logits));
        let auc = auc.context("there are pictures of one class only")?;
        let trial = Trial { strategy, boosting, auc };
        keep(&trial)?;
        Ok(trial)
    };
    let trials: Vec<Trial> = wanted.par_iter().map(trial).collect::<Result<_>>()?;
    // The first of the best, so that ties do not depend on anything.
    let best = trials.iter().reduce(|best, trial| if trial.auc > best.auc { trial } else { best });
    let best = best.context("no strategy has its stages")?.clone();
    let out_of_fold = out_of_fold(table, &folds, best.strategy, &best.boosting)?;
    let view = best.strategy.view(table, &everything).context("the strategy has no columns")?;
    let ensemble =
        Ensemble::fit(&view.matrix(table, &everything), &fakes(table, &everything), &best.boosting)?;
    Ok(Stacked { best, trials, out_of_fold, ensemble: view.served(ensemble) })
}

/// One logit a row, by trees that saw none of its fold.
fn out_of_fold(
    table: &Table,
    folds: &[usize],
    strategy: Strategy,
    boosting: &BoostingConfig,
) -> Result<Vec<f32>> {
    let mut logits = vec![0.0; table.rows.len()];
    for fold in 0..=folds.iter().copied().max().unwrap_or(0) {
        let (judged, learned): (Vec<usize>, Vec<usize>) =
            (0..folds.len()).partition(|&row| folds[row] == fold);
        let view = strategy.view(table, &learned).context("the strategy has no columns")?;
        let ensemble = Ensemble::fit(&view.matrix(table, &learned), &fakes(table, &learned), boosting)?;
        let ensemble = view.served(ensemble);
        for row in judged {
            logits[row] = ensemble.logit(&plain(&table.rows[row]));
        }
    }
    Ok(logits)
}

/// The values of `row` as trees read them.
pub fn plain(row: &Row) -> Vec<f64> {
    row.values.iter().map(|value| f64::from(*value)).collect()
}

/// `logits` with the rows' labels.
pub fn scored(table: &Table, logits: &[f32]) -> Vec<Scored> {
    let scored = |(row, logit): (&Row, &f32)| Scored { score: f64::from(*logit), fake: row.is_fake() };
    table.rows.iter().zip(logits).map(scored).collect()
}

fn fakes(table: &Table, rows: &[usize]) -> Vec<bool> {
    rows.iter().map(|&row| table.rows[row].is_fake()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Three stages of two values: the experts' logits know a little each, their second values and the filter nothing.
    fn table(count: usize) -> Table {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let columns = (0..6).map(|c| Column { stage: c / 2, name: format!("stage{}.{}", c / 2, c % 2) });
        let rows = (0..count).map(|i| {
            let fake = i % 3 == 0;
            let mut noise = || (0..4).map(|_| rng.random_range(-1.0..1.0f32)).sum::<f32>();
            let shift = if fake { 0.8 } else { -0.8 };
            let values = vec![noise(), noise(), noise() + shift, noise() * 9.0, noise() + shift, noise()];
            Row {
                path: i.to_string(),
                label: u8::from(fake),
                dataset: "toy".into(),
                source: (i / 3).to_string(),
                values,
                uncertainty: 0.0,
                side: 100,
            }
        });
        Table { columns: columns.collect(), rows: rows.collect() }
    }

    fn stacked(table: &Table, config: &SearchConfig) -> Stacked {
        stack(table, config, &[], &|_| Ok(())).unwrap()
    }

    #[test]
    fn d1_folds_keep_sources_whole_and_classes_alike() {
        let table = table(300);
        let folds = folds(&table, 5, 1).unwrap();
        for fold in 0..5 {
            let rows: Vec<usize> = (0..300).filter(|&row| folds[row] == fold).collect();
            assert_eq!(rows.len(), 60);
            assert_eq!(rows.iter().filter(|&&row| table.rows[row].is_fake()).count(), 20);
        }
        assert!((0..100).all(|i| folds[3 * i] == folds[3 * i + 1] && folds[3 * i] == folds[3 * i + 2]));
        assert_eq!(folds, self::folds(&table, 5, 1).unwrap());
        assert_ne!(folds, self::folds(&table, 5, 2).unwrap());
        let few = Table { rows: table.rows[..9].to_vec(), ..table };
        assert!(self::folds(&few, 5, 1).unwrap_err().to_string().contains("3 sources"));
    }

    #[test]
    fn d2_d3_both_experts_beat_one_and_a_picture_never_judges_itself() {
        let table = table(600);
        let stacked = stacked(&table, &SearchConfig { trials: 6, ..SearchConfig::default() });
        let best = |strategy| {
            let aucs =
                stacked.trials.iter().filter(|trial| trial.strategy == strategy).map(|trial| trial.auc);
            aucs.fold(0.0, f64::max)
        };
        assert!(best(Strategy::Concatenated) > best(Strategy::FirstExpert) + 0.03, "{:?}", stacked.trials);
        // Monotone scales are nothing to trees.
        assert!((best(Strategy::Concatenated) - best(Strategy::Weighted)).abs() < 1e-3);
        // A label that nobody can know out of fold: without leaks it stays a coin.
        let mut coin = table.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        for row in &mut coin.rows {
            row.values.fill_with(|| rng.random_range(-1.0..1.0));
        }
        let coin = self::stacked(&coin, &SearchConfig::quick());
        assert!(coin.best.auc < 0.62, "{:?}", coin.best);
        let judged = JudgedBy::Sets.auc(&table.sets(), &scored(&table, &stacked.out_of_fold));
        assert_eq!(judged, Some(stacked.best.auc));
    }

    #[test]
    fn d3_each_strategy_is_served_as_it_was_learned() {
        let table = table(200);
        let everything: Vec<usize> = (0..200).collect();
        let kind = grid(1)[0];
        for strategy in Strategy::ALL {
            let view = strategy.view(&table, &everything).unwrap();
            let matrix = view.matrix(&table, &everything);
            let learned = Ensemble::fit(&matrix, &fakes(&table, &everything), &kind).unwrap();
            let served = view.served(learned.clone());
            for (index, row) in table.rows.iter().enumerate() {
                let scaled: Vec<f64> = matrix.row(index).iter().copied().collect();
                assert_eq!(served.logit(&plain(row)), learned.logit(&scaled), "{strategy:?}");
            }
        }
        let top = Strategy::TopVariance.view(&table, &everything).unwrap();
        assert_eq!((top.columns.len(), top.columns.contains(&3)), (3, true), "{top:?}");
        let two = Table { columns: table.columns[..4].to_vec(), ..table };
        assert!(Strategy::SecondExpert.view(&two, &everything).is_none());
    }

    #[test]
    fn d4_one_seed_finds_one_model_and_what_was_tried_is_not_tried_again() {
        let table = table(200);
        let config = SearchConfig { trials: 3, ..SearchConfig::quick() };
        let kept: Mutex<Vec<Trial>> = Mutex::new(Vec::new());
        let note = |trial: &Trial| {
            kept.lock().unwrap().push(trial.clone());
            Ok(())
        };
        let first = stack(&table, &config, &[], &note).unwrap();
        let done = std::mem::take(&mut *kept.lock().unwrap());
        assert_eq!(done.len(), first.trials.len());
        let second = stack(&table, &config, &done[..7], &note).unwrap();
        assert_eq!(first, second);
        assert_eq!(kept.lock().unwrap().len(), done.len() - 7);
        let gridded = stacked(&table, &SearchConfig { search: Search::Grid, ..config });
        assert_eq!(gridded.trials.len(), 18);
        assert!(SearchConfig { folds: 1, ..config }.check().is_err());
    }
}
