//! FP32 ONNX -> INT8 ONNX in QDQ form, by a [`Scheme`] that was learned, or one of observed ranges (post-training
//! quantisation).
//!
//! The scheme of docs/numerics.md: weights of convolutions and fully connected layers in signed bytes or half bytes with
//! a scale for each output, activations in unsigned bytes with one scale, biases in units of the sums. Values between
//! layers get a pair of `QuantizeLinear` and `DequantizeLinear`; with seven bits a `Clip` stands before it, which every
//! runtime honours. Transposed convolutions compute in floats and keep only their weights as integers.

use super::names;
use super::ranges::{Range, observe};
use super::scheme::{ActivationBits, LayerScheme, MIN_SCALE, Parameters, Scheme, WeightBits, bias_integer};
use anyhow::{Context, Result, bail, ensure};
use engine::Tensor;
use engine::runtime::proto::{
    AttributeProto, FLOAT, GraphProto, INT4, INT8, INT32, ModelProto, NodeProto, TensorProto, UINT8,
};
use prost::Message;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The first operator set whose `DequantizeLinear` takes four-bit integers, and the file format that it came with.
const OPSET_OF_FOUR_BITS: i64 = 21;
const IR_VERSION_OF_FOUR_BITS: i64 = 10;

/// The INT8 form of the FP32 file `onnx`, with ranges observed on `calibration` inputs.
///
/// # Errors
/// If there are no inputs, the engine refuses the file, or it is not one of ours.
pub fn quantise(onnx: &[u8], calibration: &[Tensor], bits: ActivationBits) -> Result<Vec<u8>> {
    ensure!(!calibration.is_empty(), "no pictures to observe ranges on");
    let model = ModelProto::decode(onnx).context("the FP32 file")?;
    let graph = model.graph.as_ref().context("the FP32 file holds no graph")?;
    let layers = eight_bit_layers(graph)?;
    let ranges = observe(&model, &points(graph, &layers), calibration)?;
    let parameters = |(name, range): (&String, &Range)| (name.clone(), Parameters::of(*range, bits));
    let points = ranges.iter().map(parameters).collect();
    let scheme = Scheme { activation_bits: bits, points, layers };
    Ok(quantised(model, &scheme)?.encode_to_vec())
}

/// The form of the FP32 file `model` that `scheme` describes.
///
/// # Errors
/// If the file is not one of ours, or the scheme one of another network.
pub fn quantised(mut model: ModelProto, scheme: &Scheme) -> Result<ModelProto> {
    let graph = model.graph.take().context("the FP32 file holds no graph")?;
    model.graph = Some(Writer::new(&graph, scheme).write()?);
    if scheme.layers.values().any(|layer| layer.bits == WeightBits::Four) {
        model.ir_version = IR_VERSION_OF_FOUR_BITS;
        model.opset_import.iter_mut().for_each(|set| set.version = OPSET_OF_FOUR_BITS);
    }
    Ok(model)
}

/// The name of the layer that `node` computes; none if it has no weights.
pub fn layer_of(node: &NodeProto) -> Option<&str> {
    let is_layer = matches!(node.op_type.as_str(), "Conv" | "ConvTranspose" | "Gemm");
    node.input.get(1).filter(|_| is_layer)?.strip_suffix(&names::weight(""))
}

/// The axis of the outputs in the weight of `node`.
fn output_axis(node: &NodeProto) -> usize {
    let is_turned = node.attribute.iter().any(|a| a.name == "transB" && a.i != 0);
    match node.op_type.as_str() {
        "Conv" => 0,
        "Gemm" if is_turned => 0,
        _ => 1,
    }
}

/// Eight bits for every layer, with scales that cover its weights.
fn eight_bit_layers(graph: &GraphProto) -> Result<HashMap<String, LayerScheme>> {
    let constants: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut layers = HashMap::new();
    for node in &graph.node {
        let Some(name) = layer_of(node) else { continue };
        let weight = Floats::of(&constants, &node.input[1])?;
        let scales = weight.covering_scales(output_axis(node), 127.0);
        layers.insert(name.to_owned(), LayerScheme { bits: WeightBits::Eight, scales });
    }
    Ok(layers)
}

/// Names of the values that become bytes: what the integer layers of `layers`, additions and means read and what the
/// latter make.
pub fn points(graph: &GraphProto, layers: &HashMap<String, LayerScheme>) -> Vec<String> {
    let is_integer = |node: &NodeProto| {
        let layer = layer_of(node).and_then(|name| layers.get(name));
        layer.is_some_and(|layer| layer.bits != WeightBits::Float)
    };
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let makers: HashMap<&str, &NodeProto> = makers(graph);
    let mut points: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !constants.contains(name) && !points.iter().any(|point| point == name) {
            points.push(name.to_owned());
        }
    };
    for node in &graph.node {
        match node.op_type.as_str() {
            "Conv" if is_integer(node) => add(&node.input[0]),
            "Gemm" if is_integer(node) => add(source(&makers, &node.input[0])),
            // Not what attention adds to its scores.
            "Add" if node.input.iter().all(|input| !constants.contains(input.as_str())) => {
                node.input.iter().for_each(|input| add(input));
                add(&node.output[0]);
            }
            "GlobalAveragePool" => {
                node.input.iter().for_each(|input| add(input));
                add(&node.output[0]);
            }
            _ => {}
        }
    }
    // A limited value is a byte only behind its limits.
    let limited: HashSet<&str> =
        graph.node.iter().filter(|node| is_limit(node)).map(|node| node.input[0].as_str()).collect();
    points.retain(|point| !limited.contains(point.as_str()));
    points
}

/// The value that each layer of `graph` reads, by the layer's name.
pub fn layer_inputs(graph: &GraphProto) -> BTreeMap<String, String> {
    let makers = makers(graph);
    let input = |node: &NodeProto| {
        let layer = layer_of(node)?;
        Some((layer.to_owned(), source(&makers, node.input.first()?).to_owned()))
    };
    graph.node.iter().filter_map(input).collect()
}

fn makers(graph: &GraphProto) -> HashMap<&str, &NodeProto> {
    graph.node.iter().map(|node| (node.output[0].as_str(), node)).collect()
}

/// The value behind `Flatten`.
fn source<'a>(makers: &HashMap<&'a str, &'a NodeProto>, name: &'a str) -> &'a str {
    match makers.get(name) {
        Some(node) if node.op_type == "Flatten" => source(makers, &node.input[0]),
        _ => name,
    }
}

fn is_limit(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Relu" | "Clip")
}

/// The INT8 graph while it is written.
struct Writer<'a> {
    old: &'a GraphProto,
    constants: HashMap<&'a str, &'a TensorProto>,
    scheme: &'a Scheme,
    /// What each value of the old graph is called now, where that differs.
    names: HashMap<String, String>,
    new: GraphProto,
    /// Layers whose weights are there already.
    written: HashSet<String>,
}

impl<'a> Writer<'a> {
    fn new(old: &'a GraphProto, scheme: &'a Scheme) -> Self {
        let constants = old.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let new = GraphProto {
            name: old.name.clone(),
            input: old.input.clone(),
            output: old.output.clone(),
            ..GraphProto::default()
        };
        Writer { old, constants, scheme, names: HashMap::new(), new, written: HashSet::new() }
    }

    fn write(mut self) -> Result<GraphProto> {
        let inputs: Vec<String> = self.old.input.iter().map(|input| input.name.clone()).collect();
        inputs.iter().for_each(|input| self.quantise(input, input));
        for node in &self.old.node {
            let mut inputs: Vec<String> = node.input.iter().map(|name| self.now(name)).collect();
            if let Some(layer) = layer_of(node).and_then(|name| self.scheme.layers.get(name)) {
                self.layer(node, layer, &mut inputs)?;
            }
            let output = &node.output[0];
            let takes_the_limit = node.op_type == "Relu"
                && self.scheme.activation_bits == ActivationBits::Seven
                && self.scheme.points.get(output).is_some_and(|parameters| parameters.zero_point == 0);
            if takes_the_limit {
                // The limits of the bytes begin at 0 too.
                self.quantise(output, &inputs[0]);
                continue;
            }
            self.keep_constants(&inputs);
            self.new.node.push(NodeProto { input: inputs, ..node.clone() });
            self.quantise(output, output);
        }
        Ok(self.new)
    }

    /// What the value is called in the new graph.
    fn now(&self, name: &str) -> String {
        self.names.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// Copies those of `inputs` that are constants still.
    fn keep_constants(&mut self, inputs: &[String]) {
        for name in inputs {
            let is_new = !self.new.initializer.iter().any(|tensor| tensor.name == *name);
            if let (Some(tensor), true) = (self.constants.get(name.as_str()), is_new) {
                self.new.initializer.push((*tensor).clone());
            }
        }
    }

    fn constant(&mut self, name: String, data_type: i32, dims: &[i64], raw_data: Vec<u8>) -> String {
        self.new.initializer.push(TensorProto {
            dims: dims.to_vec(),
            data_type,
            name: name.clone(),
            raw_data,
            ..TensorProto::default()
        });
        name
    }

    fn float(&mut self, name: String, value: f32) -> String {
        self.constant(name, FLOAT, &[], value.to_le_bytes().to_vec())
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: String, attribute: Vec<AttributeProto>) -> String {
        self.new.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.clone()],
            name: output.clone(),
            op_type: op.into(),
            attribute,
            ..NodeProto::default()
        });
        output
    }

    /// Sends the value called `point` in the old graph, now `from`, through bytes, if it is to become bytes.
    fn quantise(&mut self, point: &str, from: &str) {
        let Some(Parameters { scale, zero_point }) = self.scheme.points.get(point).copied() else { return };
        let bits = self.scheme.activation_bits;
        let name = |what: &str| format!("{point}/{what}");
        let mut from = from.to_owned();
        if bits == ActivationBits::Seven {
            let zero = f32::from(zero_point);
            let low = self.float(name("low"), -zero * scale);
            let high = self.float(name("high"), (bits.steps() - zero) * scale);
            from = self.node("Clip", &[&from, &low, &high], name("clipped"), Vec::new());
        }
        let scale = self.float(name("scale"), scale);
        let zero = self.constant(name("zero_point"), UINT8, &[], vec![zero_point]);
        let bytes = self.node("QuantizeLinear", &[&from, &scale, &zero], name("quantised"), Vec::new());
        let floats = self.node("DequantizeLinear", &[&bytes, &scale, &zero], name("dequantised"), Vec::new());
        self.names.insert(point.to_owned(), floats);
    }

    /// Turns the weight of `node` into integers, and its bias if it computes in integers.
    fn layer(&mut self, node: &NodeProto, layer: &LayerScheme, inputs: &mut [String]) -> Result<()> {
        let Some(limit) = layer.bits.limit() else { return Ok(()) };
        let [data, weight, bias] = &node.input[..] else {
            bail!("{:?} has {} inputs, expected data, weight and bias", node.name, node.input.len())
        };
        let axis = output_axis(node);
        let scale_name = format!("{weight}/scale");
        inputs[1] = format!("{weight}/dequantised");
        if self.written.insert(weight.clone()) {
            let floats = Floats::of(&self.constants, weight)?;
            let outputs = floats.outputs(axis);
            ensure!(
                layer.scales.len() == outputs,
                "the scheme has {} scales for the {outputs} outputs of {weight:?}",
                layer.scales.len()
            );
            let integers = floats.integers(axis, &layer.scales, limit);
            let (data_type, bytes) = match layer.bits {
                WeightBits::Four => (INT4, half_bytes(&integers)),
                _ => (INT8, integers.iter().map(|&integer| integer as u8).collect()),
            };
            let quantised = self.constant(format!("{weight}/integers"), data_type, &floats.dims, bytes);
            let scales = self.constant(scale_name, FLOAT, &[outputs as i64], float_bytes(&layer.scales));
            let along = vec![axis_attribute(axis)];
            self.node("DequantizeLinear", &[&quantised, &scales], inputs[1].clone(), along);
        }
        if node.op_type == "ConvTranspose" {
            return Ok(());
        }
        let makers = makers(self.old);
        let x = self.scheme.points.get(source(&makers, data)).copied();
        let x = x.with_context(|| format!("the input of {:?} has no range", node.name))?;
        let bias = Floats::of(&self.constants, bias)?;
        let units: Vec<f32> = layer.scales.iter().map(|scale| x.scale * scale).collect();
        let integers = bias.values.iter().zip(&units).map(|(&bias, &unit)| bias_integer(bias, unit));
        let bytes = integers.flat_map(i32::to_le_bytes).collect();
        let count = [units.len() as i64];
        let name = |what: &str| format!("{}/bias{what}", node.name);
        let quantised = self.constant(name("/integers"), INT32, &count, bytes);
        let unit = self.constant(name("/scale"), FLOAT, &count, float_bytes(&units));
        let along = vec![axis_attribute(0)];
        inputs[2] = self.node("DequantizeLinear", &[&quantised, &unit], name("/dequantised"), along);
        Ok(())
    }
}

fn axis_attribute(axis: usize) -> AttributeProto {
    super::onnx::int("axis", axis as i64)
}

fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Two integers in a byte, the first one in its lower half, as ONNX packs INT4.
fn half_bytes(integers: &[i8]) -> Vec<u8> {
    let half = |integer: i8| integer as u8 & 0x0f;
    integers
        .chunks(2)
        .map(|pair| half(pair[0]) | pair.get(1).map_or(0, |&second| half(second) << 4))
        .collect()
}

/// A constant of floats.
struct Floats {
    dims: Vec<i64>,
    values: Vec<f32>,
}

impl Floats {
    fn of(constants: &HashMap<&str, &TensorProto>, name: &str) -> Result<Self> {
        let tensor = constants.get(name).with_context(|| format!("{name:?} is not a constant"))?;
        ensure!(tensor.data_type == FLOAT, "{name:?} is not of floats");
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Ok(Floats { dims: tensor.dims.clone(), values: tensor.raw_data.chunks_exact(4).map(value).collect() })
    }

    fn outputs(&self, axis: usize) -> usize {
        self.dims[axis] as usize
    }

    /// To which output along `axis` the value at `index` belongs.
    fn output(&self, index: usize, axis: usize) -> usize {
        let inner: i64 = self.dims[axis + 1..].iter().product();
        index / inner as usize % self.outputs(axis)
    }

    /// The largest magnitude of each output over `limit`.
    fn covering_scales(&self, axis: usize, limit: f32) -> Vec<f32> {
        let mut scales = vec![MIN_SCALE; self.outputs(axis)];
        for (index, value) in self.values.iter().enumerate() {
            let scale = &mut scales[self.output(index, axis)];
            *scale = scale.max(value.abs() / limit);
        }
        scales
    }

    /// Steps of each output's scale, at most `limit` of them.
    fn integers(&self, axis: usize, scales: &[f32], limit: f32) -> Vec<i8> {
        let integer = |(index, value): (usize, &f32)| {
            (value / scales[self.output(index, axis)]).round_ties_even().clamp(-limit, limit) as i8
        };
        self.values.iter().enumerate().map(integer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_a_scale_for_each_output() {
        let weight = Floats { dims: vec![2, 3], values: vec![1.27, -0.01, 0.005, 0.0, 0.0, 0.0] };
        let scales = |axis: usize| weight.covering_scales(axis, 127.0);
        assert_eq!(scales(0), [1.27 / 127.0, MIN_SCALE]);
        assert_eq!(weight.integers(0, &scales(0), 127.0), [127, -1, 0, 0, 0, 0]);
        assert_eq!(scales(1).len(), 3);
        assert_eq!(weight.integers(1, &scales(1), 127.0)[..3], [127, -127, 127]);
    }

    #[test]
    fn half_bytes_begin_with_the_lower_half() {
        assert_eq!(half_bytes(&[1, -1, 7]), [0xf1, 0x07]);
    }
}
