#!/usr/bin/env python3
"""Reading a big profile: `scry report` beside `go tool pprof -top`, on --stacks synthetic stacks of 40 frames.
Wall seconds and peak memory. The file is made here, by a writer of its own."""
import gzip
import random
import shutil
import subprocess

import lib
from lib import CACHE, scry_path


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def make(stacks, functions=20000, depth=40):
    path = CACHE / f"readers-{stacks}.pb.gz"
    if path.exists():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    strings = ["", "samples", "count", "cpu", "nanoseconds", "src/file.c"] + [f"module_{i % 97}::function_{i}" for i in range(functions)]
    with gzip.open(path.with_suffix(".tmp"), "wb", compresslevel=1) as f:
        f.write(field(1, field(1, 1) + field(2, 2)) + field(1, field(1, 3) + field(2, 4)))
        for i in range(functions):
            f.write(field(5, field(1, i + 1) + field(2, 6 + i) + field(4, 5) + field(5, i % 900 + 1)))
            f.write(field(4, field(1, i + 1) + field(3, 0x400000 + 16 * i) + field(4, field(1, i + 1) + field(2, i % 900 + 3))))
        # Stacks share their roots as real ones do.
        roots = [[rng.randrange(functions) + 1 for _ in range(depth // 2)] for _ in range(200)]
        for _ in range(stacks):
            ids = [rng.randrange(functions) + 1 for _ in range(depth - depth // 2)] + rng.choice(roots)
            f.write(field(2, field(1, b"".join(map(varint, ids))) + field(2, varint(1) + varint(10000000))))
        for s in strings:
            f.write(field(6, s.encode()))
    path.with_suffix(".tmp").rename(path)
    return path


def timed(command):
    begin = lib.time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.read()
    err = child.stderr.read()
    _, status, usage = lib.os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise SystemExit(f"{command}: {err[-500:]}")
    return lib.time.monotonic() - begin, usage.ru_maxrss << 10


def main():
    args = lib.options(__doc__, pairs=3, stacks=100000)
    path = make(args.stacks)
    go = shutil.which("go") or "/usr/local/go/bin/go"
    arms = {"scry report": [str(scry_path()), "report", str(path)],
            "scry convert to HTML": [str(scry_path()), "convert", str(path), str(lib.WORK / "x.html")],
            "gunzip alone": ["gunzip", "-c", str(path)]}
    if lib.os.access(go, lib.os.X_OK):
        arms["go tool pprof -top"] = [go, "tool", "pprof", "-top", str(path)]
    runs = {arm: [] for arm in arms if lib.shutil.which(arms[arm][0])}
    for arm in lib.in_turn(runs, args.pairs):
        runs[arm].append(timed(arms[arm]))
    lib.table(f"Reading {args.stacks} stacks × 40 frames", ("reader", "seconds", "peak MB"),
              [(arm, lib.spread([r[0] for r in of], "{:.2f}"), lib.megabytes(lib.median([r[1] for r in of])))
               for arm, of in runs.items()])


if __name__ == "__main__":
    main()
