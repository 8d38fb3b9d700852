#!/usr/bin/env python3
"""50 Python threads of which 49 sleep: speed kept, and samples that count a sleeper as running.
Bars: 99 % of its speed; none."""
import lib
from lib import SOURCES, Running, Target, pythons


def main():
    args = lib.options(__doc__, seconds=4, pairs=3, hz=99)
    command = [pythons()[0], SOURCES / "threads.py", 3600, 50]
    arms = lib.available(["scry", "py-spy", "py-spy --nonblocking", "austin -s"], args.arms)
    speeds = lib.interleave(lambda: [Target(command)], arms, args.hz, args.seconds, args.pairs, what=("speed",))
    rows = []
    for arm in lib.in_turn(arms, 1, "what it shows"):
        with Target(command) as t:
            r = Running(arm, t.pid, args.hz, 3)
            r.wait()
        stacks = lib.stacks_of(arm, r.file)
        whole = sum(w for _, w in stacks)
        idle = sum(w for names, w in stacks if "idle" in names or "wait" in names or "acquire" in names)
        rows.append((arm, lib.spread(speeds[arm][0]), lib.spread(speeds[arm][1]), f"{100 * idle / max(1, whole):.2f}"))
    lib.table(f"50 threads, 49 asleep, {args.hz} Hz", ("profiler", "speed kept per wall second", "per CPU second",
                                                     "% of the weight in sleepers"), rows)


if __name__ == "__main__":
    main()
