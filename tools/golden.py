"""Writes the golden data that the Rust tests read, from Pillow, scikit-learn and onnxruntime.

Run it in the virtual environment of `cargo xtask setup` after a change here; the results are committed:

    target/venv/bin/python -B tools/golden.py

* engine/tests/data/resize.json      Pillow's antialiased resize
* engine/tests/data/ops/             small ONNX graphs, one input and onnxruntime's output each
* engine/tests/data/hostile/         ONNX files that must be refused, and how
* trainer/tests/data/metrics.json    scikit-learn's metrics

Everything is computed from formulas, so a second run writes the same bytes.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn import metrics as sklearn_metrics

import golden_hostile
import golden_operators
from golden_graphs import hashed_bytes

ROOT = Path(__file__).resolve().parent.parent
ENGINE_DATA = ROOT / "engine/tests/data"
TRAINER_DATA = ROOT / "trainer/tests/data"

# Picture width and height, box (x, y, side), output side.
RESIZES = {
    "same_size": ((24, 24), (0, 0, 24), 24),
    "half": ((64, 64), (0, 0, 64), 32),
    "by_a_third": ((48, 48), (0, 0, 48), 32),
    "double": ((33, 33), (0, 0, 33), 66),
    "odd_down": ((101, 101), (0, 0, 101), 37),
    "far_down": ((300, 300), (0, 0, 300), 32),
    "one_pixel_up": ((1, 1), (0, 0, 1), 32),
    "two_pixels_up": ((2, 2), (0, 0, 2), 33),
    "centre_of_wide": ((80, 50), (15, 0, 50), 32),
    "centre_of_tall": ((50, 81), (0, 15, 50), 40),
    "centre_of_wide_up": ((40, 30), (5, 0, 30), 64),
    "off_centre_down": ((97, 64), (20, 3, 50), 32),
    "off_centre_up": ((60, 45), (31, 7, 20), 48),
    "same_size_off_centre": ((50, 50), (9, 13, 32), 32),
    "bottom_right": ((70, 60), (30, 20, 40), 35),
}


def main():
    write_json(ENGINE_DATA / "resize.json", [resize_case(name, *case) for name, case in RESIZES.items()])
    write_json(TRAINER_DATA / "metrics.json", metric_cases())
    golden_operators.write(ENGINE_DATA / "ops")
    golden_hostile.write(ENGINE_DATA / "hostile")


def resize_case(name, size, box, output):
    width, height = size
    x, y, side = box
    picture = Image.fromarray(hashed_bytes(width * height * 3).reshape(height, width, 3))
    small = picture.crop((x, y, x + side, y + side)).resize((output, output), Image.Resampling.BILINEAR).tobytes()
    return {
        "name": name,
        "width": width,
        "height": height,
        "box": list(box),
        "size": output,
        "sha256": hashlib.sha256(small).hexdigest(),
        "first": list(small[:12]),
    }


def metric_cases():
    rng = np.random.default_rng(20261123)
    spread = lambda count, shift: np.clip(rng.normal(0.5 + shift, 0.25, count), 0, 1)
    sets = {
        "separated": (np.concatenate([spread(40, -0.3), spread(40, 0.3)]), [0] * 40 + [1] * 40),
        "useless": (spread(120, 0), rng.integers(0, 2, 120)),
        "inverted": (np.concatenate([spread(30, 0.2), spread(30, -0.2)]), [0] * 30 + [1] * 30),
        "rare_fakes": (np.concatenate([spread(190, -0.1), spread(10, 0.15)]), [0] * 190 + [1] * 10),
        "many_ties": (rng.integers(0, 5, 150) / 4, rng.integers(0, 2, 150)),
        "all_tied": (np.full(20, 0.25), [0, 1] * 10),
        "at_the_threshold": (np.array([0.5, 0.5, 0.499, 0.501, 0.5]), [1, 0, 1, 0, 1]),
        "none_called_fake": (np.array([0.1, 0.2, 0.3, 0.4]), [0, 1, 0, 1]),
    }
    # Three decimals make ties and read back as the same number everywhere.
    return [metric_case(name, np.round(scores, 3), np.asarray(fakes)) for name, (scores, fakes) in sets.items()]


def metric_case(name, scores, fakes):
    called = scores >= 0.5
    return {
        "name": name,
        "scores": scores.tolist(),
        "fakes": fakes.tolist(),
        "auc": sklearn_metrics.roc_auc_score(fakes, scores),
        "accuracy": sklearn_metrics.accuracy_score(fakes, called),
        "precision": sklearn_metrics.precision_score(fakes, called, zero_division=0),
        "recall": sklearn_metrics.recall_score(fakes, called, zero_division=0),
        "f1": sklearn_metrics.f1_score(fakes, called, zero_division=0),
    }


def write_json(path, cases):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
