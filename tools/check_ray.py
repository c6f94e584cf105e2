"""Whether `examples/ray_scan.py` loses and doubles nothing where one worker and one scan are killed on the way.

    target/venv/bin/python -B tools/check_ray.py --aware target/release/aware --output target/ray

Needs Ray and Linux's /proc.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PICTURES = 1000
SHARDS = 6
WORKERS = 3
DEADLINE_S = 300


def make_pictures(folder):
    """Many names of the four samples, and one file that is no picture."""
    samples = sorted((ROOT / "models/samples").glob("*.png"))
    for index in range(PICTURES):
        path = folder / f"set-{index % 7}" / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(samples[index % len(samples)], path)
    (folder / "notes.txt").write_text("no picture")


def scans(output):
    """Process ids of the running scans of `output`, each with the id of who started it."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            # The name, which may hold anything, stands in brackets.
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if b"scan" in words and os.fsencode(output) in words and b"aware" in words[0]:
            found.append((int(process.name), parent))
    return found


def name_of(process):
    return pathlib.Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def kill_on_the_way(driver, output):
    """Kills one worker of Ray, and later one scan."""
    killed_parts = 0
    for what in ["worker", "scan"]:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            assert driver.poll() is None, f"it ended before a {what} was killed"
            assert time.monotonic() < deadline, f"no {what} to kill"
            parts = len(list(output.glob("shard-*/part-*.jsonl")))
            running = scans(output)
            if running and parts > killed_parts:
                break
            time.sleep(0.005)
        scan, parent = running[0]
        process = parent if what == "worker" else scan
        name = name_of(process)
        assert ("ray::" in name) == (what == "worker"), name
        os.kill(process, signal.SIGKILL)
        print(f"killed a {what}: {name.strip()}", flush=True)
        killed_parts = parts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aware", required=True, help="the program")
    parser.add_argument("--output", required=True, help="a folder for what is made here; replaced")
    args = parser.parse_args()
    if not pathlib.Path("/proc/self/stat").exists():
        print("left out: a scan driven by Ray, since there is no /proc to find its workers in")
        return
    folder = pathlib.Path(args.output).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    make_pictures(folder / "pictures")
    output, merged = folder / "scan", folder / "all.jsonl"
    command = [sys.executable, "-B", ROOT / "examples/ray_scan.py", folder / "pictures", "--output", output]
    command += ["--merge", merged, "--shards", SHARDS, "--workers", WORKERS, "--part-lines", 10]
    command += ["--aware", os.path.abspath(args.aware), "--bundle", ROOT / "models/first"]
    driver = subprocess.Popen([str(word) for word in command])
    try:
        kill_on_the_way(driver, output)
        code = driver.wait(DEADLINE_S)
    finally:
        driver.kill()
    assert code == 0, f"the example ended with {code}"

    lines = [json.loads(line) for line in merged.read_text().splitlines()]
    names = collections.Counter(line["file"] for line in lines)
    expected = {str(path.relative_to(folder / "pictures")) for path in (folder / "pictures").rglob("*.*")}
    assert set(names) == expected, f"lost: {sorted(expected - set(names))[:5]}"
    assert max(names.values()) == 1, names.most_common(3)
    assert sum("report" in line for line in lines) == PICTURES
    print(f"{len(lines)} files, each with one line")


if __name__ == "__main__":
    main()
