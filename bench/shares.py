#!/usr/bin/env python3
"""Accuracy: the largest error in points of each function's share, against programs that measure
themselves. Bar: 2 points at 2,000 samples (random sampling alone errs by σ = 1.1). With --every-python 1 the Python
program runs on each version from 3.6 on, and the C programs do not."""
import lib
from lib import SOURCES, Running, Target, pythons_and_315, target

NATIVE = ["scry", "perf -g", "perf dwarf", "samply with names"]
PYTHON = ["scry", "py-spy", "austin", "OTel"]


def one(command, arm, args):
    """The largest error over functions, how many stacks it saw, and the worst function."""
    with Target(command) as t:
        running = Running(arm, t.pid, args.hz)
        running.warm()
        t.mark()
        lib.time.sleep(args.seconds)
        truth = t.truth()
        running.stop()
    try:
        stacks = lib.stacks_of(arm, running.file, [t.pid])
    except SystemExit as why:
        if arm == "scry":
            raise
        print(f"({str(why)[:400]})", file=lib.sys.stderr)
        stacks = []
    if not stacks and arm != "scry":
        return None
    found = lib.shares_of(stacks)
    errors = {name: 100 * abs(found.get(name, 0) - ns / truth["cpu_ns"]) for name, ns in truth["ns"].items()}
    worst = max(errors, key=errors.get)
    return errors[worst], worst, sum(w for _, w in stacks) if arm.startswith(("perf", "py-spy")) else len(stacks)


def main():
    args = lib.options(__doc__, seconds=21, pairs=1, hz=99, every_python=0)
    cases = [(name, [target(name)], NATIVE) for name in ("shares", "shares-O3", "shares-nopie", "instep")]
    cases += [(f"instep, {periods} periods", [target("instep"), 600, round(periods * 1e9 / args.hz)], NATIVE)
              for periods in (2, 3.354, 4)]
    cases += [(f"shares.py {p.rsplit('/', 1)[-1]}", [p, SOURCES / "shares.py"], PYTHON) for p in pythons_and_315()]
    if args.every_python:
        cases = [(f"shares.py {version}", [*command, SOURCES / "shares.py"], PYTHON)
                 for version, command in lib.every_python()]
    rows = []
    for name, command, arms in cases:
        for arm in lib.available(arms, args.arms, command[0]):
            runs = [one(command, arm, args) for _ in lib.in_turn([arm], args.pairs, name)]
            if None in runs:
                rows.append((name, arm, "saw nothing", ""))
                continue
            rows.append((name, arm, lib.spread([r[0] for r in runs], "{:.2f}"), runs[-1][1]))
    lib.table(f"Largest error in points, {args.hz} Hz × {args.seconds:g} s", ("target", "profiler", "error", "worst"),
              rows)


if __name__ == "__main__":
    main()
