#!/usr/bin/env python3
"""Judges a folder of pictures with many processes, which Ray starts and starts again: one task a shard.

    pip install ray==2.60.0
    python examples/ray_scan.py photos --output runs/photos --shards 16 --merge photos.jsonl

On a cluster add --address auto; photos, output and bundle then lie where every node finds them. What a worker, or a
node, does when it dies is nothing that this script has to know: its shards are started again and go on.
docs/scan.md has the contract that it relies on.
"""

import argparse
import os
import subprocess
import sys
import time

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray  # noqa: E402

# Another process works on the shard: the one that a killed worker left behind.
BUSY = 75
ATTEMPTS = 5


@ray.remote(num_cpus=1, max_retries=ATTEMPTS)
def scan_shard(command, shard, shards):
    """Runs one shard until it is done. Ray runs the task again where a worker dies."""
    attempts = 0
    while attempts < ATTEMPTS:
        code = subprocess.run([*command, "--shard", f"{shard}/{shards}"]).returncode
        if code == 0:
            return shard
        if code == BUSY:
            time.sleep(0.5)
        elif code < 0:
            attempts += 1
        else:
            raise RuntimeError(f"shard {shard} of {shards}: exit code {code}")
    raise RuntimeError(f"shard {shard} of {shards}: killed {ATTEMPTS} times")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="folder with pictures")
    parser.add_argument("--output", required=True, help="folder of the scan")
    parser.add_argument("--merge", metavar="FILE", help="put all lines into this file")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--workers", type=int, help="processes at a time; all cores, if nothing is said")
    parser.add_argument("--address", help="of a Ray cluster; else Ray is started on this machine")
    parser.add_argument("--aware", default="aware", help="the program")
    parser.add_argument("--bundle", default="models/faces-int8")
    parser.add_argument("--part-lines", type=int, default=1000)
    args = parser.parse_args()

    where = {"address": args.address}
    if args.address is None:
        where = {"address": "local", "num_cpus": args.workers, "object_store_memory": 100 << 20}
    ray.init(include_dashboard=False, **where)
    absolute = os.path.abspath
    aware = absolute(args.aware) if os.path.sep in args.aware else args.aware
    command = [aware, "scan", absolute(args.folder), "--output", absolute(args.output)]
    command += ["--bundle", absolute(args.bundle), "--part-lines", str(args.part_lines)]
    waiting = [scan_shard.remote(command, shard, args.shards) for shard in range(args.shards)]
    while waiting:
        finished, waiting = ray.wait(waiting)
        shard = ray.get(finished[0])
        print(f"shard {shard} is done, {len(waiting)} are not", flush=True)
    if args.merge:
        subprocess.run([aware, "merge", args.output, "--output", args.merge], check=True)


if __name__ == "__main__":
    sys.exit(main())
