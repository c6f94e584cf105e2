"""ONNX files that must be refused: damaged, hostile, or beyond what the engine has.

hostile.json says of each file which `ModelError` it must give and a word of its message.
Bombs that would be large files are made by the test itself.
"""

import json

import numpy as np
from onnx import AttributeProto, GraphProto, SparseTensorProto, TensorProto, ValueInfoProto, helper, numpy_helper

from golden_graphs import INPUT, OUTPUT, clear, constant, formula, model, node, value


def write(folder):
    clear(folder, ".onnx", ".json")
    groups = [damaged(), versions(), graphs(), constants(), operators(), convolutions(), heads(), sizes()]
    expected = []
    for name, (content, error, word) in sorted({k: v for group in groups for k, v in group.items()}.items()):
        if not isinstance(content, bytes):
            content = content.SerializeToString(deterministic=True)
        (folder / f"{name}.onnx").write_bytes(content)
        expected.append({"name": name, "error": error, "word": word})
    lines = ",\n".join(json.dumps(case) for case in expected)
    (folder / "hostile.json").write_text(f"[\n{lines}\n]\n")


def relu(**changes):
    """The smallest good model, to be spoiled."""
    return model([node("Relu", "x", "y")], **changes)


def changed(made, change):
    change(made)
    return made


def damaged():
    whole = relu().SerializeToString()
    return {
        "text": (b"<!doctype html><title>404</title>", "Decode", "not a complete ONNX file"),
        "cut_off": (whole[: len(whole) // 2], "Decode", "not a complete ONNX file"),
        "length_beyond_the_end": (b"\x3a\xff\xff\xff\xff\x0f", "Decode", "not a complete ONNX file"),
        "name_not_utf8": (whole.replace(b"Relu", b"\xff\xfeu\xff"), "Decode", "UTF-8"),
        "no_graph": (changed(relu(), lambda m: m.ClearField("graph")), "Decode", "no graph"),
    }


def versions():
    def without(made):
        del made.opset_import[:]

    def other_only(made):
        made.opset_import[0].domain = "com.example"

    def function(made):
        made.functions.append(helper.make_function("local", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], []))

    return {
        "opset_3": (relu(opset=3), "Graph", "operator set 3"),
        "opset_99": (relu(opset=99), "Graph", "operator set 99"),
        "opset_negative": (relu(opset=-1), "Graph", "operator set -1"),
        "opset_missing": (changed(relu(), without), "Graph", "operator set"),
        "opset_of_another_domain": (changed(relu(), other_only), "Graph", "operator set"),
        "own_functions": (changed(relu(), function), "Graph", "functions"),
    }


def graphs():
    def sparse(made):
        made.graph.sparse_initializer.append(SparseTensorProto(dims=[4]))

    def inputs(*infos):
        def change(made):
            del made.graph.input[:]
            made.graph.input.extend(infos)

        return changed(relu(), change)

    def outputs(*names):
        def change(made):
            del made.graph.output[:]
            made.graph.output.extend(value(name, None) for name in names)

        return changed(relu(), change)

    cycle = [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")]
    two = helper.make_node("Relu", ["x"], ["y", "z"], name="two")
    none = helper.make_node("Relu", ["x"], [], name="none")
    integers = helper.make_tensor_value_info(INPUT, TensorProto.INT64, (1, 3, 4, 4))
    named_extent = value(INPUT, (1, 3, "height", "width"))
    return {
        "cycle": (model(cycle), "Graph", "cycle"),
        "reads_itself": (model([node("Relu", "y", "y")]), "Graph", "cycle"),
        "missing_input": (model([node("Add", "x nothing", "y")]), "Node", "nothing makes its input"),
        "absent_input": (model([node("Relu", "", "y")]), "Node", "input"),
        "made_twice": (model([node("Relu", "x", "y"), node("Relu", "x", "y")]), "Graph", "made twice"),
        "input_made_again": (model([node("Relu", "x", "x")], output="x"), "Graph", "made twice"),
        "constant_made_again": (model([node("Relu", "x", "y")], [constant("y", [1.0])]), "Graph", "made twice"),
        "value_without_name": (model([node("Relu", "x", ""), node("Relu", "x", "y")]), "Node", "0 outputs"),
        "two_results": (model([two]), "Node", "2 outputs"),
        "no_result": (model([none]), "Node", "0 outputs"),
        "no_input": (inputs(), "Graph", "0 inputs"),
        "inputs_without_end": (inputs(*(value(f"x{i}", (1,)) for i in range(65))), "Graph", "65 inputs"),
        "no_output": (outputs(), "Graph", "0 outputs"),
        "outputs_without_end": (outputs(*(["y"] * 65)), "Graph", "65 outputs"),
        "output_unknown": (outputs("z"), "Graph", "nothing makes its output"),
        "output_is_the_input": (outputs("x"), "Graph", "not made by a node"),
        "no_nodes": (model([]), "Graph", "nothing makes its output"),
        "sparse_constant": (changed(relu(), sparse), "Graph", "sparse"),
        "input_of_integers": (inputs(integers), "Graph", "float"),
        "input_without_type": (inputs(ValueInfoProto(name=INPUT)), "Graph", "float"),
        "input_of_named_extents": (inputs(named_extent), "Graph", "known positive extents"),
        "input_negative": (relu(input_shape=(1, 3, -4, 4)), "Graph", "known positive extents"),
        "input_of_zero": (relu(input_shape=(1, 3, 0, 4)), "Graph", "known positive extents"),
        "input_huge": (relu(input_shape=(1, 3, 2**40, 2**40)), "Graph", "input"),
        "input_of_rank_9": (relu(input_shape=(1,) * 9), "Node", "axes"),
    }


def constants():
    """One constant that is wrong, beside a good graph: it is refused even where nobody reads it."""

    def one(**fields):
        tensor = TensorProto(name="c", data_type=TensorProto.FLOAT)
        for name, content in fields.items():
            if isinstance(content, (list, tuple)):
                getattr(tensor, name).extend(content)
            else:
                setattr(tensor, name, content)
        return model([node("Relu", "x", "y")], [tensor])

    external = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    external.external_data.add(key="location", value="../../secret.bin")
    only_listed = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[2], raw_data=bytes(8))
    only_listed.external_data.add(key="location", value="/etc/passwd")
    zeros = bytes(24)
    not_a_number = np.array([1, np.nan], np.float32).tobytes()
    infinite = np.array([1, -np.inf], np.float32).tobytes()
    return {
        "raw_data_too_short": (one(dims=[2, 3], raw_data=zeros[:23]), "Constant", "24 bytes"),
        "raw_data_too_long": (one(dims=[2, 3], raw_data=zeros + b"\0"), "Constant", "24 bytes"),
        "no_data": (one(dims=[2, 3]), "Constant", "6 values"),
        "float_data_too_long": (one(dims=[2], float_data=[1.0, 2.0, 3.0]), "Constant", "2 values"),
        "dims_negative": (one(dims=[-2, -3], raw_data=zeros), "Constant", "negative"),
        "dims_huge": (one(dims=[2**62, 2**62], raw_data=zeros), "Constant", "elements"),
        "dims_overflow_to_the_right_size": (one(dims=[2**32, 2**32, 6], raw_data=zeros), "Constant", "elements"),
        "dims_above_the_limit": (one(dims=[2**27], raw_data=zeros), "Constant", "elements"),
        "external_data": (model([node("Relu", "x", "y")], [external]), "Constant", "another file"),
        "external_data_beside_raw": (model([node("Relu", "x", "y")], [only_listed]), "Constant", "another file"),
        "constant_of_int8_too_long": (one(dims=[4], data_type=TensorProto.INT8, raw_data=bytes(5)), "Constant", "4 bytes"),
        "constant_of_int4_too_short": (one(dims=[5], data_type=TensorProto.INT4, raw_data=bytes(2)), "Constant", "3 bytes"),
        "constant_of_uint8_above_its_type": (
            one(dims=[1], data_type=TensorProto.UINT8, int32_data=[256]), "Constant", "does not fit its type",
        ),
        "constant_of_float16": (one(dims=[2], data_type=TensorProto.FLOAT16, raw_data=bytes(4)), "Constant", "type 10"),
        "constant_of_unknown_type": (one(dims=[2], data_type=-7, raw_data=bytes(8)), "Constant", "type -7"),
        "constant_of_nan": (one(dims=[2], raw_data=not_a_number), "Constant", "finite"),
        "constant_of_infinity": (one(dims=[2], raw_data=infinite), "Constant", "finite"),
    }


def operators():
    def attribute(op, inputs, made):
        spoiled = node(op, inputs, OUTPUT)
        spoiled.attribute.append(made)
        return model([spoiled])

    inner = helper.make_graph([node("Relu", "x", "z")], "inner", [], [value("z", None)])
    subgraph = AttributeProto(name="body", type=AttributeProto.GRAPH, g=inner)
    subgraphs = AttributeProto(name="bodies", type=AttributeProto.GRAPHS, graphs=[inner, GraphProto(name="empty")])
    return {
        "unknown_operator": (model([node("LRN", "x", "y")]), "Operator", "LRN"),
        "operator_without_name": (model([node("", "x", "y")]), "Operator", "not supported"),
        "control_flow": (attribute("If", "x", subgraph), "Operator", "If"),
        "other_domain": (model([node("Relu", "x", "y", domain="com.example")]), "Operator", "com.example.Relu"),
        "subgraph": (attribute("Relu", "x", subgraph), "Node", "subgraphs"),
        "subgraph_list": (attribute("Relu", "x", subgraphs), "Node", "subgraphs"),
        "unknown_attribute": (model([node("Relu", "x", "y", alpha=0.5)]), "Node", "alpha"),
        "relu_of_two": (model([node("Relu", "x x", "y")]), "Node", "inputs"),
        "add_of_one": (model([node("Add", "x", "y")]), "Node", "inputs"),
        "add_of_other_shapes": (
            model([node("Add", "x c", "y")], [constant("c", formula(2, 1, 1))]), "Node", "do not fit each other",
        ),
        "relu_of_integers": (
            model([node("Relu", "c", "y")], [numpy_helper.from_array(np.ones(3, np.int64), "c")]), "Node", "I64",
        ),
        **moves(),
        **quantised(),
        **trees(),
        "clip_by_a_value": (model([node("Clip", "x x", "y")]), "Node", "bounds"),
        "clip_by_a_list": (model([node("Clip", "x c", "y")], [constant("c", [0.0, 1.0])]), "Node", "bounds"),
        "pool_of_a_list": (
            model([node("Flatten", "x", "f"), node("GlobalAveragePool", "f", "y")]), "Node", "[N, C, H, W]",
        ),
    }


def moves():
    """Shapes that do not fit, most of them by numbers that overflow somewhere."""
    indices = lambda name, *values: numpy_helper.from_array(np.array(values, np.int64), name)
    reshape = lambda *shape: model([node("Reshape", "x s", "y")], [indices("s", *shape)])
    part = lambda **given: model(
        [node("Slice", "x s e a p", "y")],
        [indices(k, given.get(k, d)) for k, d in {"s": 0, "e": 2, "a": 1, "p": 1}.items()],
    )
    scales = lambda *values: model([node("Resize", "x  s", "y", mode="nearest")], [constant("s", values)])
    pads = lambda *values: model([node("Pad", "x p", "y")], [indices("p", *values)])
    return {
        "reshape_does_not_fit": (reshape(7, 7), "Node", "does not fit"),
        "reshape_overflows": (reshape(2**32, 2**32, -1), "Node", "not supported"),
        "reshape_of_two_rests": (reshape(-1, -1), "Node", "does not fit"),
        "reshape_to_negative": (reshape(-3, 16), "Node", "not supported"),
        "reshape_by_a_value": (model([node("Reshape", "x x", "y")]), "Node", "must be a constant"),
        "transpose_of_missing_axes": (model([node("Transpose", "x", "y", perm=[0, 1, 1, 3])]), "Node", "no order"),
        "slice_of_nothing": (part(s=2, e=2), "Node", "empty"),
        "slice_backwards": (part(p=-1), "Node", "steps"),
        "slice_by_huge_steps": (part(p=2**62, a=9), "Node", "axis"),
        "concat_does_not_fit": (
            model([node("GlobalAveragePool", "x", "p"), node("Concat", "x p", "y", axis=1)]), "Node", "do not fit",
        ),
        "split_does_not_fit": (model([node("Split", "x", "y", axis=1, split=[2])], opset=11), "Node", "make up"),
        "resize_huge": (scales(1, 1, 1e30, 1), "Node", "elements"),
        "resize_to_nothing": (scales(1, 1, 0.01, 1), "Node", "empty"),
        "resize_of_channels": (scales(1, 2, 1, 1), "Node", "scales"),
        "pad_huge": (pads(0, 0, 2**40, 0, 0, 0, 0, 0), "Node", "elements"),
        "pad_negative": (pads(0, 0, -1, 0, 0, 0, 0, 0), "Node", "negative"),
        "pool_rounded_up_counting_pads": (
            model([node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1)]),
            "Node", "ceil_mode",
        ),
        "pool_of_pads_alone": (
            model([node("MaxPool", "x", "y", kernel_shape=[2, 2], pads=[2, 2, 2, 2])]), "Node", "not supported",
        ),
        "matmul_does_not_fit": (
            model([node("MatMul", "x w", "y")], [constant("w", formula(5, 2))]), "Node", "do not fit",
        ),
        "mean_of_a_missing_axis": (model([node("ReduceMean", "x", "y", axes=[4])]), "Node", "axis 4"),
    }


def quantised():
    """Scales and zero points that mean nothing."""
    scale = lambda *values: constant("s", values[0] if len(values) == 1 else values)
    zero = lambda value, kind=np.uint8: numpy_helper.from_array(np.asarray(value, kind), "z")
    there_and_back = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")]
    both = lambda s, z: model(there_and_back, [s, z])
    bytes_out = model([node("QuantizeLinear", "x s z", "y")], [scale(0.1), zero(0)])
    weights = numpy_helper.from_array(np.zeros((4, 3, 1, 1), np.int8), "w8")
    dequantised = [node("DequantizeLinear", "w8 s z", "w", axis=0), node("Conv", "x w", "y")]
    return {
        "scale_of_zero": (both(scale(0.0), zero(0)), "Node", "positive finite"),
        "scale_negative": (both(scale(-0.1), zero(0)), "Node", "positive finite"),
        "scale_of_two_kinds": (model(there_and_back, [scale(0.1), zero(0, np.int32)]), "Node", "supported"),
        "scale_by_a_value": (model([node("QuantizeLinear", "x x", "q"), node("Relu", "q", "y")]), "Node", "constant"),
        "scales_of_maps": (
            model(there_and_back, [scale(0.1, 0.2, 0.3), zero([0, 0, 0])]), "Node", "one scale",
        ),
        "scales_that_do_not_fit": (
            model(dequantised, [weights, scale(0.1, 0.2, 0.3), zero([0, 0, 0], np.int8)]), "Node", "3 scales",
        ),
        "zero_points_that_do_not_fit": (
            model(dequantised, [weights, scale(0.1, 0.2, 0.3, 0.4), zero([0, 0], np.int8)]), "Node", "2 zero points",
        ),
        "zero_point_of_floats": (both(scale(0.1), constant("z", 0.0)), "Node", "float"),
        "output_of_bytes": (bytes_out, "Node", "not of floats"),
    }


def trees():
    """Ensembles whose lists do not fit each other or whose branches lead in circles."""

    def ensemble(**changes):
        lists = {
            "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [1, 0, 0],
            "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.5, 0.0, 0.0],
            "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
            "class_treeids": [0, 0], "class_nodeids": [1, 2], "class_ids": [0, 0], "class_weights": [-1.0, 1.0],
            "classlabels_int64s": [0, 1], "post_transform": "LOGISTIC",
        }
        made = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "y"], name="trees", domain="ai.onnx.ml")
        made.attribute.extend(helper.make_attribute(k, v) for k, v in {**lists, **changes}.items())
        spoiled = model([made], input_shape=(1, 3))
        spoiled.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
        return spoiled

    return {
        "trees_in_a_circle": (ensemble(nodes_truenodeids=[0, 0, 0]), "Node", "roots"),
        "trees_of_one_child_twice": (ensemble(nodes_falsenodeids=[1, 0, 0]), "Node", "of its own"),
        "trees_of_a_missing_child": (ensemble(nodes_truenodeids=[7, 0, 0]), "Node", "child 7"),
        "trees_of_short_lists": (ensemble(nodes_values=[0.5]), "Node", "not 3 entries"),
        "trees_of_unknown_modes": (ensemble(nodes_modes=["BRANCH_MEMBER", "LEAF", "LEAF"]), "Node", "mode"),
        "trees_of_features_that_are_not_there": (ensemble(nodes_featureids=[3, 0, 0]), "Node", "features"),
        "trees_of_a_negative_feature": (ensemble(nodes_featureids=[-1, 0, 0]), "Node", "out of range"),
        "trees_with_weights_on_branches": (ensemble(class_nodeids=[0, 2]), "Node", "no leaf"),
        "trees_of_three_classes": (ensemble(classlabels_int64s=[0, 1, 2]), "Node", "two classes"),
    }


def convolutions():
    def conv(weight=(4, 3, 3, 3), bias=4, input_shape=(1, 3, 4, 4), **attributes):
        made = [constant("w", formula(*weight)), constant("b", formula(bias))]
        return model([node("Conv", "x w b", "y", **attributes)], made, input_shape)

    def transposed(**attributes):
        return model([node("ConvTranspose", "x w", "y", **attributes)], [constant("w", formula(3, 2, 2, 2))])

    variable = [node("Relu", "x", "w"), node("Conv", "x w", "y")]
    large = conv(input_shape=(1, 3, 2, 2))
    return {
        "conv_kernel_shape_wrong": (conv(kernel_shape=[5, 5]), "Node", "kernel_shape"),
        "conv_kernel_shape_of_one": (conv(kernel_shape=[3]), "Node", "kernel_shape"),
        "conv_kernel_above_input": (large, "Node", "larger than its padded input"),
        "conv_kernel_of_zero": (conv((4, 3, 0, 3)), "Node", "kernel"),
        "conv_no_outputs": (conv((0, 3, 3, 3), 0), "Node", "empty"),
        "conv_strides_of_zero": (conv(strides=[0, 1]), "Node", "strides"),
        "conv_strides_negative": (conv(strides=[-1, 1]), "Node", "strides"),
        "conv_strides_huge": (conv(strides=[2**62, 1]), "Node", "strides"),
        "conv_strides_of_three": (conv(strides=[1, 1, 1]), "Node", "strides"),
        "conv_pads_negative": (conv(pads=[-1, 0, 0, 0]), "Node", "pads"),
        "conv_pads_huge": (conv(pads=[2**62] * 4), "Node", "pads"),
        "conv_pads_of_two": (conv(pads=[1, 1]), "Node", "pads"),
        "conv_group_of_zero": (conv(group=0), "Node", "group"),
        "conv_group_negative": (conv(group=-3), "Node", "group"),
        "conv_group_huge": (conv(group=2**62), "Node", "groups"),
        "conv_groups_that_do_not_fit": (conv(group=2), "Node", "groups"),
        "conv_other_channels": (conv((4, 5, 3, 3)), "Node", "channels"),
        "conv_bias_wrong": (conv(bias=5), "Node", "bias"),
        "conv_weight_of_rank_3": (conv((4, 3, 3)), "Node", "rank-4"),
        "conv_weight_variable": (model(variable, (), (1, 1, 1, 1)), "Node", "must be constants"),
        "conv_dilated_above_input": (conv(dilations=[2, 1]), "Node", "larger than its padded input"),
        "conv_dilations_of_zero": (conv(dilations=[0, 1]), "Node", "dilations"),
        "conv_dilations_huge": (conv(dilations=[2**62, 1]), "Node", "dilations"),
        "conv_dilations_of_three": (conv(dilations=[1, 1, 1]), "Node", "dilations"),
        "conv_auto_pad_dilated": (conv(auto_pad="SAME_UPPER", dilations=[2, 2]), "Node", "auto_pad"),
        "conv_auto_pad_unknown": (conv(auto_pad="SAME"), "Node", "auto_pad"),
        "conv_auto_pad_beside_pads": (conv(auto_pad="SAME_UPPER", pads=[1, 1, 1, 1]), "Node", "auto_pad"),
        "transposed_auto_pad": (transposed(auto_pad="SAME_UPPER"), "Node", "auto_pad"),
        "transposed_dilated": (transposed(dilations=[2, 2]), "Node", "dilations"),
        "conv_of_one_input": (model([node("Conv", "x", "y")]), "Node", "inputs"),
        "conv_of_a_list": (
            model([node("Flatten", "x", "f"), node("Conv", "f w", "y")], [constant("w", formula(4, 3, 1, 1))]),
            "Node", "[N, C, H, W]",
        ),
    }


def heads():
    def gemm(weight=(48, 2), bias=(2,), inputs="f w b", **attributes):
        made = [constant("w", formula(*weight)), constant("b", formula(*bias))]
        return model([node("Flatten", "x", "f"), node("Gemm", inputs, "y", **attributes)], made)

    return {
        "gemm_does_not_fit": (gemm((47, 2)), "Node", "do not fit"),
        "gemm_turned_wrongly": (gemm(transB=1), "Node", "do not fit"),
        "gemm_bias_wrong": (gemm(bias=(3,)), "Node", "do not fit"),
        "gemm_scaled": (gemm(alpha=2.0), "Node", "alpha"),
        "gemm_of_nan": (gemm(beta=float("nan")), "Node", "beta"),
        "gemm_data_turned": (gemm(transA=1), "Node", "transA"),
        "gemm_of_maps": (gemm(inputs="x w b"), "Node", "matrices"),
        "gemm_by_a_value": (
            model(
                [node("Flatten", "x", "f"), node("Gemm", "f f b", "y")], [constant("b", formula(1))], (1, 1, 1, 1),
            ),
            "Node", "must be constants",
        ),
        "flatten_axis_5": (model([node("Flatten", "x", "y", axis=5)]), "Node", "axis"),
    }


def sizes():
    """Small files that ask for much memory or time."""
    pads = {"pads": [4096] * 4}
    one_by_one = [constant("w", [[[[1.0]]]])]
    wide = [constant("w", np.ones((4096, 1, 1, 1)))]
    kernel = [constant("w", np.zeros((1, 1, 32, 32)))]
    grow = [node("Conv", "x w", "a", **pads), node("Conv", "a w", "y", **pads)]
    slow = [node("Conv", f"v{i} w", f"v{i + 1}", pads=[16, 16, 15, 15]) for i in range(12)]
    slow[0].input[0] = INPUT
    kept = [node("Relu", "x", f"v{i}") for i in range(8)]
    sums = [node("Add", f"{'v0' if i == 1 else f's{i - 1}'} v{i}", f"s{i}") for i in range(1, 8)]
    return {
        "huge_by_pads": (model(grow, one_by_one, (1, 1, 1, 1)), "Node", "elements"),
        "huge_by_channels": (model([node("Conv", "x w", "y")], wide, (1, 1, 256, 256)), "Node", "elements"),
        "huge_in_sum": (model([*kept, *sums], (), (1, 3, 2048, 2048), output="s7"), "TooLarge", "elements of maps"),
        "hours_of_work": (model(slow, kernel, (1, 1, 4096, 4096), output="v12"), "TooLarge", "multiply-adds"),
    }
