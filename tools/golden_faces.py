#!/usr/bin/env python3
"""Writes trainer/tests/golden/faces.json: what OpenCV's FaceDetectorYN finds with a YuNet file.

    tools/golden_faces.py yunet_n_640_640.onnx

"outputs" are the network's raw outputs on a small picture with the boxes and points that OpenCV decodes of them;
"pictures" are the same in pictures of this repository, each made as large as fits on a black canvas first.
Needs opencv-python-headless and Pillow.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "trainer/tests/golden/faces.json"
PICTURES = ["trainer/tests/data/faces.jpg", "models/samples/real-1.png", "models/samples/fake-2.png"]
NAMES = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
OVERLAP = 0.3


def canvas(picture, side):
    """The picture in the upper left corner of a black square, and how much larger it is there."""
    scale = min(side / picture.width, side / picture.height)
    size = [round(length * scale) for length in picture.size]
    square = Image.new("RGB", (side, side))
    square.paste(picture.resize(size, Image.Resampling.BILINEAR))
    return np.asarray(square)[:, :, ::-1].copy(), scale


def found(model, bgr, threshold, scale=1.0):
    height, width = bgr.shape[:2]
    detector = cv2.FaceDetectorYN.create(model, "", (width, height), threshold, OVERLAP)
    _, faces = detector.detect(bgr)
    rows = [] if faces is None else faces.tolist()
    rows.sort(key=lambda row: -row[14])
    corners = lambda row: [row[0], row[1], row[0] + row[2], row[1] + row[3]]
    points = lambda row: [[row[at] / scale, row[at + 1] / scale] for at in range(4, 14, 2)]
    scaled = lambda row: [value / scale for value in corners(row)]
    return [{"corners": scaled(row), "points": points(row), "score": row[14]} for row in rows]


def raw(model, bgr):
    network = cv2.dnn.readNet(model)
    network.setInput(cv2.dnn.blobFromImage(bgr))
    # Four digits keep the file small; the boxes move by less than a tenth of a pixel.
    return [np.round(output.ravel(), 4).tolist() for output in network.forward(NAMES)]


def main():
    model = sys.argv[1]
    small, _ = canvas(Image.open(ROOT / PICTURES[0]).convert("RGB"), 128)
    threshold = 0.2
    outputs = {"side": 128, "threshold": threshold, "values": raw(model, small), "faces": found(model, small, threshold)}
    pictures = []
    for name in PICTURES:
        for side in (320, 640):
            bgr, scale = canvas(Image.open(ROOT / name).convert("RGB"), side)
            pictures.append({"file": name, "side": side, "threshold": 0.6, "faces": found(model, bgr, 0.6, scale)})
    OUTPUT.write_text(json.dumps({"outputs": outputs, "pictures": pictures}, separators=(",", ":")) + "\n")
    for picture in pictures:
        print(picture["file"], picture["side"], [(np.round(f["corners"]).tolist(), round(f["score"], 3)) for f in picture["faces"]])
    print(OUTPUT.stat().st_size, "bytes;", len(outputs["faces"]), "boxes in the small picture")


if __name__ == "__main__":
    main()
