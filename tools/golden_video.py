"""Golden values for engine::video, by OpenCV and scipy: quality, scene scores and smoothing.

    python -m venv ENV && ENV/bin/pip install opencv-python-headless scipy numpy
    ENV/bin/python -B tools/golden_video.py

writes engine/tests/data/video.json. The formulas are those of the original AWARE-NET's video analysis.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from patterns import picture
from scipy.signal import savgol_filter

# No side is longer than a thumbnail's, so that a thumbnail is the picture.
PATTERNS = [
    {"kind": kind, "width": width, "height": height, "seed": seed}
    for kind, width, height, seed in (
        ("flat", 64, 48, 90),
        ("flat", 64, 48, 12),
        ("ramp", 64, 48, 3),
        ("checkerboard", 64, 48, 40),
        ("waves", 64, 48, 0),
        ("waves", 64, 48, 1),
        ("waves", 64, 48, 2),
        ("noise", 64, 48, 5),
        ("noise", 64, 48, 6),
        ("waves", 160, 90, 3),
        ("waves", 5, 3, 4),
        ("noise", 1, 1, 1),
    )
]


def quality(rgb):
    """blur, brightness, contrast, noise, overall."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    blur = 1 - min(cv2.Laplacian(grey, cv2.CV_64F).var() / 1000, 1)
    mean = grey.mean() / 255
    brightness = 1 if 0.4 <= mean <= 0.6 else mean / 0.4 if mean < 0.4 else (1 - mean) / 0.4
    contrast = min(grey.std() / 255 / 0.2, 1)
    smooth = cv2.GaussianBlur(grey, (5, 5), 0)
    noise = min(5 * np.abs(grey.astype(float) - smooth.astype(float)).mean() / 255, 1)
    overall = 0.3 * (1 - blur) + 0.2 * max(brightness, 0) + 0.3 * contrast + 0.2 * (1 - noise)
    return [float(value) for value in (blur, brightness, contrast, noise, overall)]


def histogram(rgb):
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, [50, 60, 60], [0, 180, 0, 256, 0, 256])
    return cv2.normalize(counts, None)


def scene(a, b):
    return 1 - cv2.compareHist(histogram(a).flatten(), histogram(b).flatten(), cv2.HISTCMP_CORREL)


def smoothed(values):
    window = min(len(values), 5)
    window -= window % 2 == 0
    return [float(value) for value in (savgol_filter(values, window, 1) if window >= 3 else values)]


def main():
    random = np.random.default_rng(1)
    pictures = [picture(pattern) for pattern in PATTERNS]
    qualities = [
        {"pattern": pattern, "values": quality(pixels)} for pattern, pixels in zip(PATTERNS, pictures) if pixels.size > 3
    ]
    scenes = [
        {"patterns": [PATTERNS[a], PATTERNS[b]], "score": float(scene(pictures[a], pictures[b]))}
        for a, b in ((0, 0), (0, 1), (2, 3), (4, 5), (5, 6), (4, 4), (6, 7), (7, 8), (9, 9), (2, 4))
    ]
    series = [[round(float(value), 3) for value in random.uniform(0.2, 0.8, count)] for count in (1, 2, 3, 4, 5, 6, 9, 20)]
    smoothing = [{"values": values, "want": smoothed(values)} for values in series]
    path = Path(__file__).resolve().parent.parent / "engine/tests/data/video.json"
    sections = {"qualities": qualities, "scenes": scenes, "smoothing": smoothing}
    listed = ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]" for name, cases in sections.items()
    )
    path.write_text(f"{{\n{listed}\n}}\n")


if __name__ == "__main__":
    main()
