"""ONNX files that must be refused: damaged, hostile, or beyond what the engine has.

hostile.json says of each file which `ModelError` it must give and a word of its message.
Bombs that would be large files are made by the test itself.
"""

import json

import numpy as np
from onnx import AttributeProto, GraphProto, SparseTensorProto, TensorProto, ValueInfoProto, helper

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
        "value_without_name": (model([node("Relu", "x", ""), node("Relu", "x", "y")]), "Graph", "no name"),
        "two_results": (model([two]), "Node", "one output"),
        "no_result": (model([none]), "Node", "one output"),
        "no_input": (inputs(), "Graph", "one input"),
        "two_inputs": (inputs(value(INPUT, (1, 3, 4, 4)), value("z", (1, 3, 4, 4))), "Graph", "one input"),
        "no_output": (outputs(), "Graph", "one output"),
        "two_outputs": (outputs("y", "x"), "Graph", "one output"),
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
        "input_of_two_pictures": (relu(input_shape=(2, 3, 4, 4)), "Graph", "[1, C, H, W]"),
        "input_of_rank_3": (relu(input_shape=(1, 3, 4)), "Graph", "[1, C, H, W]"),
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
        "constant_of_int8": (one(dims=[4], data_type=TensorProto.INT8, raw_data=bytes(4)), "Constant", "type 3"),
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
        "unknown_operator": (model([node("Softmax", "x", "y")]), "Operator", "Softmax"),
        "operator_without_name": (model([node("", "x", "y")]), "Operator", "not supported"),
        "control_flow": (attribute("If", "x", subgraph), "Operator", "If"),
        "other_domain": (model([node("Relu", "x", "y", domain="com.example")]), "Operator", "com.example.Relu"),
        "subgraph": (attribute("Relu", "x", subgraph), "Node", "subgraphs"),
        "subgraph_list": (attribute("Relu", "x", subgraphs), "Node", "subgraphs"),
        "unknown_attribute": (model([node("Relu", "x", "y", alpha=0.5)]), "Node", "alpha"),
        "relu_of_two": (model([node("Relu", "x x", "y")]), "Node", "inputs"),
        "add_of_one": (model([node("Add", "x", "y")]), "Node", "inputs"),
        "add_of_other_shapes": (
            model([node("GlobalAveragePool", "x", "p"), node("Add", "x p", "y")]), "Node", "equal shapes",
        ),
        "add_of_a_constant": (
            model([node("Add", "x c", "y")], [constant("c", formula(1, 3, 4, 4))]), "Node", "constant",
        ),
        "relu_of_a_constant": (model([node("Relu", "c", "y")], [constant("c", formula(1, 3, 4, 4))]), "Node", "constant"),
        "clip_by_a_value": (model([node("Clip", "x x", "y")]), "Node", "bounds"),
        "clip_by_a_list": (model([node("Clip", "x c", "y")], [constant("c", [0.0, 1.0])]), "Node", "bounds"),
        "pool_of_a_list": (
            model([node("Flatten", "x", "f"), node("GlobalAveragePool", "f", "y")]), "Node", "[N, C, H, W]",
        ),
    }


def convolutions():
    def conv(weight=(4, 3, 3, 3), bias=4, input_shape=(1, 3, 4, 4), **attributes):
        made = [constant("w", formula(*weight)), constant("b", formula(bias))]
        return model([node("Conv", "x w b", "y", **attributes)], made, input_shape)

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
        "conv_grouped": (conv((4, 2, 1, 1), input_shape=(1, 4, 4, 4), group=2), "Node", "depthwise"),
        "conv_depthwise_multiplied": (conv((8, 1, 1, 1), 8, (1, 4, 4, 4), group=4), "Node", "depthwise"),
        "conv_other_channels": (conv((4, 5, 3, 3)), "Node", "channels"),
        "conv_bias_wrong": (conv(bias=5), "Node", "bias"),
        "conv_weight_of_rank_3": (conv((4, 3, 3)), "Node", "rank-4"),
        "conv_weight_variable": (model(variable, (), (1, 1, 1, 1)), "Node", "must be constants"),
        "conv_dilated": (conv(dilations=[2, 2]), "Node", "dilations"),
        "conv_auto_pad": (conv(auto_pad="SAME_UPPER"), "Node", "auto_pad"),
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
        "flatten_axis_2": (model([node("Flatten", "x", "y", axis=2)]), "Node", "axis"),
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
