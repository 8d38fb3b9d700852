#!/usr/bin/env python3
"""Slowdown of two saturated cores at 99 Hz: work done while sampled ÷ work done alone, as neighbours.
"per wall" holds everything, the profiler's own CPU too; "per CPU second" holds what happens in the
target's context. OTel samples the whole host, always. Bar: at most 1 % lost."""
import lib
from lib import SOURCES, Target, pythons_and_315, target


def main():
    args = lib.options(__doc__, seconds=4, pairs=5, hz=99)
    cases = [("C, two threads", lambda: [Target([target("shares"), 3600, 2])], ["scry", "perf -g", "samply", "OTel"], None)]
    for p in pythons_and_315():
        cases.append((f"two × {p.rsplit('/', 1)[-1]}, one of them sampled",
                      lambda p=p: [Target([p, SOURCES / "recurse.py", 3600, 30]) for _ in range(2)],
                      ["scry", "py-spy", "py-spy --nonblocking", "py-spy --native", "austin", "OTel"], p))
    rows = []
    for name, make, arms, python in cases:
        found = lib.interleave(make, lib.available(arms, args.arms, python), args.hz, args.seconds, args.pairs, what=(name,))
        for arm, (wall, per_cpu, _) in found.items():
            rows.append((name, arm, lib.spread(wall), lib.spread(per_cpu)))
    lib.table(f"Speed kept at {args.hz} Hz ({args.pairs} pairs × {args.seconds:g} s)",
              ("target", "profiler", "per wall second", "per CPU second"), rows)


if __name__ == "__main__":
    main()
