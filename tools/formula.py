"""Weights and pictures by a formula, so that goldens need none stored; `trainer/tests/networks.rs` has the same.

A name is hashed by FNV-1a, the hash and an index by splitmix64, and its upper 24 bits are a value in [0, 1).
"""

import math

import numpy
import torch


def uniform(name, shape):
    """Values in [0, 1), a function of `name` and the index alone."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    index = numpy.arange(1, math.prod(shape) + 1, dtype=numpy.uint64)
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(state) + index * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z ^= z >> numpy.uint64(31)
    return ((z >> numpy.uint64(40)).astype(numpy.float64) / 2**24).reshape(shape)


# Ends of residual branches: larger values would grow from block to block, until each softmax chose one position.
BRANCH_ENDS = ("output.bn.weight", "project.bn.weight")


def value(name, shape):
    """Kernels that keep signals near one, gammas and variances around one, gates mostly open, the rest around zero."""
    u = uniform(name, shape)
    if len(shape) > 1:
        values = (2 * u - 1) * math.sqrt(5 / math.prod(shape[1:]))
    elif name.endswith(BRANCH_ENDS):
        values = 0.1 + 0.1 * u
    elif name.endswith("layer_scale.gamma"):
        values = 0.4 + 0.2 * u
    elif name.endswith(("running_var", ".weight")):
        values = 0.75 + 0.5 * u
    elif name.endswith("conv_expand.bias"):
        values = 1.9 + 0.2 * u
    else:
        values = 0.2 * u - 0.1
    return torch.from_numpy(values.astype(numpy.float32))


def fill(network):
    """Sets every tensor of `network` by the formula, and returns how many there are."""
    state = {n: value(n, tuple(t.shape)) for n, t in network.state_dict().items() if "num_batches" not in n}
    network.load_state_dict(state, strict=False)
    return len(state)


def pictures(size):
    """Two pictures in [-1, 1)."""
    return torch.from_numpy((2 * uniform("picture", (2, 3, size, size)) - 1).astype(numpy.float32))
