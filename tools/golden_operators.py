"""One small graph for every operator, variant and fusion that the engine has, with onnxruntime's output."""

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

import golden_quantised
from golden_graphs import INPUT, OUTPUT, clear, constant, formula, model, node, save, value


def write(folder):
    clear(folder, ".onnx", ".json")
    for name, made in cases().items():
        shape = [d.dim_value for d in made.graph.input[-1].type.tensor_type.shape.dim]
        picture = formula(*shape, seed=11)
        output = run(made, picture)
        made.graph.output[0].CopyFrom(value(made.graph.output[0].name, output.shape))
        save(made, folder / f"{name}.onnx")
        lines = [
            f'"input_shape": {shape}',
            f'"input": {numbers(picture)}',
            f'"output_shape": {list(output.shape)}',
            f'"output": {numbers(output)}',
        ]
        (folder / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def run(made, picture):
    """onnxruntime's output, from the graph as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: picture})[0]


def numbers(values):
    """All values with the nine digits that give an f32 back."""
    return "[" + ", ".join(f"{value:.9g}" for value in values.ravel().tolist()) + "]"


def cases():
    groups = [
        convolutions(), depthwise(), element_wise(), residuals(), heads(), files(), networks(), functions(), maps(),
        moves(), products(), trees(), golden_quantised.cases(),
    ]
    return {name: made for group in groups for name, made in group.items()}


def indices(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def functions():
    """Functions of one and of two elements, over shapes that broadcast."""
    one = lambda op, **attributes: model([node(op, "x", "y", **attributes)], (), (1, 3, 4, 5))
    two = lambda op, *shape: model(
        [node(op, "x c", "y")], [constant("c", np.abs(formula(*shape, seed=3)) + 0.5)], (1, 3, 4, 5)
    )
    turned = lambda op, *shape: model(
        [node("Abs", "x", "p"), node("Add", "p half", "d"), node(op, "c d", "y")],
        [constant("c", formula(*shape, seed=3)), constant("half", 0.5)], (1, 3, 4, 5),
    )
    gate = [
        node("GlobalAveragePool", "x", "p"), node("Sigmoid", "p", "g"), node("Mul", "x g", "y"),
    ]
    conv_a, weights = conv("a", INPUT, (5, 3, 1, 1))
    names = "Sigmoid Tanh Erf Exp Neg Abs LeakyRelu".split()
    return {
        **{f"function_{name.lower()}": one(name) for name in names},
        "function_hard_swish": model([node("HardSwish", "x", "y")], opset=14),
        "function_hard_sigmoid": one("HardSigmoid", alpha=0.3, beta=0.4),
        "function_sqrt_of_abs": model([node("Abs", "x", "a"), node("Sqrt", "a", "y")]),
        "function_reciprocal": model(
            [node("Exp", "x", "a"), node("Reciprocal", "a", "y")],
        ),
        "function_gelu": model([node("Gelu", "x", "y")], opset=20, ir_version=9),
        "function_gelu_by_tanh": model([node("Gelu", "x", "y", approximate="tanh")], opset=20, ir_version=9),
        "function_identity": model([node("Identity", "x", "a"), node("Relu", "a", "y")]),
        "silu": model([node("Sigmoid", "x", "s"), node("Mul", "x s", "y")]),
        "silu_of_conv": model([conv_a, node("Sigmoid", "a", "s"), node("Mul", "a s", "y")], weights),
        "broadcast_channel": two("Mul", 3, 1, 1),
        "broadcast_columns": two("Add", 5),
        "broadcast_scalar": two("Div"),
        "broadcast_row": two("Sub", 1, 1, 4, 1),
        "broadcast_whole": two("Add", 1, 3, 4, 5),
        "broadcast_more_axes": two("Mul", 2, 1, 3, 1, 1),
        "broadcast_turned": turned("Div", 3, 1, 1),
        "broadcast_turned_sub": turned("Sub", 4, 1),
        "gate": model(gate, (), (1, 6, 4, 3)),
        "batch_norm": model(
            [node("BatchNormalization", "x g b m v", "y", epsilon=1e-3)],
            [*(constant(n, formula(3, seed=i)) for i, n in enumerate("gbm")), constant("v", np.array([0.5, 1, 2]))],
        ),
        "batch_norm_of_conv": model(
            [conv_a, node("BatchNormalization", "a g b m v", "y")],
            [*weights, *(constant(n, formula(5, seed=i)) for i, n in enumerate("gbm")), constant("v", np.full(5, 0.25))],
        ),
        **scaled_channels(),
        "constant_folded": model(
            [node("Mul", "c c", "d"), node("Add", "d c", "e"), node("Add", "x e", "y")], [constant("c", formula(3, 1, 1))]
        ),
        "constant_node": model(
            [helper.make_node("Constant", [], ["c"], value=constant("v", formula(3, 1, 1))), node("Mul", "x c", "y")]
        ),
    }


def scaled_channels():
    """Convolutions whose channels are multiplied and shifted behind them."""
    norm = lambda count: [
        *(constant(n, formula(count, seed=i)) for i, n in enumerate("gbm")), constant("v", np.full(count, 0.5)),
    ]
    batch_norm = node("BatchNormalization", "a g b m v", "n", epsilon=1e-3)
    pointwise, weights = conv("a", INPUT, (5, 3, 1, 1))
    depthwise = node("Conv", "x w", "a", group=3, pads=[1, 1, 1, 1])
    grouped = node("Conv", "x w", "a", group=2)
    relu = node("Relu", "n", "y")
    behind = lambda *constants: model([pointwise, node("Mul", "a c", "n"), node("Add", "n d", "y")], [*weights, *constants])
    return {
        "scaled_by_batch_norm_then_relu": model([pointwise, batch_norm, relu], [*weights, *norm(5)]),
        "scaled_by_batch_norm_of_depthwise": model(
            [depthwise, batch_norm, relu], [constant("w", formula(3, 1, 3, 3, seed=5)), *norm(3)]
        ),
        "scaled_by_batch_norm_of_groups": model(
            [grouped, batch_norm, relu], [constant("w", formula(6, 2, 1, 1, seed=5)), *norm(6)], (1, 4, 3, 3)
        ),
        "scaled_by_batch_norm_read_twice": model(
            [pointwise, batch_norm, node("Add", "a n", "y")], [*weights, *norm(5)]
        ),
        "scaled_channels": behind(constant("c", formula(5, 1, 1, seed=2)), constant("d", formula(1, 5, 1, 1, seed=3))),
        "scaled_as_a_whole": behind(constant("c", -0.75), constant("d", np.full((1, 1), 0.5))),
        "scaled_columns": behind(constant("c", formula(4, seed=2)), constant("d", formula(4, 1, seed=3))),
        "scaled_to_more_pictures": behind(constant("c", formula(1, 1, 1)), constant("d", formula(2, 1, 1, 1))),
    }


def maps():
    """Pools, resizes, transposed and grouped convolutions, several pictures."""
    pool = lambda op, shape=(1, 3, 7, 6), **attributes: model([node(op, "x", "y", **attributes)], (), shape)
    resize = lambda shape=(1, 2, 3, 4), scales=(1, 1, 2, 2), **attributes: model(
        [node("Resize", "x  s", "y", **attributes)], [constant("s", scales)], shape
    )

    def transposed(weight, shape, **attributes):
        made = [constant("w", formula(*weight, seed=5)), constant("b", formula(weight[1], seed=7))]
        return model([node("ConvTranspose", "x w b", "y", **attributes)], made, shape)

    pointwise, weights = conv("a", INPUT, (4, 3, 1, 1))
    return {
        "max_pool": pool("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
        "max_pool_padded": pool("MaxPool", kernel_shape=[3, 3], strides=[2, 1], pads=[1, 1, 1, 1]),
        "average_pool": pool("AveragePool", kernel_shape=[3, 2], strides=[1, 2]),
        "average_pool_padded": pool("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        "average_pool_counting_pads": pool(
            "AveragePool", kernel_shape=[3, 3], pads=[1, 0, 1, 2], count_include_pad=1
        ),
        "max_pool_rounded_up": pool("MaxPool", kernel_shape=[3, 2], strides=[2, 3], ceil_mode=1),
        "max_pool_rounded_up_into_pads": pool(
            "MaxPool", kernel_shape=[3, 2], strides=[3, 4], pads=[1, 0, 2, 1], ceil_mode=1
        ),
        "average_pool_rounded_up": pool(
            "AveragePool", kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 0, 0], ceil_mode=1
        ),
        "pool_of_two_pictures": pool("MaxPool", (2, 3, 4, 4), kernel_shape=[2, 2], strides=[2, 2]),
        "mean_of_two_pictures": pool("GlobalAveragePool", (2, 3, 4, 4)),
        "resize_nearest": resize(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        "resize_nearest_default": resize(mode="nearest"),
        "resize_nearest_down": resize((1, 2, 6, 8), (1, 1, 0.5, 0.5), mode="nearest", nearest_mode="floor"),
        "resize_linear": resize(mode="linear"),
        "resize_linear_corners": resize(mode="linear", coordinate_transformation_mode="align_corners"),
        "resize_linear_down": resize((1, 2, 6, 8), (1, 1, 0.5, 0.75), mode="linear"),
        "resize_to_sizes": model(
            [node("Resize", "x   s", "y", mode="linear", coordinate_transformation_mode="pytorch_half_pixel")],
            [indices("s", 1, 2, 5, 1)], (1, 2, 3, 4),
        ),
        "transposed_2x2": transposed((3, 5, 2, 2), (1, 3, 3, 4), strides=[2, 2]),
        "transposed_3x3": transposed((3, 2, 3, 3), (1, 3, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        "transposed_overlapping": transposed((2, 3, 4, 3), (1, 2, 3, 3), strides=[1, 2]),
        "transposed_of_two": transposed((3, 4, 2, 2), (2, 3, 2, 2), strides=[2, 2]),
        "conv_grouped": single((6, 2, 3, 3), (1, 4, 5, 5), group=2, pads=[1, 1, 1, 1]),
        "conv_depthwise_multiplied": single((8, 1, 3, 3), (1, 4, 5, 5), group=4, pads=[1, 1, 1, 1]),
        "conv_of_two_pictures": single((5, 3, 3, 3), (2, 3, 4, 5), pads=[1, 1, 1, 1]),
        "conv_grouped_of_two_pictures": single((4, 2, 1, 1), (2, 4, 3, 3), group=2),
        "depthwise_of_two_pictures": single((3, 1, 3, 3), (2, 3, 4, 5), group=3, pads=[1, 1, 1, 1]),
        "conv_weight_computed": model(
            [node("Mul", "w w", "v"), node("Conv", "x v", "y")], [constant("w", formula(4, 3, 1, 1))]
        ),
        "pool_of_conv": model(
            [pointwise, node("MaxPool", "a", "y", kernel_shape=[2, 2], strides=[2, 2])], weights, (1, 3, 4, 6)
        ),
    }


def moves():
    """The same elements in other shapes and orders; behind a convolution, where they lie in another order."""
    one = lambda op, inputs="x", constants=(), shape=(1, 3, 4, 5), **attributes: model(
        [node(op, inputs, "y", **attributes)], constants, shape
    )
    pointwise, weights = conv("a", INPUT, (4, 3, 1, 1))
    second, second_weights = conv("branch", INPUT, (2, 3, 1, 1))
    behind = lambda nodes, constants=(): model([pointwise, *nodes], [*weights, *constants], (1, 3, 4, 5))
    bounds = [indices("s", 1, 0), indices("e", 3, -1), indices("a", 1, 3), indices("p", 1, 2)]
    return {
        "reshape": one("Reshape", "x s", [indices("s", 2, 0, -1)], (2, 3, 4)),
        "reshape_of_conv": behind([node("Reshape", "a s", "y")], [indices("s", 1, 4, 20)]),
        "squeeze": one("Squeeze", "x s", [indices("s", 0)]),
        "unsqueeze": one("Unsqueeze", "x s", [indices("s", 0, 3)], (3, 4)),
        "flatten_axis_2": one("Flatten", axis=2),
        "transpose": one("Transpose", perm=[0, 2, 3, 1]),
        "transpose_reversed": one("Transpose"),
        "transpose_of_conv": behind([node("Transpose", "a", "y", perm=[0, 2, 3, 1])]),
        "transpose_of_conv_rows": behind([node("Transpose", "a", "t", perm=[0, 3, 1, 2]), node("Relu", "t", "y")]),
        "windows": behind(
            [
                node("Reshape", "a s", "r"), node("Transpose", "r", "t", perm=[0, 2, 4, 3, 5, 1]),
                node("Reshape", "t u", "y"),
            ],
            [indices("s", 1, 4, 2, 2, 1, 5), indices("u", 2, 10, 4)],
        ),
        "slice": one("Slice", "x s e a p", bounds, (1, 3, 4, 6)),
        "slice_by_huge_steps": one(
            "Slice", "x s e a p", [indices("s", 1), indices("e", 2**62), indices("a", 2), indices("p", 2**62)]
        ),
        "slice_of_conv": behind([node("Slice", "a s e a2 p", "y")], [*bounds[:2], indices("a2", 1, 3), bounds[3]]),
        "split_second": model(
            [helper.make_node("Split", ["x"], ["first", "y"], name="split", axis=1)], (), (1, 4, 2, 3)
        ),
        "split_sizes": model(
            [
                helper.make_node("Split", ["x", "s"], ["first", "second"], name="split", axis=3),
                node("Concat", "second first", "y", axis=-1),
            ],
            [indices("s", 1, 4)], (1, 2, 3, 5),
        ),
        "concat_channels": model([pointwise, second, node("Concat", "a branch x", "y", axis=1)], [*weights, *second_weights]),
        "concat_rows": model([pointwise, node("Concat", "a a", "y", axis=2)], weights),
        "concat_with_constant": one("Concat", "x c", [constant("c", formula(1, 2, 4, 5))], axis=1),
        "pad": one("Pad", "x p v", [indices("p", 0, 0, 1, 2, 0, 1, 0, 1), constant("v", -0.5)]),
        "pad_of_conv": behind([node("Pad", "a p", "y")], [indices("p", 0, 0, 1, 1, 0, 0, 1, 1)]),
        "mean_of_map": one("ReduceMean", axes=[2, 3]),
        "mean_of_channels": behind([node("ReduceMean", "a", "y", axes=[1], keepdims=0)]),
        "mean_of_all": one("ReduceMean", keepdims=0),
        "softmax": one("Softmax"),
        "softmax_of_set_11": model([node("Softmax", "x", "y")], (), (2, 3, 4, 5), opset=11),
        "softmax_of_set_12": model(
            [pointwise, node("Softmax", "a", "y", axis=-2)], weights, (1, 3, 4, 5), opset=12
        ),
        "softmax_of_channels": behind([node("Softmax", "a", "y", axis=1)]),
        "layer_norm": model(
            [node("LayerNormalization", "x g b", "y", axis=-1, epsilon=1e-3)],
            [constant("g", formula(5, seed=1)), constant("b", formula(5, seed=2))], (1, 3, 4, 5), opset=17,
        ),
        "layer_norm_without_bias": model(
            [node("LayerNormalization", "x g", "y", axis=2)], [constant("g", formula(4, 5, seed=1))], (1, 3, 4, 5), opset=17,
        ),
    }


def products():
    """Matrix products of variables, and attention built of them."""
    split = [
        node("Reshape", "x s", "r"), node("Transpose", "r", "q", perm=[0, 2, 1]), node("MatMul", "q r", "scores"),
        node("Mul", "scores scale", "scaled"), node("Softmax", "scaled", "weights", axis=-1),
        node("MatMul", "weights q", "y"),
    ]
    return {
        "matmul_constant": model([node("MatMul", "x w", "y")], [constant("w", formula(5, 7))], (1, 3, 4, 5)),
        "matmul_batched": model([node("MatMul", "x w", "y")], [constant("w", formula(3, 5, 2))], (2, 3, 4, 5)),
        "matmul_broadcast": model([node("MatMul", "w x", "y")], [constant("w", formula(2, 1, 6, 4))], (1, 3, 4, 5)),
        "matmul_of_itself": model(
            [node("Transpose", "x", "t", perm=[0, 1, 3, 2]), node("MatMul", "x t", "y")], (), (1, 3, 4, 5)
        ),
        "attention": model(split, [indices("s", 1, 6, 12), constant("scale", 0.25)], (1, 6, 3, 4)),
    }


def trees():
    """What scikit-learn's boosted trees become, by hand."""
    lists = {
        "nodes_treeids": [0, 0, 0, 1, 1, 1, 1, 1], "nodes_nodeids": [0, 1, 2, 0, 1, 2, 3, 4],
        "nodes_featureids": [1, 0, 0, 0, 2, 0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LT", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
        "nodes_values": [0.25, 0, 0, -0.5, 1.0, 0, 0, 0],
        "nodes_truenodeids": [1, 0, 0, 1, 3, 0, 0, 0], "nodes_falsenodeids": [2, 0, 0, 2, 4, 0, 0, 0],
        "class_treeids": [0, 0, 1, 1, 1], "class_nodeids": [1, 2, 2, 3, 4], "class_ids": [0] * 5,
        "class_weights": [-0.75, 0.5, 0.125, -0.25, 1.5], "classlabels_int64s": [0, 1],
    }

    def ensemble(**more):
        made = helper.make_node("TreeEnsembleClassifier", ["x"], ["label", "y"], name="trees", domain="ai.onnx.ml")
        made.attribute.extend(helper.make_attribute(k, v) for k, v in {**lists, **more}.items())
        graph = model([made], input_shape=(16, 3))
        graph.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
        return graph

    return {
        "trees_logistic": ensemble(post_transform="LOGISTIC", base_values=[0.0625]),
        "trees_plain": ensemble(post_transform="LOGISTIC"),
    }


def conv(name, inputs, weight, bias=True, **attributes):
    """A convolution of `inputs` to `name` with its constants; `weight` is the shape of the weight."""
    constants = [constant(f"{name}_w", formula(*weight, seed=len(name) * 7))]
    if bias:
        constants.append(constant(f"{name}_b", formula(weight[0], seed=29)))
    names = " ".join([inputs, *(c.name for c in constants)])
    return node("Conv", names, name, **attributes), constants


def single(weight, input_shape, bias=True, **attributes):
    """A model of one convolution."""
    made, constants = conv(OUTPUT, INPUT, weight, bias, **attributes)
    return model([made], constants, input_shape)


def convolutions():
    return {
        "conv_pointwise": single((7, 5, 1, 1), (1, 5, 4, 3), kernel_shape=[1, 1]),
        "conv_pointwise_many": single((17, 33, 1, 1), (1, 33, 3, 3), kernel_shape=[1, 1]),
        "conv_pointwise_strided": single((4, 3, 1, 1), (1, 3, 5, 6), strides=[2, 2]),
        "conv_pointwise_padded": single((4, 3, 1, 1), (1, 3, 3, 3), pads=[1, 1, 1, 1]),
        "conv_dense": single((5, 3, 3, 3), (1, 3, 5, 6), pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        "conv_dense_unpadded": single((4, 2, 3, 3), (1, 2, 5, 4), kernel_shape=[3, 3]),
        "conv_dense_strided": single((8, 3, 3, 3), (1, 3, 7, 9), strides=[2, 2], pads=[1, 1, 1, 1]),
        "conv_dense_strided_even": single((8, 3, 3, 3), (1, 3, 8, 8), strides=[2, 2], pads=[1, 1, 1, 1]),
        "conv_dense_asymmetric_pads": single((4, 3, 3, 3), (1, 3, 4, 5), pads=[2, 1, 0, 3]),
        "conv_dense_pads_at_the_end": single((4, 3, 3, 3), (1, 3, 6, 6), strides=[2, 2], pads=[0, 0, 1, 1]),
        "conv_dense_5x5": single((3, 2, 5, 5), (1, 2, 4, 4), pads=[2, 2, 2, 2]),
        "conv_patches": single((6, 3, 2, 2), (1, 3, 4, 6), strides=[2, 2], kernel_shape=[2, 2]),
        "conv_wide_kernel": single((3, 2, 1, 3), (1, 2, 4, 5), pads=[0, 1, 0, 1], strides=[1, 2]),
        "conv_tall_kernel": single((3, 2, 3, 1), (1, 2, 5, 4), pads=[1, 0, 1, 0], strides=[2, 1]),
        "conv_stride_over_kernel": single((3, 2, 2, 2), (1, 2, 8, 7), strides=[3, 3]),
        "conv_kernel_of_the_map": single((5, 2, 3, 4), (1, 2, 3, 4)),
        "conv_without_bias": single((5, 3, 3, 3), (1, 3, 4, 4), bias=False, pads=[1, 1, 1, 1]),
        "conv_one_pixel": single((4, 3, 3, 3), (1, 3, 1, 1), pads=[1, 1, 1, 1]),
        "conv_one_channel": single((1, 1, 3, 3), (1, 1, 4, 4), pads=[1, 1, 1, 1], group=1),
        "conv_no_attributes": single((2, 3, 2, 2), (1, 3, 3, 3)),
        "conv_dilated": single((4, 3, 3, 3), (1, 3, 8, 9), dilations=[2, 3]),
        "conv_dilated_padded": single((5, 2, 3, 2), (1, 2, 6, 7), dilations=[2, 1], pads=[2, 1, 1, 2], strides=[2, 1]),
        "conv_dilated_grouped": single((6, 2, 2, 3), (1, 4, 5, 6), dilations=[1, 2], group=2),
        "depthwise_dilated": single((5, 1, 3, 3), (1, 5, 6, 7), dilations=[2, 2], group=5, pads=[2, 2, 2, 2]),
        "conv_same_upper": single((4, 3, 2, 3), (1, 3, 5, 6), auto_pad="SAME_UPPER"),
        "conv_same_lower": single((4, 3, 2, 4), (1, 3, 5, 6), auto_pad="SAME_LOWER"),
        "conv_same_upper_strided": single((4, 3, 3, 3), (1, 3, 8, 7), auto_pad="SAME_UPPER", strides=[2, 3]),
        "conv_same_lower_strided": single((4, 3, 3, 5), (1, 3, 8, 7), auto_pad="SAME_LOWER", strides=[2, 2]),
        "conv_valid_dilated": single((4, 3, 3, 2), (1, 3, 6, 7), auto_pad="VALID", dilations=[2, 3]),
        "conv_same_without_pads": single((4, 3, 1, 1), (1, 3, 6, 7), auto_pad="SAME_UPPER", strides=[3, 2]),
        "conv_valid": single((4, 3, 3, 2), (1, 3, 5, 6), auto_pad="VALID", strides=[1, 2]),
        "depthwise_same_lower": single((5, 1, 3, 2), (1, 5, 6, 7), auto_pad="SAME_LOWER", group=5, strides=[2, 2]),
    }


def depthwise():
    def one(channels, kernel, size, **attributes):
        return single((channels, 1, kernel, kernel), (1, channels, *size), group=channels, **attributes)

    return {
        "depthwise_3x3": one(8, 3, (5, 4), pads=[1, 1, 1, 1]),
        "depthwise_3x3_odd_channels": one(13, 3, (4, 4), pads=[1, 1, 1, 1]),
        "depthwise_3x3_strided": one(4, 3, (7, 6), pads=[1, 1, 1, 1], strides=[2, 2]),
        "depthwise_5x5": one(3, 5, (6, 5), pads=[2, 2, 2, 2]),
        "depthwise_5x5_strided": one(9, 5, (6, 6), pads=[2, 2, 2, 2], strides=[2, 2]),
        "depthwise_7x7": one(2, 7, (7, 8), pads=[3, 3, 3, 3]),
        "depthwise_asymmetric_pads": one(3, 3, (5, 5), pads=[0, 2, 1, 0], strides=[2, 1]),
        "depthwise_1x1": one(5, 1, (3, 3)),
        "depthwise_without_bias": one(5, 3, (4, 4), bias=False, pads=[1, 1, 1, 1]),
    }


def element_wise():
    low, high = constant("low", -0.5), constant("high", 1.25)
    return {
        "relu": model([node("Relu", "x", "y")]),
        "clip": model([node("Clip", "x low high", "y")], [low, high]),
        "clip_below": model([node("Clip", "x low", "y")], [low]),
        "clip_nothing": model([node("Clip", "x", "y")]),
        "clip_low_above_high": model([node("Clip", "x high low", "y")], [low, high]),
        "add": model([node("Relu", "x", "a"), node("Add", "x a", "y")]),
        "add_to_itself": model([node("Add", "x x", "y")]),
        "add_then_relu": model([node("Relu", "x", "a"), node("Add", "x a", "b"), node("Relu", "b", "y")]),
    }


def residuals():
    """Convolution, addition and limits in every order in which they could be fused, or must not be."""
    low, high = constant("low", 0.0), constant("high", 6.0)
    pointwise, weights = conv("a", INPUT, (3, 3, 1, 1))
    dense, dense_weights = conv("a", INPUT, (3, 3, 3, 3), pads=[1, 1, 1, 1])
    deep, deep_weights = conv("a", INPUT, (3, 1, 3, 3), group=3, pads=[1, 1, 1, 1])
    second, second_weights = conv("branch", INPUT, (3, 3, 3, 3), pads=[1, 1, 1, 1])
    both = [*weights, *second_weights]
    relu = lambda inputs, output: node("Relu", inputs, output)
    add = lambda inputs, output: node("Add", inputs, output)
    return {
        "residual_conv_add": model([pointwise, add("a x", "y")], weights),
        "residual_add_swapped": model([pointwise, add("x a", "y")], weights),
        "residual_add_relu": model([dense, add("a x", "b"), relu("b", "y")], dense_weights),
        "residual_depthwise_add_clip": model(
            [deep, add("x a", "b"), node("Clip", "b low high", "y")], [*deep_weights, low, high]
        ),
        "residual_relu_add": model([pointwise, relu("a", "b"), add("b x", "y")], weights),
        "residual_relu_clip": model([pointwise, relu("a", "b"), node("Clip", "b low high", "y")], [*weights, low, high]),
        "residual_two_branches": model([pointwise, second, add("a branch", "b"), relu("b", "y")], both),
        "residual_second_branch_later": model([pointwise, second, add("branch a", "y")], both),
        "residual_read_twice": model([pointwise, relu("a", "b"), add("a b", "y")], weights),
        "residual_conv_to_itself": model([pointwise, add("a a", "y")], weights),
        "residual_unused_reader": model([pointwise, relu("a", "unused"), add("a x", "y")], weights),
        "residual_three_in_a_row": model(
            [pointwise, add("a x", "b"), second, add("b branch", "c"), relu("c", "d"), add("d x", "y")], both
        ),
    }


def heads():
    pool = node("GlobalAveragePool", "x", "p")
    flatten = lambda inputs, output: node("Flatten", inputs, output, axis=1)
    weight = lambda *shape: [constant("w", formula(*shape, seed=5)), constant("b", formula(max(shape[1], 1), seed=17))]
    turned = [constant("w", formula(4, 6, seed=5)), constant("b", formula(4, seed=17))]
    pointwise, weights = conv("a", INPUT, (4, 3, 1, 1))
    return {
        "pool": model([node("GlobalAveragePool", "x", "y")], (), (1, 5, 4, 3)),
        "pool_one_pixel": model([node("GlobalAveragePool", "x", "y")], (), (1, 6, 1, 1)),
        "flatten_map": model([flatten("x", "y")], (), (1, 3, 4, 5)),
        "flatten_conv": model([pointwise, flatten("a", "y")], weights, (1, 3, 3, 2)),
        "flatten_pooled": model([pool, flatten("p", "y")], (), (1, 7, 3, 3)),
        "flatten_default_axis": model([node("Flatten", "x", "y")], (), (1, 2, 2, 3)),
        "flatten_twice": model([flatten("x", "a"), flatten("a", "y")], (), (1, 2, 2, 3)),
        "flatten_then_relu": model([flatten("x", "a"), node("Relu", "a", "y")], (), (1, 2, 3, 2)),
        "flatten_beside_the_map": model(
            [flatten("x", "a"), node("Relu", "x", "m"), flatten("m", "c"), node("Add", "a c", "y")], (), (1, 2, 3, 2)
        ),
        "gemm": model([pool, flatten("p", "f"), node("Gemm", "f w b", "y")], weight(6, 4), (1, 6, 2, 3)),
        "gemm_transposed": model(
            [pool, flatten("p", "f"), node("Gemm", "f w b", "y", transB=1)], turned, (1, 6, 2, 2)
        ),
        "gemm_of_a_map": model([flatten("x", "f"), node("Gemm", "f w b", "y")], weight(24, 9), (1, 2, 3, 4)),
        "gemm_one_output": model([flatten("x", "f"), node("Gemm", "f w b", "y")], weight(12, 1), (1, 3, 2, 2)),
        "gemm_without_bias": model([flatten("x", "f"), node("Gemm", "f w", "y")], weight(12, 3)[:1], (1, 3, 2, 2)),
        "gemm_bias_of_all": model(
            [flatten("x", "f"), node("Gemm", "f w b", "y")], [*weight(12, 3)[:1], constant("b", 0.75)], (2, 3, 2, 2)
        ),
        "gemm_bias_of_a_row": model(
            [flatten("x", "f"), node("Gemm", "f w b", "y")],
            [*weight(12, 3)[:1], constant("b", formula(1, 3, seed=17))], (2, 3, 2, 2),
        ),
        "gemm_defaults_written_out": model(
            [flatten("x", "f"), node("Gemm", "f w b", "y", alpha=1.0, beta=1.0, transA=0, transB=0)],
            weight(12, 3), (1, 3, 2, 2),
        ),
        "gemm_twice": model(
            [flatten("x", "f"), node("Gemm", "f w b", "g"), node("Relu", "g", "h"), node("Gemm", "h w2 b2", "y")],
            [*weight(12, 5), constant("w2", formula(5, 2, seed=3)), constant("b2", formula(2, seed=4))], (1, 3, 2, 2),
        ),
    }


def files():
    """The same computation, written down in other ways."""
    made, constants = conv(OUTPUT, INPUT, (4, 3, 3, 3), pads=[1, 1, 1, 1])
    plain = lambda **changes: model([made], constants, **changes)

    listed = plain(ir_version=3, opset=11)
    inputs = [value(c.name, list(c.dims)) for c in constants]
    del listed.graph.input[:]
    listed.graph.input.extend([*inputs, value(INPUT, (1, 3, 4, 4))])

    in_floats = plain()
    for tensor in in_floats.graph.initializer:
        tensor.float_data.extend(np.frombuffer(tensor.raw_data, np.float32).tolist())
        tensor.ClearField("raw_data")

    spelled = plain()
    spelled.graph.node[0].domain = "ai.onnx"
    spelled.opset_import[0].domain = "ai.onnx"

    first, weights = conv("a", INPUT, (3, 3, 1, 1))
    shuffled = model([node("Add", "c x", "y"), node("Relu", "a", "c"), first], weights)
    not_last = model([first, node("Relu", "a", "behind")], weights, output="a")
    return {
        "file_constants_among_inputs": listed,
        "file_float_data": in_floats,
        "file_domain_spelled_out": spelled,
        "file_opset_11": plain(opset=11, ir_version=6),
        "file_opset_21": plain(opset=21, ir_version=10),
        "file_opset_28": plain(opset=28, ir_version=10),
        "file_nodes_shuffled": shuffled,
        "file_output_read_again": not_last,
    }


def networks():
    """Everything together: buffers that are reused while a residual is still needed."""
    nodes, constants, last = [], [], INPUT

    def layer(name, weight, **attributes):
        nonlocal last
        made, weights = conv(f"{name}_raw", last, weight, **attributes)
        nodes.extend([made, node("Relu", f"{name}_raw", name)])
        constants.extend(weights)
        last = name

    layer("stem", (6, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1])
    for block in ("one", "two"):
        shortcut = last
        layer(f"{block}_expand", (10, 6, 1, 1))
        layer(f"{block}_depthwise", (10, 1, 3, 3), group=10, pads=[1, 1, 1, 1])
        made, weights = conv(f"{block}_project", last, (6, 10, 1, 1))
        nodes.extend([made, node("Add", f"{shortcut} {block}_project", block)])
        constants.extend(weights)
        last = block
    nodes.extend([
        node("GlobalAveragePool", last, "pooled"), node("Flatten", "pooled", "flat", axis=1),
        node("Gemm", "flat head_w head_b", OUTPUT),
    ])
    constants.extend([constant("head_w", formula(6, 1, seed=1)), constant("head_b", formula(1, seed=2))])
    # Smaller weights: a float sum of large terms would differ by its order alone.
    for tensor in constants:
        values = np.frombuffer(tensor.raw_data, np.float32) / 8
        tensor.raw_data = values.astype(np.float32).tobytes()
    network = model(nodes, constants, (1, 3, 8, 8))

    chain = [node("Relu", "x", "v0")]
    for i in range(12):
        chain.append(node("Add", f"v{i} {'x' if i % 3 else f'v{max(i - 2, 0)}'}", f"v{i + 1}"))
    chain.append(node("Relu", "v12", "y"))
    return {"network": network, "network_of_additions": model(chain, (), (1, 2, 3, 3))}
