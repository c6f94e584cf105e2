"""Checks the networks with other people's programs: onnx's checker and onnxruntime.

    target/venv/bin/python tools/check_onnx.py --aware target/release/aware

* each shipped network passes the full checker and strict shape inference, and says what it is;
* onnxruntime, behind preprocessing by Pillow and numpy, gives the logits of `aware detect`: of a network in integers within
  what floats that imitate integers lose, see docs/numerics.md;
* the golden vectors have the inputs that Pillow and numpy make of their formulas, bit for bit, and onnxruntime's logits;
* a freshly exported network with random weights passes and runs too.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

import patterns

OPSETS = range(11, 22)
METADATA = {"name", "version", "licence", "network", "input", "output", "temperature"}
# Both sum the same floats in another order.
LOGIT_TOLERANCE = 1e-4
# Floats that imitate integers round scales once more than integers do, and a byte on the border falls to the other side: of the
# pictures half differ by no more than the first, and none by more than the second. (On 156 faces of a test split the median is 0.05
# for first-int8 and 0.09 for faces-int8, the most 0.46 and 0.55; faces-int8 in onnxruntime differs from itself by up to 0.22 where its
# input moves by a hundred-thousandth. What holds each layer to its bytes is `aware optimize`.)
INTEGER_MEDIAN_TOLERANCE = 0.05
INTEGER_LOGIT_TOLERANCE = 0.25


def main():
    arguments = parse_arguments()
    for bundle in arguments.bundle:
        manifest = json.loads((bundle / "manifest.json").read_text())
        check_shipped(bundle, manifest)
        check_logits(arguments, bundle, manifest)
        check_golden(bundle, manifest)
    check_random(arguments.aware)


def parse_arguments():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aware", type=Path, required=True, help="the program")
    bundles = [root / "models" / name for name in ("first", "first-int8", "faces", "faces-int8")]
    parser.add_argument("--bundle", type=Path, nargs="+", default=bundles, help="folders of bundles")
    parser.add_argument("--samples", type=Path, default=root / "models/samples", help="folder of PNG pictures")
    return parser.parse_args()


def check_shipped(bundle, manifest):
    stage = manifest["stages"][0]
    model = check_file(bundle / stage["file"], manifest["preprocess"]["size"], is_integer(manifest))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    require(METADATA <= metadata.keys(), f"metadata lacks {sorted(METADATA - metadata.keys())}")
    for key in ("name", "version", "licence"):
        require(metadata[key] == manifest[key], f"{key} is {metadata[key]!r}, the manifest says {manifest[key]!r}")
    require(
        float(metadata["temperature"]) == stage["temperature"],
        f"temperature is {metadata['temperature']}, the manifest says {stage['temperature']}",
    )
    passed(f"{stage['file']}: metadata {', '.join(sorted(metadata))}")


def is_integer(manifest):
    return manifest["stages"][0].get("format", {}).get("activations") == "int8"


def tolerance(manifest):
    return INTEGER_LOGIT_TOLERANCE if is_integer(manifest) else LOGIT_TOLERANCE


def check_file(path, side, integer=False):
    """The model at `path`, valid, of a supported operator set, from one picture to one logit; in floats every shape is
    listed, for runtimes that infer none."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    shapes = {value.name: shape_of(value) for value in inferred.graph.value_info}
    for value in model.graph.value_info:
        require(shape_of(value) == shapes[value.name], f"{value.name} is listed as {shape_of(value)}")
    missing = {name for node in model.graph.node for name in node.output} - {v.name for v in model.graph.value_info}
    listed = missing == {v.name for v in model.graph.output}
    require(integer or listed, f"no shape is listed for {sorted(missing)}")
    sets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    require(sets.keys() == {"ai.onnx"} and sets["ai.onnx"] in OPSETS, f"operator sets are {sets}")
    ends = [shape_of(value) for value in (*model.graph.input, *model.graph.output)]
    require(ends == [[1, 3, side, side], [1, 1]], f"input and output are {ends}")
    require(model.producer_name == "aware", f"producer is {model.producer_name!r}")
    passed(f"{path.name}: valid, {len(model.graph.node)} nodes, operator set {sets['ai.onnx']}, input {ends[0]}")
    return model


def shape_of(value):
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def check_logits(arguments, bundle, manifest):
    pictures = sorted(arguments.samples.glob("*.png"))
    require(pictures, f"{arguments.samples} holds no PNG")
    session = open_session(bundle / manifest["stages"][0]["file"])
    differences = []
    with tempfile.TemporaryDirectory() as folder:
        # Samples are square; these are cut, one of them enlarged.
        pictures += [odd_picture(Path(folder) / name, size) for name, size in ODD_PICTURES.items()]
        for picture, ours in zip(pictures, detect(arguments.aware, bundle, pictures), strict=True):
            theirs = run(session, preprocess(Image.open(picture).convert("RGB"), manifest["preprocess"]))
            difference = abs(ours - theirs)
            what = f"{picture.name}: logit {ours:.6f}, onnxruntime {theirs:.6f}, difference {difference:.1e}"
            require(difference <= tolerance(manifest), what)
            differences.append(difference)
            passed(what)
    median = float(np.median(differences))
    require(median <= INTEGER_MEDIAN_TOLERANCE, f"half of the pictures differ by {median:.1e} or more")


ODD_PICTURES = {"wide.png": (500, 300), "tall.png": (90, 131)}


def odd_picture(path, size):
    width, height = size
    x, y, channel = np.meshgrid(np.arange(width), np.arange(height), np.arange(3), indexing="xy")
    waves = 127.5 + 60 * np.sin(x / 9 + channel) + 60 * np.cos(y / 7 - channel)
    Image.fromarray(waves.astype(np.uint8)).save(path)
    return path


def detect(aware, bundle, pictures):
    """Logits of the program, in the order of `pictures`."""
    command = [aware, "detect", "--json", "--faces", "none", "--bundle", bundle, *pictures]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    require(done.returncode == 0, f"aware detect ended with {done.returncode}: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    findings = {Path(line["file"]): line for line in map(json.loads, done.stdout.splitlines())}
    return [findings[picture]["report"]["stages"][0]["logit"] for picture in pictures]


def check_golden(bundle, manifest):
    """The golden vectors, from formula to logit, by other people's code."""
    golden = json.loads((bundle / manifest["golden"]).read_text())
    session = open_session(bundle / manifest["stages"][0]["file"])
    for vector in golden["vectors"]:
        picture = Image.fromarray(patterns.picture(vector["picture"]))
        values = preprocess(picture, manifest["preprocess"])
        digest = hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()
        require(digest == vector["input_sha256"], f"{vector['name']}: another input, {digest}")
        (stage,) = vector["stages"]
        (ours,) = np.frombuffer(bytes.fromhex(stage["bits"]), ">f4")
        require(ours == np.float32(stage["logit"]), f"{vector['name']}: {stage['bits']} is {ours}")
        theirs = run(session, values)
        difference = abs(float(ours) - theirs)
        what = f"golden {vector['name']}: logit {ours:.6f}, onnxruntime {theirs:.6f}, difference {difference:.1e}"
        require(difference <= tolerance(manifest), what)
        wanted = 1 / (1 + np.exp(-float(ours) / manifest["stages"][0]["temperature"]))
        require(abs(vector["probability_fake"] - wanted) < 1e-12, f"{vector['name']}: P(fake) is not {wanted}")
        passed(what)


def preprocess(picture, choices):
    """[1, 3, size, size] of the middle square, independently of the engine."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    size, box = choices["size"], (left, top, left + side, top + side)
    small = picture.crop(box).resize((size, size), Image.Resampling.BILINEAR)
    values = np.asarray(small, np.float32) / 255
    values = (values - np.array(choices["mean"], np.float32)) / np.array(choices["std"], np.float32)
    return values.transpose(2, 0, 1)[None]


def check_random(aware):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.onnx"
        command = [aware, "export", "--output", path, "--image-size", "64"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        require(done.returncode == 0, f"aware export ended with {done.returncode}: {done.stderr[-2000:]}")
        check_file(path, 64)
        picture = np.linspace(-2, 2, 3 * 64 * 64, dtype=np.float32).reshape(1, 3, 64, 64)
        logit = run(open_session(path), picture)
        require(np.isfinite(logit), f"onnxruntime gives {logit}")
        passed(f"{path.name}: runs in onnxruntime, logit {logit:.6f}")


def open_session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(session, picture):
    (logit,) = session.run(None, {session.get_inputs()[0].name: picture})[0].ravel()
    return float(logit)


def require(condition, message):
    if not condition:
        sys.exit(f"FAILED {message}")


def passed(message):
    print(f"ok     {message}", flush=True)


if __name__ == "__main__":
    main()
