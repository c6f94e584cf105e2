//! FP32 ONNX -> INT8 ONNX by observed ranges (post-training quantisation), in QDQ form.
//!
//! The scheme of docs/numerics.md: weights of convolutions and fully connected layers in signed bytes with a scale for
//! each output, activations in unsigned bytes with one scale, biases in units of the sums. Values between layers get a
//! pair of `QuantizeLinear` and `DequantizeLinear`; with seven bits a `Clip` stands before it, which every runtime
//! honours. The ranges are observed by running the FP32 file in the engine with these values as outputs.

use super::ranges::{Range, observe};
use anyhow::{Context, Result, bail, ensure};
use engine::Tensor;
use engine::runtime::proto::{
    ATTRIBUTE_INT, AttributeProto, FLOAT, GraphProto, INT8, INT32, ModelProto, NodeProto, TensorProto, UINT8,
};
use prost::Message;
use std::collections::{HashMap, HashSet};

/// Largest magnitude of a weight.
const MAX_WEIGHT: f32 = 127.0;
/// Smallest scale: of a value that is always 0.
const MIN_SCALE: f32 = 1e-8;

/// How many bits an activation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ActivationBits {
    /// 0 to 127, by a `Clip`: exact on every machine.
    #[value(name = "7")]
    Seven,
    /// 0 to 255: the form that onnxruntime fuses.
    #[value(name = "8")]
    Eight,
}

impl ActivationBits {
    /// The largest byte.
    fn steps(self) -> f32 {
        match self {
            ActivationBits::Seven => 127.0,
            ActivationBits::Eight => 255.0,
        }
    }
}

/// The INT8 form of the FP32 file `onnx`, with ranges observed on `calibration` inputs.
///
/// # Errors
/// If there are no inputs, the engine refuses the file, or it is not one of ours.
pub fn quantise(onnx: &[u8], calibration: &[Tensor], bits: ActivationBits) -> Result<Vec<u8>> {
    ensure!(!calibration.is_empty(), "no pictures to observe ranges on");
    let mut model = ModelProto::decode(onnx).context("the FP32 file")?;
    let graph = model.graph.take().context("the FP32 file holds no graph")?;
    let points = points(&graph);
    let ranges = observe(&ModelProto { graph: Some(graph.clone()), ..model.clone() }, &points, calibration)?;
    let parameters =
        ranges.iter().map(|(name, range)| (name.clone(), Parameters::of(*range, bits))).collect();
    model.graph = Some(Writer::new(&graph, parameters, bits).write()?);
    Ok(model.encode_to_vec())
}

/// Scale and zero point of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Parameters {
    scale: f32,
    zero_point: u8,
}

impl Parameters {
    /// Those that cover `range`, widened to hold 0, which padding needs exactly.
    fn of(range: Range, bits: ActivationBits) -> Self {
        let (low, high) = (range.low.min(0.0), range.high.max(0.0));
        let scale = ((high - low) / bits.steps()).max(MIN_SCALE);
        let zero_point = (-low / scale).round().clamp(0.0, bits.steps()) as u8;
        Parameters { scale, zero_point }
    }
}

/// Names of the values that become bytes: what layers, additions and means read and what the latter make.
fn points(graph: &GraphProto) -> Vec<String> {
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
            "Conv" => add(&node.input[0]),
            "Gemm" => add(source(&makers, &node.input[0])),
            "Add" | "GlobalAveragePool" => {
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
    parameters: HashMap<String, Parameters>,
    bits: ActivationBits,
    /// What each value of the old graph is called now, where that differs.
    names: HashMap<String, String>,
    new: GraphProto,
}

impl<'a> Writer<'a> {
    fn new(old: &'a GraphProto, parameters: HashMap<String, Parameters>, bits: ActivationBits) -> Self {
        let constants = old.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let new = GraphProto {
            name: old.name.clone(),
            input: old.input.clone(),
            output: old.output.clone(),
            ..GraphProto::default()
        };
        Writer { old, constants, parameters, bits, names: HashMap::new(), new }
    }

    fn write(mut self) -> Result<GraphProto> {
        let inputs: Vec<String> = self.old.input.iter().map(|input| input.name.clone()).collect();
        inputs.iter().for_each(|input| self.quantise(input, input));
        for node in &self.old.node {
            let mut inputs: Vec<String> = node.input.iter().map(|name| self.now(name)).collect();
            match node.op_type.as_str() {
                "Conv" => self.layer(node, &mut inputs, 0)?,
                "Gemm" => {
                    let is_turned = node.attribute.iter().any(|a| a.name == "transB" && a.i != 0);
                    self.layer(node, &mut inputs, if is_turned { 0 } else { 1 })?;
                }
                _ => {}
            }
            let output = &node.output[0];
            let takes_the_limit = node.op_type == "Relu"
                && self.bits == ActivationBits::Seven
                && self.parameters.get(output).is_some_and(|parameters| parameters.zero_point == 0);
            if takes_the_limit {
                // The limits of the bytes begin at 0 too.
                self.quantise(output, &inputs[0]);
                continue;
            }
            self.keep_constants(node);
            self.new.node.push(NodeProto { input: inputs, ..node.clone() });
            self.quantise(output, output);
        }
        Ok(self.new)
    }

    /// What the value is called in the new graph.
    fn now(&self, name: &str) -> String {
        self.names.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// Copies the constants that `node` still reads.
    fn keep_constants(&mut self, node: &NodeProto) {
        let quantised: &[usize] = match node.op_type.as_str() {
            "Conv" | "Gemm" => &[1, 2],
            _ => &[],
        };
        for (index, name) in node.input.iter().enumerate() {
            let is_new = !self.new.initializer.iter().any(|tensor| tensor.name == *name);
            if let (Some(tensor), false, true) =
                (self.constants.get(name.as_str()), quantised.contains(&index), is_new)
            {
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
        let Some(Parameters { scale, zero_point }) = self.parameters.get(point).copied() else { return };
        let name = |what: &str| format!("{point}/{what}");
        let mut from = from.to_owned();
        if self.bits == ActivationBits::Seven {
            let zero = f32::from(zero_point);
            let low = self.float(name("low"), -zero * scale);
            let high = self.float(name("high"), (self.bits.steps() - zero) * scale);
            from = self.node("Clip", &[&from, &low, &high], name("clipped"), Vec::new());
        }
        let scale = self.float(name("scale"), scale);
        let zero = self.constant(name("zero_point"), UINT8, &[], vec![zero_point]);
        let bytes = self.node("QuantizeLinear", &[&from, &scale, &zero], name("quantised"), Vec::new());
        let floats = self.node("DequantizeLinear", &[&bytes, &scale, &zero], name("dequantised"), Vec::new());
        self.names.insert(point.to_owned(), floats);
    }

    /// Turns the weight and bias of `node`, whose outputs lie on `axis` of the weight, into integers.
    fn layer(&mut self, node: &NodeProto, inputs: &mut [String], axis: usize) -> Result<()> {
        let makers = makers(self.old);
        let [data, weight, bias] = &node.input[..] else {
            bail!("{:?} has {} inputs, expected data, weight and bias", node.name, node.input.len())
        };
        let x = self.parameters.get(source(&makers, data)).copied();
        let x = x.with_context(|| format!("the input of {:?} has no range", node.name))?;
        let (weight, bias) = (self.floats(weight)?, self.floats(bias)?);
        let (values, scales) = quantised_weight(&weight, axis);
        let units: Vec<f32> = scales.iter().map(|scale| x.scale * scale).collect();
        let integers = bias.values.iter().zip(&units).map(|(bias, unit)| {
            (f64::from(*bias) / f64::from(*unit)).round_ties_even().clamp(-1e9, 1e9) as i32
        });
        let bias_bytes = integers.flat_map(i32::to_le_bytes).collect();
        let floats =
            |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let count = [scales.len() as i64];
        let name = |what: &str| format!("{}/{what}", node.name);
        let attribute = AttributeProto {
            name: "axis".into(),
            i: axis as i64,
            r#type: ATTRIBUTE_INT,
            ..AttributeProto::default()
        };

        let quantised = self.constant(name("weight"), INT8, &weight.dims, values);
        let scale = self.constant(name("weight_scale"), FLOAT, &count, floats(&scales));
        inputs[1] = self.node(
            "DequantizeLinear",
            &[&quantised, &scale],
            name("weight_floats"),
            vec![attribute.clone()],
        );
        let quantised = self.constant(name("bias"), INT32, &count, bias_bytes);
        let unit = self.constant(name("bias_scale"), FLOAT, &count, floats(&units));
        let attribute = AttributeProto { i: 0, ..attribute };
        inputs[2] = self.node("DequantizeLinear", &[&quantised, &unit], name("bias_floats"), vec![attribute]);
        Ok(())
    }

    fn floats(&self, name: &str) -> Result<Floats> {
        let tensor = self.constants.get(name).with_context(|| format!("{name:?} is not a constant"))?;
        ensure!(tensor.data_type == FLOAT, "{name:?} is not of floats");
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Ok(Floats { dims: tensor.dims.clone(), values: tensor.raw_data.chunks_exact(4).map(value).collect() })
    }
}

/// A constant of floats.
struct Floats {
    dims: Vec<i64>,
    values: Vec<f32>,
}

/// Signed bytes of `weight`, and the scale of each output along `axis`: its largest magnitude over 127.
fn quantised_weight(weight: &Floats, axis: usize) -> (Vec<u8>, Vec<f32>) {
    let outputs = weight.dims[axis] as usize;
    let inner: usize = weight.dims[axis + 1..].iter().product::<i64>() as usize;
    let output = |index: usize| index / inner % outputs;
    let mut scales = vec![MIN_SCALE; outputs];
    for (index, value) in weight.values.iter().enumerate() {
        let scale = &mut scales[output(index)];
        *scale = scale.max(value.abs() / MAX_WEIGHT);
    }
    let byte = |(index, value): (usize, &f32)| {
        (value / scales[output(index)]).round_ties_even().clamp(-MAX_WEIGHT, MAX_WEIGHT) as i8 as u8
    };
    (weight.values.iter().enumerate().map(byte).collect(), scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_zero_exactly() {
        let of = |low, high, bits| Parameters::of(Range { low, high }, bits);
        let hundredth = 1.27 / 127.0;
        assert_eq!(of(0.5, 1.27, ActivationBits::Seven), Parameters { scale: hundredth, zero_point: 0 });
        assert_eq!(of(-1.0, 1.0, ActivationBits::Eight).zero_point, 127);
        assert_eq!(of(-1.27, -0.2, ActivationBits::Seven), Parameters { scale: hundredth, zero_point: 127 });
        assert_eq!(of(0.0, 0.0, ActivationBits::Seven).scale, MIN_SCALE);
    }

    #[test]
    fn weights_have_a_scale_for_each_output() {
        let weight = Floats { dims: vec![2, 3], values: vec![1.27, -0.01, 0.005, 0.0, 0.0, 0.0] };
        let (bytes, scales) = quantised_weight(&weight, 0);
        assert_eq!(bytes, [127, 255, 0, 0, 0, 0]);
        assert_eq!(scales, [1.27 / 127.0, MIN_SCALE]);
        let (bytes, scales) = quantised_weight(&weight, 1);
        assert_eq!((bytes.len(), scales.len()), (6, 3));
        assert_eq!(bytes[..3], [127, 129, 127]);
    }
}
