#!/usr/bin/env python3
"""BPF time per sample, by the kernel's own statistics (kernel.bpf_stats_enabled), on stacks of several
depths. Bar: 10 µs for mixed stacks of about 30 frames."""
import lib
from lib import SOURCES, Running, Target, pythons, target


def main():
    args = lib.options(__doc__, seconds=4, pairs=3, hz=499)
    python = pythons()[0]
    cases = [("C, 6 frames", [target("shares"), 3600]), ("C, 30 frames", [target("recurse"), 3600, 25]),
             ("C, 1,000 frames", [target("recurse"), 3600, 1000]), ("Python mixed, real calls", [python, SOURCES / "shares.py", 3600]),
             ("Python, 30 deep", [python, SOURCES / "recurse.py", 3600, 26]),
             ("Python, 900 deep", [python, SOURCES / "recurse.py", 3600, 900])]
    rows = []
    if not lib.bpf_stats(True):
        raise SystemExit("kernel.bpf_stats_enabled cannot be written: run as root")
    try:
        for name, command in cases:
            times, frames = [], 0
            for _ in range(args.pairs):
                with Target(command) as t:
                    running = Running("scry", t.pid, args.hz)
                    lib.time.sleep(2)
                    _, ns0, n0 = running.bpf()
                    lib.time.sleep(args.seconds)
                    _, ns1, n1 = running.bpf()
                    running.stop()
                p = lib.pprof.read(running.file)
                frames = lib.median([len(s.frames) for s in p.samples])
                times.append((ns1 - ns0) / 1000 / max(1, n1 - n0))
            rows.append((name, f"{frames:g}", lib.spread(times, "{:.1f}")))
    finally:
        lib.bpf_stats(False)
    lib.table(f"BPF time per run at {args.hz} Hz", ("target", "frames in the profile (median)", "µs per run"), rows)


if __name__ == "__main__":
    main()
