//! FP32 models through wonnx 0.5.1: a second opinion beside the engine, and any ONNX file of the user's.
//!
//! wonnx computes some graphs wrong without a word. Here whatever WebGPU reports is an error (Softmax ends that
//! way), and so is the one convolution known to come out wrong. Beyond that, compare with the engine's CPU backend.
//!
//! Every tensor of the graph needs its shape in `value_info`. On graphs that it did not foresee wonnx may panic,
//! which in WebAssembly leaves the promise unsettled: the page must listen to the worker's `error` event.

use std::collections::{HashMap, HashSet};

use engine::runtime::gpu::{Gpu, GpuError};
use protobuf::Message;
use std::rc::Rc;
use wonnx::Session;
use wonnx::onnx::{GraphProto, ModelProto, NodeProto, TensorProto_DataType, ValueInfoProto};
use wonnx::utils::{InputTensor, NodeAttributes, OutputTensor};

/// Why wonnx gave no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WonnxError {
    /// wonnx cannot run this file, or not correctly.
    #[error("wonnx cannot run this model: {0}")]
    Model(String),
    /// WebGPU reported errors. The session is of no more use.
    #[error("WebGPU: {0}")]
    Gpu(#[from] GpuError),
    /// The input has not as many values as the graph says.
    #[error("the model takes {expected} values, got {actual}")]
    InputLength {
        /// Values that the graph's input has.
        expected: usize,
        /// Values given.
        actual: usize,
    },
    /// The run failed.
    #[error("wonnx: {0}")]
    Run(String),
    /// The output holds an infinity or NaN.
    #[error("output value {index} is {value}")]
    NotFinite {
        /// Where the first one is.
        index: usize,
        /// What it is.
        value: f32,
    },
}

/// A model with one f32 input and one f32 output, on a device that the engine may use too.
pub struct WonnxSession {
    session: Session,
    gpu: Rc<Gpu>,
    input: Port,
    output: Port,
}

impl WonnxSession {
    /// Builds the model's pipelines on `gpu`.
    ///
    /// # Errors
    /// [`WonnxError::Model`] for a file that wonnx cannot run, [`WonnxError::Gpu`] if WebGPU refused a shader or ran out of
    /// memory.
    pub async fn load(gpu: &Rc<Gpu>, onnx: &[u8]) -> Result<Self, WonnxError> {
        let model =
            ModelProto::parse_from_bytes(onnx).map_err(|error| WonnxError::Model(error.to_string()))?;
        let (input, output) = ports(model.get_graph())?;
        check_convolutions(model.get_graph())?;

        let session = wgpu::lend(gpu.device(), gpu.queue(), Session::from_model(model)).await;
        gpu.check().await?;
        let session = session.map_err(|error| WonnxError::Model(error.to_string()))?;
        Ok(Self { session, gpu: gpu.clone(), input, output })
    }

    /// Number of values that [`WonnxSession::run`] takes.
    pub fn input_len(&self) -> usize {
        self.input.len
    }

    /// The output for `input`, both flat and in the graph's order of dimensions.
    ///
    /// # Errors
    /// [`WonnxError::InputLength`], [`WonnxError::Gpu`], [`WonnxError::Run`] or [`WonnxError::NotFinite`].
    pub async fn run(&self, input: &[f32]) -> Result<Vec<f32>, WonnxError> {
        let (expected, actual) = (self.input.len, input.len());
        if expected != actual {
            return Err(WonnxError::InputLength { expected, actual });
        }
        let inputs = HashMap::from([(self.input.name.clone(), InputTensor::from(input))]);
        let outputs = self.session.run(&inputs).await;
        // Before the outputs are looked at: they are zeros if a shader did not run.
        self.gpu.check().await?;

        let mut outputs = outputs.map_err(|error| WonnxError::Run(error.to_string()))?;
        match outputs.remove(&self.output.name) {
            Some(OutputTensor::F32(values)) if values.len() == self.output.len => all_finite(values),
            _ => Err(WonnxError::Run(format!(
                "output {} is not {} f32 values",
                self.output.name, self.output.len
            ))),
        }
    }
}

/// The one input or output of a graph.
struct Port {
    name: String,
    len: usize,
}

impl Port {
    fn from_info(info: &ValueInfoProto) -> Result<Self, WonnxError> {
        let name = info.get_name().to_string();
        let tensor = info.get_field_type().get_tensor_type();
        if tensor.get_elem_type() != TensorProto_DataType::FLOAT as i32 {
            return Err(WonnxError::Model(format!("{name} is not f32")));
        }
        // An open dimension reads as 0.
        let dimensions = tensor.get_shape().get_dim().iter().map(|dimension| dimension.get_dim_value());
        dimensions
            .map(|dimension| usize::try_from(dimension).ok().filter(|&dimension| dimension > 0))
            .try_fold(1usize, |len, dimension| len.checked_mul(dimension?))
            .map(|len| Self { name: name.clone(), len })
            .ok_or_else(|| WonnxError::Model(format!("{name} has no fixed shape")))
    }
}

fn ports(graph: &GraphProto) -> Result<(Port, Port), WonnxError> {
    let infos = [graph.get_input(), graph.get_value_info(), graph.get_output()];
    // wonnx panics on sequences, maps and optionals.
    if let Some(info) = infos.into_iter().flatten().find(|info| !info.get_field_type().has_tensor_type()) {
        return Err(WonnxError::Model(format!("{} is not a tensor", info.get_name())));
    }
    let weights = initializer_names(graph);
    let inputs: Vec<_> =
        graph.get_input().iter().filter(|input| !weights.contains(input.get_name())).collect();
    match (inputs.as_slice(), graph.get_output()) {
        ([input], [output]) => Ok((Port::from_info(input)?, Port::from_info(output)?)),
        (inputs, outputs) => Err(WonnxError::Model(format!(
            "expected 1 input and 1 output, the graph has {} and {}",
            inputs.len(),
            outputs.len()
        ))),
    }
}

/// Refuses the 3x3 convolutions that wonnx 0.5.1 computes wrong.
///
/// Its fast 3x3 kernel reads weights whose rows are padded from three floats to four. What chooses the kernel
/// (`compiler.rs`) and what pads the weights (`optimizer.rs`) are two conditions that differ: without a bias, for
/// instance, the kernel reads unpadded weights. The result is wrong with no error from anywhere.
fn check_convolutions(graph: &GraphProto) -> Result<(), WonnxError> {
    let weights = initializer_names(graph);
    let infos = graph.get_value_info().iter().chain(graph.get_output());
    let channels: HashMap<_, _> = infos
        .filter_map(|info| {
            let shape = info.get_field_type().get_tensor_type().get_shape();
            Some((info.get_name(), shape.get_dim().get(1)?.get_dim_value()))
        })
        .collect();
    for node in graph.get_node().iter().filter(|node| node.get_op_type() == "Conv") {
        let fast = ints(node, "kernel_shape", &[]) == [3, 3]
            && ints(node, "strides", &[1, 1]) == [1, 1]
            && node.get_attribute_value("group", Some(1i64)).is_ok_and(|group| group == 1)
            && node
                .get_output()
                .first()
                .and_then(|name| channels.get(name.as_str()))
                .is_some_and(|c| c % 4 == 0);
        let reads_padded = fast && ints(node, "dilations", &[1, 1]) == [1, 1];
        let auto_pad = node.get_attribute_value("auto_pad", Some("SAME_UPPER".to_string()));
        let stores_padded = fast
            && node.get_input().len() > 2
            && node.get_input().get(1).is_some_and(|name| weights.contains(name.as_str()))
            && (ints(node, "pads", &[0; 4]) == [1; 4] || auto_pad.is_ok_and(|mode| mode == "SAME_UPPER"));
        if reads_padded != stores_padded {
            let name = node.get_output().first().map_or("", String::as_str);
            return Err(WonnxError::Model(format!(
                "it would compute the 3x3 convolution {name} wrong; give it a bias, pads of 1 and no dilation"
            )));
        }
    }
    Ok(())
}

fn initializer_names(graph: &GraphProto) -> HashSet<&str> {
    graph.get_initializer().iter().map(|tensor| tensor.get_name()).collect()
}

fn ints(node: &NodeProto, name: &str, default: &[i64]) -> Vec<i64> {
    node.get_attribute_value(name, Some(default.to_vec())).unwrap_or_default()
}

fn all_finite(values: Vec<f32>) -> Result<Vec<f32>, WonnxError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(WonnxError::NotFinite { index, value: values[index] }),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use wonnx::utils::{attribute, graph, initializer, node, tensor};

    use super::*;

    /// One convolution of 8 channels, 16 x 16, kernel 3 x 3.
    struct Case {
        name: &'static str,
        bias: bool,
        channels: i64,
        pads: i64,
        stride: i64,
        dilation: i64,
        auto_pad: Option<&'static str>,
        right: bool,
    }

    const CASE: Case = Case {
        name: "pads 1, bias",
        bias: true,
        channels: 8,
        pads: 1,
        stride: 1,
        dilation: 1,
        auto_pad: None,
        right: true,
    };

    fn convolution(case: &Case) -> GraphProto {
        let mut attributes = vec![
            attribute("kernel_shape", vec![3, 3]),
            attribute("pads", vec![case.pads; 4]),
            attribute("strides", vec![case.stride; 2]),
            attribute("dilations", vec![case.dilation; 2]),
        ];
        attributes.extend(case.auto_pad.map(|mode| attribute("auto_pad", mode)));
        let inputs = if case.bias { vec!["x", "w", "b"] } else { vec!["x", "w"] };
        let side = (16 + 2 * case.pads - 2 * case.dilation - 1) / case.stride + 1;
        let weights = vec![0.0; case.channels as usize * 8 * 9];
        graph(
            vec![tensor("x", &[1, 8, 16, 16])],
            vec![tensor("y", &[1, case.channels, side, side])],
            vec![],
            vec![
                initializer("w", weights, vec![case.channels, 8, 3, 3]),
                initializer("b", vec![0.0; case.channels as usize], vec![case.channels]),
            ],
            vec![node(inputs, vec!["y"], "conv", "Conv", attributes)],
        )
    }

    /// What came out right and what wrong of wonnx 0.5.1 in a browser, against onnxruntime.
    #[test]
    fn refuses_convolutions_that_come_out_wrong() {
        let cases = [
            CASE,
            Case { name: "no bias", bias: false, right: false, ..CASE },
            Case { name: "no bias, 6 channels", bias: false, channels: 6, ..CASE },
            Case { name: "no bias, stride 2", bias: false, stride: 2, ..CASE },
            Case { name: "pads 0", pads: 0, ..CASE },
            Case { name: "pads 0, NOTSET", pads: 0, auto_pad: Some("NOTSET"), right: false, ..CASE },
            Case { name: "pads 1, NOTSET", auto_pad: Some("NOTSET"), ..CASE },
            Case { name: "dilation 2", pads: 2, dilation: 2, right: false, ..CASE },
        ];
        for case in cases {
            assert_eq!(check_convolutions(&convolution(&case)).is_ok(), case.right, "{}", case.name);
        }
    }

    #[test]
    fn takes_one_input_and_one_output_of_fixed_shape() {
        let relu = |x: &[i64], outputs: &[&str]| {
            let outputs = outputs.iter().map(|name| tensor(name, &[2, 3])).collect();
            let nodes = vec![node(vec!["x"], vec!["y"], "relu", "Relu", vec![])];
            ports(&graph(vec![tensor("x", x)], outputs, vec![], vec![], nodes))
        };
        assert!(relu(&[2, 3], &["y"]).is_ok_and(|(input, output)| (input.len, output.len) == (6, 6)));
        assert!(relu(&[0, 3], &["y"]).is_err());
        assert!(relu(&[i64::MAX, 3], &["y"]).is_err());
        assert!(relu(&[2, 3], &["y", "x"]).is_err());
    }

    #[test]
    fn refuses_what_is_not_finite() {
        assert!(all_finite(vec![0.0, 1.0]).is_ok());
        assert!(matches!(all_finite(vec![0.0, f32::NAN]), Err(WonnxError::NotFinite { index: 1, .. })));
    }
}
