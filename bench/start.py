#!/usr/bin/env python3
"""From starting a profiler to its first sample, and from the end to its file: for python3, and for a binary with debug
information of about --megabytes MB that this script makes (cached). What is measured is the wall time of a command that
captures one second, less that second; of perf the names, and of py-spy, which counts samples, the time are not in it.
OTel, which goes on for ever: until a sample of the process has reached its collector. Bars: 300 ms; 1 s for 500 MB."""
import subprocess

import lib
from lib import CACHE, SOURCES, Running, Target, pythons, target

UNIT = """#include <stdint.h>
struct s%(u)d_%(f)d { uint64_t a[%(f)d + 1]; struct s%(u)d_%(f)d *next; double d; };
uint64_t u%(u)d_f%(f)d(struct s%(u)d_%(f)d *p, uint64_t x);
uint64_t u%(u)d_f%(f)d(struct s%(u)d_%(f)d *p, uint64_t x) {
    for (unsigned i = 0; i < (x & 7); i++) { struct s%(u)d_%(f)d *q = p->next; x = x * %(f)d + q->a[i %% %(m)d]; p = q; }
    return x ^ (uint64_t)p->d;
}
"""


def big_binary(megabytes):
    """Many small translation units with debug information, and a busy main."""
    place = CACHE / f"big-{megabytes}"
    program = place / "big"
    if program.exists():
        return program
    place.mkdir(parents=True, exist_ok=True)
    functions = 1500
    source = "".join(UNIT % {"u": 0, "f": f, "m": f + 1} for f in range(functions))
    (place / "unit.c").write_text(source)
    subprocess.run(["gcc", "-O2", "-g3", "-c", "unit.c", "-o", "unit.o"], cwd=place, check=True)
    size = (place / "unit.o").stat().st_size
    objects = []
    for i in range(max(1, int(megabytes * 1e6 / (0.58 * size)))):  # linking drops relocations
        name = f"unit{i}.o"
        subprocess.run(["objcopy", f"--prefix-symbols=p{i}_", "unit.o", name], cwd=place, check=True)
        objects.append(name)
    (place / "unit.o").unlink()
    subprocess.run(["gcc", "-O2", "-g", f"-I{SOURCES}", str(SOURCES / "recurse.c"), *objects, "-o", "big"], cwd=place,
                   check=True)
    for name in objects:
        (place / name).unlink()
    return program


def first_sample(command, arm, hz=999):
    if arm == "OTel":
        return first_sent(command, arm, hz)
    with Target(command) as t:
        running = Running(arm, t.pid, hz, 1)
        rss = 0
        while running.process.poll() is None:
            try:
                rss = max(rss, running.rss())
            except (FileNotFoundError, ProcessLookupError):
                break
            lib.time.sleep(0.02)
        wall = running.wait()
    if running.process.returncode and arm != "scry":
        return None
    return wall - 1, rss


def first_sent(command, arm, hz):
    with Target(command) as t:
        running = Running(arm, t.pid, hz)
        while not (lib.os.path.exists(running.out) and lib.stacks_of(arm, running.out, [t.pid])):
            if running.process.poll() is not None or lib.time.monotonic() - running.started > 60:
                running.stop()
                return None
            lib.time.sleep(0.05)
        found = lib.time.monotonic() - running.started, running.rss()
        running.stop()
    return found


def main():
    args = lib.options(__doc__, pairs=5, megabytes=500)
    rows = []
    native = ["scry", "perf -g", "OTel"]
    for name, command, arms in (
            ("python3", [pythons()[0], SOURCES / "shares.py", 3600], ["scry", "py-spy", "austin", "OTel"]),
            ("C", [target("shares"), 3600], native),
            (f"{args.megabytes} MB with debug information", [big_binary(args.megabytes), 3600, 20], native)):
        for arm in lib.available(arms, args.arms):
            runs = [r for r in (first_sample(command, arm) for _ in lib.in_turn([arm], args.pairs, name)) if r]
            rows.append((name, arm, lib.spread([1000 * r[0] for r in runs], "{:.0f}"),
                         lib.megabytes(lib.median([r[1] for r in runs]) if runs else 0)))
    lib.table("Start and end of a capture of 1 s, together (upper bound on start to first sample)",
              ("target", "profiler", "ms beyond the second", "peak RSS MB"), rows)


if __name__ == "__main__":
    main()
