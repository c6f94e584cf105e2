//! Two runs side by side: which is better, and what the two know together that neither knows alone.

use crate::features::Features;
use crate::metrics::{Scored, auc, auc_interval, percentiles};
use crate::pca::{Pca, dimensions};
use crate::regression::{Regression, Scale};
use crate::scores::ScoreRow;
use anyhow::{Result, bail, ensure};
use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Seed of every bootstrap here.
const SEED: u64 = 1;
/// Resamples behind an interval.
const RESAMPLES: usize = 2000;
/// Parts of a cross-validation.
const FOLDS: usize = 5;
/// Pull of the regression's weights towards zero.
const RIDGE: f64 = 1e-3;

/// Two runs on the pictures that both judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Pictures that both judged.
    pub pictures: usize,
    /// Pictures that only one judged.
    pub unmatched: usize,
    /// AUC of each; absent if a class is.
    pub auc: [Option<f64>; 2],
    /// 95 % bootstrap interval of each.
    pub auc_interval: [Option<[f64; 2]>; 2],
    /// AUC of cues that know nothing of faces; absent if the first scores hold none.
    pub trivial_cues_auc: Option<f64>,
    /// AUC of the first minus that of the second.
    pub difference: Option<f64>,
    /// 95 % bootstrap interval of the difference, groups drawn whole and both runs on the same draw.
    pub difference_interval: Option<[f64; 2]>,
    /// Pearson correlation of the logits; absent if one is constant.
    pub correlation: Option<f64>,
    /// Share of the pictures that one calls fake and the other real, at P(fake) = 0.5.
    pub disagreement: f64,
    /// Who is right, at P(fake) = 0.5.
    pub verdicts: Verdicts,
    /// A logistic regression on both logits; absent if a class is, or there are too few groups.
    pub combined: Option<Combined>,
    /// Directions of the embeddings; absent if they were not given.
    pub dimensions: Option<[Dimensions; 3]>,
}

/// Counts of pictures at P(fake) = 0.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Verdicts {
    /// Both are right.
    pub both_right: usize,
    /// Only the first is.
    pub only_first_right: usize,
    /// Only the second is.
    pub only_second_right: usize,
    /// Neither is.
    pub both_wrong: usize,
}

/// What a logistic regression on both logits is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Combined {
    /// Where it was fitted.
    pub fitted_on: &'static str,
    /// AUC of what it says.
    pub auc: f64,
    /// Its AUC minus that of the better one alone.
    pub gain: f64,
    /// 95 % bootstrap interval of the gain, groups drawn whole and all three on the same draw.
    pub gain_interval: Option<[f64; 2]>,
}

/// How many directions hold a share of the variance of standardised embeddings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dimensions {
    /// Of which network; both names if of both embeddings side by side.
    pub of: String,
    /// Values of the embedding.
    pub values: usize,
    /// Directions for 90 % of the variance.
    pub for_90: usize,
    /// For 95 %.
    pub for_95: usize,
    /// For 99 %.
    pub for_99: usize,
}

/// Scores of two runs on the same pictures.
struct Pairs<'a>(Vec<(&'a ScoreRow, &'a ScoreRow)>);

/// The comparison of `a` and `b`, matched by path; `fitted` holds scores of both on the validation split,
/// where their combination is fitted. Without it, that is cross-validated, groups kept whole.
///
/// # Errors
/// If they share no picture, or disagree about a label.
pub fn compare(a: &[ScoreRow], b: &[ScoreRow], fitted: Option<[&[ScoreRow]; 2]>) -> Result<Comparison> {
    let pairs = Pairs::matched(a, b)?;
    let sources = pairs.sources();
    let [first, second] = [pairs.scored(|(a, _)| a), pairs.scored(|(_, b)| b)];
    let (fitted_on, scores) = match fitted {
        Some([a, b]) => ("validation split", Some(Pairs::matched(a, b)?.fit().apply(&pairs))),
        None => ("5 folds, groups kept whole", cross_validated(&pairs, &sources)),
    };
    let both = scores.map(|scores| {
        let scored = |(score, s): (f64, &Scored)| Scored { score, fake: s.fake };
        scores.into_iter().zip(&first).map(scored).collect::<Vec<_>>()
    });
    let differences = resampled(&sources, |draw| Some(pick_auc(&first, draw)? - pick_auc(&second, draw)?));
    let aucs = [auc(&first), auc(&second)];
    let gain = |both: f64, [first, second]: [f64; 2]| both - first.max(second);
    let combined = both.and_then(|both| {
        let alone = aucs[0].zip(aucs[1])?;
        let gains = resampled(&sources, |draw| {
            let alone = [pick_auc(&first, draw)?, pick_auc(&second, draw)?];
            Some(gain(pick_auc(&both, draw)?, alone))
        });
        let auc = auc(&both)?;
        Some(Combined { fitted_on, auc, gain: gain(auc, alone.into()), gain_interval: percentiles(gains) })
    });
    let control: Option<Vec<Scored>> = pairs.0.iter().map(|(a, b)| a.control().or(b.control())).collect();
    let verdicts = Verdicts::of(&first, &second);
    Ok(Comparison {
        pictures: pairs.0.len(),
        unmatched: a.len() + b.len() - 2 * pairs.0.len(),
        auc: aucs,
        auc_interval: [auc_interval(&first, SEED), auc_interval(&second, SEED)],
        trivial_cues_auc: control.as_deref().and_then(auc),
        difference: aucs[0].zip(aucs[1]).map(|(first, second)| first - second),
        difference_interval: percentiles(differences),
        correlation: correlation(&first, &second),
        disagreement: (verdicts.only_first_right + verdicts.only_second_right) as f64 / pairs.0.len() as f64,
        verdicts,
        combined,
        dimensions: None,
    })
}

/// Directions of `a`'s embeddings, of `b`'s, and of both side by side, on the pictures that both hold.
///
/// # Errors
/// If they share no picture.
pub fn feature_dimensions(a: &Features, b: &Features) -> Result<[Dimensions; 3]> {
    let of_b: HashMap<&str, usize> =
        b.rows.iter().enumerate().map(|(index, row)| (row.path.as_str(), index)).collect();
    let pairs: Vec<(usize, usize)> = a
        .rows
        .iter()
        .enumerate()
        .filter_map(|(index, row)| Some((index, *of_b.get(row.path.as_str())?)))
        .collect();
    ensure!(!pairs.is_empty(), "the two files of features share no picture");
    let first = standardised(&a.embedding.select_rows(pairs.iter().map(|(index, _)| index)));
    let second = standardised(&b.embedding.select_rows(pairs.iter().map(|(_, index)| index)));
    let mut both = first.clone().resize_horizontally(first.ncols() + second.ncols(), 0.0);
    both.columns_mut(first.ncols(), second.ncols()).copy_from(&second);
    let names = [a.origin.network.clone(), b.origin.network.clone()];
    let together = names.join(" and ");
    let [a_name, b_name] = names;
    Ok([(a_name, first), (b_name, second), (together, both)].map(|(of, rows)| {
        let shares = Pca::fit(&rows, 0.0).shares;
        let [for_90, for_95, for_99] = [0.90, 0.95, 0.99].map(|share| dimensions(&shares, share));
        Dimensions { of, values: rows.ncols(), for_90, for_95, for_99 }
    }))
}

fn standardised(rows: &DMatrix<f64>) -> DMatrix<f64> {
    Scale::of(rows).apply(rows)
}

impl<'a> Pairs<'a> {
    fn matched(a: &'a [ScoreRow], b: &'a [ScoreRow]) -> Result<Self> {
        let of_b: HashMap<&str, &ScoreRow> = b.iter().map(|row| (row.path.as_str(), row)).collect();
        let pairs: Vec<_> = a.iter().filter_map(|row| Some((row, *of_b.get(row.path.as_str())?))).collect();
        ensure!(!pairs.is_empty(), "the two share no picture");
        if let Some((row, _)) = pairs.iter().find(|(a, b)| a.label != b.label) {
            bail!("{:?} is real in one and fake in the other", row.path);
        }
        Ok(Pairs(pairs))
    }

    fn scored(&self, of: impl Fn((&'a ScoreRow, &'a ScoreRow)) -> &'a ScoreRow) -> Vec<Scored> {
        self.0.iter().map(|pair| of(*pair).raw()).collect()
    }

    /// Indices of each group, by name.
    fn sources(&self) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, (row, _)) in self.0.iter().enumerate() {
            groups.entry(row.source()).or_default().push(index);
        }
        groups.into_values().collect()
    }

    /// Both logits of each picture, `[N, 2]`.
    fn logits(&self) -> DMatrix<f64> {
        DMatrix::from_fn(self.0.len(), 2, |r, c| if c == 0 { self.0[r].0.logit } else { self.0[r].1.logit })
    }

    fn fit(&self) -> Combination {
        let logits = self.logits();
        let fakes: Vec<bool> = self.0.iter().map(|(row, _)| row.label == 1).collect();
        let scale = Scale::of(&logits);
        let regression = Regression::fit(&scale.apply(&logits), &fakes, RIDGE);
        Combination { scale, regression }
    }
}

/// A logistic regression on two standardised logits.
struct Combination {
    scale: Scale,
    regression: Regression,
}

impl Combination {
    fn apply(&self, pairs: &Pairs) -> Vec<f64> {
        self.regression.logits(&self.scale.apply(&pairs.logits()))
    }
}

/// What the combination says of each picture when it was fitted on the other folds; each fifth group by
/// name makes a fold. None if there are fewer groups than folds.
fn cross_validated(pairs: &Pairs, sources: &[Vec<usize>]) -> Option<Vec<f64>> {
    if sources.len() < FOLDS {
        return None;
    }
    let part = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
        let groups = sources.iter().enumerate().filter(|(number, _)| wanted(number % FOLDS));
        groups.flat_map(|(_, group)| group.iter().copied()).collect()
    };
    let pick = |indices: &[usize]| Pairs(indices.iter().map(|&index| pairs.0[index]).collect());
    let mut scores = vec![0.0; pairs.0.len()];
    for fold in 0..FOLDS {
        let (others, held) = (part(&|number| number != fold), part(&|number| number == fold));
        let said = pick(&others).fit().apply(&pick(&held));
        held.into_iter().zip(said).for_each(|(index, score)| scores[index] = score);
    }
    Some(scores)
}

/// `value` over resamples of whole groups.
fn resampled(groups: &[Vec<usize>], value: impl Fn(&[usize]) -> Option<f64>) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let draw = |_| {
        let draw = (0..groups.len()).flat_map(|_| groups[rng.random_range(0..groups.len())].iter().copied());
        value(&draw.collect::<Vec<_>>())
    };
    (0..RESAMPLES).filter_map(draw).collect()
}

fn pick_auc(scored: &[Scored], indices: &[usize]) -> Option<f64> {
    auc(&indices.iter().map(|&index| scored[index]).collect::<Vec<_>>())
}

fn correlation(first: &[Scored], second: &[Scored]) -> Option<f64> {
    let pairs = || first.iter().zip(second).map(|(a, b)| (a.score, b.score));
    let count = first.len() as f64;
    let (x, y) = (pairs().map(|p| p.0).sum::<f64>() / count, pairs().map(|p| p.1).sum::<f64>() / count);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in pairs() {
        xx += (a - x).powi(2);
        yy += (b - y).powi(2);
        xy += (a - x) * (b - y);
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx.sqrt() * yy.sqrt()))
}

impl Verdicts {
    /// The counts; `first` and `second` are logits of the same pictures.
    fn of(first: &[Scored], second: &[Scored]) -> Self {
        // A logit of 0 is called fake, at any temperature.
        let right = |s: &Scored| (s.score >= 0.0) == s.fake;
        let mut verdicts = Verdicts::default();
        for (a, b) in first.iter().zip(second) {
            *match (right(a), right(b)) {
                (true, true) => &mut verdicts.both_right,
                (true, false) => &mut verdicts.only_first_right,
                (false, true) => &mut verdicts.only_second_right,
                (false, false) => &mut verdicts.both_wrong,
            } += 1;
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(logits: &[f64]) -> Vec<ScoreRow> {
        let row = |(index, &logit): (usize, &f64)| ScoreRow {
            path: format!("{index}.png"),
            label: u8::from(index % 2 == 1),
            dataset: if index < 4 { "one" } else { "two" }.into(),
            group: (index / 2).to_string(),
            logit,
            trivial_cues: None,
        };
        logits.iter().enumerate().map(row).collect()
    }

    #[test]
    fn a_run_is_as_good_as_itself_and_better_than_its_opposite() {
        let a = rows(&[-1.0, 1.0, -2.0, 2.0, -3.0, 3.0]);
        let same = compare(&a, &a, None).unwrap();
        assert_eq!((same.difference, same.difference_interval), (Some(0.0), Some([0.0, 0.0])));
        assert!((same.correlation.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!((same.verdicts.both_right, same.disagreement), (6, 0.0));
        assert_eq!(same.combined, None, "three groups make no five folds");
        let opposite = compare(&a, &rows(&[1.0, -1.0, 2.0, -2.0]), None).unwrap();
        assert_eq!((opposite.pictures, opposite.unmatched), (4, 2));
        assert_eq!((opposite.auc, opposite.difference), ([Some(1.0), Some(0.0)], Some(1.0)));
        assert_eq!((opposite.verdicts.only_first_right, opposite.disagreement), (4, 1.0));
        assert!((opposite.correlation.unwrap() + 1.0).abs() < 1e-12);
        assert_eq!(compare(&a, &rows(&[0.0; 6]), None).unwrap().correlation, None);
    }

    #[test]
    fn two_that_know_different_things_know_more_together() {
        // The first sees every other pair, the second the others.
        let see = |which: usize| {
            rows(
                &(0..40)
                    .map(|i| if i / 2 % 2 == which { if i % 2 == 1 { 2.0 } else { -2.0 } } else { 0.1 })
                    .collect::<Vec<_>>(),
            )
        };
        let (a, b) = (see(0), see(1));
        for fitted in [None, Some([&a[..], &b[..]])] {
            let comparison = compare(&a, &b, fitted).unwrap();
            // Of four pairs of a real and a fake, one is told by neither part.
            assert_eq!(comparison.auc, [Some(0.875), Some(0.875)]);
            let combined = comparison.combined.unwrap();
            assert_eq!((combined.auc, combined.gain), (1.0, 0.125), "{}", combined.fitted_on);
            assert!(combined.gain_interval.unwrap()[0] > 0.03);
        }
    }

    #[test]
    fn runs_that_do_not_fit_are_refused() {
        let a = rows(&[-1.0, 1.0]);
        let mut other = a.clone();
        other[1].label = 0;
        assert!(compare(&a, &other, None).unwrap_err().to_string().contains("1.png"));
        other.iter_mut().for_each(|row| row.path.push('x'));
        assert!(compare(&a, &other, None).unwrap_err().to_string().contains("share no picture"));
    }
}
