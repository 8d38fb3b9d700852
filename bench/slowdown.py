#!/usr/bin/env python3
"""Slowdown of two saturated cores at 99 Hz, seen in two ways. Bar: at most 1 % lost.
Time taken: what a program that reads the clock all the time misses of it, 30 calls deep, less what it misses in the
windows before and after, where nothing samples. It holds everything but what a cache forgets, in per cent of the CPU
time that the target would have had, and does not depend on how fast the machine is.
Speed kept: work done while sampled ÷ work done alone, as neighbours. "per wall" holds everything; "per CPU second" what
happens in the target's context. It is as noisy as the machine.
"nothing" is no profiler at all: what it shows is noise. OTel samples the whole host, always."""
import lib
from lib import SOURCES, Target, pythons_and_315, target

NATIVE = ["nothing", "scry", "perf -g", "samply", "OTel"]
PYTHON = ["nothing", "scry", "py-spy", "py-spy --nonblocking", "py-spy --native", "austin", "OTel"]


def cases():
    """[(name, what works, what looks for gaps, arms, its interpreter)]"""
    found = [("C, two threads", lambda: [Target([target("shares"), 3600, 2])], lambda: [Target(lib.gaps(30, threads=2))],
              NATIVE, None)]
    for p in pythons_and_315():
        found.append((f"two × {p.rsplit('/', 1)[-1]}, one of them sampled",
                      lambda p=p: [Target([p, SOURCES / "recurse.py", 3600, 30]) for _ in range(2)],
                      lambda p=p: [Target(lib.python_gaps(p, 30)) for _ in range(2)],
                      PYTHON, p))
    return found


def main():
    args = lib.options(__doc__, seconds=4, pairs=5, hz=99, only="")
    rows = []
    for name, working, looking, arms, python in cases():
        if args.only not in name:
            continue
        arms = lib.available(arms, args.arms, python)
        lost = lib.taken(looking, 2, arms, args.hz, args.seconds, args.pairs, (name, "time taken"))
        found = lib.interleave(working, arms, args.hz, args.seconds, args.pairs, what=(name, "speed kept"))
        rows += [(name, arm, lib.spread(lost[arm], "{:.2f}"), lib.spread(wall), lib.spread(per_cpu))
                 for arm, (wall, per_cpu, _) in found.items()]
    lib.table(f"Two saturated cores at {args.hz} Hz ({args.pairs} pairs × {args.seconds:g} s)",
              ("target", "profiler", "time taken, %", "speed kept, per wall second", "per CPU second"), rows)


if __name__ == "__main__":
    main()
