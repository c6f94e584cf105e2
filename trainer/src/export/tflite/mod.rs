//! ONNX file of ours -> TFLite file, in floats or in integers of eight bits.
//!
//! Maps lie as `[1, H, W, C]`, weights as `[O, H, W, I]`, those of depthwise layers as `[1, H, W, C]`. An INT8 file has
//! signed bytes with a scale for each output as weights and signed bytes as activations: our unsigned ones less 128.
//! What the ONNX file computes in floats stays in floats, the logit among it: 256 steps would be too few for it.

mod source;
mod weight;
mod translate;
mod layers;
mod values;
mod order;
mod model;
mod schema;
mod write;
mod structure;
mod reader;
mod verify;

pub use verify::{Summary, VerifyError, verify};

use anyhow::{Context, Result};
use engine::Session;
use engine::runtime::proto::ModelProto;
use prost::Message;

/// The TFLite file of the network in the ONNX file `onnx`, as `onnx_bytes` and `quantise` with eight bits write it: from
/// "image" `[1, H, W, 3]` in normalised RGB to "logit" `[1, 1]`, both in floats. The ONNX file's metadata are its own.
///
/// # Errors
/// If the ONNX file is not one of ours; it names the node. Or, which would be our mistake, if the result is not valid.
pub fn tflite_bytes(onnx: &[u8]) -> Result<Vec<u8>> {
    // Shapes and lengths are checked there.
    Session::load(onnx).context("the ONNX file")?;
    let model = ModelProto::decode(onnx).context("the ONNX file")?;
    let graph = model.graph.as_ref().context("the ONNX file holds no graph")?;
    let mut network = translate::translate(graph).context("the network as TFLite")?;
    let entry =
        |key: &str| model.metadata_props.iter().find(|entry| entry.key == key).map(|entry| &entry.value[..]);
    network.description = entry("description").or_else(|| entry("name")).unwrap_or("AWARE").to_owned();
    network.metadata =
        model.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    let file = write::write(&network);
    verify(&file).context("the TFLite file that was made")?;
    Ok(file)
}
