#!/usr/bin/env python3
"""What a profiler itself uses while it samples one process at 99 Hz: CPU per second, peak RSS, BPF maps.
Bars: 0.5 % of one core; RSS + maps 60 MB (whole host 100 MB)."""
import lib
from lib import SOURCES, Running, Target, pythons, scry_path, target


def one(command, arm, args, host=False):
    with Target(command) as t:
        whole = lib.WORK / f"host-{lib.time.monotonic_ns()}"
        running = Running(arm, t.pid, args.hz, command=[
            str(scry_path()), "cpu", "-a", "-F", str(args.hz), "-o", f"{whole}.pb.gz", "--json"]
            if host and arm == "scry" else None)
        running.warm(3)  # what it does once, at the start, is another figure
        once, begin = running.cpu(), lib.time.monotonic()
        lib.time.sleep(args.seconds)
        used = (running.cpu() - once) / (lib.time.monotonic() - begin)
        rss, (maps, _, _) = running.rss(), running.bpf()
        running.stop()
    return once, used, rss, maps


def main():
    args = lib.options(__doc__, seconds=10, pairs=3, hz=99)
    python = pythons()[0]
    cases = [("C, one busy thread", [target("shares"), 3600], ["scry", "perf -g", "perf dwarf", "samply"], False),
             ("C, 50 threads, 49 idle", [target("threads"), 3600, 50], ["scry", "perf -g"], False),
             ("Python, one thread", [python, SOURCES / "shares.py", 3600], ["scry", "py-spy", "austin"], False),
             ("Python, 50 threads, 49 idle", [python, SOURCES / "threads.py", 3600, 50], ["scry", "py-spy", "austin"],
              False),
             *[(f"Python {p.rsplit('python', 1)[-1]}, one thread", [p, SOURCES / "shares.py", 3600], ["scry", "py-spy", "austin"],
                False) for p in lib.pythons_and_315()[len(pythons()):]],
             ("whole host", [target("shares"), 3600, 2], ["scry", "OTel"], True)]
    rows = []
    for name, command, arms, host in cases:
        arms = lib.available(arms, args.arms, command[0])
        runs = {arm: [] for arm in arms}
        for arm in lib.in_turn(arms, args.pairs, name):
            runs[arm].append(one(command, arm, args, host))
        for arm, of in runs.items():
            rows.append((name, arm, lib.spread([100 * r[1] for r in of], "{:.2f}"),
                         lib.spread([r[0] for r in of], "{:.2f}"), lib.megabytes(lib.median([r[2] for r in of])),
                         lib.megabytes(lib.median([r[3] for r in of])),
                         lib.megabytes(lib.median([r[2] + r[3] for r in of]))))
    lib.table(f"Own cost at {args.hz} Hz", ("target", "profiler", "% of a core", "CPU s until then", "RSS MB",
                                           "BPF maps MB", "sum MB"), rows)


if __name__ == "__main__":
    main()
