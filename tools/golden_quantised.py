"""Small graphs with QuantizeLinear and DequantizeLinear, for golden_operators.

All scales are powers of two: onnxruntime's floats are then exact, and an integer engine must give the same values.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from golden_graphs import INPUT, OUTPUT, constant, formula, hashed_bytes, model, node

SHAPE = (1, 3, 6, 5)


def integers(name, kind, shape, seed, limit=127):
    """Bytes that look random, within `limit`."""
    count = int(np.prod(shape, dtype=np.int64))
    values = hashed_bytes(seed + count)[seed:].astype(np.int64) % (2 * limit + 1) - limit
    return numpy_helper.from_array(values.reshape(shape).astype(kind), name)


class Quantised:
    """A graph under construction; `last` is the float value that it ends with, seen through DequantizeLinear."""

    def __init__(self, shape=SHAPE, bits=7, kind=np.uint8):
        self.nodes, self.constants, self.shape = [], [], shape
        self.bits, self.kind, self.count, self.last = bits, kind, 0, INPUT

    def add(self, op, inputs, name=None, **attributes):
        self.count += 1
        name = name or f"v{self.count}"
        self.nodes.append(node(op, inputs, name, **attributes))
        return name

    def constant(self, values):
        self.count += 1
        self.constants.append(constant(f"c{self.count}", values))
        return self.constants[-1].name

    def bytes(self, value, scale, zero=0):
        """`value` through a byte and back; seven bits by a clip, as the trainer writes it."""
        self.count += 1
        s, z = f"s{self.count}", f"z{self.count}"
        low = 0 if self.kind == np.uint8 else -128
        self.constants.append(constant(s, scale))
        self.constants.append(numpy_helper.from_array(np.array(zero + low, self.kind), z))
        if self.bits == 7:
            low, high = self.constant(-zero * scale), self.constant((127 - zero) * scale)
            value = self.add("Clip", f"{value} {low} {high}")
        quantised = self.add("QuantizeLinear", f"{value} {s} {z}")
        return self.add("DequantizeLinear", f"{quantised} {s} {z}")

    def weight(self, name, shape, scales, axis=0, limit=127):
        values = integers(f"{name}_q", np.int8, shape, 3 * len(name) + shape[0], limit)
        if limit == 7:
            values = helper.make_tensor(f"{name}_q", TensorProto.INT4, shape, numpy_helper.to_array(values).ravel())
        scales = np.asarray(scales, np.float32)
        zeros = np.zeros(scales.shape, np.int64)
        zeros = (
            helper.make_tensor(f"{name}_z", TensorProto.INT4, zeros.shape, zeros.ravel())
            if limit == 7 else numpy_helper.from_array(zeros.astype(np.int8), f"{name}_z")
        )
        self.constants += [values, constant(f"{name}_s", scales), zeros]
        return self.add("DequantizeLinear", f"{name}_q {name}_s {name}_z", axis=axis)

    def bias(self, name, count, scales):
        self.constants += [
            integers(f"{name}_q", np.int32, (count,), 5, 90), constant(f"{name}_s", np.asarray(scales, np.float32)),
        ]
        return self.add("DequantizeLinear", f"{name}_q {name}_s", axis=0)

    def conv(self, x, shape, input_scale, name="w", limit=127, **attributes):
        scales = [2.0 ** -(7 + i % 3) for i in range(shape[0])]
        weight = self.weight(name, shape, scales, limit=limit)
        bias = self.bias(f"{name}_b", shape[0], [input_scale * scale for scale in scales])
        return self.add("Conv", f"{x} {weight} {bias}", **attributes)

    def graph(self, last=None, opset=13):
        self.nodes.append(node("Identity", last or self.last, OUTPUT))
        return model(self.nodes, self.constants, self.shape, opset=opset, ir_version=10 if opset > 20 else 8)


def convolutions():
    cases = {}
    variants = {
        "pointwise": ((9, 3, 1, 1), {}),
        "dense": ((8, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        "depthwise": ((3, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 3}),
        "asymmetric": ((5, 3, 2, 3), {"pads": [0, 2, 1, 0]}),
    }
    for name, (shape, attributes) in variants.items():
        q = Quantised()
        x = q.bytes(INPUT, 1 / 32, 64)
        cases[f"q_conv_{name}"] = q.graph(q.bytes(q.conv(x, shape, 1 / 32, **attributes), 1 / 16, 50))
    for name, more in {"8_bits": {"bits": 8}, "signed": {"bits": 8, "kind": np.int8}}.items():
        q = Quantised(**more)
        x = q.bytes(INPUT, 1 / 64, 130)
        cases[f"q_conv_{name}"] = q.graph(q.bytes(q.conv(x, (4, 3, 3, 3), 1 / 64, pads=[1] * 4), 1 / 16, 120))
    q = Quantised()
    x = q.bytes(INPUT, 1 / 32, 64)
    y = q.add("Relu", q.conv(x, (6, 3, 3, 3), 1 / 32, pads=[1] * 4))
    cases["q_conv_relu"] = q.graph(q.bytes(y, 1 / 32))
    q = Quantised()
    x = q.bytes(INPUT, 1 / 32, 64)
    y = q.add("Clip", f"{q.conv(x, (6, 3, 1, 1), 1 / 32)} {q.constant(0.0)} {q.constant(2.0)}")
    cases["q_conv_relu6"] = q.graph(q.bytes(y, 1 / 32, 3))
    q = Quantised()
    x = q.bytes(INPUT, 1 / 32, 64)
    cases["q_conv_to_floats"] = q.graph(q.conv(x, (5, 3, 1, 1), 1 / 32))
    q = Quantised()
    x = q.bytes(INPUT, 1 / 32, 64)
    cases["q_conv_4_bits"] = q.graph(q.bytes(q.conv(x, (4, 3, 1, 1), 1 / 32, limit=7), 1 / 64, 50), opset=21)
    q = Quantised()
    x = q.bytes(INPUT, 1 / 32, 64)
    a, b = q.bytes(q.conv(x, (6, 3, 1, 1), 1 / 32, "a"), 1 / 16, 60), q.bytes(q.conv(x, (6, 3, 3, 3), 1 / 32, "b", pads=[1] * 4), 1 / 8, 60)
    cases["q_two_branches"] = q.graph(q.bytes(q.add("Add", f"{a} {b}"), 1 / 8, 62))
    return cases


def residuals():
    cases = {}
    for name, order, shape, more in [
        ("pointwise", "{y} {x}", (3, 3, 1, 1), {}),
        ("swapped", "{x} {y}", (3, 3, 3, 3), {"pads": [1] * 4}),
        ("depthwise", "{y} {x}", (3, 1, 3, 3), {"pads": [1] * 4, "group": 3}),
    ]:
        q = Quantised()
        x = q.bytes(INPUT, 1 / 32, 64)
        y = q.bytes(q.conv(x, shape, 1 / 32, **more), 1 / 16, 60)
        total = q.add("Add", order.format(x=x, y=y))
        if name == "swapped":
            total = q.add("Relu", total)
        cases[f"q_residual_{name}"] = q.graph(q.bytes(total, 1 / 16, 0 if name == "swapped" else 55))
    q = Quantised()
    x = q.bytes(INPUT, 1 / 32, 64)
    y = q.bytes(q.conv(x, (3, 3, 1, 1), 1 / 32), 1 / 16, 60)
    cases["q_residual_read_twice"] = q.graph(
        q.bytes(q.add("Add", f"{q.bytes(q.add('Add', f'{y} {x}'), 1 / 16, 60)} {y}"), 1 / 8, 62)
    )
    q = Quantised()
    x = q.bytes(INPUT, 1 / 32, 64)
    cases["q_add_to_itself"] = q.graph(q.bytes(q.add("Add", f"{x} {x}"), 1 / 16, 64))
    return cases


def heads():
    cases = {}
    q = Quantised((1, 6, 4, 4))
    x = q.bytes(INPUT, 1 / 32, 64)
    pooled = q.bytes(q.add("GlobalAveragePool", x), 1 / 64, 64)
    flat = q.add("Flatten", pooled, axis=1)
    weight = q.weight("w", (6, 3), [1 / 64, 1 / 128, 1 / 256], axis=1)
    bias = q.bias("b", 3, [1 / 64 / 64, 1 / 64 / 128, 1 / 64 / 256])
    cases["q_head_through_floats"] = q.graph(q.add("Gemm", f"{flat} {weight} {bias}"))
    q = Quantised((1, 6, 4, 4))
    x = q.bytes(INPUT, 1 / 32, 64)
    pooled = q.bytes(q.add("GlobalAveragePool", x), 1 / 64, 64)
    flat = q.bytes(q.add("Flatten", pooled, axis=1), 1 / 64, 64)
    weight = q.weight("w", (3, 6), 1 / 64)
    bias = q.bias("b", 3, 1 / 64 / 64)
    cases["q_head"] = q.graph(q.add("Gemm", f"{flat} {weight} {bias}", transB=1))
    q = Quantised((1, 6, 4, 4))
    flat = q.add("Flatten", q.bytes(INPUT, 1 / 32, 64), axis=1)
    weight, bias = q.weight("w", (3, 96), 1 / 64), q.bias("b", 1, 1 / 32 / 64)
    cases["q_head_with_one_bias"] = q.graph(q.add("Gemm", f"{flat} {weight} {bias}", transB=1))
    return cases


def others():
    cases = {}
    one = {
        "max_pool": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        "transpose": ("Transpose", {"perm": [0, 2, 1, 3]}),
        "flatten": ("Flatten", {"axis": 2}),
    }
    for name, (op, attributes) in one.items():
        q = Quantised()
        x = q.bytes(INPUT, 1 / 32, 64)
        cases[f"q_{name}"] = q.graph(q.bytes(q.add(op, x, **attributes), 1 / 32, 64))
    # Seven bits of another scale: not just a move.
    q = Quantised()
    cases["q_max_pool_rescaled"] = q.graph(q.bytes(q.add("MaxPool", q.bytes(INPUT, 1 / 32, 64), kernel_shape=[2, 2]), 1 / 16, 60))
    q = Quantised(bits=8)
    x = q.bytes(INPUT, 1 / 64, 128)
    y = q.bytes(q.conv(x, (2, 3, 1, 1), 1 / 64), 1 / 64, 128)
    cases["q_concat"] = q.graph(q.bytes(q.add("Concat", f"{y} {x}", axis=1), 1 / 64, 128))
    q = Quantised(bits=8)
    cases["q_sigmoid"] = q.graph(q.bytes(q.add("Sigmoid", q.bytes(INPUT, 1 / 64, 128)), 1 / 256))
    q = Quantised()
    x = q.bytes(INPUT, 1 / 32, 64)
    cases["q_there_and_back"] = q.graph(x)
    return cases


def networks():
    """Inverted bottlenecks as the trainer writes them."""
    q = Quantised((1, 3, 16, 16))
    x = q.bytes(INPUT, 1 / 32, 64)
    relu = lambda value: q.bytes(q.add("Relu", value), 1 / 16)
    x = relu(q.conv(x, (8, 3, 3, 3), 1 / 32, "stem", strides=[2, 2], pads=[1] * 4))
    for block in ("one", "two"):
        wide = relu(q.conv(x, (16, 8, 1, 1), 1 / 16, f"{block}_expand"))
        wide = relu(q.conv(wide, (16, 1, 5, 5), 1 / 16, f"{block}_deep", group=16, pads=[2] * 4))
        back = q.bytes(q.conv(wide, (8, 16, 1, 1), 1 / 16, f"{block}_back"), 1 / 8, 64)
        x = q.bytes(q.add("Add", f"{back} {x}"), 1 / 16, 32)
    pooled = q.bytes(q.add("GlobalAveragePool", x), 1 / 32, 64)
    flat = q.add("Flatten", pooled, axis=1)
    weight = q.weight("head", (8, 1), [1 / 64], axis=1)
    return {"q_network": q.graph(q.add("Gemm", f"{flat} {weight} {q.bias('head_b', 1, [1 / 64 / 32])}"))}


def cases():
    return {**convolutions(), **residuals(), **heads(), **others(), **networks()}
