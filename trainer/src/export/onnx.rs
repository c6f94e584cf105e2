//! Network -> FP32 ONNX: batch norm folded, shapes written out, so that any runtime reads it.
//!
//! Operator set 13, static shapes, every value listed in `value_info` and every convolution with a
//! bias: wonnx needs the shapes and gets 3x3 convolutions without bias wrong.

use super::names::{self, Names};
use crate::models::{
    Attention, ConvKind, ConvNorm, Executor, Folded, FoldedLayer, Linear, Norm, PointConv, Topology,
};
use crate::ops::{Activation, Window};
use anyhow::Context as _;
use candle_core::{Result, Tensor};
use engine::runtime::proto::{
    ATTRIBUTE_INT, ATTRIBUTE_INTS, AttributeProto, DimensionProto, FLOAT, GraphProto, INT64, ModelProto,
    NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use prost::Message;
use std::collections::HashSet;

const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// Named texts in the file, for people and tools.
pub type Metadata = Vec<(String, String)>;

/// The ONNX file of `network` for one normalised RGB picture `[1, 3, image_size, image_size]`, called
/// "image", to its outputs: of a [`Model`](crate::models::Model) one "logit" `[1, 1]`.
///
/// # Errors
/// None but candle's own.
pub fn onnx_bytes(network: &impl Topology, image_size: usize, metadata: Metadata) -> Result<Vec<u8>> {
    Ok(onnx_model(network, &Folded::of(network)?, image_size, metadata)?.encode_to_vec())
}

/// The same as a message, with the weights of `folded` in the layers of `network`.
///
/// # Errors
/// If `folded` lacks a layer.
pub fn onnx_model(
    network: &impl Topology,
    folded: &Folded,
    image_size: usize,
    metadata: Metadata,
) -> Result<ModelProto> {
    let mut writer = GraphWriter::of(folded);
    let image = Value { name: "image".into(), shape: vec![1, 3, image_size, image_size] };
    let outputs = network.walk(&mut writer, &image)?;
    let mut graph = writer.graph;
    graph.name = "aware".into();
    graph.input = vec![value_info("image", &image.shape)];
    // Outputs take the documented names; no node reads them.
    for (output, name) in outputs.iter().zip(network.output_names()) {
        for node in graph.node.iter_mut().filter(|node| node.output[0] == output.name) {
            node.output = vec![name.into()];
        }
        graph.value_info.retain(|info| info.name != output.name);
        graph.output.push(value_info(name, &output.shape));
    }
    let entry = |(key, value)| StringStringEntryProto { key, value };
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "aware".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: metadata.into_iter().map(entry).collect(),
        ..ModelProto::default()
    };
    Ok(model)
}

/// The ONNX file `onnx` with these named texts in place of its own of the same names.
///
/// # Errors
/// If it is no ONNX file.
pub fn with_metadata(onnx: &[u8], metadata: Metadata) -> anyhow::Result<Vec<u8>> {
    let mut model = ModelProto::decode(onnx).context("no ONNX file")?;
    let entry = |(key, value)| StringStringEntryProto { key, value };
    let wanted: Vec<_> = metadata.into_iter().map(entry).collect();
    if wanted.iter().all(|entry| model.metadata_props.contains(entry)) {
        // What is right already keeps its bytes.
        return Ok(onnx.to_vec());
    }
    model.metadata_props.retain(|entry| !wanted.iter().any(|wanted| wanted.key == entry.key));
    model.metadata_props.extend(wanted);
    Ok(model.encode_to_vec())
}

/// The ONNX file `onnx` without what it says of itself.
///
/// # Errors
/// If it is no ONNX file.
pub fn without_metadata(onnx: &[u8]) -> anyhow::Result<Vec<u8>> {
    let model = ModelProto::decode(onnx).context("no ONNX file")?;
    Ok(ModelProto { metadata_props: Vec::new(), ..model }.encode_to_vec())
}

/// Executor that writes a node where [`crate::models::Compute`] would compute.
pub(super) struct GraphWriter<'a> {
    folded: &'a Folded,
    graph: GraphProto,
    names: Names,
    constants: HashSet<String>,
}

/// A value of the graph: a map `[1, C, H, W]`, a row `[1, C]`, or what attention makes of maps.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
}

impl<'a> GraphWriter<'a> {
    fn of(folded: &'a Folded) -> Self {
        let (graph, names, constants) = Default::default();
        GraphWriter { folded, graph, names, constants }
    }

    /// Appends a node and lists its output. A second node of a name gets ".2" behind it.
    pub(super) fn push(
        &mut self,
        op: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        name: String,
        shape: Vec<usize>,
    ) -> Value {
        let name = self.names.next(name);
        self.graph.value_info.push(value_info(&name, &shape));
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op.into(),
            attribute,
            domain: String::new(),
        });
        Value { name, shape }
    }

    /// The constant called `name`; one that exists already is taken to be the same.
    pub(super) fn constant(&mut self, name: String, tensor: &Tensor) -> Result<String> {
        if !self.constants.insert(name.clone()) {
            return Ok(name);
        }
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        self.graph.initializer.push(TensorProto {
            dims: tensor.dims().iter().map(|&extent| extent as i64).collect(),
            data_type: FLOAT,
            name: name.clone(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        Ok(name)
    }

    /// `x` with its values in another `shape`.
    pub(super) fn reshape(&mut self, x: &Value, shape: Vec<usize>, name: String) -> Value {
        let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
        let constant = format!("shape.{}", extents.join("x"));
        if self.constants.insert(constant.clone()) {
            self.graph.initializer.push(TensorProto {
                dims: vec![shape.len() as i64],
                data_type: INT64,
                name: constant.clone(),
                raw_data: shape.iter().flat_map(|&extent| (extent as i64).to_le_bytes()).collect(),
                ..TensorProto::default()
            });
        }
        self.push("Reshape", &[&x.name, &constant], Vec::new(), name, shape)
    }

    /// The convolution of a map by the layer called `name`.
    fn convolution(&mut self, name: &str, geometry: &Geometry, x: &Value) -> Result<Value> {
        let FoldedLayer { weight, bias, .. } = self.folded.layer(name)?;
        let weight = self.constant(names::weight(name), weight)?;
        let bias = self.constant(names::bias(name), bias)?;
        let Geometry { kind, channels, window } = *geometry;
        let group = if kind == ConvKind::Depthwise { channels } else { 1 };
        let [[top, bottom], [left, right]] = [x.shape[2], x.shape[3]].map(|extent| window.pads(extent));
        let attributes = vec![
            ints("dilations", &[1, 1]),
            int("group", group as i64),
            ints("kernel_shape", &[window.kernel as i64; 2]),
            ints("pads", &[top, left, bottom, right].map(|zeros| zeros as i64)),
            ints("strides", &[window.stride as i64; 2]),
        ];
        let (op, extent): (_, &dyn Fn(usize) -> usize) = match kind {
            ConvKind::Transposed => ("ConvTranspose", &|side| side * window.kernel),
            ConvKind::Dense | ConvKind::Depthwise => ("Conv", &|side| window.output(side)),
        };
        let shape = vec![1, channels, extent(x.shape[2]), extent(x.shape[3])];
        Ok(self.push(op, &[&x.name, &weight, &bias], attributes, name.to_owned(), shape))
    }
}

/// What a convolution is beside its weights.
struct Geometry {
    kind: ConvKind,
    /// Output channels.
    channels: usize,
    window: Window,
}

impl Executor for GraphWriter<'_> {
    type Value = Value;

    fn conv_norm(&mut self, layer: &ConvNorm, x: &Value) -> Result<Value> {
        let geometry = Geometry { kind: layer.kind, channels: layer.channels_out(), window: layer.window };
        let y = self.convolution(&layer.name, &geometry, x)?;
        match layer.activation {
            Activation::Identity => Ok(y),
            Activation::Relu => {
                Ok(self.push("Relu", &[&y.name], Vec::new(), names::relu(&layer.name), y.shape))
            }
            Activation::Silu => self.silu(&y),
            Activation::Relu6 => {
                let bound = |value: f32| Tensor::new(value, layer.weight.device());
                let low = self.constant(format!("{}.low", layer.name), &bound(0.0)?)?;
                let high = self.constant(format!("{}.high", layer.name), &bound(6.0)?)?;
                let inputs = [&y.name[..], &low, &high];
                Ok(self.push("Clip", &inputs, Vec::new(), names::relu6(&layer.name), y.shape))
            }
        }
    }

    fn add(&mut self, a: &Value, b: &Value) -> Result<Value> {
        Ok(self.push("Add", &[&a.name, &b.name], Vec::new(), names::sum(&a.name), a.shape.clone()))
    }

    fn point_conv(&mut self, layer: &PointConv, x: &Value) -> Result<Value> {
        let geometry =
            Geometry { kind: ConvKind::Dense, channels: layer.channels_out(), window: Window::same(1, 1) };
        self.convolution(&layer.name, &geometry, x)
    }

    fn silu(&mut self, x: &Value) -> Result<Value> {
        let factor = self.sigmoid(x)?;
        let name = names::silu(&x.name);
        Ok(self.push("Mul", &[&x.name, &factor.name], Vec::new(), name, x.shape.clone()))
    }

    fn sigmoid(&mut self, x: &Value) -> Result<Value> {
        let name = names::sigmoid(&x.name);
        Ok(self.push("Sigmoid", &[&x.name], Vec::new(), name, x.shape.clone()))
    }

    fn gate(&mut self, x: &Value, factor: &Value) -> Result<Value> {
        let name = names::gate(&x.name);
        Ok(self.push("Mul", &[&x.name, &factor.name], Vec::new(), name, x.shape.clone()))
    }

    fn global_average_pool(&mut self, x: &Value) -> Result<Value> {
        let shape = vec![1, x.shape[1], 1, 1];
        let name = names::mean(&x.name);
        Ok(self.push("GlobalAveragePool", &[&x.name], Vec::new(), name, shape))
    }

    fn linear(&mut self, layer: &Linear, x: &Value) -> Result<Value> {
        let flat = vec![1, x.shape[1]];
        let flat = self.push("Flatten", &[&x.name], vec![int("axis", 1)], "flatten".into(), flat);
        let FoldedLayer { weight, bias, .. } = self.folded.layer(&layer.name)?;
        let cout = bias.elem_count();
        // Transposed here: wonnx refuses `transB`.
        let weight = self.constant(names::weight(&layer.name), &weight.t()?)?;
        let bias = self.constant(names::bias(&layer.name), bias)?;
        Ok(self.push("Gemm", &[&flat.name, &weight, &bias], Vec::new(), layer.name.clone(), vec![1, cout]))
    }

    /// A depthwise convolution of single positions: what follows it may be padded, so it folds into nothing.
    fn norm(&mut self, layer: &Norm, x: &Value) -> Result<Value> {
        let geometry =
            Geometry { kind: ConvKind::Depthwise, channels: x.shape[1], window: Window::same(1, 1) };
        self.convolution(&layer.name, &geometry, x)
    }

    fn attention(&mut self, layer: &Attention, maps: [&Value; 3]) -> Result<Value> {
        super::attention::write(self, layer, maps)
    }

    fn concat(&mut self, maps: &[Value]) -> Result<Value> {
        let [first, ..] = maps else { candle_core::bail!("nothing to concatenate") };
        let mut shape = first.shape.clone();
        shape[1] = maps.iter().map(|map| map.shape[1]).sum();
        let inputs: Vec<&str> = maps.iter().map(|map| &map.name[..]).collect();
        Ok(self.push("Concat", &inputs, vec![int("axis", 1)], names::concatenation(), shape))
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: value, r#type: ATTRIBUTE_INT, ..AttributeProto::default() }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints: values.to_vec(),
        r#type: ATTRIBUTE_INTS,
        ..AttributeProto::default()
    }
}

pub(super) fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = |&extent: &usize| DimensionProto { dim_value: Some(extent as i64), dim_param: None };
    let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(shape) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
