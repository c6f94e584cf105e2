//! Boosted trees -> ONNX: one `TreeEnsembleClassifier` of `ai.onnx.ml`, from features to P(real) and P(fake).

use super::onnx::{ints, value_info};
use crate::boosting::{Ensemble, Node};
use anyhow::{Result, ensure};
use engine::runtime::proto::{
    ATTRIBUTE_FLOATS, ATTRIBUTE_STRING, ATTRIBUTE_STRINGS, AttributeProto, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto,
};
use prost::Message;

/// Operator set of `ai.onnx.ml` that has this form of trees.
const ML_OPSET: i64 = 3;
/// The domain of trees.
const ML_DOMAIN: &str = "ai.onnx.ml";

/// The ONNX file of `ensemble` for rows of the features called `names`: "features" `[1, F]` to "scores" `[1, 2]`, which
/// are P(real) and P(fake).
///
/// Questions are rounded up to 32 bits, so that 32-bit features are answered as 64-bit ones.
///
/// # Errors
/// If a tree asks about a feature that has no name, or there is no tree.
pub fn trees_bytes(ensemble: &Ensemble, names: &[String], metadata: super::Metadata) -> Result<Vec<u8>> {
    ensure!(ensemble.trees.iter().any(|tree| !tree.is_empty()), "there is no tree");
    let mut lists = Lists::default();
    for (tree, nodes) in ensemble.trees.iter().enumerate() {
        for (id, node) in nodes.iter().enumerate() {
            lists.push(tree as i64, id as i64, *node, names.len())?;
        }
    }
    let texts = |name: &str, strings: Vec<Vec<u8>>| AttributeProto {
        name: name.into(),
        strings,
        r#type: ATTRIBUTE_STRINGS,
        ..AttributeProto::default()
    };
    let floats = |name: &str, floats: Vec<f32>| AttributeProto {
        name: name.into(),
        floats,
        r#type: ATTRIBUTE_FLOATS,
        ..AttributeProto::default()
    };
    let transform = AttributeProto {
        name: "post_transform".into(),
        s: b"LOGISTIC".to_vec(),
        r#type: ATTRIBUTE_STRING,
        ..AttributeProto::default()
    };
    let weights = lists.leaves.len();
    let attribute = vec![
        ints("nodes_treeids", &lists.trees),
        ints("nodes_nodeids", &lists.ids),
        ints("nodes_featureids", &lists.features),
        texts("nodes_modes", lists.modes),
        floats("nodes_values", lists.values),
        ints("nodes_truenodeids", &lists.yes),
        ints("nodes_falsenodeids", &lists.no),
        ints("class_treeids", &lists.leaves.iter().map(|leaf| leaf.0).collect::<Vec<_>>()),
        ints("class_nodeids", &lists.leaves.iter().map(|leaf| leaf.1).collect::<Vec<_>>()),
        // With two classes and one list of weights these count for the second one; told to be of class 1, onnxruntime leaves
        // P(real) at a half.
        ints("class_ids", &vec![0; weights]),
        floats("class_weights", lists.leaves.iter().map(|leaf| leaf.2).collect()),
        ints("classlabels_int64s", &[0, 1]),
        floats("base_values", vec![ensemble.base]),
        transform,
    ];
    let node = NodeProto {
        input: vec!["features".into()],
        output: vec!["label".into(), "scores".into()],
        name: "trees".into(),
        op_type: "TreeEnsembleClassifier".into(),
        attribute,
        domain: ML_DOMAIN.into(),
    };
    let graph = GraphProto {
        name: "aware".into(),
        node: vec![node],
        input: vec![value_info("features", &[1, names.len()])],
        output: vec![value_info("scores", &[1, 2])],
        ..GraphProto::default()
    };
    let entry = |(key, value)| StringStringEntryProto { key, value };
    let order = [("features".to_owned(), names.join(","))];
    let model = ModelProto {
        ir_version: 8,
        producer_name: "aware".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: [(ML_DOMAIN, ML_OPSET), ("", 13)]
            .map(|(domain, version)| OperatorSetIdProto { domain: domain.into(), version })
            .to_vec(),
        metadata_props: order.into_iter().chain(metadata).map(entry).collect(),
        ..ModelProto::default()
    };
    Ok(model.encode_to_vec())
}

/// One entry a node, and one a leaf.
#[derive(Default)]
struct Lists {
    trees: Vec<i64>,
    ids: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<Vec<u8>>,
    values: Vec<f32>,
    yes: Vec<i64>,
    no: Vec<i64>,
    /// Tree, node and answer.
    leaves: Vec<(i64, i64, f32)>,
}

impl Lists {
    fn push(&mut self, tree: i64, id: i64, node: Node, count: usize) -> Result<()> {
        let (mode, feature, value, yes, no): (&[u8], _, _, _, _) = match node {
            Node::Leaf(value) => {
                self.leaves.push((tree, id, value));
                (b"LEAF", 0, 0.0, 0, 0)
            }
            Node::Branch { feature, value, below, above, .. } => {
                ensure!(feature < count, "a tree asks about feature {feature} of {count}");
                (b"BRANCH_LT", feature, up_to_32_bits(value), below, above)
            }
        };
        self.trees.push(tree);
        self.ids.push(id);
        self.features.push(feature as i64);
        self.modes.push(mode.to_vec());
        self.values.push(value);
        self.yes.push(yes as i64);
        self.no.push(no as i64);
        Ok(())
    }
}

/// The smallest 32-bit float that is not below `value`.
fn up_to_32_bits(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) < value { near.next_up() } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Session, Tensor};

    #[test]
    fn the_engine_answers_as_the_trees_do() -> Result<()> {
        let branch = |feature, value, below, above| Node::Branch { feature, value, below, above, gain: 1.0 };
        let ensemble = Ensemble {
            base: -0.25,
            trees: vec![
                vec![
                    branch(1, 0.1, 1, 2),
                    Node::Leaf(-1.5),
                    branch(0, -2.0, 3, 4),
                    Node::Leaf(0.5),
                    Node::Leaf(2.0),
                ],
                vec![Node::Leaf(0.125)],
            ],
        };
        let names = ["a", "b", "c"].map(str::to_owned);
        let mut session = Session::load(&trees_bytes(&ensemble, &names, Vec::new())?)?;
        // 0.1 has no 32-bit form: the nearest one is above it, and not below the question.
        for (row, expected) in [
            ([0.0, 0.1_f32, 9.0], 1.875_f32),
            ([0.0, 0.1_f32.next_down(), 9.0], -1.625),
            ([-2.0, 0.5, 9.0], 1.875),
            ([(-2.0_f32).next_down(), 0.5, 9.0], 0.375),
        ] {
            assert_eq!(ensemble.logit(&row.map(f64::from)), expected, "{row:?}");
            let scores = session.run(&Tensor::from_vec(vec![1, 3], row.to_vec()))?;
            let fake = 1.0 / (1.0 + (-f64::from(expected)).exp());
            assert!((f64::from(scores.values()[1]) - fake).abs() < 1e-6, "{row:?}: {scores:?}, not {fake}");
        }
        assert!(trees_bytes(&ensemble, &names[..1], Vec::new()).is_err());
        Ok(())
    }
}
