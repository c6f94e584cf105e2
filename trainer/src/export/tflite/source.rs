//! The ONNX graph as the translation reads it: constants, who reads what, and what ends a layer.

use super::model::Activation;
use super::weight::{Values, Weight, dims, floats_of, integers_of};
use anyhow::{Context, Result, bail, ensure};
use engine::runtime::proto::{GraphProto, INT8, NodeProto, TensorProto, UINT8};
use std::collections::{HashMap, HashSet};

/// What a signed byte is less than the unsigned one that stands for the same.
const SIGNED: i64 = 128;
/// The limit of `RELU6`.
const SIX: f32 = 6.0;

/// Scale and zero point of signed bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) scale: f32,
    pub(super) zero_point: i64,
}

/// What follows an operator and can be computed with it.
pub(super) struct Ending {
    pub(super) activation: Activation,
    /// Name of the result in floats.
    pub(super) floats: String,
    /// Name and scale of the result in bytes, if nothing else reads the floats.
    pub(super) bytes: Option<(String, Scale)>,
    /// The node that limits the result.
    pub(super) limit: Option<usize>,
    /// The node that makes bytes.
    pub(super) quantise: Option<usize>,
}

pub(super) struct Source<'a> {
    pub(super) graph: &'a GraphProto,
    constants: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, &'a NodeProto>,
    readers: HashMap<&'a str, Vec<usize>>,
    outputs: HashSet<&'a str>,
}

impl<'a> Source<'a> {
    pub(super) fn new(graph: &'a GraphProto) -> Self {
        let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut makers = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            node.input.iter().for_each(|input| readers.entry(input).or_default().push(index));
            node.output.iter().for_each(|output| {
                makers.insert(output.as_str(), node);
            });
        }
        Source {
            graph,
            constants: graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect(),
            makers,
            readers,
            outputs: graph.output.iter().map(|output| output.name.as_str()).collect(),
        }
    }

    /// Whether `name` is a constant.
    pub(super) fn is_constant(&self, name: &str) -> bool {
        self.constants.contains_key(name)
    }

    fn constant(&self, name: &str) -> Result<&'a TensorProto> {
        self.constants.get(name).copied().with_context(|| format!("{name:?} is not a constant"))
    }

    /// The constant `name`, or the one that is made floats to be `name`.
    pub(super) fn weight(&self, name: &str) -> Result<Weight> {
        if self.is_constant(name) {
            let (dims, floats) = self.floats(name)?;
            return Ok(Weight { dims, values: Values::Floats(floats) });
        }
        let maker = self.makers.get(name).filter(|maker| maker.op_type == "DequantizeLinear");
        let maker =
            maker.with_context(|| format!("{name:?} is neither a constant nor made floats from one"))?;
        let tensor = self.constant(input(maker, 0)?)?;
        let dims = dims(tensor)?;
        let integers = integers_of(tensor)?.into_iter().map(i32::try_from).collect::<Result<_, _>>();
        let integers = integers.with_context(|| format!("{name:?} holds more than 32 bits"))?;
        let (_, scales) = self.floats(input(maker, 1)?)?;
        if let Some(zero) = maker.input.get(2).filter(|zero| !zero.is_empty()) {
            let zeros = integers_of(self.constant(zero)?)?;
            ensure!(zeros.iter().all(|zero| *zero == 0), "{name:?} has zero points, expected none");
        }
        let axis = int(maker, "axis", 1);
        let axis = if scales.len() == 1 { 0 } else { index_of(axis, dims.len())? };
        let outputs = if dims.is_empty() { 1 } else { dims[axis] };
        ensure!(
            scales.len() == 1 || scales.len() == outputs,
            "{name:?} has {} scales, expected {outputs}",
            scales.len()
        );
        Ok(Weight { dims, values: Values::Scaled { integers, scales, axis } })
    }

    /// Shape and values of a constant of floats.
    pub(super) fn floats(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        floats_of(self.constant(name)?)
    }

    /// Values of a constant of integers.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>> {
        integers_of(self.constant(name)?)
    }

    /// Scale and zero point, as of signed bytes, of a `QuantizeLinear` or `DequantizeLinear`.
    pub(super) fn scale(&self, node: &NodeProto) -> Result<Scale> {
        let (_, scales) = self.floats(input(node, 1)?)?;
        let zero = self.constant(input(node, 2)?)?;
        let zeros = integers_of(zero)?;
        let ([scale], [zero_point]) = (&scales[..], &zeros[..]) else {
            bail!("{:?} has {} scales and {} zero points, expected one", node.name, scales.len(), zeros.len())
        };
        let shift = match zero.data_type {
            UINT8 => SIGNED,
            INT8 => 0,
            other => bail!("{:?} makes element type {other}, expected bytes", node.name),
        };
        Ok(Scale { scale: *scale, zero_point: zero_point - shift })
    }

    /// What follows `node`.
    pub(super) fn ending(&self, node: &NodeProto) -> Result<Ending> {
        let mut name = output(node)?;
        let mut ending = Ending {
            activation: Activation::None,
            floats: String::new(),
            bytes: None,
            limit: None,
            quantise: None,
        };
        if let Some((index, reader)) = self.sole_reader(name)
            && let Some(activation) = self.activation(reader)
        {
            ending.activation = activation;
            ending.limit = Some(index);
            name = output(reader)?;
        }
        ending.floats = name.to_owned();
        if let Some((index, reader)) = self.sole_reader(name)
            && reader.op_type == "QuantizeLinear"
        {
            ending.bytes = Some((output(reader)?.to_owned(), self.scale(reader)?));
            ending.quantise = Some(index);
        }
        Ok(ending)
    }

    /// What follows `node`, whose operator limits nothing.
    pub(super) fn unlimited_ending(&self, node: &NodeProto) -> Result<Ending> {
        let ending = self.ending(node)?;
        if ending.limit.is_none() {
            return Ok(ending);
        }
        let floats = output(node)?.to_owned();
        Ok(Ending { activation: Activation::None, floats, bytes: None, limit: None, quantise: None })
    }

    /// The limits of `node`, if TFLite has them.
    pub(super) fn activation(&self, node: &NodeProto) -> Option<Activation> {
        let limit = |index: usize| {
            let (_, values) = self.floats(node.input.get(index)?).ok()?;
            values.first().copied()
        };
        match node.op_type.as_str() {
            "Relu" => Some(Activation::Relu),
            "Clip" => (limit(1) == Some(0.0) && limit(2) == Some(SIX)).then_some(Activation::Relu6),
            _ => None,
        }
    }

    /// The only node that reads `name`, unless it leaves the graph.
    fn sole_reader(&self, name: &str) -> Option<(usize, &'a NodeProto)> {
        match self.readers.get(name).map(Vec::as_slice) {
            Some(&[index]) if !self.outputs.contains(name) => Some((index, &self.graph.node[index])),
            _ => None,
        }
    }
}

/// Name of the input `index` of `node`.
pub(super) fn input(node: &NodeProto, index: usize) -> Result<&str> {
    let name = node.input.get(index).filter(|name| !name.is_empty());
    name.map(String::as_str)
        .with_context(|| format!("{:?} ({}) lacks input {index}", node.name, node.op_type))
}

/// Name of the only output of `node`.
pub(super) fn output(node: &NodeProto) -> Result<&str> {
    match &node.output[..] {
        [output] => Ok(output),
        outputs => bail!("{:?} ({}) has {} outputs, expected 1", node.name, node.op_type, outputs.len()),
    }
}

/// The integer attribute `name` of `node`.
pub(super) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(default, |attribute| attribute.i)
}

/// The list attribute `name` of `node`, each at least 0.
pub(super) fn ints(node: &NodeProto, name: &str, default: &[usize]) -> Result<Vec<usize>> {
    let Some(attribute) = node.attribute.iter().find(|attribute| attribute.name == name) else {
        return Ok(default.to_vec());
    };
    let list = attribute.ints.iter().map(|&value| usize::try_from(value)).collect::<Result<_, _>>();
    list.with_context(|| format!("{name} of {:?} is {:?}", node.name, attribute.ints))
}

/// `axis`, which may count from the end, of a value of `rank` axes.
pub(super) fn index_of(axis: i64, rank: usize) -> Result<usize> {
    let index = if axis < 0 { axis + rank as i64 } else { axis };
    let index = usize::try_from(index).ok().filter(|&index| index < rank);
    index.with_context(|| format!("axis {axis} of a value of {rank} axes"))
}
