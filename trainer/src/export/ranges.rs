//! Smallest and largest value at chosen places of an ONNX graph, over many inputs.

use anyhow::{Context, Result};
use engine::runtime::proto::{ModelProto, TensorTypeProto, TypeProto, ValueInfoProto};
use engine::{Session, Tensor};
use prost::Message;
use std::collections::HashMap;

/// Most values that are observed in one pass: a session has only so many outputs.
const MAX_OBSERVED: usize = 60;

/// Smallest and largest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub low: f32,
    /// Largest value.
    pub high: f32,
}

impl Range {
    /// Contains nothing.
    pub const EMPTY: Range = Range { low: f32::INFINITY, high: f32::NEG_INFINITY };

    /// The smallest range that also holds `values`.
    pub fn with(self, values: &[f32]) -> Self {
        let add =
            |range: Range, &value: &f32| Range { low: range.low.min(value), high: range.high.max(value) };
        values.iter().fold(self, add)
    }
}

/// The range of each value of `points` while `model` runs on `inputs`.
///
/// # Errors
/// If the engine refuses the model or an input.
pub fn observe(model: &ModelProto, points: &[String], inputs: &[Tensor]) -> Result<HashMap<String, Range>> {
    let graph_inputs: Vec<&str> =
        model.graph.iter().flat_map(|graph| &graph.input).map(|input| input.name.as_str()).collect();
    let (given, made): (Vec<&String>, Vec<&String>) =
        points.iter().partition(|point| graph_inputs.contains(&point.as_str()));
    let mut ranges = HashMap::new();
    for point in given {
        let range = inputs.iter().fold(Range::EMPTY, |range, input| range.with(input.values()));
        ranges.insert(point.clone(), range);
    }
    for part in made.chunks(MAX_OBSERVED) {
        let mut watched = model.clone();
        if let Some(graph) = &mut watched.graph {
            graph.output = part.iter().map(|point| output(point)).collect();
        }
        let mut session = Session::load(&watched.encode_to_vec()).context("the engine on the FP32 file")?;
        for input in inputs {
            for (point, values) in part.iter().zip(session.run_all(&[input])?) {
                let range = ranges.entry((*point).clone()).or_insert(Range::EMPTY);
                *range = range.with(values.values());
            }
        }
    }
    Ok(ranges)
}

/// An output whose shape is left open.
fn output(name: &str) -> ValueInfoProto {
    let tensor_type = TensorTypeProto { elem_type: engine::runtime::proto::FLOAT, shape: None };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
