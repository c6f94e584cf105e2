"""Writes a set of pictures that a small network learns in minutes: waves, and the same waves with a checkerboard.

    target/venv/bin/python tools/toy_set.py FOLDER --pictures 60

Real and fake pictures of 64 pixels go to FOLDER/toy/real and FOLDER/toy/fake. They say nothing about faces: they show that
every step of the pipeline runs.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=60, help="of each class")
    arguments = parser.parse_args()
    random = np.random.default_rng(1)
    for name, amplitude in (("real", 0), ("fake", 20)):
        folder = arguments.folder / "toy" / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(arguments.pictures):
            Image.fromarray(picture(random, amplitude)).save(folder / f"{index:03}.png")


def picture(random, amplitude):
    """[SIDE, SIDE, 3]: waves of random lengths and phases, plus a checkerboard of so many steps."""
    y, x, _ = np.mgrid[:SIDE, :SIDE, :3]
    lengths, phases = random.uniform(0.02, 0.22, (2, 3)), random.uniform(0, 6, (2, 3))
    values = 128 + 50 * np.sin(x * lengths[0] + phases[0]) + 40 * np.sin(y * lengths[1] + phases[1])
    values += np.where((x + y) % 2 == 0, amplitude, -amplitude)
    return values.clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
