#!/usr/bin/env python3
"""Deep stacks: 4,000 calls whole, in C and Python; 900 deep at 99 Hz the target keeps its speed.
Bars: whole; 98 % (py-spy leaves 1–3 %). Time taken and speed kept: see slowdown.py."""
import lib
from lib import SOURCES, Running, Target, pythons, target


def kept(command, arm, hz, name="descend"):
    """Of every sample: how many frames are called `name`."""
    with Target(command) as t:
        r = Running(arm, t.pid, hz, 2)
        r.wait()
    counts = [(names.count(name), int(weight)) for names, weight in lib.stacks_of(arm, r.file, [t.pid], "samples")]
    if arm.startswith("austin"):  # it weighs in microseconds, a line per sample
        counts = [(n, 1) for n, _ in counts]
    return [n for n, weight in counts for _ in range(weight)]


def main():
    args = lib.options(__doc__, seconds=3, pairs=3, hz=99)
    rows = []
    for name, command, depth, arms in (
            ("C", [target("recurse"), 3600], 4000, ["scry", "perf -g", "perf dwarf", "samply with names"]),
            ("Python", [pythons()[0], SOURCES / "recurse.py", 3600], 4000, ["scry", "austin", "OTel"]),
            ("Python", [pythons()[0], SOURCES / "recurse.py", 3600], 900, ["scry", "py-spy", "austin", "OTel"])):
        for arm in lib.available(arms, args.arms):
            lib.progress(f"{name} {depth}", arm)
            counts = kept([*command, depth], arm, args.hz)
            full = 100 * sum(c == depth for c in counts) / max(1, len(counts))
            rows.append((f"{name} {depth}", arm, len(counts), f"{lib.median(counts):g}", f"{full:.1f}"))
    lib.table("Depth kept", ("target", "profiler", "samples", "frames kept (median)", "% of samples whole"), rows)
    rows, python = [], pythons()[0]
    for name, working, looking, arms in (
            ("C, 900 deep", [target("recurse"), 3600, 900], lib.gaps(900), ["nothing", "scry"]),
            ("C, 4,000 deep", [target("recurse"), 3600, 4000], lib.gaps(4000), ["nothing", "scry"]),
            ("Python, 900 deep", [python, SOURCES / "recurse.py", 3600, 900],
             lib.python_gaps(python, 900), ["nothing", "scry", "py-spy", "py-spy --nonblocking", "austin"])):
        arms = lib.available(arms, args.arms)
        lost = lib.taken(lambda c=looking: [Target(c)], 1, arms, args.hz, args.seconds, args.pairs, (name, "time taken"))
        found = lib.interleave(lambda c=working: [Target(c)], arms, args.hz, args.seconds, args.pairs, what=(name, "speed kept"))
        rows += [(name, arm, lib.spread(lost[arm], "{:.2f}"), lib.spread(w), lib.spread(c))
                 for arm, (w, c, _) in found.items()]
    lib.table(f"Deep, at {args.hz} Hz",
              ("target", "profiler", "time taken, %", "speed kept, per wall second", "per CPU second"), rows)


if __name__ == "__main__":
    main()
