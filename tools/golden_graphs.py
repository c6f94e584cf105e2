"""Small ONNX graphs with weights by formula: what golden_operators and golden_hostile share."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

INPUT = "x"
OUTPUT = "y"


def hashed_bytes(count):
    """`count` bytes that look random: byte i is ((i * 2654435761) mod 2**32) >> 24."""
    index = np.arange(count, dtype=np.uint64)
    return ((index * 2654435761 & 0xFFFFFFFF) >> 24).astype(np.uint8)


def formula(*shape, seed=0):
    """Values k / 64 in [-2, 2): products and short sums of them are exact in any order."""
    count = int(np.prod(shape, dtype=np.int64))
    return ((hashed_bytes(seed + count)[seed:].astype(np.float32) - 128) / 64).reshape(shape)


def constant(name, values):
    return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)


def node(op, inputs, output, **attributes):
    """A node called like its output; `inputs` are names with spaces in between."""
    return helper.make_node(op, inputs.split(" "), [output], name=output, **attributes)


def value(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(nodes, constants=(), input_shape=(1, 3, 4, 4), output=OUTPUT, opset=13, ir_version=8):
    """A model from "x" to `output`, whose shape is left open."""
    graph = helper.make_graph(list(nodes), "golden", [value(INPUT, input_shape)], [value(output, None)], list(constants))
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version, producer_name="golden"
    )


def save(made, path):
    path.write_bytes(made.SerializeToString(deterministic=True))


def clear(folder, *suffixes):
    """An empty `folder`: a case that is gone must leave no file."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.suffix in suffixes:
            path.unlink()
