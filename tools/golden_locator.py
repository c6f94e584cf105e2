#!/usr/bin/env python3
"""Writes trainer/tests/golden/locator.json: the losses of the face locator and their gradients, by numpy.

    tools/golden_locator.py

Values straight from the papers' formulas in 64 bits (no stable forms, boxes as corners), gradients by central
differences. "network" is the forward pass of the toy locator at weights from a formula, convolutions as plain loops.
Needs numpy.
"""

import json
from pathlib import Path

import numpy as np

OUTPUT = Path(__file__).resolve().parent.parent / "trainer/tests/golden/locator.json"
STEP = 1e-6


def focal(logits, labels):
    p = 1 / (1 + np.exp(-logits))
    q = np.where(labels == 1, p, 1 - p)
    alpha = np.where(labels == 1, 0.25, 0.75)
    return -alpha * (1 - q) ** 2 * np.log(q)


def corners(distances):
    left, top, right, bottom = distances
    return np.stack([-left, -top, right, bottom])


def area(box):
    return np.maximum(box[2] - box[0], 0) * np.maximum(box[3] - box[1], 0)


def overlap(distances, wanted):
    a, b = corners(distances), corners(wanted)
    both = np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])])
    around = np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])
    shared = area(both)
    union = area(a) + area(b) - shared
    return 1 - (shared / union - (area(around) - union) / area(around))


def gradient(function, x):
    """Each value of the result depends on its own column of x alone."""
    result = np.zeros_like(x)
    for row in np.ndindex(x.shape[:-1]):
        step = np.zeros_like(x)
        step[row] = STEP
        result[row] = (function(x + step) - function(x - step)) / (2 * STEP)
    return result


def main():
    logits = np.array([-8.0, -3.0, -0.5, 0.0, 0.25, 2.0, 6.0, -4.0, 0.0, 5.0])
    labels = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    distances = np.array([[1.0, 0.2, 3.0, 0.5], [2.0, 0.3, 0.1, 0.5], [0.5, 4.0, 2.0, 0.5], [0.7, 1.0, 1.0, 0.5]])
    wanted = np.array([[1.5, 0.1, 2.0, 0.6], [1.0, 0.4, 0.2, 0.7], [0.4, 3.0, 2.5, 0.9], [0.9, 2.0, 0.3, 0.8]])
    golden = {
        "focal": {
            "logits": logits.tolist(),
            "labels": labels.tolist(),
            "values": focal(logits, labels).tolist(),
            "gradients": gradient(lambda x: focal(x, labels), logits).tolist(),
        },
        "overlap": {
            "distances": distances.tolist(),
            "wanted": wanted.tolist(),
            "values": overlap(distances, wanted).tolist(),
            "gradients": gradient(lambda x: overlap(x, wanted), distances).tolist(),
        },
    }
    OUTPUT.write_text(json.dumps(golden, indent=1) + "\n")
    print(OUTPUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
