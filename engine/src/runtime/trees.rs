//! Tree ensembles of `ai.onnx.ml`: read from attributes, checked, evaluated row by row.

use super::cpu::functions::sigmoid;
use super::error::ModelError;
use super::onnx::Attributes;
use std::collections::{HashMap, HashSet};

/// Most nodes of all trees together.
const MAX_NODES: usize = 1 << 20;

/// A classifier of two classes whose trees vote for one score (ONNX `TreeEnsembleClassifier`).
#[derive(Debug, Clone, PartialEq)]
pub struct TreeEnsemble {
    nodes: Vec<TreeNode>,
    /// Index of each tree's root.
    roots: Vec<usize>,
    /// Number of features that the trees look at: the largest index and one.
    features: usize,
    base: f32,
    transform: Transform,
}

/// A question about one feature, or an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TreeNode {
    /// Asks `x[feature] MODE value`.
    Branch { feature: usize, mode: Mode, value: f32, yes: usize, no: usize, missing_is_yes: bool },
    /// Adds to the score.
    Leaf(f32),
}

/// How a branch compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

/// What is made of the sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transform {
    /// Scores `1 - s` and `s`.
    None,
    /// Scores `1 - sigmoid(s)` and `sigmoid(s)`.
    Logistic,
}

/// Attributes that list one entry a node.
const NODE_LISTS: [&str; 9] = [
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_values",
    "nodes_hitrates",
];

impl TreeEnsemble {
    /// Number of scores of a row.
    pub const CLASSES: usize = 2;

    /// The ensemble in the attributes of a node.
    ///
    /// # Errors
    /// [`ModelError::Node`] if lists do not fit, nodes are missing or in a cycle, or a form is not supported.
    pub fn read(attributes: &Attributes) -> Result<Self, ModelError> {
        let error = |detail: String| attributes.node.error(detail);
        let others = [
            "class_treeids",
            "class_nodeids",
            "class_ids",
            "class_weights",
            "classlabels_int64s",
            "classlabels_strings",
            "post_transform",
            "base_values",
        ];
        attributes.check(&[&NODE_LISTS[..], &others].concat())?;
        let list = |name: &str| attributes.list(name).map(Option::unwrap_or_default);
        let trees = list("nodes_treeids")?;
        let count = trees.len();
        if count == 0 || count > MAX_NODES {
            return Err(error(format!("{count} nodes of trees, expected 1 to {MAX_NODES}")));
        }
        let fitting = |name: &str| match list(name)? {
            list if list.len() == count => Ok(list),
            list => Err(error(format!("{name} has {} entries, expected {count}", list.len()))),
        };
        let (ids, features) = (fitting("nodes_nodeids")?, fitting("nodes_featureids")?);
        let (yes, no) = (fitting("nodes_truenodeids")?, fitting("nodes_falsenodeids")?);
        let missing = list("nodes_missing_value_tracks_true")?;
        let modes = attributes.texts("nodes_modes")?.unwrap_or_default();
        let values = attributes.floats("nodes_values")?.unwrap_or_default();
        if modes.len() != count || values.len() != count || !(missing.is_empty() || missing.len() == count) {
            return Err(error(format!("modes, values or missing tracks are not {count} entries")));
        }
        let index_of: HashMap<(i64, i64), usize> = (0..count).map(|i| ((trees[i], ids[i]), i)).collect();
        if index_of.len() != count {
            return Err(error("two nodes of a tree have one number".into()));
        }
        let mut nodes = Vec::with_capacity(count);
        let mut is_child = vec![false; count];
        for i in 0..count {
            let Some(mode) = mode(&modes[i]).map_err(&error)? else {
                nodes.push(TreeNode::Leaf(0.0));
                continue;
            };
            let mut child = |id: i64| match index_of.get(&(trees[i], id)) {
                // One parent each and none for the root: what is reached from a root is a tree.
                Some(&child) if !std::mem::replace(&mut is_child[child], true) => Ok(child),
                _ => Err(error(format!("node {} of tree {} has no child {id} of its own", ids[i], trees[i]))),
            };
            let feature = usize::try_from(features[i]).ok().filter(|&feature| feature < MAX_NODES);
            let feature = feature.ok_or_else(|| error(format!("feature {} is out of range", features[i])))?;
            let missing_is_yes = missing.get(i).is_some_and(|&track| track != 0);
            let (yes, no) = (child(yes[i])?, child(no[i])?);
            nodes.push(TreeNode::Branch { feature, mode, value: values[i], yes, no, missing_is_yes });
        }
        let roots: Vec<usize> = (0..count).filter(|&i| !is_child[i]).collect();
        let reached = reached(&nodes, &roots);
        if reached != count || roots.len() != trees.iter().collect::<HashSet<_>>().len() {
            return Err(error(format!("{} roots lead to {reached} of {count} nodes", roots.len())));
        }
        let mut ensemble = TreeEnsemble { nodes, roots, features: 0, base: 0.0, transform: Transform::None };
        ensemble.weigh(attributes, &index_of)?;
        ensemble.features = ensemble.nodes.iter().fold(1, |most, node| match node {
            TreeNode::Branch { feature, .. } => most.max(feature + 1),
            TreeNode::Leaf(_) => most,
        });
        Ok(ensemble)
    }

    /// Puts the weights onto the leaves.
    fn weigh(
        &mut self,
        attributes: &Attributes,
        index_of: &HashMap<(i64, i64), usize>,
    ) -> Result<(), ModelError> {
        let error = |detail: String| attributes.node.error(detail);
        let list = |name: &str| attributes.list(name).map(Option::unwrap_or_default);
        let (trees, ids, classes) = (list("class_treeids")?, list("class_nodeids")?, list("class_ids")?);
        let weights = attributes.floats("class_weights")?.unwrap_or_default();
        if [ids.len(), classes.len(), weights.len()] != [trees.len(); 3] {
            return Err(error("the lists of leaf weights have different lengths".into()));
        }
        let labels = list("classlabels_int64s")?
            .len()
            .max(attributes.texts("classlabels_strings")?.map_or(0, <[_]>::len));
        if labels != Self::CLASSES || classes.iter().any(|&class| class != classes[0]) {
            return Err(error("only two classes with the weights of one of them are supported".into()));
        }
        for i in 0..trees.len() {
            match index_of.get(&(trees[i], ids[i])).map(|&node| &mut self.nodes[node]) {
                Some(TreeNode::Leaf(weight)) => *weight += weights[i],
                _ => {
                    return Err(error(format!(
                        "a weight is for node {} of tree {}, which is no leaf",
                        ids[i], trees[i]
                    )));
                }
            }
        }
        self.base = match attributes.floats("base_values")?.unwrap_or_default() {
            [] => 0.0,
            [base] => *base,
            [_, base] => *base,
            more => return Err(error(format!("{} base values", more.len()))),
        };
        self.transform = match attributes.text("post_transform", "NONE")? {
            "NONE" => Transform::None,
            "LOGISTIC" => Transform::Logistic,
            other => return Err(error(format!("post_transform {other:?} is not supported"))),
        };
        Ok(())
    }

    /// Number of features that a row must have at least.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Number of branches and leaves.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Scores `[N, 2]` of rows `x` `[N, columns]`.
    pub fn run(&self, x: &[f32], columns: usize, out: &mut [f32]) {
        for (row, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(Self::CLASSES)) {
            let sum = self.roots.iter().fold(self.base, |sum, &root| sum + self.leaf(root, row));
            let score = if self.transform == Transform::Logistic { sigmoid(sum) } else { sum };
            out.copy_from_slice(&[1.0 - score, score]);
        }
    }

    fn leaf(&self, mut index: usize, row: &[f32]) -> f32 {
        loop {
            match self.nodes[index] {
                TreeNode::Leaf(weight) => return weight,
                TreeNode::Branch { feature, mode, value, yes, no, missing_is_yes } => {
                    let x = row[feature];
                    let goes_yes = mode.holds(x, value) || (missing_is_yes && x.is_nan());
                    index = if goes_yes { yes } else { no };
                }
            }
        }
    }
}

impl Mode {
    fn holds(self, x: f32, value: f32) -> bool {
        match self {
            Mode::LessOrEqual => x <= value,
            Mode::Less => x < value,
            Mode::GreaterOrEqual => x >= value,
            Mode::Greater => x > value,
            Mode::Equal => x == value,
            Mode::NotEqual => x != value,
        }
    }
}

/// How many nodes the roots lead to; each has one parent at most, so that none is met twice.
fn reached(nodes: &[TreeNode], roots: &[usize]) -> usize {
    let mut open = roots.to_vec();
    let mut count = 0;
    while let Some(index) = open.pop() {
        count += 1;
        if let TreeNode::Branch { yes, no, .. } = nodes[index] {
            open.extend([yes, no]);
        }
    }
    count
}

/// The comparison called `name`; `None` for a leaf.
fn mode(name: &[u8]) -> Result<Option<Mode>, String> {
    Ok(Some(match name {
        b"LEAF" => return Ok(None),
        b"BRANCH_LEQ" => Mode::LessOrEqual,
        b"BRANCH_LT" => Mode::Less,
        b"BRANCH_GTE" => Mode::GreaterOrEqual,
        b"BRANCH_GT" => Mode::Greater,
        b"BRANCH_EQ" => Mode::Equal,
        b"BRANCH_NEQ" => Mode::NotEqual,
        other => return Err(format!("mode {:?} is not supported", String::from_utf8_lossy(other))),
    }))
}
