"""The pictures of golden vectors, independently of engine/src/pattern.rs, whose table has the formulas.

    target/venv/bin/python -B tools/patterns.py

writes engine/tests/data/patterns.json, digests that a Rust test compares with. `tools/check_onnx.py` makes the pictures of
a bundle's golden vectors with it.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

PATTERNS = [
    {"kind": kind, "width": width, "height": height, "seed": seed}
    for kind in ("flat", "ramp", "checkerboard", "waves", "noise")
    for width, height, seed in ((1, 1, 0), (64, 48, 1), (33, 70, 41), (320, 7, 255), (16, 1024, 2**32 - 1))
]


def picture(pattern):
    """uint8 [height, width, 3] of `pattern`, as golden.json has it."""
    width, height, seed = pattern["width"], pattern["height"], pattern["seed"]
    # Wide enough that nothing overflows; wrapped to 32 bits by hand.
    y, x, c = np.meshgrid(*(np.arange(n, dtype=np.uint64) for n in (height, width, 3)), indexing="ij")
    values = {
        "flat": lambda: 0 * x + seed,
        "ramp": lambda: wrapped(x + 2 * y + 85 * c + seed),
        "checkerboard": lambda: np.where((x + y + c) % 2 == 0, seed % 256, (seed + 128) % 256),
        "waves": lambda: (
            triangle((2 + seed % 5) * x + 170 * c) + triangle(wrapped((3 + seed % 7) * y + 97 * seed))
        ) // 2,
        "noise": lambda: hashed(wrapped((y * width + x) * 3 + c + 2654435769 * seed)) >> 24,
    }
    return (values[pattern["kind"]]() % 256).astype(np.uint8)


def wrapped(values):
    return values % np.uint64(2**32)


def triangle(n):
    return np.abs((n % 510).astype(np.int64) - 255)


def hashed(values):
    values ^= values >> 16
    values = wrapped(values * 0x7FEB352D)
    values ^= values >> 15
    values = wrapped(values * 0x846CA68B)
    return values ^ values >> 16


def main():
    cases = [{**pattern, "sha256": hashlib.sha256(picture(pattern).tobytes()).hexdigest()} for pattern in PATTERNS]
    lines = ",\n".join(json.dumps(case) for case in cases)
    path = Path(__file__).resolve().parent.parent / "engine/tests/data/patterns.json"
    path.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
