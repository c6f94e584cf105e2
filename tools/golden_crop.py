#!/usr/bin/env python3
"""Writes engine/tests/data/crop.json: regions around faces, and a few of them resized by Pillow.

The legacy region is the arithmetic of the original AWARE-NET (`int`, `//`, `max`, `min` of Python);
the square is computed from its definition in fractions: a square about the centre of the box, moved
into the picture. Needs numpy and Pillow.
"""

import hashlib
import json
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

OUTPUT = Path(__file__).resolve().parent.parent / "engine/tests/data/crop.json"
SCALE, MIN_SIDE = 1.3, 80


def legacy(size, corners):
    """Left, top, right, bottom, or None."""
    left, top, right, bottom = (int(corner) for corner in corners)
    region = []
    for low, high, limit in ((left, right, size[0]), (top, bottom, size[1])):
        middle = low + (high - low) // 2
        reach = int((high - low) * SCALE) // 2
        region.append((max(0, middle - reach), min(limit, middle + reach)))
    (x1, x2), (y1, y2) = region
    return None if x2 - x1 < MIN_SIDE or y2 - y1 < MIN_SIDE else [x1, y1, x2, y2]


def square(size, corners):
    """Left, top, right, bottom, or None: of all squares of that side inside the picture the nearest."""
    left, top, right, bottom = (int(corner) for corner in corners)
    # Fraction(1.3) is what the float holds, so the product is exact before it is cut.
    side = min(int(float(Fraction(SCALE)) * max(right - left, bottom - top)), *size)
    if side < MIN_SIDE:
        return None
    starts = []
    for low, high, limit in ((left, right, size[0]), (top, bottom, size[1])):
        wanted = low + (high - low) // 2 - side // 2
        starts.append(min(range(limit - side + 1), key=lambda start: abs(start - wanted)))
    return [starts[0], starts[1], starts[0] + side, starts[1] + side]


def cases():
    chosen = [
        ((640, 480), (100.0, 90.0, 200.0, 230.0)),
        ((640, 480), (100.9, 90.2, 200.1, 230.99)),
        ((640, 480), (-20.7, -9.5, 120.0, 160.0)),
        ((640, 480), (560.0, 400.0, 700.0, 530.0)),
        ((640, 480), (0.0, 0.0, 640.0, 480.0)),
        ((200, 200), (60.0, 60.0, 121.0, 121.0)),
        ((200, 200), (60.0, 60.0, 122.0, 122.0)),
        ((200, 200), (60.0, 60.0, 123.0, 123.0)),
        ((300, 90), (100.0, 5.0, 170.0, 85.0)),
        ((79, 300), (5.0, 100.0, 75.0, 190.0)),
        ((640, 480), (10.0, 10.0, 20.0, 300.0)),
    ]
    # Sides at which 1.3 times the side is whole, where a rounding error would show.
    chosen += [((900, 700), (300.0, 200.0, 300.0 + side, 200.0 + side + 1)) for side in range(60, 200, 10)]
    rng = random.Random(20261124)
    for _ in range(200):
        size = (rng.randint(90, 900), rng.randint(90, 900))
        left, top = rng.uniform(-60, size[0]), rng.uniform(-60, size[1])
        corners = (left, top, left + rng.uniform(10, 500), top + rng.uniform(10, 500))
        chosen.append((size, tuple(float(np.float32(corner)) for corner in corners)))
    return [
        {"size": size, "corners": corners, "legacy": legacy(size, corners), "square": square(size, corners)}
        for size, corners in chosen
    ]


def picture(size):
    count = size[0] * size[1] * 3
    values = (np.arange(count, dtype=np.uint64) * 2_654_435_761 % 2**32) >> 24
    return Image.fromarray(values.astype(np.uint8).reshape(size[1], size[0], 3))


def pixels():
    """Crops that are stretched, across before down: in one call Pillow 13 may do it the other way round."""
    chosen = [((300, 200), (10, 20, 150, 110), 256), ((200, 300), (0, 0, 81, 300), 64), ((90, 90), (5, 0, 86, 90), 32)]
    for size, box, output in chosen:
        narrow = picture(size).crop(box).resize((output, box[3] - box[1]), Image.Resampling.BILINEAR)
        small = narrow.resize((output, output), Image.Resampling.BILINEAR).tobytes()
        yield {"size": size, "box": box, "output": output, "sha256": hashlib.sha256(small).hexdigest()}


def main():
    lines = lambda rows: ",\n".join(json.dumps(row) for row in rows)
    OUTPUT.write_text(f'{{"boxes": [\n{lines(cases())}\n],\n"pixels": [\n{lines(pixels())}\n]}}\n')


if __name__ == "__main__":
    main()
