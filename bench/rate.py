#!/usr/bin/env python3
"""10,000 Hz on one busy process: samples taken of those that its CPU time calls for, and the slowdown.
Bars: 1 % lost, 10 % slower. Time taken and speed kept: see slowdown.py.
"timer alone" is what timers cost without a profiler; the bound is what scry prints of itself."""
import time

import lib
from lib import SOURCES, Running, Target, pythons, target


def delivered(command, arm, args):
    """Samples taken ÷ those that the CPU time of the target calls for."""
    with Target(command) as t:
        seconds = int(args.seconds)
        before, began = lib.cpu_ns(t.pid), time.monotonic()
        running = Running(arm, t.pid, args.hz, seconds)
        running.wait()
        busy = (lib.cpu_ns(t.pid) - before) / (time.monotonic() - began)
    if arm == "scry":
        p = lib.pprof.read(running.file)
        n, span = lib.pprof.count(p), p.duration_ns / 1e9
    else:
        n, span = sum(w if not arm.startswith("austin") else 1 for _, w in lib.stacks_of(arm, running.file)), seconds
    return n / (args.hz * span * busy)


def main():
    args = lib.options(__doc__, seconds=2, pairs=12, hz=10000)
    rows, python = [], pythons()[0]
    for name, command, looking, arms in (
            ("C", [target("recurse"), 3600, 30], lib.gaps(30), ["scry", "timer alone", "perf -g", "samply"]),
            ("Python", [python, SOURCES / "recurse.py", 3600, 30], lib.python_gaps(python, 30),
             ["scry", "timer alone", "py-spy", "py-spy --nonblocking", "austin"])):
        arms = lib.available(arms, args.arms)
        shares = {arm: [delivered(command, arm, args) for _ in lib.in_turn([arm], min(args.pairs, 3), name)]
                  for arm in arms if arm != "timer alone"}
        lost = lib.taken(lambda c=looking: [Target(c)], 1, arms, args.hz, args.seconds, args.pairs, (name, "time taken"))
        speeds = lib.interleave(lambda c=command: [Target(c)], arms, args.hz, args.seconds, args.pairs,
                               what=(name, "speed"))
        for arm in arms:
            bounds = [r.summary()["quality"]["slowdown_bound"] for r in speeds[arm][2] if arm == "scry"]
            rows.append((name, arm, lib.spread([100 * s for s in shares.get(arm, [])], "{:.1f}"),
                         lib.spread(lost[arm], "{:.2f}"),
                         lib.spread(speeds[arm][0]), lib.spread(speeds[arm][1]), lib.spread(bounds)))
    lib.table(f"{args.hz} Hz on one busy process",
              ("target", "profiler", "% of the samples asked for", "time taken, %", "speed kept per wall second", "per CPU second",
               "loses at most, it says"), rows)


if __name__ == "__main__":
    main()
