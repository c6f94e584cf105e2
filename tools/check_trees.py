"""Checks exported trees with other people's programs: trainer, engine and onnxruntime say the same to 1e-6.

    target/venv/bin/python tools/check_trees.py --boosted target/release/examples/boosted [--bundle models/cascade]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boosted", type=Path, required=True, help="the example program `boosted`")
    parser.add_argument("--bundle", type=Path, help="folder of a bundle with a meta-model, whose golden vectors count")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([arguments.boosted, folder], stdin=subprocess.DEVNULL, check=True, timeout=300)
        check_boosted(Path(folder))
    if arguments.bundle:
        check_bundle(arguments.bundle)


def check_boosted(folder):
    trees = open_trees(folder / "meta.onnx")
    trainer, engine = (np.fromfile(folder / f"{name}.f32", "<f4") for name in ("trainer", "engine"))
    rows = np.fromfile(folder / "rows.f32", "<f4").reshape(len(trainer), -1)
    theirs = np.array([run(trees, row) for row in rows])
    require(np.ptp(theirs) > 0.9, "the trees say nothing")
    for name, ours in (("trainer", trainer), ("engine", engine)):
        difference = np.abs(ours - theirs).max()
        what = f"{len(rows)} rows: {name} and onnxruntime differ by at most {difference:.1e}"
        require(difference <= TOLERANCE, what)
        passed(what)


def check_bundle(bundle):
    """The meta-model of a bundle on what the golden vectors' stages give."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    *_, meta = manifest["stages"]
    require(meta.get("role") == "meta", f"{meta['name']} is no meta-model")
    trees = open_trees(bundle / meta["file"])
    width = trees.get_inputs()[0].shape[1]
    row = run(trees, np.zeros(width, np.float32))
    require(0 <= row <= 1, f"P(fake) of nothing is {row}")
    passed(f"{bundle.name}: {meta['file']} runs in onnxruntime on {width} features")


def open_trees(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    (node,) = model.graph.node
    require((node.domain, node.op_type) == ("ai.onnx.ml", "TreeEnsembleClassifier"), f"it is {node.op_type}")
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(trees, row):
    (scores,) = trees.run(["scores"], {"features": row[None].astype(np.float32)})
    require(scores.shape == (1, 2) and abs(scores.sum() - 1) < TOLERANCE, f"scores are {scores}")
    return float(scores[0, 1])


def require(condition, message):
    if not condition:
        sys.exit(f"FAILED {message}")


def passed(message):
    print(f"ok     {message}", flush=True)


if __name__ == "__main__":
    main()
