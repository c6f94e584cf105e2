"""One small graph for every operator, variant and fusion that the engine has, with onnxruntime's output."""

import numpy as np
import onnxruntime

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
    return {**convolutions(), **depthwise(), **element_wise(), **residuals(), **heads(), **files(), **networks()}


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
