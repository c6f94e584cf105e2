//! Every operator, variant and fusion of the runtime gives onnxruntime's result.
//!
//! `tools/golden.py` writes the graphs, inputs and outputs.

use engine::{ModelError, Session, Tensor};
use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Largest difference, relative above 1: the terms of a sum come in another order.
const TOLERANCE: f32 = 1e-5;

/// Input and output of one graph.
#[derive(Deserialize)]
struct Golden {
    input_shape: Vec<usize>,
    input: Vec<f32>,
    output_shape: Vec<usize>,
    output: Vec<f32>,
}

/// The files of the graphs called so; wasm has no folder to list.
macro_rules! graphs {
    ($($name:ident)*) => {
        &[$((
            stringify!($name),
            include_bytes!(concat!("data/ops/", stringify!($name), ".onnx")),
            include_str!(concat!("data/ops/", stringify!($name), ".json")),
        )),*]
    };
}

/// Name, ONNX file, golden JSON.
const GRAPHS: &[(&str, &[u8], &str)] = graphs![
    add add_then_relu add_to_itself attention average_pool average_pool_counting_pads
    average_pool_padded average_pool_rounded_up batch_norm batch_norm_of_conv broadcast_channel
    broadcast_columns broadcast_more_axes broadcast_row broadcast_scalar broadcast_turned
    broadcast_turned_sub broadcast_whole clip clip_below clip_low_above_high clip_nothing
    concat_channels concat_rows concat_with_constant constant_folded constant_node conv_dense
    conv_dense_5x5 conv_dense_asymmetric_pads conv_dense_pads_at_the_end conv_dense_strided
    conv_dense_strided_even conv_dense_unpadded conv_depthwise_multiplied conv_dilated
    conv_dilated_grouped conv_dilated_padded conv_grouped conv_same_lower
    conv_same_lower_strided conv_same_upper conv_same_upper_strided conv_same_without_pads conv_valid
    conv_valid_dilated depthwise_dilated depthwise_same_lower
    conv_grouped_of_two_pictures conv_kernel_of_the_map conv_no_attributes conv_of_two_pictures
    conv_one_channel conv_one_pixel conv_patches conv_pointwise conv_pointwise_many
    conv_pointwise_padded conv_pointwise_strided conv_stride_over_kernel conv_tall_kernel
    conv_weight_computed conv_wide_kernel conv_without_bias depthwise_1x1 depthwise_3x3
    depthwise_3x3_odd_channels depthwise_3x3_strided depthwise_5x5 depthwise_5x5_strided
    depthwise_7x7 depthwise_asymmetric_pads depthwise_of_two_pictures depthwise_without_bias
    file_constants_among_inputs file_domain_spelled_out file_float_data file_nodes_shuffled
    file_opset_11 file_opset_21 file_opset_28 file_output_read_again flatten_axis_2
    flatten_beside_the_map flatten_conv flatten_default_axis flatten_map flatten_pooled
    flatten_then_relu flatten_twice function_abs function_erf function_exp function_gelu
    function_gelu_by_tanh function_hard_sigmoid function_hard_swish function_identity
    function_leakyrelu function_neg function_reciprocal function_sigmoid function_sqrt_of_abs
    function_tanh gate gemm gemm_bias_of_a_row gemm_bias_of_all gemm_defaults_written_out
    gemm_of_a_map gemm_one_output gemm_transposed gemm_twice gemm_without_bias layer_norm
    layer_norm_without_bias matmul_batched matmul_broadcast matmul_constant matmul_of_itself
    max_pool max_pool_padded max_pool_rounded_up max_pool_rounded_up_into_pads mean_of_all
    mean_of_channels mean_of_map mean_of_two_pictures network network_of_additions pad pad_of_conv
    pool pool_of_conv pool_of_two_pictures pool_one_pixel q_add_to_itself q_concat q_conv_4_bits
    q_conv_8_bits q_conv_asymmetric q_conv_dense q_conv_depthwise q_conv_pointwise q_conv_relu
    q_conv_relu6 q_conv_signed q_conv_to_floats q_flatten q_head q_head_through_floats
    q_head_with_one_bias q_max_pool q_max_pool_rescaled q_network q_residual_depthwise
    q_residual_pointwise q_residual_read_twice q_residual_swapped q_sigmoid q_there_and_back
    q_transpose q_two_branches relu reshape reshape_of_conv residual_add_relu residual_add_swapped
    residual_conv_add residual_conv_to_itself residual_depthwise_add_clip residual_read_twice
    residual_relu_add residual_relu_clip residual_second_branch_later residual_three_in_a_row
    residual_two_branches residual_unused_reader resize_linear resize_linear_corners
    resize_linear_down resize_nearest resize_nearest_default resize_nearest_down resize_to_sizes
    scaled_as_a_whole scaled_by_batch_norm_of_depthwise scaled_by_batch_norm_of_groups
    scaled_by_batch_norm_read_twice scaled_by_batch_norm_then_relu scaled_channels scaled_columns
    scaled_to_more_pictures silu silu_of_conv slice slice_by_huge_steps slice_of_conv softmax softmax_of_channels
    softmax_of_set_11 softmax_of_set_12 split_second split_sizes squeeze transpose transpose_of_conv
    transpose_of_conv_rows transpose_reversed transposed_2x2 transposed_3x3 transposed_of_two
    transposed_overlapping trees_logistic trees_plain unsqueeze windows
];

#[test]
fn equal_onnxruntime() {
    let failures: Vec<String> = GRAPHS
        .iter()
        .filter_map(|(name, onnx, json)| {
            // Scales of the quantised graphs are powers of two: nothing is rounded in onnxruntime's floats.
            let tolerance = if name.starts_with("q_") { 0.0 } else { TOLERANCE };
            check(onnx, json, tolerance).err().map(|error| format!("{name}: {error}"))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} graphs differ:\n{}",
        failures.len(),
        GRAPHS.len(),
        failures.join("\n")
    );
}

fn check(onnx: &[u8], json: &str, tolerance: f32) -> Result<(), String> {
    let golden: Golden = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut session = Session::load(onnx).map_err(|error| error.to_string())?;
    for (what, shape, wanted) in [
        ("input", session.input_shape(), &golden.input_shape),
        ("output", session.output_shape(), &golden.output_shape),
    ] {
        if shape != wanted {
            return Err(format!("{what} shape {shape:?}, expected {wanted:?}"));
        }
    }
    let input = Tensor::from_vec(golden.input_shape, golden.input);
    let output = session.run(&input).map_err(|error| error.to_string())?;
    let near = |ours: f32, theirs: f32| (ours - theirs).abs() <= tolerance * theirs.abs().max(1.0);
    let mut pairs = output.values().iter().zip(&golden.output);
    if let Some(index) = pairs.position(|(&ours, &theirs)| !near(ours, theirs)) {
        return Err(format!(
            "value {index} is {}, expected {}",
            output.values()[index],
            golden.output[index]
        ));
    }
    // Buffers still hold the first run's maps: nothing of them may show.
    let again = session.run(&input).map_err(|error| error.to_string())?;
    if output == again { Ok(()) } else { Err("a second run gives another result".into()) }
}

#[test]
fn quantised_graphs_run_in_integers() {
    // Bytes between other scales and one bias for all are computed in floats.
    let excepted = ["q_max_pool_rescaled", "q_head_with_one_bias"];
    for (name, onnx, _) in
        GRAPHS.iter().filter(|(name, ..)| name.starts_with("q_") && !excepted.contains(name))
    {
        let session = Session::load(onnx).unwrap();
        let kernels: Vec<&str> = session.plan().steps.iter().map(|step| step.kernel.name()).collect();
        let is_integer = |kernel: &&str| {
            kernel.ends_with("int8")
                || ["quantise", "dequantise", "pool", "gather", "concat"].contains(kernel)
        };
        assert!(kernels.iter().all(is_integer), "{name}: {kernels:?}");
        println!("{name}: {kernels:?}");
    }
}

#[test]
fn what_is_done_to_each_channel_is_taken_into_the_convolution_before_it() {
    for (name, wanted) in [
        ("batch_norm_of_conv", &["conv"][..]),
        ("scaled_by_batch_norm_then_relu", &["conv"]),
        ("scaled_by_batch_norm_of_depthwise", &["depthwise"]),
        ("scaled_by_batch_norm_of_groups", &["grouped conv", "unary"]),
        ("scaled_channels", &["conv"]),
        ("scaled_as_a_whole", &["conv"]),
        // Nothing that something else reads, or that differs within a channel.
        ("scaled_by_batch_norm_read_twice", &["conv", "binary", "binary", "add"]),
        ("scaled_columns", &["conv", "binary", "binary"]),
        ("scaled_to_more_pictures", &["conv", "binary"]),
    ] {
        let (_, onnx, _) = GRAPHS.iter().find(|graph| graph.0 == name).unwrap();
        let session = Session::load(onnx).unwrap();
        let steps = session.plan().steps.iter();
        // The result of a map goes back to ONNX's order.
        let kernels: Vec<&str> =
            steps.map(|step| step.kernel.name()).filter(|kernel| *kernel != "gather").collect();
        assert_eq!(kernels, wanted, "{name}");
    }
}

#[test]
fn an_input_of_another_shape_is_refused() {
    let (_, onnx, _) = GRAPHS[0];
    let mut session = Session::load(onnx).unwrap();
    let expected = session.input_shape().to_vec();
    for actual in [vec![], vec![1], vec![1, 3, 0, 0], expected.iter().map(|extent| extent + 1).collect()] {
        let elements = actual.iter().product();
        let refused = session.run(&Tensor::from_vec(actual.clone(), vec![0.0; elements]));
        assert_eq!(refused, Err(ModelError::Input { expected: expected.clone(), actual }));
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn every_graph_in_the_folder_is_tested() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ops");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut tested: Vec<&str> = GRAPHS.iter().map(|(name, ..)| *name).collect();
    tested.sort_unstable();
    assert_eq!(tested, names);
}
