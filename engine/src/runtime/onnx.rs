//! ONNX bytes -> checked [`Graph`].

use super::error::ModelError;
use super::graph::{ConvAttributes, Graph, Node, Op, ValueId};
use super::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, ATTRIBUTE_STRING, AttributeProto, FLOAT, GraphProto,
    ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use super::shape::{MAX_ELEMENTS, checked_elements};
use crate::tensor::Tensor;
use prost::Message;
use std::collections::HashMap;

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 256 << 20;
/// Most messages (nodes, constants, attributes, shapes) in a file.
const MAX_MESSAGES: usize = 1 << 18;
/// Versions of the standard operator set whose operators mean what is implemented here.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=21;

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
    check_versions(&model)?;
    let graph = model.graph.ok_or_else(|| ModelError::Decode { detail: "it holds no graph".into() })?;
    build(graph)
}

fn wrong(detail: impl Into<String>) -> ModelError {
    ModelError::Graph { detail: detail.into() }
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

fn check_versions(model: &ModelProto) -> Result<(), ModelError> {
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
    Ok(())
}

fn build(proto: GraphProto) -> Result<Graph, ModelError> {
    if !proto.sparse_initializer.is_empty() {
        return Err(wrong("it has sparse constants, which are not supported"));
    }
    let mut names = Names::default();
    let mut constants = HashMap::new();
    for tensor in &proto.initializer {
        let value = names.define(&tensor.name)?;
        constants.insert(value, constant(tensor)?);
    }
    // Older files list the constants among the inputs.
    let mut inputs = proto.input.iter().filter(|info| !names.ids.contains_key(&info.name));
    let (Some(input_info), None) = (inputs.next(), inputs.next()) else {
        return Err(wrong("it needs exactly one input"));
    };
    let input_shape = static_shape(input_info)?;
    let input = names.define(&input_info.name)?;
    for node in &proto.node {
        let [output] = &node.output[..] else {
            return Err(named(node).error("expected exactly one output"));
        };
        names.define(output)?;
    }
    let nodes =
        proto.node.iter().map(|node| typed_node(node, &names, &constants)).collect::<Result<Vec<_>, _>>()?;
    let known = constants.keys().copied().chain([input]);
    let nodes = Graph::sort(nodes, known, names.ids.len())?;
    let [output_info] = &proto.output[..] else { return Err(wrong("it needs exactly one output")) };
    let output = names
        .find(&output_info.name)
        .ok_or_else(|| wrong(format!("nothing makes its output {:?}", output_info.name)))?;
    if !nodes.iter().any(|node| node.output == output) {
        return Err(wrong("its output is not made by a node"));
    }
    Ok(Graph { nodes, constants, value_count: names.ids.len(), input, input_shape, output })
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
    Node { name, op: Op::Relu, inputs: Vec::new(), output: 0 }
}

fn typed_node(
    proto: &NodeProto,
    names: &Names,
    constants: &HashMap<ValueId, Tensor>,
) -> Result<Node, ModelError> {
    let mut node = named(proto);
    if !is_standard(&proto.domain) {
        let operator = format!("{}.{}", proto.domain, proto.op_type);
        return Err(ModelError::Operator { node: node.name, operator });
    }
    node.output = names.find(&proto.output[0]).ok_or_else(|| node.error("its output has no number"))?;
    // An empty name stands for an optional input that is not given.
    let given = proto.input.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    let inputs = &proto.input[..given];
    let find =
        |name: &str| names.find(name).ok_or_else(|| node.error(format!("nothing makes its input {name:?}")));
    // The bounds of Clip are no data, and the lower one may be left out before the upper one.
    let data = if proto.op_type == "Clip" { &inputs[..given.min(1)] } else { inputs };
    let data = data.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
    let arity = |range: std::ops::RangeInclusive<usize>| {
        if range.contains(&inputs.len()) {
            return Ok(());
        }
        Err(node.error(format!("{} has {} inputs, expected {range:?}", proto.op_type, inputs.len())))
    };
    let attributes = Attributes { node: &node, attributes: &proto.attribute };
    let op = match proto.op_type.as_str() {
        "Conv" => {
            arity(2..=3)?;
            Op::Conv(conv_attributes(&attributes)?)
        }
        "Relu" => {
            arity(1..=1)?;
            attributes.check(&[])?;
            Op::Relu
        }
        "Clip" => {
            arity(1..=3)?;
            attributes.check(&[])?;
            let bound = |index: usize, absent: f32| match inputs.get(index).filter(|name| !name.is_empty()) {
                None => Ok(absent),
                Some(name) => match constants.get(&find(name)?).map(Tensor::values) {
                    Some(&[bound]) if !bound.is_nan() => Ok(bound),
                    _ => Err(node.error("its bounds must be constant numbers")),
                },
            };
            Op::Clip { low: bound(1, f32::NEG_INFINITY)?, high: bound(2, f32::INFINITY)? }
        }
        "Add" => {
            arity(2..=2)?;
            attributes.check(&[])?;
            Op::Add
        }
        "GlobalAveragePool" => {
            arity(1..=1)?;
            attributes.check(&[])?;
            Op::GlobalAveragePool
        }
        "Flatten" => {
            arity(1..=1)?;
            attributes.check(&["axis"])?;
            attributes.require_int("axis", 1, 1)?;
            Op::Flatten
        }
        "Gemm" => {
            arity(3..=3)?;
            attributes.check(&["alpha", "beta", "transA", "transB"])?;
            attributes.require_float("alpha", 1.0)?;
            attributes.require_float("beta", 1.0)?;
            attributes.require_int("transA", 0, 0)?;
            Op::Gemm { transpose: attributes.int("transB", 0)? != 0 }
        }
        other => return Err(ModelError::Operator { node: node.name, operator: other.into() }),
    };
    (node.op, node.inputs) = (op, data);
    Ok(node)
}

fn conv_attributes(attributes: &Attributes) -> Result<ConvAttributes, ModelError> {
    attributes.check(&["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"])?;
    let node = attributes.node;
    if attributes.find("auto_pad", ATTRIBUTE_STRING)?.is_some_and(|a| a.s != b"NOTSET" && !a.s.is_empty()) {
        return Err(node.error("auto_pad is not supported; write the pads out"));
    }
    if attributes.ints("dilations", [1, 1])? != [1, 1] {
        return Err(node.error("dilations other than 1 are not supported"));
    }
    let group = attributes.int("group", 1)?;
    let group = usize::try_from(group).ok().filter(|&group| group > 0);
    let conv = ConvAttributes {
        group: group.ok_or_else(|| {
            node.error("group: expected a positive number of groups that this machine can count")
        })?,
        kernel: attributes.ints("kernel_shape", [0, 0])?,
        strides: attributes.ints("strides", [1, 1])?,
        pads: attributes.ints("pads", [0; 4])?,
    };
    if conv.strides.contains(&0) {
        return Err(node.error("strides must be positive"));
    }
    Ok(conv)
}

/// The attributes of one node.
struct Attributes<'a> {
    node: &'a Node,
    attributes: &'a [AttributeProto],
}

impl Attributes<'_> {
    /// Refuses attributes that are not in `known` or come twice, and subgraphs.
    fn check(&self, known: &[&str]) -> Result<(), ModelError> {
        for (index, attribute) in self.attributes.iter().enumerate() {
            if self.attributes[..index].iter().any(|earlier| earlier.name == attribute.name) {
                return Err(self.node.error(format!("attribute {:?} is given twice", attribute.name)));
            }
            if !attribute.g.is_empty() || !attribute.graphs.is_empty() {
                return Err(self.node.error("subgraphs are not supported"));
            }
            if !known.contains(&attribute.name.as_str()) {
                return Err(self.node.error(format!("attribute {:?} is not supported", attribute.name)));
            }
        }
        Ok(())
    }

    /// The attribute `name`, which must hold a value of the type `wanted`: the fields of the others read as 0.
    fn find(&self, name: &str, wanted: i32) -> Result<Option<&AttributeProto>, ModelError> {
        let found = self.attributes.iter().find(|attribute| attribute.name == name);
        match found {
            Some(AttributeProto { r#type, .. }) if *r#type != wanted => {
                Err(self.node.error(format!("attribute {name:?} has the type {}, expected {wanted}", r#type)))
            }
            _ => Ok(found),
        }
    }

    fn int(&self, name: &str, absent: i64) -> Result<i64, ModelError> {
        Ok(self.find(name, ATTRIBUTE_INT)?.map_or(absent, |attribute| attribute.i))
    }

    fn require_int(&self, name: &str, absent: i64, wanted: i64) -> Result<(), ModelError> {
        let value = self.int(name, absent)?;
        if value == wanted {
            return Ok(());
        }
        Err(self.node.error(format!("{name} is {value}, supported is {wanted}")))
    }

    fn require_float(&self, name: &str, wanted: f32) -> Result<(), ModelError> {
        match self.find(name, ATTRIBUTE_FLOAT)? {
            Some(attribute) if attribute.f != wanted => {
                Err(self.node.error(format!("{name} is {}, supported is {wanted}", attribute.f)))
            }
            _ => Ok(()),
        }
    }

    /// `N` sizes that a convolution may have.
    fn ints<const N: usize>(&self, name: &str, absent: [usize; N]) -> Result<[usize; N], ModelError> {
        const LIMIT: i64 = 4096;
        let Some(attribute) = self.find(name, ATTRIBUTE_INTS)? else { return Ok(absent) };
        let sizes: Option<Vec<usize>> = attribute
            .ints
            .iter()
            .map(|&value| usize::try_from(value).ok().filter(|_| value <= LIMIT))
            .collect();
        sizes.and_then(|sizes| sizes.try_into().ok()).ok_or_else(|| {
            self.node.error(format!("{name} is {:?}, expected {N} numbers from 0 to {LIMIT}", attribute.ints))
        })
    }
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

/// The content of a constant, its size checked against its shape before anything is allocated.
fn constant(proto: &TensorProto) -> Result<Tensor, ModelError> {
    let refuse = |detail: String| Err(ModelError::Constant { tensor: proto.name.clone(), detail });
    if proto.data_location != 0 || !proto.external_data.is_empty() {
        return refuse("its content lies in another file, which is not supported".into());
    }
    if proto.data_type != FLOAT {
        return refuse(format!(
            "element type {} is not supported, expected {FLOAT} (float)",
            proto.data_type
        ));
    }
    let extents: Option<Vec<usize>> = proto.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect();
    let Some((shape, elements)) = extents.and_then(|shape| checked_elements(&shape).map(|n| (shape, n)))
    else {
        return refuse(format!("shape {:?} is negative or above {MAX_ELEMENTS} elements", proto.dims));
    };
    let values: Vec<f32> = if proto.raw_data.is_empty() {
        proto.float_data.clone()
    } else {
        if proto.raw_data.len() != elements * 4 {
            let bytes = proto.raw_data.len();
            return refuse(format!("shape {shape:?} needs {} bytes, got {bytes}", elements * 4));
        }
        proto.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    if values.len() != elements {
        return refuse(format!("shape {shape:?} needs {elements} values, got {}", values.len()));
    }
    if values.iter().any(|value| !value.is_finite()) {
        return refuse("it holds a value that is not a finite number".into());
    }
    Ok(Tensor::from_vec(shape, values))
}

/// Which fields of a message are messages that are counted, and what they hold.
struct Schema(&'static [(u64, &'static Schema)]);

static LEAF: Schema = Schema(&[]);
static TENSOR: Schema = Schema(&[(13, &LEAF)]);
static ATTRIBUTE: Schema = Schema(&[(5, &TENSOR), (11, &LEAF)]);
static NODE: Schema = Schema(&[(1, &LEAF), (2, &LEAF), (5, &ATTRIBUTE)]);
static SHAPE: Schema = Schema(&[(1, &LEAF)]);
static TENSOR_TYPE: Schema = Schema(&[(2, &SHAPE)]);
static TYPE: Schema = Schema(&[(1, &TENSOR_TYPE)]);
static VALUE_INFO: Schema = Schema(&[(2, &TYPE)]);
static GRAPH: Schema =
    Schema(&[(1, &NODE), (5, &TENSOR), (11, &VALUE_INFO), (12, &VALUE_INFO), (13, &VALUE_INFO), (15, &LEAF)]);
static MODEL: &Schema = &Schema(&[(7, &GRAPH), (8, &LEAF), (14, &LEAF), (25, &LEAF)]);

/// Number of messages in `bytes` that decode to a structure each; stops where the bytes are no
/// protobuf, which the decoder then reports.
fn count_messages(mut bytes: &[u8], schema: &Schema) -> usize {
    let mut count = 0;
    while let Some(key) = varint(&mut bytes) {
        let skip = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            5 => Some(4),
            2 => varint(&mut bytes),
            // The decoder skips groups with all they hold; counting that too errs on the safe side.
            3 | 4 => Some(0),
            _ => None,
        };
        let Some(field) = skip.and_then(|skip| bytes.split_at_checked(usize::try_from(skip).ok()?)) else {
            break;
        };
        if let Some((_, inner)) = schema.0.iter().find(|(number, _)| *number == key >> 3 && key & 7 == 2) {
            count += 1 + count_messages(field.0, inner);
        }
        bytes = field.1;
    }
    count
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
