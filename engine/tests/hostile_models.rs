//! No file makes the runtime panic, and each bad one is refused for the right reason.
//!
//! `tools/golden.py` writes the files; bombs that would be large are made here.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use engine::runtime::onnx;
use engine::runtime::plan::Plan;
use engine::runtime::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, AttributeProto, DimensionProto, FLOAT, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use engine::{ModelError, Session, Tensor};
use prost::Message;
use serde::Deserialize;
use std::panic::catch_unwind;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A good model that has every operator; the seed of all damage.
const NETWORK: &[u8] = include_bytes!("data/ops/network.onnx");
/// What must become of each file.
const EXPECTED: &str = include_str!("data/hostile/hostile.json");
/// Largest sum of maps, in elements, at which a damaged model is also run.
const SMALL: usize = 1 << 16;

/// How one file is refused.
#[derive(Deserialize)]
struct Case {
    name: String,
    error: String,
    word: String,
}

/// The files called so; wasm has no folder to list.
macro_rules! files {
    ($($name:ident)*) => {
        &[$((stringify!($name), include_bytes!(concat!("data/hostile/", stringify!($name), ".onnx")))),*]
    };
}

/// Name and content.
const FILES: &[(&str, &[u8])] = files![
    absent_input add_of_one add_of_other_shapes clip_by_a_list clip_by_a_value concat_does_not_fit
    constant_made_again constant_of_float16 constant_of_infinity constant_of_int4_too_short
    constant_of_int8_too_long constant_of_nan constant_of_uint8_above_its_type
    constant_of_unknown_type control_flow conv_auto_pad_beside_pads
    conv_auto_pad_dilated conv_auto_pad_unknown conv_bias_wrong conv_dilated_above_input conv_dilations_huge
    conv_dilations_of_three conv_dilations_of_zero conv_group_huge
    conv_group_negative conv_group_of_zero conv_groups_that_do_not_fit conv_kernel_above_input
    conv_kernel_of_zero conv_kernel_shape_of_one conv_kernel_shape_wrong conv_no_outputs
    conv_of_a_list conv_of_one_input conv_other_channels conv_pads_huge conv_pads_negative
    conv_pads_of_two conv_strides_huge conv_strides_negative conv_strides_of_three
    conv_strides_of_zero conv_weight_of_rank_3 conv_weight_variable cut_off cycle
    dims_above_the_limit dims_huge dims_negative dims_overflow_to_the_right_size external_data
    external_data_beside_raw flatten_axis_5 float_data_too_long gemm_bias_wrong gemm_by_a_value
    gemm_data_turned gemm_does_not_fit gemm_of_maps gemm_of_nan gemm_scaled gemm_turned_wrongly
    hours_of_work huge_by_channels huge_by_pads huge_in_sum input_huge input_made_again
    input_negative input_of_integers input_of_named_extents input_of_rank_9 input_of_zero
    input_without_type inputs_without_end length_beyond_the_end made_twice matmul_does_not_fit
    mean_of_a_missing_axis missing_input name_not_utf8 no_data no_graph no_input no_nodes no_output
    no_result operator_without_name opset_3 opset_99 opset_missing opset_negative
    opset_of_another_domain other_domain output_is_the_input output_of_bytes output_unknown
    outputs_without_end own_functions pad_huge pad_negative pool_of_a_list pool_of_pads_alone
    pool_rounded_up_counting_pads raw_data_too_long raw_data_too_short reads_itself relu_of_integers
    relu_of_two reshape_by_a_value reshape_does_not_fit reshape_of_two_rests reshape_overflows
    reshape_to_negative resize_huge resize_of_channels resize_to_nothing scale_by_a_value
    scale_negative scale_of_two_kinds scale_of_zero scales_of_maps scales_that_do_not_fit
    slice_backwards slice_by_huge_steps slice_of_nothing sparse_constant split_does_not_fit subgraph
    subgraph_list text transpose_of_missing_axes transposed_auto_pad transposed_dilated trees_in_a_circle trees_of_a_missing_child
    trees_of_a_negative_feature trees_of_features_that_are_not_there trees_of_one_child_twice
    trees_of_short_lists trees_of_three_classes trees_of_unknown_modes
    trees_with_weights_on_branches two_results unknown_attribute unknown_operator value_without_name
    zero_point_of_floats zero_points_that_do_not_fit
];

#[test]
fn each_bad_file_is_refused_for_its_reason() {
    let cases: Vec<Case> = serde_json::from_str(EXPECTED).unwrap();
    assert_eq!(cases.len(), FILES.len());
    let failures: Vec<String> =
        cases.iter().zip(FILES).filter_map(|(case, file)| check(case, file).err()).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

fn check(case: &Case, (name, onnx): &(&str, &[u8])) -> Result<(), String> {
    assert_eq!(case.name, *name, "files and expectations are in the same order");
    let refused = match catch_unwind(|| Session::load(onnx)) {
        Err(_) => return Err(format!("{name}: panic")),
        Ok(Ok(_)) => return Err(format!("{name}: loaded, expected {} with {:?}", case.error, case.word)),
        Ok(Err(error)) => error,
    };
    if kind(&refused) == case.error && refused.to_string().contains(&case.word) {
        return Ok(());
    }
    Err(format!(
        "{name}: {} {:?}, expected {} with {:?}",
        kind(&refused),
        refused.to_string(),
        case.error,
        case.word
    ))
}

fn kind(error: &ModelError) -> &'static str {
    match error {
        ModelError::Decode { .. } => "Decode",
        ModelError::TooLarge { .. } => "TooLarge",
        ModelError::Operator { .. } => "Operator",
        ModelError::Node { .. } => "Node",
        ModelError::Constant { .. } => "Constant",
        ModelError::Graph { .. } => "Graph",
        ModelError::Input { .. } => "Input",
        _ => "another error",
    }
}

#[test]
fn a_model_cut_off_anywhere_is_no_panic() {
    let step = (NETWORK.len() - 2048).div_ceil(200);
    for length in (0..2048).chain((2048..NETWORK.len()).step_by(step)) {
        survives(&NETWORK[..length], &format!("cut off after {length} bytes"));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_no_panic() {
    let mut random = Random(2026);
    for _ in 0..2000 {
        let mut damaged = NETWORK.to_vec();
        let (byte, bit) = (random.below(damaged.len()), random.below(8));
        damaged[byte] ^= 1 << bit;
        survives(&damaged, &format!("bit {bit} of byte {byte} flipped"));
    }
}

#[test]
fn a_piece_moved_or_repeated_is_no_panic() {
    let mut random = Random(77);
    for _ in 0..500 {
        let (from, to) = (random.below(NETWORK.len()), random.below(NETWORK.len()));
        let piece = &NETWORK[from..][..random.below(NETWORK.len() - from)];
        let damaged = [&NETWORK[..to], piece, &NETWORK[to..]].concat();
        survives(&damaged, &format!("{} bytes at {from} repeated at {to}", piece.len()));
    }
}

/// Loads `onnx`, and runs it where it is still small; both may fail, neither may panic.
fn survives(onnx: &[u8], what: &str) {
    let load_and_run = || {
        let is_small = |plan: Plan| plan.buffers.iter().sum::<usize>() <= SMALL;
        if !onnx::parse(onnx).and_then(|graph| Plan::new(&graph)).is_ok_and(is_small) {
            return;
        }
        let mut session = Session::load(onnx).unwrap();
        let shape = session.input_shape().to_vec();
        let elements = shape.iter().product();
        session.run(&Tensor::from_vec(shape, vec![0.5; elements])).unwrap();
    };
    assert!(catch_unwind(load_and_run).is_ok(), "panic: {what}");
}

#[test]
fn a_bomb_of_empty_nodes_is_refused_before_it_is_decoded() {
    assert_too_large(&empty_nodes(300_000));
}

#[test]
fn a_bomb_behind_a_skipped_group_is_refused_too() {
    // Start and end of group 99: an unknown field that decoders skip.
    let group = [0x9B, 0x06, 0x9C, 0x06];
    assert_too_large(&[&group[..], &empty_nodes(300_000)].concat());
}

#[test]
fn one_constant_in_many_nodes_does_not_multiply_its_memory() {
    // A weight of one megabyte for 600 convolutions: packed for each of them it would be 600 MB.
    let channels = 512;
    let weight = TensorProto {
        dims: vec![channels, channels, 1, 1],
        data_type: FLOAT,
        name: "w".into(),
        raw_data: vec![0; (channels * channels * 4) as usize],
        ..TensorProto::default()
    };
    assert_too_large(&chain("Conv", 600, &[1, channels, 1, 1], vec![weight]));
}

#[test]
fn work_without_multiplications_is_bounded_too() {
    // Each of these nodes walks over 16 million elements: hours for a run.
    assert_too_large(&chain("Relu", 40_000, &[1, 1, 4096, 4096], Vec::new()));
}

#[test]
fn an_empty_file_is_called_empty() {
    let refused = Session::load(&[]).err().unwrap();
    assert!(matches!(&refused, ModelError::Decode { detail } if detail.contains("empty")), "{refused}");
}

/// Gemm with a flattened input of two values; `attributes` decide.
fn gemm(attributes: Vec<AttributeProto>) -> Vec<u8> {
    let constant = |name: &str, dims: &[i64]| TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: FLOAT,
        float_data: vec![1.0; dims.iter().product::<i64>() as usize],
        ..TensorProto::default()
    };
    let node = |operator: &str, inputs: &[&str], output: &str, attribute| NodeProto {
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        op_type: operator.into(),
        attribute,
        ..NodeProto::default()
    };
    let graph = GraphProto {
        node: vec![
            node("Flatten", &["x"], "flat", Vec::new()),
            node("Gemm", &["flat", "weight", "bias"], "y", attributes),
        ],
        input: vec![float_value("x", &[1, 2, 1, 1])],
        output: vec![float_value("y", &[1, 2])],
        initializer: vec![constant("weight", &[2, 2]), constant("bias", &[2])],
        ..GraphProto::default()
    };
    model(graph).encode_to_vec()
}

#[test]
fn attributes_of_another_type_or_given_twice_are_refused() {
    let turned =
        AttributeProto { name: "transB".into(), i: 1, r#type: ATTRIBUTE_INT, ..AttributeProto::default() };
    let as_float = AttributeProto { f: 1.0, i: 0, r#type: ATTRIBUTE_FLOAT, ..turned.clone() };
    Session::load(&gemm(vec![turned.clone()])).unwrap();
    for (attributes, word) in [(vec![as_float], "type"), (vec![turned.clone(), turned], "twice")] {
        let refused = Session::load(&gemm(attributes)).err().unwrap();
        assert!(refused.to_string().contains(word), "{refused}");
    }
}

#[test]
fn an_operator_set_that_is_named_twice_is_refused() {
    let mut twice = ModelProto::decode(&gemm(Vec::new())[..]).unwrap();
    twice.opset_import.push(OperatorSetIdProto { domain: "ai.onnx".into(), version: 17 });
    let refused = Session::load(&twice.encode_to_vec()).err().unwrap();
    assert!(refused.to_string().contains("twice"), "{refused}");
}

#[test]
fn clip_may_leave_out_its_lower_bound() {
    let upper = TensorProto {
        name: "upper".into(),
        data_type: FLOAT,
        float_data: vec![6.0],
        ..TensorProto::default()
    };
    let mut clip = ModelProto::decode(&chain("Clip", 1, &[1, 3, 1, 1], vec![upper])[..]).unwrap();
    clip.graph.as_mut().unwrap().node[0].input = vec!["v0".into(), String::new(), "upper".into()];
    let mut session = Session::load(&clip.encode_to_vec()).unwrap();
    let output = session.run(&Tensor::from_vec(vec![1, 3, 1, 1], vec![-9.0, 2.0, 9.0])).unwrap();
    assert_eq!(output.values(), [-9.0, 2.0, 6.0]);
}

/// A file of `count` nodes in a row that keep `shape`; each also reads all of `constants`.
fn chain(operator: &str, count: usize, shape: &[i64], constants: Vec<TensorProto>) -> Vec<u8> {
    let value = |index: usize| format!("v{index}");
    let node = |index| NodeProto {
        input: std::iter::once(value(index))
            .chain(constants.iter().map(|constant| constant.name.clone()))
            .collect(),
        output: vec![value(index + 1)],
        op_type: operator.into(),
        ..NodeProto::default()
    };
    let graph = GraphProto {
        node: (0..count).map(node).collect(),
        input: vec![float_value(&value(0), shape)],
        output: vec![float_value(&value(count), shape)],
        initializer: constants,
        ..GraphProto::default()
    };
    model(graph).encode_to_vec()
}

fn assert_too_large(onnx: &[u8]) {
    match Session::load(onnx) {
        Err(ModelError::TooLarge { .. }) => {}
        Err(other) => panic!("refused too late: {other}"),
        Ok(_) => panic!("it was loaded"),
    }
}

/// A file of `count` nodes that take two bytes each.
fn empty_nodes(count: usize) -> Vec<u8> {
    model(GraphProto { node: vec![NodeProto::default(); count], ..GraphProto::default() }).encode_to_vec()
}

fn model(graph: GraphProto) -> ModelProto {
    let opset = OperatorSetIdProto { domain: String::new(), version: 13 };
    ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() }
}

fn float_value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = |&extent: &i64| DimensionProto { dim_value: Some(extent), dim_param: None };
    let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let tensor_type = TensorTypeProto { elem_type: FLOAT, shape: Some(shape) };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

/// A seeded sequence (Numerical Recipes' linear congruential generator).
struct Random(u32);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % limit.max(1)
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_file_in_the_folder_is_tested() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hostile");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let tested: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(tested, names);
}
