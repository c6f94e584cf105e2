//! ONNX file -> what numbers its layers are made of.

use anyhow::{Context, Result};
use engine::bundle::{NetworkFormat, Precision};
use engine::runtime::proto::{FLOAT, GraphProto, INT4, INT8, ModelProto, NodeProto, UINT4, UINT8};
use prost::Message;
use std::collections::HashMap;

/// The numbers of the convolutions and matrix products in `onnx`, a file for pictures of `input_size` pixels.
///
/// # Errors
/// If the bytes are no ONNX file.
pub fn network_format(onnx: &[u8], input_size: u32) -> Result<NetworkFormat> {
    let model = ModelProto::decode(onnx).context("no ONNX file")?;
    let graph = model.graph.context("the ONNX file holds no graph")?;
    let numbers = Numbers::of(&graph);
    let (mut weights, mut activations) = (Vec::new(), Vec::new());
    for node in &graph.node {
        if !matches!(node.op_type.as_str(), "Conv" | "ConvTranspose" | "Gemm" | "MatMul") {
            continue;
        }
        for (index, input) in node.input.iter().take(2).enumerate() {
            match (index, numbers.of_constant(input)) {
                // A product of two values that are computed has no weight.
                (1, Some(precision)) => weights.push(precision),
                (_, None) => activations.push(numbers.of_value(input)),
                (_, Some(_)) => {}
            }
        }
    }
    Ok(NetworkFormat { weights: together(&weights), activations: together(&activations), input_size })
}

/// The one kind that all have.
fn together(kinds: &[Precision]) -> Precision {
    match kinds {
        [] => Precision::Float32,
        [first, rest @ ..] if rest.iter().all(|kind| kind == first) => *first,
        _ => Precision::Mixed,
    }
}

/// Where each value of a graph comes from.
struct Numbers<'a> {
    constants: HashMap<&'a str, i32>,
    makers: HashMap<&'a str, &'a NodeProto>,
}

impl<'a> Numbers<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let constants = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor.data_type));
        let outputs = |node: &'a NodeProto| node.output.iter().map(move |output| (output.as_str(), node));
        Numbers { constants: constants.collect(), makers: graph.node.iter().flat_map(outputs).collect() }
    }

    /// Of a constant, or of integers that become one; nothing if `name` is computed.
    fn of_constant(&self, name: &str) -> Option<Precision> {
        if let Some(data_type) = self.constants.get(name) {
            return Some(precision(*data_type));
        }
        let maker = self.makers.get(name)?;
        match maker.op_type.as_str() {
            "DequantizeLinear" => self.of_constant(maker.input.first()?),
            "Constant" => Some(precision(maker.attribute.iter().find_map(|a| a.t.as_ref())?.data_type)),
            _ => None,
        }
    }

    /// Of a value that is computed: bytes where it was dequantised last.
    fn of_value(&self, name: &str) -> Precision {
        let mut name = name;
        // Moves keep numbers as they are; there are no more of them than nodes.
        for _ in 0..=self.makers.len() {
            let Some(maker) = self.makers.get(name) else { break };
            match (maker.op_type.as_str(), maker.input.first()) {
                ("DequantizeLinear", _) => return Precision::Int8,
                ("Flatten" | "Reshape" | "Transpose" | "Squeeze" | "Unsqueeze", Some(input)) => name = input,
                _ => break,
            }
        }
        Precision::Float32
    }
}

fn precision(data_type: i32) -> Precision {
    match data_type {
        FLOAT => Precision::Float32,
        INT8 | UINT8 => Precision::Int8,
        INT4 | UINT4 => Precision::Int4,
        _ => Precision::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{ActivationBits, onnx_bytes, quantise};
    use crate::train::Network;
    use candle_core::Device;
    use engine::Tensor;

    #[test]
    fn floats_and_integers_are_told_apart() -> Result<()> {
        let network = Network::new("mobilenetv4-conv-small-narrow", 1, &Device::Cpu)?;
        let floats = onnx_bytes(&network.model, 32, Vec::new())?;
        let seen = Tensor::from_vec(vec![1, 3, 32, 32], (0..3072).map(|i| (i as f32).sin()).collect());
        let integers = quantise(&floats, &[seen], ActivationBits::Seven)?;
        let of = |weights, activations| NetworkFormat { weights, activations, input_size: 32 };
        assert_eq!(network_format(&floats, 32)?, of(Precision::Float32, Precision::Float32));
        assert_eq!(network_format(&integers, 32)?, of(Precision::Int8, Precision::Int8));

        // One layer in floats among integers.
        let mut model = ModelProto::decode(&integers[..])?;
        let graph = model.graph.as_mut().context("no graph")?;
        let weight = graph.initializer.iter_mut().find(|tensor| tensor.data_type == INT8);
        weight.context("no weight")?.data_type = FLOAT;
        assert_eq!(network_format(&model.encode_to_vec(), 32)?, of(Precision::Mixed, Precision::Int8));
        assert!(network_format(b"\xff\xff", 32).is_err());
        Ok(())
    }
}
