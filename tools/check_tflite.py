"""Checks TFLite files with LiteRT, the runtime that they are made for.

    target/venv/bin/python tools/check_tflite.py --aware target/release/aware --engine target/release/examples/run_onnx

Of each network with random weights `aware export` writes an ONNX and a TFLite file, in floats and in integers of eight
bits. LiteRT runs the TFLite files twice, with XNNPACK, as it does on its own, and with its plain kernels; the engine runs
the ONNX files.

* Every layer gives what the engine's gives where it reads the same: each layer of the ONNX file is cut out and fed with
  what LiteRT fed its own. Floats agree, bytes are at most one step apart.
* In floats the logits of whole networks agree too. Those of genconvit are printed only: with random weights its attention
  turns the last bits of a sum into another logit, and onnxruntime is as far from the engine.
* By how many steps the logits differ in integers is printed: there the differences of all layers meet.

With `--files NAME.onnx NAME.tflite` these two are compared in place of new ones.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from flatbuffers import Builder
from onnx import TensorProto, helper, numpy_helper

# Name, width and height of the picture. Maps of an odd picture are padded otherwise than those of an even one.
NETWORKS = [
    ("mobilenetv4-conv-small", 96),
    ("mobilenetv4-conv-small-narrow", 65),
    ("efficientnetv2-lite", 64),
    ("efficientnetv2-b0", 64),
    ("genconvit-tiny", 64),
    ("genconvit", 64),
]
# Of the largest value, or of 1: both sum the same floats in another order.
LAYER_TOLERANCE = 1e-5
# Of the logit, or of 1.
TOLERANCES = {"XNNPACK": 1e-5, "plain kernels": 1e-4}
RUNTIMES = {
    "XNNPACK": OpResolverType.BUILTIN,
    "plain kernels": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
}
MOVES = ("Reshape", "Transpose", "Flatten")
# Inputs and outputs that the engine takes.
MOST_ENDS = 40
# What a signed byte is less than the unsigned one.
SIGNED = 128


def main():
    arguments = parse_arguments()
    if arguments.files:
        onnx_file, tflite_file = arguments.files
        check_files(arguments, onnx_file.name, {"onnx": onnx_file, "tflite": tflite_file})
        return
    for name, side in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            check_network(arguments, name, side, Path(folder))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aware", type=Path, help="the program; not needed with --files")
    parser.add_argument("--engine", type=Path, required=True, help="the engine's example run_onnx")
    parser.add_argument("--files", type=Path, nargs=2, help="ONNX and TFLite file of one network")
    return parser.parse_args()


def check_network(arguments, name, side, folder):
    for form, choices in {"floats": [], "integers": ["--int8", "--activation-bits", "8"]}.items():
        files = {}
        for kind in ("onnx", "tflite"):
            files[kind] = folder / f"{form}.{kind}"
            export = ["export", "--network", name, "--image-size", str(side), "--format", kind, *choices]
            call([arguments.aware, *export, "--output", files[kind]])
        check_files(arguments, f"{name} at {side} px in {form}", files)


def check_files(arguments, what, files):
    check_metadata(what, files)
    model = onnx.load(files["onnx"])
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    picture = 2 * np.sin(np.arange(np.prod(shape)) * 0.61).astype(np.float32).reshape(shape)
    in_bytes = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    ours = run_engine(arguments.engine, files["onnx"], [picture])[0].item()
    for runtime in RUNTIMES:
        values = run_litert(files["tflite"], runtime, picture)
        theirs = values["logit"].item()
        layers = Layers(model, values)
        told = check_layers(arguments, f"{what}, {runtime}", layers)
        if in_bytes:
            is_close, apart = True, f"{abs(ours - theirs) / layers.last_step():.2g} steps of the largest last weight"
        else:
            difference = abs(ours - theirs) / max(abs(ours), 1)
            is_close, apart = difference <= TOLERANCES[runtime] or "genconvit" in what, f"{difference:.1e} of it"
        told = f"{what}, {runtime}: {told}; logit {theirs:.6f}, engine {ours:.6f}, apart {apart}"
        require(is_close, told)
        passed(told)


def check_metadata(what, files):
    model = read_tflite(files["tflite"])
    told = {entry.name.decode(): bytes(model.buffers[entry.buffer].data).decode() for entry in model.metadata}
    wanted = {entry.key: entry.value for entry in onnx.load(files["onnx"]).metadata_props}
    require(wanted and told == wanted, f"{what}: the metadata are {told}, expected {wanted}")
    if "description" in wanted:
        require(model.description.decode() == wanted["description"], f"{what}: the description is {model.description}")
    sizes = ", ".join(f"{path.suffix[1:]} {path.stat().st_size}" for path in files.values())
    passed(f"{what}: metadata {', '.join(sorted(told))}; bytes: {sizes}")


def check_layers(arguments, what, layers):
    """Every layer from what LiteRT fed its own."""
    worst, steps, differing, total = 0.0, 0, 0, 0
    for names in layers.parts():
        part, inputs = layers.part(names)
        outputs = run_engine(arguments.engine, part.SerializeToString(), [layers.fed(name) for name in inputs])
        for name, ours in zip(names, outputs, strict=True):
            theirs = layers.fed(name).ravel()
            if name in layers.scales:
                apart = np.abs(layers.steps(name, ours) - layers.steps(name, theirs))
                require(apart.max() <= 1, f"{what}: {name} differs by {apart.max()} steps")
                steps, differing, total = max(steps, apart.max()), differing + (apart > 0).sum(), total + apart.size
            else:
                apart = np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1)
                require(apart <= LAYER_TOLERANCE, f"{what}: {name} differs by {apart:.1e} of its largest value")
                worst = max(worst, apart)
    in_bytes = f"bytes at most {steps} apart, {differing} of {total}, " if total else ""
    return f"{len(layers.points)} layers: {in_bytes}floats at most {worst:.1e} apart"


class Layers:
    """An ONNX file, cut open wherever LiteRT shows the same value."""

    def __init__(self, model, theirs):
        self.model, self.theirs = model, theirs
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.constants = {name: numpy_helper.to_array(tensor) for name, tensor in self.initializers.items()}
        self.makers = {node.output[0]: node for node in model.graph.node}
        ends = [*onnx.shape_inference.infer_shapes(model).graph.value_info, *model.graph.input, *model.graph.output]
        self.shapes = {end.name: [dim.dim_value for dim in end.type.tensor_type.shape.dim] for end in ends}
        self.logit = model.graph.output[0].name
        # Moves lie as it suits TFLite; what reads them shows whether they are right.
        shown = [node for node in model.graph.node if node.op_type not in MOVES]
        self.points = [node.output[0] for node in shown if node.output[0] in theirs]
        # Scale and zero point of values of bytes.
        self.scales = {}
        for name in self.points:
            node = self.makers[name]
            if node.op_type == "QuantizeLinear":
                self.scales[name] = tuple(self.constants[constant].item() for constant in node.input[1:])
        made = {node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
        require(made == self.scales.keys(), f"LiteRT does not show {sorted(made - self.scales.keys())}")

    def parts(self):
        # A layer reads two values, a concatenation three.
        size = MOST_ENDS // 3
        return [self.points[start : start + size] for start in range(0, len(self.points), size)]

    def part(self, names):
        """A model that makes the values `names` in floats of those before them, and the names of these."""
        nodes, constants, seen, fed = [], {}, {}, []

        def make(name):
            """Appends the node that makes `name`."""
            node = onnx.NodeProto()
            node.CopyFrom(self.makers[name])
            for index, other in enumerate(node.input):
                node.input[index] = need(other)
            nodes.append(node)

        def need(name):
            """What `name` is called in the part."""
            if name in seen:
                return seen[name]
            seen[name] = name
            if name in self.constants:
                constants[name] = self.initializers[name]
            elif name in self.points or name not in self.makers:
                fed.append(name)
                seen[name] = f"{name}/fed"
                if name in self.scales:
                    seen[name] = f"{name}/bytes"
                    nodes.append(self.beside("QuantizeLinear", f"{name}/fed", name, seen[name], need))
            else:
                make(name)
            return seen[name]

        outputs = []
        for name in names:
            make(name)
            if name in self.scales:
                nodes.append(self.beside("DequantizeLinear", name, name, f"{name}/out", need))
            shown = f"{name}/out" if name in self.scales else name
            outputs.append(helper.make_tensor_value_info(shown, TensorProto.FLOAT, self.shapes[name]))
        inputs = [helper.make_tensor_value_info(f"{name}/fed", TensorProto.FLOAT, self.shapes[name]) for name in fed]
        graph = helper.make_graph(nodes, "part", inputs, outputs, list(constants.values()))
        opsets, version = self.model.opset_import, self.model.ir_version
        return helper.make_model(graph, opset_imports=opsets, ir_version=version), fed

    def beside(self, operator, value, name, result, need):
        """A node of the scale of the bytes `name`."""
        return helper.make_node(operator, [value, *map(need, self.makers[name].input[1:])], [result])

    def is_map(self, name):
        """Whether TFLite has the value as [N, H, W, C]: what attention makes of maps lies as in the ONNX file."""
        maker = self.makers.get(name)
        if maker is None or maker.op_type in ("Conv", "ConvTranspose", "GlobalAveragePool"):
            return True
        return maker.op_type not in (*MOVES, "MatMul", "Softmax") and self.is_map(maker.input[0])

    def fed(self, name):
        """LiteRT's value of `name` as floats in the order of the ONNX file."""
        value, shape = self.theirs[name], self.shapes[name]
        if value.ndim == 4 and self.is_map(name):
            value = value.transpose(0, 3, 1, 2)
        require(list(value.shape) == shape, f"{name} has shape {value.shape}, expected {shape}")
        if name in self.scales:
            scale, zero = self.scales[name]
            value = (value.astype(np.int32) + SIGNED - zero) * np.float32(scale)
        return value.astype(np.float32)

    def steps(self, name, floats):
        return np.rint(floats / np.float32(self.scales[name][0])).astype(np.int64)

    def last_step(self):
        """By how much the logit moves at most if one byte before the last layer moves by one step."""
        last = self.makers[self.logit]
        data, weight = self.makers[last.input[0]], self.makers[last.input[1]]
        while data.op_type != "DequantizeLinear":
            data = self.makers[data.input[0]]
        integers, scales = (self.constants[name] for name in weight.input[:2])
        return float(self.constants[data.input[1]].item() * np.abs(integers.astype(np.float32)).max() * scales.max())


def run_engine(program, model, inputs):
    """The outputs, flat, of an ONNX file or its content."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if isinstance(model, bytes):
            (folder / "part.onnx").write_bytes(model)
            model = folder / "part.onnx"
        for index, values in enumerate(inputs):
            values.astype("<f4").tofile(folder / f"input_{index}.f32")
        call([program, model, folder])
        count = len(list(folder.glob("output_*.f32")))
        return [np.fromfile(folder / f"output_{index}.f32", "<f4") for index in range(count)]


def run_litert(path, runtime, picture):
    """The logit, the picture and every value that an operator makes, by name."""
    model = read_tflite(path)
    graph = model.subgraphs[0]
    logit = graph.outputs[0]
    graph.outputs = [logit, *(i for operator in graph.operators for i in operator.outputs if i != logit)]
    model.signatureDefs = None
    builder = Builder(path.stat().st_size)
    builder.Finish(model.Pack(builder), b"TFL3")
    values = invoke(bytes(builder.Output()), runtime, picture)
    # Untouched, with all that it may fuse.
    values.update(invoke(path.read_bytes(), runtime, picture))
    values["image"] = picture.transpose(0, 2, 3, 1)
    return values


def invoke(content, runtime, picture):
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=RUNTIMES[runtime], num_threads=1)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    interpreter.set_tensor(image["index"], picture.transpose(0, 2, 3, 1))
    interpreter.invoke()
    return {output["name"]: interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()}


def read_tflite(path):
    return schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)


def call(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    require(done.returncode == 0, f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr[-2000:]}")


def require(condition, message):
    if not condition:
        sys.exit(f"FAILED {message}")


def passed(message):
    print(f"ok     {message}", flush=True)


if __name__ == "__main__":
    main()
