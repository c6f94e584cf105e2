//! TFLite files: what is written is what the network is, and what is hostile is refused with its reason.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use candle_core::Device;
use engine::Tensor;
use engine::runtime::proto::{
    ATTRIBUTE_INT, ATTRIBUTE_INTS, AttributeProto, DimensionProto, FLOAT, GraphProto, INT4, INT8, ModelProto,
    NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use flatbuffers::{FlatBufferBuilder, TableFinishedWIPOffset, WIPOffset};
use prost::Message;
use std::process::Command;
use trainer::export::tflite::{VerifyError, verify};
use trainer::export::{ActivationBits, onnx_bytes, quantise, tflite_bytes};
use trainer::train::Network;

/// Members of `BuiltinOperator`.
const CONV: i32 = 3;
const DEQUANTIZE: i32 = 6;
const FULLY_CONNECTED: i32 = 9;
const RESHAPE: i32 = 22;
const PAD: i32 = 34;
const MEAN: i32 = 40;
const QUANTIZE: i32 = 114;

const SIDE: usize = 64;

fn picture(side: usize) -> Tensor {
    let values = (0..3 * side * side).map(|i| (i as f32 * 0.37).sin() * 2.0).collect();
    Tensor::from_vec(vec![1, 3, side, side], values)
}

/// ONNX files of a network with random weights, in floats and in integers.
fn onnx_files(preset: &str) -> [Vec<u8>; 2] {
    let network = Network::new(preset, 7, &Device::Cpu).unwrap();
    let floats = onnx_bytes(&network.model, SIDE, vec![("name".into(), preset.into())]).unwrap();
    let integers = quantise(&floats, &[picture(SIDE)], ActivationBits::Eight).unwrap();
    [floats, integers]
}

#[test]
fn g7_a_file_holds_the_network_in_floats_and_in_integers() {
    let preset = "mobilenetv4-conv-small-narrow";
    let [floats, integers] = onnx_files(preset).map(|onnx| tflite_bytes(&onnx).unwrap());
    assert!(integers.len() * 10 < floats.len() * 3, "{} of {}", integers.len(), floats.len());
    for file in [&floats, &integers] {
        let summary = verify(file).unwrap();
        assert_eq!(summary.inputs, [[1, SIDE, SIDE, 3]]);
        assert_eq!(summary.outputs, [[1, 1]]);
        assert_eq!(summary.metadata, [("name".to_owned(), preset.to_owned())]);
    }
    let count =
        |file: &[u8], code| verify(file).unwrap().operators.iter().filter(|&&other| other == code).count();
    assert_eq!([QUANTIZE, DEQUANTIZE].map(|code| count(&floats, code)), [0, 0]);
    // The picture becomes bytes; what the last layer reads, and its weight, become floats.
    assert_eq!([QUANTIZE, DEQUANTIZE].map(|code| count(&integers, code)), [1, 2]);
    assert_eq!(count(&floats, CONV), count(&integers, CONV));
}

#[test]
fn g7_seven_bits_are_refused() {
    let network = Network::new("mobilenetv4-conv-small-narrow", 7, &Device::Cpu).unwrap();
    let floats = onnx_bytes(&network.model, SIDE, Vec::new()).unwrap();
    let seven = quantise(&floats, &[picture(SIDE)], ActivationBits::Seven).unwrap();
    let error = format!("{:#}", tflite_bytes(&seven).unwrap_err());
    assert!(error.contains("eight-bit"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("seven.tflite");
    let mut aware = Command::new(env!("CARGO_BIN_EXE_aware"));
    aware.args(["export", "--format", "tflite", "--int8", "--activation-bits", "7", "--output"]).arg(&output);
    let done = aware.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && told.contains("8 bits"), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn padding_that_tensorflow_has_not_is_written_out() {
    let [floats, integers] = small_files().map(|onnx| verify(&tflite_bytes(&onnx).unwrap()).unwrap());
    assert_eq!(floats.operators, [PAD, CONV, MEAN, RESHAPE, FULLY_CONNECTED]);
    assert_eq!(
        integers.operators,
        [QUANTIZE, PAD, CONV, MEAN, RESHAPE, DEQUANTIZE, DEQUANTIZE, FULLY_CONNECTED]
    );
}

#[test]
fn weights_of_four_bits_are_widened() {
    let [_, integers] = small_files();
    let mut model = ModelProto::decode(&integers[..]).unwrap();
    let weights = &mut model.graph.as_mut().unwrap().initializer;
    let weight = weights.iter_mut().find(|tensor| tensor.data_type == INT8).unwrap();
    let count = weight.raw_data.len();
    weight.data_type = INT4;
    // -7, 1, -7, 1 and so on.
    weight.raw_data = vec![0x19; count.div_ceil(2)];
    let file = tflite_bytes(&model.encode_to_vec()).unwrap();
    // [O, I, H, W] -> [O, H, W, I]: three channels of each place lie nine values apart, so that signs alternate.
    let wanted: Vec<u8> = (0..4_usize)
        .flat_map(|o| (0..9).flat_map(move |place| (0..3).map(move |i| 27 * o + 9 * i + place)))
        .map(|index| if index % 2 == 0 { -7_i8 as u8 } else { 1 })
        .collect();
    assert!(file.windows(wanted.len()).any(|bytes| bytes == wanted));
}

#[test]
fn an_operator_that_is_not_known_is_named() {
    let [floats, _] = small_files();
    let mut model = ModelProto::decode(&floats[..]).unwrap();
    model.graph.as_mut().unwrap().node[1].op_type = "Erf".into();
    let error = format!("{:#}", tflite_bytes(&model.encode_to_vec()).unwrap_err());
    assert!(error.contains("\"relu\" (Erf)"), "{error}");
}

#[test]
fn m06_a_file_that_is_cut_anywhere_is_refused() {
    for onnx in small_files() {
        let file = tflite_bytes(&onnx).unwrap();
        for length in 0..file.len() {
            assert!(verify(&file[..length]).is_err(), "the first {length} of {} bytes pass", file.len());
        }
    }
}

#[test]
fn m06_no_flipped_bit_ends_in_a_panic() {
    let [_, onnx] = small_files();
    let file = tflite_bytes(&onnx).unwrap();
    let mut refused = 0;
    for bit in 0..8 * file.len() {
        let mut altered = file.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        refused += usize::from(verify(&altered).is_err());
    }
    // The others change values, names and strides: that is for hashes to find.
    assert!(refused > file.len(), "{refused} of {} bits", 8 * file.len());
}

#[test]
fn m06_each_fault_has_its_error() {
    let ok = Hostile::default();
    assert_eq!(verify(&ok.file()).unwrap().operators, [CONV]);
    let refused = |change: fn(&mut Hostile)| {
        let mut hostile = Hostile::default();
        change(&mut hostile);
        verify(&hostile.file()).unwrap_err()
    };
    assert_eq!(refused(|h| h.identifier = "TFL4"), VerifyError::Identifier);
    assert_eq!(verify(b""), Err(VerifyError::Identifier));
    let index = |change| match refused(change) {
        VerifyError::Index { what, index, count } => (what, index, count),
        other => panic!("{other:?}"),
    };
    assert_eq!(index(|h| h.buffer = 7), ("the buffer of tensor 1 (weight)".into(), 7, 2));
    assert_eq!(index(|h| h.buffer = u32::MAX), ("the buffer of tensor 1 (weight)".into(), 0xffff_ffff, 2));
    assert_eq!(index(|h| h.input = 3), ("an input of operator 0".into(), 3, 3));
    assert_eq!(index(|h| h.input = -2), ("an input of operator 0".into(), -2, 3));
    assert_eq!(index(|h| h.output = i32::MIN), ("an output of operator 0".into(), i64::from(i32::MIN), 3));
    assert_eq!(index(|h| h.code = 1), ("the code of operator 0".into(), 1, 1));
    assert_eq!(index(|h| h.graph_output = 9), ("an output of the graph".into(), 9, 3));
    assert_eq!(index(|h| h.metadata = 5), ("a buffer of metadata".into(), 5, 2));
    let length = |change| match refused(change) {
        VerifyError::Length { expected, actual, .. } => (expected, actual),
        other => panic!("{other:?}"),
    };
    assert_eq!(length(|h| h.data.truncate(5)), (6, 5));
    assert_eq!(length(|h| h.shape = [2, i32::MAX]), (2 * i32::MAX as u64, 6));
    let scales = |change| match refused(change) {
        VerifyError::Quantisation { detail, .. } => detail,
        other => panic!("{other:?}"),
    };
    assert_eq!(scales(|h| h.axis = 1), "2 scales along axis 1 of [2, 3]");
    assert_eq!(scales(|h| h.axis = -1), "2 scales along axis -1 of [2, 3]");
    assert_eq!(scales(|h| h.axis = i32::MAX), "2 scales along axis 2147483647 of [2, 3]");
    assert_eq!(scales(|h| h.scales.push(1.0)), "3 scales and 2 zero points");
    assert_eq!(scales(|h| h.scales[1] = 0.0), "its scale is 0");
    assert_eq!(scales(|h| h.scales[0] = f32::NAN), "its scale is NaN");
    assert_eq!(scales(|h| h.zero_points[0] = 128), "its zero point is 128, expected -128..=127");
    let unsupported = |change| match refused(change) {
        VerifyError::Unsupported(what) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(unsupported(|h| h.shape = [-2, -3]), "shape [-2, -3] of tensor 1 (weight)");
    assert_eq!(unsupported(|h| h.element = 5), "element type 5 of tensor 1 (weight)");
    assert_eq!(unsupported(|h| h.version = 2), "schema version 2");
    assert_eq!(unsupported(|h| h.builtin = 32), "an operator that is not built in");
    assert_eq!(unsupported(|h| h.offset = 4096), "a constant behind the tables");
    // The result is read before it is made.
    assert_eq!(refused(|h| h.input = 2), VerifyError::Order { operator: 0, tensor: "2 (result)".into() });
    // Nothing makes what leaves the graph.
    assert_eq!(refused(|h| h.output = 0), VerifyError::Order { operator: 1, tensor: "2 (result)".into() });
}

#[test]
fn m06_bombs_are_refused() {
    let told = |change: fn(&mut Hostile)| {
        let mut hostile = Hostile::default();
        change(&mut hostile);
        match verify(&hostile.file()).unwrap_err() {
            VerifyError::Structure(detail) => detail,
            other => panic!("{other:?}"),
        }
    };
    // One table, named a hundred thousand times.
    let tables = told(|h| h.copies = 100_000);
    assert!(tables.contains("Too many tables"), "{tables}");
    // Ten megabytes, named a hundred times.
    let size = told(|h| {
        h.copies = 100;
        h.shape = [10, 1 << 20];
        h.data = vec![0; 10 << 20];
    });
    assert!(size.contains("size"), "{size}");
}

/// A file of one convolution, with a fault.
struct Hostile {
    identifier: &'static str,
    version: u32,
    builtin: i32,
    code: u32,
    shape: [i32; 2],
    element: i8,
    buffer: u32,
    data: Vec<u8>,
    offset: u64,
    /// How often the buffers are listed.
    copies: usize,
    scales: Vec<f32>,
    zero_points: Vec<i64>,
    axis: i32,
    input: i32,
    output: i32,
    graph_output: i32,
    metadata: u32,
}

impl Default for Hostile {
    fn default() -> Self {
        Hostile {
            identifier: "TFL3",
            version: 3,
            builtin: CONV,
            code: 0,
            shape: [2, 3],
            element: 9,
            buffer: 1,
            data: vec![1, 2, 3, 4, 5, 6],
            offset: 0,
            copies: 1,
            scales: vec![0.5, 0.25],
            zero_points: vec![0, 0],
            axis: 0,
            input: 0,
            output: 2,
            graph_output: 2,
            metadata: 1,
        }
    }
}

type Builder = FlatBufferBuilder<'static>;
type Table = WIPOffset<TableFinishedWIPOffset>;

/// A table whose fields `fill` pushes, by their numbers in `schema.fbs`.
fn table(b: &mut Builder, fill: impl FnOnce(&mut Builder)) -> Table {
    let start = b.start_table();
    fill(b);
    b.end_table(start)
}

const fn slot(number: u16) -> u16 {
    4 + 2 * number
}

impl Hostile {
    fn file(&self) -> Vec<u8> {
        let mut builder = Builder::new();
        let b = &mut builder;
        let empty = table(b, |_| ());
        let data = b.create_vector(&self.data);
        let buffer = table(b, |b| {
            b.push_slot_always(slot(0), data);
            b.push_slot(slot(1), self.offset, 0);
        });
        let mut buffers = vec![empty];
        buffers.extend(vec![buffer; self.copies]);
        let buffers = b.create_vector(&buffers);

        let scales = b.create_vector(&self.scales);
        let zero_points = b.create_vector(&self.zero_points);
        let quantisation = table(b, |b| {
            b.push_slot_always(slot(2), scales);
            b.push_slot_always(slot(3), zero_points);
            b.push_slot(slot(6), self.axis, 0);
        });
        let tensors = [("image", 0), ("weight", self.buffer), ("result", 0)].map(|(name, buffer)| {
            let text = b.create_string(name);
            let shape = b.create_vector(if name == "weight" { &self.shape } else { &[1, 4] });
            table(b, |b| {
                b.push_slot_always(slot(0), shape);
                b.push_slot(slot(1), if name == "weight" { self.element } else { 0 }, 0);
                b.push_slot(slot(2), buffer, 0);
                b.push_slot_always(slot(3), text);
                if name == "weight" {
                    b.push_slot_always(slot(4), quantisation);
                }
            })
        });
        let tensors = b.create_vector(&tensors);
        let inputs = b.create_vector(&[self.input, 1]);
        let outputs = b.create_vector(&[self.output]);
        let operator = table(b, |b| {
            b.push_slot(slot(0), self.code, 0);
            b.push_slot_always(slot(1), inputs);
            b.push_slot_always(slot(2), outputs);
        });
        let operators = b.create_vector(&[operator]);
        let inputs = b.create_vector(&[0_i32]);
        let outputs = b.create_vector(&[self.graph_output]);
        let graph = table(b, |b| {
            b.push_slot_always(slot(0), tensors);
            b.push_slot_always(slot(1), inputs);
            b.push_slot_always(slot(2), outputs);
            b.push_slot_always(slot(3), operators);
        });
        let graphs = b.create_vector(&[graph]);
        let code = table(b, |b| b.push_slot(slot(3), self.builtin, 0));
        let codes = b.create_vector(&[code]);
        let name = b.create_string("name");
        let metadata = table(b, |b| {
            b.push_slot_always(slot(0), name);
            b.push_slot(slot(1), self.metadata, 0);
        });
        let metadata = b.create_vector(&[metadata]);
        let root = table(b, |b| {
            b.push_slot_always(slot(0), self.version);
            b.push_slot_always(slot(1), codes);
            b.push_slot_always(slot(2), graphs);
            b.push_slot_always(slot(4), buffers);
            b.push_slot_always(slot(6), metadata);
        });
        b.finish(root, Some(self.identifier));
        builder.finished_data().to_vec()
    }
}

/// ONNX files, in floats and in integers, of a convolution, a limit, a mean and a fully connected layer on 8 x 8 pixels.
fn small_files() -> [Vec<u8>; 2] {
    let floats = small_onnx().encode_to_vec();
    let integers = quantise(&floats, &[picture(8)], ActivationBits::Eight).unwrap();
    [floats, integers]
}

fn small_onnx() -> ModelProto {
    let constant = |name: &str, dims: &[i64]| TensorProto {
        dims: dims.to_vec(),
        data_type: FLOAT,
        name: name.into(),
        raw_data: (0..dims.iter().product::<i64>())
            .flat_map(|i| ((i as f32 * 0.7).sin() * 0.3).to_le_bytes())
            .collect(),
        ..TensorProto::default()
    };
    let node = |op: &str, inputs: &[&str], output: &str, attribute| NodeProto {
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op.into(),
        attribute,
        ..NodeProto::default()
    };
    let ints = |name: &str, values: &[i64]| AttributeProto {
        name: name.into(),
        ints: values.to_vec(),
        r#type: ATTRIBUTE_INTS,
        ..AttributeProto::default()
    };
    let flat =
        AttributeProto { name: "axis".into(), i: 1, r#type: ATTRIBUTE_INT, ..AttributeProto::default() };
    // One zero all around, where TensorFlow's "same" has one behind alone.
    let window = vec![
        ints("kernel_shape", &[3, 3]),
        ints("pads", &[1, 1, 1, 1]),
        ints("strides", &[2, 2]),
        ints("dilations", &[1, 1]),
    ];
    let graph = GraphProto {
        name: "small".into(),
        node: vec![
            node("Conv", &["image", "conv.weight", "conv.bias"], "conv", window),
            node("Relu", &["conv"], "relu", Vec::new()),
            node("GlobalAveragePool", &["relu"], "mean", Vec::new()),
            node("Flatten", &["mean"], "flat", vec![flat]),
            node("Gemm", &["flat", "logit.weight", "logit.bias"], "logit", Vec::new()),
        ],
        initializer: vec![
            constant("conv.weight", &[4, 3, 3, 3]),
            constant("conv.bias", &[4]),
            constant("logit.weight", &[4, 1]),
            constant("logit.bias", &[1]),
        ],
        input: vec![end("image", &[1, 3, 8, 8])],
        output: vec![end("logit", &[1, 1])],
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
        metadata_props: vec![StringStringEntryProto { key: "name".into(), value: "small".into() }],
        ..ModelProto::default()
    }
}

fn end(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim =
        shape.iter().map(|&extent| DimensionProto { dim_value: Some(extent), dim_param: None }).collect();
    let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
