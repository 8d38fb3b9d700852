#!/usr/bin/env python3
"""From Ctrl-C to named files on disk after 60 s × 999 Hz with two busy cores (--seconds for less).
Bar: 0.5 s to .pb.gz and to HTML. perf's figure is `perf script`, which is where its names are made. samply's file
has no names (its viewer makes them), unless it is asked for them, which it calls unstable: "samply with names"."""
import resource
import subprocess

import lib
from lib import SOURCES, Running, Target, pythons, target


def perf_script(path):
    begin = lib.time.monotonic()
    child = subprocess.Popen(["perf", "script", "-i", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = lib.os.wait4(child.pid, 0)
    child.returncode = 0
    return lib.time.monotonic() - begin, usage.ru_maxrss << 10


def main():
    args = lib.options(__doc__, seconds=60, pairs=1, hz=999)
    rows = []
    cases = (("two C threads", lambda: [Target([target("shares"), 3600, 2])]),
             ("two Pythons", lambda: [Target([pythons()[0], SOURCES / "shares.py", 3600]) for _ in range(2)]))
    for name, make in cases:
        for arm in ("scry .pb.gz", "scry .html", "perf -g", "perf dwarf", "samply", "samply with names"):
            if args.arms and arm not in args.arms.split(","):
                continue
            if not arm.startswith("scry") and (name != "two C threads" or not lib.available([arm])):
                continue
            took, size, peak = [], 0, 0
            for _ in lib.in_turn([arm], args.pairs, name):
                targets = make()
                out = lib.WORK / f"x-{lib.time.monotonic_ns()}"
                pids = [str(t.pid) for t in targets]
                if arm.startswith("scry"):
                    out = f"{out}{arm.split()[1]}"
                    command = [str(lib.scry_path()), "cpu", *sum((["-p", p] for p in pids), []), "-F", str(args.hz),
                               "-o", out, "--json"]
                else:
                    command = lib.PROFILERS[arm](",".join(pids), args.hz, None, out)
                    out = f"{out}.json.gz" if arm.startswith("samply") else out
                running = Running(arm, None, command=command)
                lib.time.sleep(args.seconds)
                peak = max(peak, running.rss())
                seconds = running.stop()
                if not lib.os.path.exists(out):
                    raise SystemExit(f"{arm} wrote nothing: {running.stderr[-1500:]}")
                size = lib.os.path.getsize(out)
                if arm.startswith("perf"):
                    more, rss = perf_script(out)
                    seconds, peak = seconds + more, max(peak, rss)
                took.append(seconds)
                for t in targets:
                    t.stop()
                lib.os.unlink(out)
            rows.append((name, arm, lib.spread(took, "{:.2f}"), lib.megabytes(peak), lib.megabytes(size)))
    lib.table(f"Ctrl-C to files, {args.seconds:g} s × {args.hz} Hz × two cores",
              ("target", "profiler", "seconds", "peak MB", "file MB"), rows)


if __name__ == "__main__":
    main()
