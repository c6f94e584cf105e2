"""Imports timm's own checkpoints, exports them, and compares the ONNX file's logits with timm's.

An independent check of `aware import` and `aware export`: timm writes the file, onnxruntime computes. Weights are as
timm draws them, running moments those of random pictures, so that nothing is downloaded. Not part of `cargo xtask test`, since
PyTorch is large:

    python3 -m venv venv && venv/bin/pip install torch timm safetensors onnxruntime
    venv/bin/python tools/check_import.py
"""

import pathlib
import subprocess
import sys
import tempfile

import onnxruntime
import timm
import torch
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-4
SIZE = 96
NETWORKS = {
    "mobilenetv4-conv-small": "mobilenetv4_conv_small",
    "mobilenetv4-conv-medium": "mobilenetv4_conv_medium",
    "efficientnetv2-b0": "tf_efficientnetv2_b0",
    "efficientnetv2-b1": "tf_efficientnetv2_b1",
    "efficientnetv2-b2": "tf_efficientnetv2_b2",
    "efficientnetv2-b3": "tf_efficientnetv2_b3",
    "efficientnet-lite0": "tf_efficientnet_lite0",
    "efficientnet-lite2": "tf_efficientnet_lite2",
}
root = pathlib.Path(__file__).resolve().parent.parent
aware = root / "target/release/aware"
folder = pathlib.Path(tempfile.mkdtemp())


def random_network(name):
    """timm's network for ImageNet as it is drawn, after one pass that sets the running moments."""
    torch.manual_seed(1)
    network = timm.create_model(name, num_classes=1000)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(16, 3, SIZE, SIZE))
    return network.eval()


worst = 0.0
for preset, name in NETWORKS.items():
    network = random_network(name)
    weights, checkpoint = folder / f"{name}.safetensors", folder / f"{preset}.safetensors"
    onnx = folder / f"{preset}.onnx"
    save_file(network.state_dict(), weights)
    subprocess.check_call([aware, "import", "--network", preset, "--weights", weights, "--output", checkpoint])
    export = [aware, "export", "--checkpoint", checkpoint, "--image-size", str(SIZE), "--output", onnx]
    subprocess.check_call(export)

    # The imported network has a fresh logit; timm's gets the same one.
    ours = load_file(checkpoint)
    network.reset_classifier(1)
    with torch.no_grad():
        network.classifier.weight.copy_(ours["network.classifier.weight"])
        network.classifier.bias.copy_(ours["network.classifier.bias"])
        pictures = torch.randn(4, 3, SIZE, SIZE)
        theirs = network(pictures).flatten()
    session = onnxruntime.InferenceSession(onnx)
    logits = [session.run(None, {"image": picture[None].numpy()})[0].item() for picture in pictures]
    difference = max(abs(a - b) / max(abs(b), 0.1) for a, b in zip(logits, theirs.tolist()))
    assert theirs.std() > 1e-3, (preset, theirs)
    worst = max(worst, difference)
    print(f"{preset}: timm {theirs[0]:.6f}, imported and exported {logits[0]:.6f}")
print(f"largest relative difference {worst:.1e}, tolerated {TOLERANCE:.0e}")
sys.exit(worst > TOLERANCE)
