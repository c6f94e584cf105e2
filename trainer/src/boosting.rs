//! Gradient-boosted trees for two classes (Chen and Guestrin, arXiv 1603.02754), grown by `forust-ml`.
//!
//! What is kept of them is plain: questions `x < value` and answers, so that they can be written as ONNX
//! ([`crate::export::trees_bytes`]) and read by anything.

use anyhow::{Context, Result, ensure};
use forust_ml::gradientbooster::GradientBooster;
use forust_ml::objective::ObjectiveType;
use forust_ml::sampler::SampleMethod;
use forust_ml::tree::Tree;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

/// How trees are grown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostingConfig {
    /// Number of trees.
    pub trees: usize,
    /// Share of each tree's answer that counts.
    pub learning_rate: f32,
    /// Most questions in a row.
    pub depth: usize,
    /// Pull of the answers towards zero.
    pub l2: f32,
    /// Least sum of second derivatives in a leaf.
    pub min_leaf_weight: f32,
    /// Share of the rows that each tree sees.
    pub row_share: f32,
    /// Share of the columns that each tree sees.
    pub column_share: f64,
    /// Draws rows and columns.
    pub seed: u64,
}

/// Trees that vote for the logit of P(fake).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// Logit before the first vote.
    pub base: f32,
    /// Each tree's nodes, the root first.
    pub trees: Vec<Vec<Node>>,
}

/// A question about one feature, or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// Whether `x[feature] < value`.
    Branch {
        /// Index of the feature.
        feature: usize,
        /// What it is compared with.
        value: f64,
        /// Index of the next node if it is below.
        below: usize,
        /// Index of the next node if it is not.
        above: usize,
        /// How much the loss fell by asking.
        gain: f32,
    },
    /// Adds to the logit.
    Leaf(f32),
}

impl Ensemble {
    /// The trees that `config` grows on `rows` `[N, D]`, which are `fakes` or not; the same ones every time.
    ///
    /// # Errors
    /// If a class is missing, a number is not finite, or a choice is out of its range.
    pub fn fit(rows: &DMatrix<f64>, fakes: &[bool], config: &BoostingConfig) -> Result<Self> {
        ensure!(
            rows.nrows() == fakes.len() && rows.ncols() > 0,
            "{:?} rows for {}",
            rows.shape(),
            fakes.len()
        );
        ensure!(rows.iter().all(|value| value.is_finite()), "a feature is no finite number");
        ensure!(fakes.contains(&true) && fakes.contains(&false), "there are pictures of one class only");
        let sampling = if config.row_share < 1.0 { SampleMethod::Random } else { SampleMethod::None };
        let mut booster = GradientBooster::default()
            .set_objective_type(ObjectiveType::LogLoss)
            .set_initialize_base_score(true)
            .set_iterations(config.trees)
            .set_learning_rate(config.learning_rate)
            .set_max_depth(config.depth)
            .set_l2(config.l2)
            .set_min_leaf_weight(config.min_leaf_weight)
            .set_sample_method(sampling)
            .set_subsample(config.row_share)
            .set_colsample_bytree(config.column_share)
            .set_seed(config.seed)
            // Threads would sum in another order each time.
            .set_parallel(false);
        let labels: Vec<f64> = fakes.iter().map(|&fake| f64::from(u8::from(fake))).collect();
        let data = forust_ml::Matrix::new(rows.as_slice(), rows.nrows(), rows.ncols());
        booster.fit_unweighted(&data, &labels, None).context("the trees do not grow")?;
        let trees = booster.trees.iter().map(nodes_of).collect();
        Ok(Ensemble { base: booster.base_score as f32, trees })
    }

    /// The logit of `row`, summed as the engine sums it.
    pub fn logit(&self, row: &[f64]) -> f32 {
        self.trees.iter().fold(self.base, |sum, tree| sum + leaf(tree, row))
    }

    /// The same trees with every answer divided by `temperature`.
    pub fn cooled(mut self, temperature: f64) -> Self {
        let divide = |value: &mut f32| *value = (f64::from(*value) / temperature) as f32;
        divide(&mut self.base);
        for node in self.trees.iter_mut().flatten() {
            if let Node::Leaf(value) = node {
                divide(value);
            }
        }
        self
    }

    /// The same trees asking about other features: `of` gives for each question's feature and value the new ones.
    pub fn mapped(mut self, of: impl Fn(usize, f64) -> (usize, f64)) -> Self {
        for node in self.trees.iter_mut().flatten() {
            if let Node::Branch { feature, value, .. } = node {
                (*feature, *value) = of(*feature, *value);
            }
        }
        self
    }

    /// Share of the whole gain that questions about each of `features` features brought.
    pub fn importance(&self, features: usize) -> Vec<f64> {
        let mut gains = vec![0.0; features];
        for node in self.trees.iter().flatten() {
            if let Node::Branch { feature, gain, .. } = node {
                gains[*feature] += f64::from(*gain);
            }
        }
        let whole: f64 = gains.iter().sum();
        gains.iter().map(|gain| if whole > 0.0 { gain / whole } else { 0.0 }).collect()
    }
}

fn leaf(tree: &[Node], row: &[f64]) -> f32 {
    let mut index = 0;
    loop {
        match tree[index] {
            Node::Leaf(value) => return value,
            Node::Branch { feature, value, below, above, .. } => {
                index = if row[feature] < value { below } else { above };
            }
        }
    }
}

fn nodes_of(tree: &Tree) -> Vec<Node> {
    let nodes = tree.nodes.iter().map(|node| {
        if node.is_leaf {
            return Node::Leaf(node.weight_value);
        }
        Node::Branch {
            feature: node.split_feature,
            value: node.split_value,
            below: node.left_child,
            above: node.right_child,
            gain: node.split_gain,
        }
    });
    nodes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> BoostingConfig {
        BoostingConfig {
            trees: 20,
            learning_rate: 0.3,
            depth: 3,
            l2: 1.0,
            min_leaf_weight: 1.0,
            row_share: 0.8,
            column_share: 0.7,
            seed: 3,
        }
    }

    /// Fake where exactly one of the first two is above a half; the third says nothing.
    fn crossed() -> (DMatrix<f64>, Vec<bool>) {
        let value = |r: usize, c: usize| f64::from(((r * [7, 11, 13][c] + c * 5) % 101) as f32 / 101.0);
        let rows = DMatrix::from_fn(303, 3, value);
        let fakes = (0..303).map(|r| (rows[(r, 0)] > 0.5) != (rows[(r, 1)] > 0.5)).collect();
        (rows, fakes)
    }

    fn row(rows: &DMatrix<f64>, index: usize) -> Vec<f64> {
        rows.row(index).iter().copied().collect()
    }

    #[test]
    fn trees_learn_what_no_line_can_and_say_where_they_looked() -> Result<()> {
        let (rows, fakes) = crossed();
        let config = BoostingConfig { row_share: 1.0, column_share: 1.0, ..config() };
        let ensemble = Ensemble::fit(&rows, &fakes, &config)?;
        let right = (0..303).filter(|&r| (ensemble.logit(&row(&rows, r)) > 0.0) == fakes[r]).count();
        assert!(right > 290, "{right}");
        let importance = ensemble.importance(3);
        assert!(importance[2] < 0.1 && (importance.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{importance:?}");
        Ok(())
    }

    #[test]
    fn one_seed_grows_one_forest() -> Result<()> {
        let (rows, fakes) = crossed();
        let first = Ensemble::fit(&rows, &fakes, &config())?;
        assert_eq!(first, Ensemble::fit(&rows, &fakes, &config())?);
        assert_ne!(first, Ensemble::fit(&rows, &fakes, &BoostingConfig { seed: 4, ..config() })?);
        Ok(())
    }

    #[test]
    fn cooled_and_mapped_trees_say_the_same_in_other_units() -> Result<()> {
        let (rows, fakes) = crossed();
        let ensemble = Ensemble::fit(&rows, &fakes, &config())?;
        let cooled = ensemble.clone().cooled(2.0);
        let turned = ensemble.clone().mapped(|feature, value| (2 - feature, value * 4.0));
        for r in 0..303 {
            let plain = row(&rows, r);
            let other: Vec<f64> = plain.iter().rev().map(|value| value * 4.0).collect();
            assert_eq!(turned.logit(&other), ensemble.logit(&plain));
            assert!((cooled.logit(&plain) * 2.0 - ensemble.logit(&plain)).abs() < 1e-5);
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_learned_from_is_refused() {
        let (rows, fakes) = crossed();
        assert!(Ensemble::fit(&rows, &[true; 303], &config()).is_err());
        assert!(Ensemble::fit(&rows, &fakes[1..], &config()).is_err());
        let mut spoilt = rows.clone();
        spoilt[(3, 1)] = f64::NAN;
        assert!(Ensemble::fit(&spoilt, &fakes, &config()).is_err());
    }
}
