"""Judges the samples with timm's own network on our trained weights, and compares the logits with the engine's.

An independent implementation of every step: Pillow decodes and resizes, PyTorch computes, timm has the layers.
Not part of `cargo xtask test`, since PyTorch is large:

    python3 -m venv venv && venv/bin/pip install torch timm safetensors pillow
    venv/bin/python tools/check_timm.py runs/first/best.safetensors
"""

import json
import pathlib
import subprocess
import sys

import numpy
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

TOLERANCE = 1e-5
root = pathlib.Path(__file__).resolve().parent.parent
manifest = json.loads((root / "models/first/manifest.json").read_text())
preprocess = manifest["preprocess"]

weights = load_file(sys.argv[1])
weights = {name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")}
network = timm.create_model("mobilenetv4_conv_small", num_classes=1).eval()
fit = network.load_state_dict(weights, strict=False)
# PyTorch counts batches; nothing reads the count.
missing = [name for name in fit.missing_keys if not name.endswith("num_batches_tracked")]
assert not missing and not fit.unexpected_keys, (missing, fit.unexpected_keys)

worst = 0.0
for path in sorted((root / "models/samples").glob("*.png")):
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = ((extent - side) // 2 for extent in image.size)
    size = preprocess["size"]
    image = image.crop((left, top, left + side, top + side)).resize((size, size), Image.BILINEAR)
    pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(preprocess[key])[None, :, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        theirs = network((pixels - mean) / std).item()
    line = subprocess.check_output([root / "target/release/aware", "detect", "--json", "--faces", "none", path], cwd=root)
    ours = json.loads(line)["report"]["stages"][0]["logit"]
    worst = max(worst, abs(ours - theirs))
    print(f"{path.name}: timm {theirs:.7f}, engine {ours:.7f}")
print(f"largest difference {worst:.1e}, tolerated {TOLERANCE:.0e}")
sys.exit(worst > TOLERANCE)
