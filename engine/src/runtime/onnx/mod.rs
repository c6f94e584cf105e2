//! ONNX bytes -> checked [`Graph`].

mod attributes;
mod constant;
mod count;
mod operators;

pub use attributes::Attributes;

use super::constant::Constant;
use super::error::ModelError;
use super::graph::{Graph, Input, Node, Op, Output, Unary, ValueId};
use super::proto::{FLOAT, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::shape::checked_elements;
use count::{MODEL, count_messages};
use prost::Message;
use std::collections::HashMap;

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 256 << 20;
/// Most messages (nodes, constants, attributes, shapes) in a file.
const MAX_MESSAGES: usize = 1 << 18;
/// Most inputs and outputs of a graph.
const MAX_ENDS: usize = 64;
/// Versions of the standard operator set whose operators mean what is implemented here.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=28;

/// The graph in an ONNX file.
///
/// # Errors
/// Any [`ModelError`] but [`ModelError::Input`].
pub fn parse(bytes: &[u8]) -> Result<Graph, ModelError> {
    // It would decode, to a model of nothing.
    if bytes.is_empty() {
        return Err(ModelError::Decode { detail: "the file is empty".into() });
    }
    if bytes.len() > MAX_BYTES {
        return Err(ModelError::TooLarge {
            what: format!("a file of {} bytes", bytes.len()),
            limit: MAX_BYTES as u64,
        });
    }
    // Empty messages take two bytes in the file but hundreds decoded.
    let messages = count_messages(bytes, MODEL);
    if messages > MAX_MESSAGES {
        return Err(ModelError::TooLarge {
            what: format!("{messages} messages"),
            limit: MAX_MESSAGES as u64,
        });
    }
    let model =
        ModelProto::decode(bytes).map_err(|error| ModelError::Decode { detail: error.to_string() })?;
    let opset = check_versions(&model)?;
    let graph = model.graph.ok_or_else(|| ModelError::Decode { detail: "it holds no graph".into() })?;
    build(graph, opset)
}

fn wrong(detail: impl Into<String>) -> ModelError {
    ModelError::Graph { detail: detail.into() }
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// The version of the standard operator set that `model` uses.
fn check_versions(model: &ModelProto) -> Result<i64, ModelError> {
    if !model.functions.is_empty() {
        return Err(wrong("it defines functions of its own, which are not supported"));
    }
    let mut opsets = model.opset_import.iter().filter(|set| is_standard(&set.domain));
    let version = opsets.next().map_or(0, |set| set.version);
    if opsets.next().is_some() {
        return Err(wrong("it names the standard operator set twice"));
    }
    if !OPSETS.contains(&version) {
        return Err(wrong(format!("it needs operator set {version}, supported are {OPSETS:?}")));
    }
    Ok(version)
}

fn build(proto: GraphProto, opset: i64) -> Result<Graph, ModelError> {
    if !proto.sparse_initializer.is_empty() {
        return Err(wrong("it has sparse constants, which are not supported"));
    }
    let mut names = Names::default();
    let mut constants = HashMap::new();
    for tensor in &proto.initializer {
        let value = names.define(&tensor.name)?;
        constants.insert(value, constant::read(tensor)?);
    }
    let mut inputs = Vec::new();
    // Older files list the constants among the inputs.
    for info in proto.input.iter().filter(|info| !names.ids.contains_key(&info.name)).collect::<Vec<_>>() {
        let shape = static_shape(info)?;
        inputs.push(Input { name: info.name.clone(), value: names.define(&info.name)?, shape });
    }
    if inputs.is_empty() || inputs.len() > MAX_ENDS {
        return Err(wrong(format!("it has {} inputs, expected 1 to {MAX_ENDS}", inputs.len())));
    }
    for node in &proto.node {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            let value = names.define(output)?;
            if node.op_type == "Constant" && is_standard(&node.domain) {
                constants.insert(value, constant_node(node)?);
            }
        }
        check_outputs(node)?;
    }
    let mut nodes = Vec::new();
    for node in proto.node.iter().filter(|node| node.op_type != "Constant" || !is_standard(&node.domain)) {
        nodes.extend(operators::typed_nodes(node, opset, &names, &constants)?);
    }
    let known = constants.keys().copied().chain(inputs.iter().map(|input| input.value));
    let nodes = Graph::sort(nodes, known, names.ids.len())?;
    if proto.output.is_empty() || proto.output.len() > MAX_ENDS {
        return Err(wrong(format!("it has {} outputs, expected 1 to {MAX_ENDS}", proto.output.len())));
    }
    let mut outputs = Vec::new();
    for info in &proto.output {
        let value = names
            .find(&info.name)
            .ok_or_else(|| wrong(format!("nothing makes its output {:?}", info.name)))?;
        if !nodes.iter().any(|node| node.output == value) {
            return Err(wrong(format!("its output {:?} is not made by a node", info.name)));
        }
        outputs.push(Output { name: info.name.clone(), value });
    }
    Ok(Graph { nodes, constants, value_count: names.ids.len(), inputs, outputs })
}

/// Refuses results that are not computed: all but the first, of most operators.
fn check_outputs(node: &NodeProto) -> Result<(), ModelError> {
    let most = match node.op_type.as_str() {
        "Split" => MAX_ENDS,
        "TreeEnsembleClassifier" => 2,
        _ => 1,
    };
    let given = node.output.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    if given == 0 || given > most {
        return Err(named(node).error(format!("it has {given} outputs, expected 1 to {most}")));
    }
    Ok(())
}

fn constant_node(node: &NodeProto) -> Result<Constant, ModelError> {
    let named = named(node);
    let attributes = Attributes { node: &named, attributes: &node.attribute };
    attributes.check(&["value", "value_float", "value_floats", "value_int", "value_ints"])?;
    if let Some(tensor) = attributes.tensor("value")? {
        return constant::read(tensor);
    }
    if let Some(values) = attributes.list("value_ints")? {
        let (shape, values) = (vec![values.len()], super::constant::Values::I64(values.to_vec()));
        return Ok(Constant { shape, values });
    }
    let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    match attributes.floats("value_floats")? {
        Some(values) if finite(values) => Ok(Constant::of_floats(vec![values.len()], values.to_vec())),
        None if node.attribute.iter().any(|a| a.name == "value_float") => {
            Ok(Constant::of_floats(Vec::new(), vec![attributes.float("value_float", 0.0)?]))
        }
        _ => Err(named.error("its value has no supported form")),
    }
}

/// Numbers of value names.
#[derive(Default)]
struct Names {
    ids: HashMap<String, ValueId>,
}

impl Names {
    fn define(&mut self, name: &str) -> Result<ValueId, ModelError> {
        if name.is_empty() {
            return Err(wrong("a value has no name"));
        }
        let id = self.ids.len();
        match self.ids.insert(name.to_owned(), id) {
            None => Ok(id),
            Some(_) => Err(wrong(format!("value {name:?} is made twice"))),
        }
    }

    fn find(&self, name: &str) -> Option<ValueId> {
        self.ids.get(name).copied()
    }
}

/// A node with nothing but its name, to speak of it.
fn named(proto: &NodeProto) -> Node {
    let name = if proto.name.is_empty() {
        proto.output.first().cloned().unwrap_or_default()
    } else {
        proto.name.clone()
    };
    Node { name, op: Op::Unary(Unary::Identity), inputs: Vec::new(), output: 0 }
}

/// The extents in `info`, all known and positive.
fn static_shape(info: &ValueInfoProto) -> Result<Vec<usize>, ModelError> {
    let detail = || wrong(format!("input {:?} must be a float tensor of known positive extents", info.name));
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).ok_or_else(detail)?;
    let shape = tensor.shape.as_ref().filter(|_| tensor.elem_type == FLOAT).ok_or_else(detail)?;
    let extents: Option<Vec<usize>> = shape
        .dim
        .iter()
        .map(|dim| dim.dim_value.and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0))
        .collect();
    let extents = extents.ok_or_else(detail)?;
    checked_elements(&extents).ok_or_else(detail)?;
    Ok(extents)
}
