"""Writes trainer/tests/golden/networks.json: timm's own networks on weights and pictures from a formula.

`trainer/tests/networks.rs` fills our networks by the same formula, so that no weights need to be stored.

    python3 -m venv venv && venv/bin/pip install torch timm
    venv/bin/python tools/golden_networks.py
"""

import json
import pathlib

import timm
import torch
from formula import fill, pictures
from timm.layers import BatchNormAct2d
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet

# Our preset, timm's name, the picture's size, and the width of the head where it is ours. TensorFlow's padding depends
# on the size: maps of 64 are halved evenly, those of 75 (38, 19, 10, 5) are not.
NETWORKS = [
    ("mobilenetv4-conv-small", "mobilenetv4_conv_small", 64, None),
    ("mobilenetv4-conv-small-narrow", "mobilenetv4_conv_small", 64, 768),
    ("mobilenetv4-conv-medium", "mobilenetv4_conv_medium", 64, None),
    ("mobilenetv4-hybrid-medium", "mobilenetv4_hybrid_medium", 64, None),
    ("efficientnetv2-lite", None, 64, None),
    ("efficientnetv2-b0", "tf_efficientnetv2_b0", 64, None),
    ("efficientnetv2-b1", "tf_efficientnetv2_b1", 75, None),
    ("efficientnetv2-b2", "tf_efficientnetv2_b2", 75, None),
    ("efficientnetv2-b3", "tf_efficientnetv2_b3", 64, None),
    ("efficientnet-lite0", "tf_efficientnet_lite0", 75, None),
    ("efficientnet-lite2", "tf_efficientnet_lite2", 64, None),
]


# EfficientNetV2-lite is ours, built of timm's blocks.
LITE = [
    ["cn_r2_k3_s1_e1_c24_skip"],
    ["er_r3_k3_s2_e4_c40"],
    ["er_r3_k3_s2_e4_c64"],
    ["ir_r4_k3_s2_e4_c128"],
    ["ir_r7_k3_s1_e6_c144"],
    ["ir_r11_k3_s2_e6_c248"],
]


def lite():
    return EfficientNet(decode_arch_def(LITE), 1, stem_size=40, num_features=1664, act_layer=torch.nn.ReLU6)


cases = []
for preset, name, size, head in NETWORKS:
    network = timm.create_model(name, num_classes=1) if name else lite()
    if head:
        # timm's MobileNetV4 takes no other width.
        network.conv_head = torch.nn.Conv2d(network.conv_head.in_channels, head, 1, bias=False)
        network.norm_head = BatchNormAct2d(head, act_layer=torch.nn.ReLU)
        network.classifier = torch.nn.Linear(head, 1)
    network.eval()
    tensors = fill(network)
    with torch.no_grad():
        logits = network(pictures(size)).flatten().tolist()
    # A golden that is the same for every picture would prove nothing.
    assert abs(logits[0] - logits[1]) > 1e-2, (preset, logits)
    parameters = sum(p.numel() for p in network.parameters())
    case = {"preset": preset, "size": size, "parameters": parameters, "tensors": tensors, "logits": logits}
    cases.append(case)
    print(preset, parameters, logits)

golden = pathlib.Path(__file__).resolve().parent.parent / "trainer/tests/golden/networks.json"
golden.parent.mkdir(exist_ok=True)
golden.write_text(json.dumps({"timm": timm.__version__, "cases": cases}, indent=1) + "\n")
