//! Network -> FP32 ONNX: batch norm folded, shapes written out, so that any runtime reads it.
//!
//! Operator set 13, static shapes, every value listed in `value_info` and every convolution with a
//! bias: wonnx needs the shapes and gets 3x3 convolutions without bias wrong.

use crate::models::{ConvKind, ConvNorm, Executor, Linear, Model, PointConv};
use crate::ops::{Activation, Window};
use candle_core::{Result, Tensor};
use engine::runtime::proto::{
    ATTRIBUTE_INT, ATTRIBUTE_INTS, AttributeProto, DimensionProto, FLOAT, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use prost::Message;

const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// Named texts in the file, for people and tools.
pub type Metadata = Vec<(String, String)>;

/// The ONNX file of `network` for one normalised RGB picture `[1, 3, image_size, image_size]`, called
/// "image", to one "logit" `[1, 1]`.
///
/// # Errors
/// None but candle's own.
pub fn onnx_bytes(network: &Model, image_size: usize, metadata: Metadata) -> Result<Vec<u8>> {
    let mut writer = GraphWriter::default();
    let image = Value { name: "image".into(), shape: vec![1, 3, image_size, image_size] };
    let logit = network.run(&mut writer, &image)?;
    let mut graph = writer.graph;
    graph.name = "aware".into();
    // The last node's output takes the documented name.
    if let Some(node) = graph.node.last_mut() {
        node.output = vec!["logit".into()];
    }
    graph.value_info.pop();
    graph.input = vec![value_info("image", &image.shape)];
    graph.output = vec![value_info("logit", &logit.shape)];
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
    Ok(model.encode_to_vec())
}

/// Executor that writes a node where [`crate::models::Compute`] would compute.
#[derive(Default)]
struct GraphWriter {
    graph: GraphProto,
}

/// A value of the graph, `[N, C, H, W]` or `[N, C]`.
#[derive(Clone)]
struct Value {
    name: String,
    shape: Vec<usize>,
}

impl GraphWriter {
    /// Appends a node and lists its output.
    fn push(
        &mut self,
        op: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        name: String,
        shape: Vec<usize>,
    ) -> Value {
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

    fn constant(&mut self, name: String, tensor: &Tensor) -> Result<String> {
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
}

impl Executor for GraphWriter {
    type Value = Value;

    fn conv_norm(&mut self, layer: &ConvNorm, x: &Value) -> Result<Value> {
        let (weight, bias) = layer.folded()?;
        let weight = self.constant(format!("{}.weight", layer.name), &weight)?;
        let bias = self.constant(format!("{}.bias", layer.name), &bias)?;
        let (window, channels) = (layer.window, layer.channels_out());
        let group = if layer.kind == ConvKind::Depthwise { channels } else { 1 };
        let attributes = conv_attributes(window, group, x);
        let shape = vec![1, channels, window.output(x.shape[2]), window.output(x.shape[3])];
        let y = self.push("Conv", &[&x.name, &weight, &bias], attributes, layer.name.clone(), shape);
        match layer.activation {
            Activation::Identity => Ok(y),
            Activation::Relu => {
                Ok(self.push("Relu", &[&y.name], Vec::new(), format!("{}.relu", layer.name), y.shape))
            }
            Activation::Silu => self.silu(&y),
            Activation::Relu6 => {
                let bound = |value: f32| Tensor::new(value, layer.weight.device());
                let low = self.constant(format!("{}.low", layer.name), &bound(0.0)?)?;
                let high = self.constant(format!("{}.high", layer.name), &bound(6.0)?)?;
                let inputs = [&y.name[..], &low, &high];
                Ok(self.push("Clip", &inputs, Vec::new(), format!("{}.relu6", layer.name), y.shape))
            }
        }
    }

    fn add(&mut self, a: &Value, b: &Value) -> Result<Value> {
        Ok(self.push("Add", &[&a.name, &b.name], Vec::new(), format!("{}.add", a.name), a.shape.clone()))
    }

    fn point_conv(&mut self, layer: &PointConv, x: &Value) -> Result<Value> {
        let weight = self.constant(format!("{}.weight", layer.name), &layer.weight)?;
        let bias = self.constant(format!("{}.bias", layer.name), &layer.bias)?;
        let attributes = conv_attributes(Window::same(1, 1), 1, x);
        let shape = vec![1, layer.bias.elem_count(), x.shape[2], x.shape[3]];
        Ok(self.push("Conv", &[&x.name, &weight, &bias], attributes, layer.name.clone(), shape))
    }

    fn silu(&mut self, x: &Value) -> Result<Value> {
        let factor = self.sigmoid(x)?;
        let name = format!("{}.silu", x.name);
        Ok(self.push("Mul", &[&x.name, &factor.name], Vec::new(), name, x.shape.clone()))
    }

    fn sigmoid(&mut self, x: &Value) -> Result<Value> {
        let name = format!("{}.sigmoid", x.name);
        Ok(self.push("Sigmoid", &[&x.name], Vec::new(), name, x.shape.clone()))
    }

    fn gate(&mut self, x: &Value, factor: &Value) -> Result<Value> {
        let name = format!("{}.gate", x.name);
        Ok(self.push("Mul", &[&x.name, &factor.name], Vec::new(), name, x.shape.clone()))
    }

    fn global_average_pool(&mut self, x: &Value) -> Result<Value> {
        let shape = vec![1, x.shape[1], 1, 1];
        let name = format!("{}.mean", x.name);
        Ok(self.push("GlobalAveragePool", &[&x.name], Vec::new(), name, shape))
    }

    fn linear(&mut self, layer: &Linear, x: &Value) -> Result<Value> {
        let flat = vec![1, x.shape[1]];
        let flat = self.push("Flatten", &[&x.name], vec![int("axis", 1)], "flatten".into(), flat);
        let cout = layer.weight.dims()[0];
        // Transposed here: wonnx refuses `transB`.
        let weight = self.constant(format!("{}.weight", layer.name), &layer.weight.t()?)?;
        let bias = self.constant(format!("{}.bias", layer.name), &layer.bias)?;
        Ok(self.push("Gemm", &[&flat.name, &weight, &bias], Vec::new(), layer.name.clone(), vec![1, cout]))
    }
}

/// Attributes of a convolution by `window` over `x`.
fn conv_attributes(window: Window, group: usize, x: &Value) -> Vec<AttributeProto> {
    let [[top, bottom], [left, right]] = [x.shape[2], x.shape[3]].map(|extent| window.pads(extent));
    vec![
        ints("dilations", &[1, 1]),
        int("group", group as i64),
        ints("kernel_shape", &[window.kernel as i64; 2]),
        ints("pads", &[top, left, bottom, right].map(|zeros| zeros as i64)),
        ints("strides", &[window.stride as i64; 2]),
    ]
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: value, r#type: ATTRIBUTE_INT, ..AttributeProto::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints: values.to_vec(),
        r#type: ATTRIBUTE_INTS,
        ..AttributeProto::default()
    }
}

fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = |&extent: &usize| DimensionProto { dim_value: Some(extent as i64), dim_param: None };
    let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(shape) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
