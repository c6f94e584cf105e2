#!/usr/bin/env python3
"""Makes a set of many tiny pictures, runs `aware prepare` on it and prints its peak memory.

    tools/measure_prepare.py target/release/aware 100000 [--clip 10] [--names 1] [--keep FOLDER] [-- OPTIONS]

With --clip so many pictures share a folder, which is a video of one person; without, each is a stranger.
No two pictures are alike, but each has --names names (hard links). The peak is the kernel's (`ru_maxrss` of the child, the VmHWM of its last moment).
"""

import argparse
import os
import random
import shutil
import struct
import tempfile
import time
import zlib
from pathlib import Path

SIDE = 16


def png(values):
    rows = b"".join(b"\0" + values[y * SIDE : (y + 1) * SIDE] for y in range(SIDE))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def make(root, count, clip, names):
    rng = random.Random(1)
    for index in range(count):
        label = "fake" if index % 2 else "real"
        if clip:
            # Pictures alternate between the classes, so clips do, too.
            folder = root / "many" / label / f"clip{index // (2 * clip):07}"
        else:
            folder = root / "many" / label
        if not clip and index < 2 or clip and index // 2 % clip == 0:
            folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{index:07}.png"
        if index % names:
            os.link(first, path)
        else:
            path.write_bytes(png(rng.randbytes(SIDE * SIDE)))
            first = path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("count", type=int)
    parser.add_argument("--clip", type=int, default=0)
    parser.add_argument("--names", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("options", nargs="*")
    arguments = parser.parse_args()
    root = arguments.keep or Path(tempfile.mkdtemp())
    if not (root / "many").exists():
        make(root, arguments.count, arguments.clip, arguments.names)
    call = [arguments.program, "prepare", str(root), "--output", str(root / "manifest.csv"), *arguments.options]
    started = time.monotonic()
    process = os.posix_spawn(arguments.program, call, os.environ)
    _, status, usage = os.wait4(process, 0)
    peak = usage.ru_maxrss * 1024
    print(
        f"{arguments.count} pictures, status {status}: peak {peak / 1e6:.0f} MB, "
        f"{peak / arguments.count:.0f} bytes a picture, {time.monotonic() - started:.0f} s"
    )
    if not arguments.keep:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
