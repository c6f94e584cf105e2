"""Writes what Pillow and numpy make of the mild variants that an answer must hold in, to engine/tests/data/views.json.

    target/venv/bin/python tools/golden_views.py
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

import patterns

PICTURES = [
    {"kind": "waves", "width": 120, "height": 90, "seed": 5, "size": 40},
    {"kind": "waves", "width": 33, "height": 47, "seed": 9, "size": 37},
    {"kind": "checkerboard", "width": 64, "height": 64, "seed": 30, "size": 32},
]
QUALITY = 60
# JPEG, annex K, table K.1.
STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


def main():
    cases = []
    for case in PICTURES:
        size = case["size"]
        described = {key: value for key, value in case.items() if key != "size"}
        picture = Image.fromarray(patterns.picture(described))
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        crop = picture.crop((left, top, left + side, top + side))
        margin = side // 16
        views = {
            "closer": resize(crop.crop((margin, margin, side - margin, side - margin)), size),
            "softened": resize(resize(resize(crop, size), size * 3 // 4), size),
            "recompressed": recompressed(np.asarray(resize(crop, size)).astype(float)),
        }
        pixels = {name: np.asarray(view).astype(np.uint8).tobytes().hex() for name, view in views.items()}
        cases.append({"picture": described, "size": size, **pixels})
    path = Path(__file__).resolve().parent.parent / "engine/tests/data/views.json"
    path.write_text(json.dumps(cases, indent=1) + "\n")


def resize(picture, side):
    return picture.resize((side, side), Image.BILINEAR)


def recompressed(rgb):
    """What JPEG loses, without its entropy coding: luma by quantised cosines, colours by means of 2 x 2."""
    luma = rgb @ [0.299, 0.587, 0.114]
    blue, red = (rgb[..., 2] - luma) / 1.772, (rgb[..., 0] - luma) / 1.402
    side = len(luma)
    padding = -side % 8
    padded = np.pad(luma, (0, padding), mode="edge") - 128
    steps = np.maximum((STEPS * (200 - 2 * QUALITY) + 50) // 100, 1)
    u, x = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    cosines = np.where(u == 0, np.sqrt(1 / 8), 0.5) * np.cos((2 * x + 1) * u * np.pi / 16)
    for top in range(0, side, 8):
        for left in range(0, side, 8):
            block = padded[top : top + 8, left : left + 8]
            waves = np.rint(cosines @ block @ cosines.T / steps) * steps
            padded[top : top + 8, left : left + 8] = cosines.T @ waves @ cosines
    luma = padded[:side, :side] + 128
    blue, red = halved(blue), halved(red)
    r, b = luma + 1.402 * red, luma + 1.772 * blue
    g = (luma - 0.299 * r - 0.114 * b) / 0.587
    return np.clip(np.floor(np.stack([r, g, b], axis=-1) + 0.5), 0, 255)


def halved(plane):
    padding = len(plane) % 2
    even = np.pad(plane, (0, padding), mode="edge")
    means = even.reshape(len(even) // 2, 2, len(even) // 2, 2).mean(axis=(1, 3))
    return np.repeat(np.repeat(means, 2, 0), 2, 1)[: len(plane), : len(plane)]


if __name__ == "__main__":
    main()
