//! One test of ONNX: a folder with a model, and inputs with the outputs that they must give.

use crate::judge::Way;
use engine::Tensor;
use engine::runtime::proto::{FLOAT, ModelProto, TensorProto, ValueInfoProto};
use prost::Message;
use std::fs;
use std::path::Path;

/// A test.
pub struct Case {
    /// Name of the folder.
    pub name: String,
    /// The network, mostly of one node.
    pub model: ModelProto,
    /// What it is run with.
    pub data: Vec<DataSet>,
}

/// Inputs, and the outputs that they must give, both in the model's order.
pub struct DataSet {
    /// `input_N.pb`
    pub inputs: Vec<TensorProto>,
    /// `output_N.pb`
    pub outputs: Vec<TensorProto>,
}

impl Case {
    /// The test in `folder`.
    ///
    /// # Errors
    /// A text that names the file that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let model: ModelProto = message(&folder.join("model.onnx"))?;
        let graph = model.graph.clone().unwrap_or_default();
        let mut data = Vec::new();
        for number in 0.. {
            let set = folder.join(format!("test_data_set_{number}"));
            if !set.is_dir() {
                break;
            }
            let tensor = |kind: &str, i: usize| message(&set.join(format!("{kind}_{i}.pb")));
            let tensors = |kind, count| (0..count).map(|i| tensor(kind, i)).collect::<Result<_, _>>();
            let (inputs, outputs) =
                (tensors("input", graph.input.len())?, tensors("output", graph.output.len())?);
            data.push(DataSet { inputs, outputs });
        }
        if data.is_empty() {
            return Err(format!("{} holds no folder test_data_set_0", folder.display()));
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Case { name, model, data })
    }

    /// Whether running the test in `way` is another test than running it as it is.
    pub fn is_changed_by(&self, way: Way) -> bool {
        self.model.graph.as_ref().is_some_and(|graph| match way {
            Way::Plain => false,
            Way::WithConstants => graph.input.len() > 1,
            // How many outputs a Split has says how large they are.
            Way::FirstOutput => {
                graph.output.len() > 1 && matches!(&graph.node[..], [node] if node.op_type != "Split")
            }
        })
    }

    /// The model to be run in `way`, and the inputs that remain.
    pub fn in_way<'a>(&self, data: &'a DataSet, way: Way) -> (ModelProto, &'a [TensorProto]) {
        let mut model = self.model.clone();
        let Some(graph) = model.graph.as_mut().filter(|_| way != Way::Plain) else {
            return (model, &data.inputs);
        };
        for (value, tensor) in graph.input.drain(1..).zip(data.inputs.iter().skip(1)) {
            graph.initializer.push(TensorProto { name: value.name, ..tensor.clone() });
        }
        if way == Way::FirstOutput {
            graph.output.truncate(1);
            graph.node.iter_mut().for_each(|node| node.output.truncate(1));
        }
        (model, &data.inputs[..1])
    }

    /// Why the test says nothing of a runtime from floats to floats, if it does not.
    pub fn not_applicable(&self) -> Option<&'static str> {
        let graph = self.model.graph.as_ref()?;
        let is_float = |value: &ValueInfoProto| {
            let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
            tensor.is_some_and(|tensor| tensor.elem_type == FLOAT)
        };
        match graph.input.first() {
            None => Some("it has no input"),
            Some(first) if !is_float(first) => Some("its data are no floats"),
            _ if !graph.output.first().is_some_and(is_float) => Some("its result is no float"),
            _ => None,
        }
    }
}

fn message<M: Message + Default>(path: &Path) -> Result<M, String> {
    let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    M::decode(&bytes[..]).map_err(|error| format!("{} is no message of ONNX: {error}", path.display()))
}

/// The floats of `proto`, infinite ones and NaN among them; `None` for other types.
pub fn floats(proto: &TensorProto) -> Option<Tensor> {
    let shape: Vec<usize> = proto.dims.iter().map(|&extent| extent as usize).collect();
    let values = match proto.raw_data.is_empty() {
        true => proto.float_data.clone(),
        false => {
            proto.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
    };
    let is_whole = proto.data_type == FLOAT && values.len() == shape.iter().product::<usize>();
    is_whole.then(|| Tensor::from_vec(shape, values))
}
