#!/usr/bin/env python3
"""All stacks of a Python with 50 threads, once: wall time from start to end. Bar: 30 ms."""
import subprocess

import lib
from lib import SOURCES, VENV, Target, pythons, scry_path, target


def main():
    args = lib.options(__doc__, pairs=15)
    arms = {"scry": [str(scry_path()), "dump", "-p"], "py-spy": [str(VENV / "py-spy"), "dump", "-p"],
            "py-spy --native": [str(VENV / "py-spy"), "dump", "--native", "-p"], "austin": [str(VENV / "austin"), "-w"]}
    rows = []
    for name, command, only in (("Python, 50 threads", [pythons()[0], SOURCES / "threads.py", 3600, 50], None),
                                ("Python, 1 thread", [pythons()[0], SOURCES / "shares.py", 3600], None),
                                ("C, 50 threads", [target("threads"), 3600, 50], ["scry"])):
        times = {arm: [] for arm in arms if lib.os.access(arms[arm][0], lib.os.X_OK) and (not only or arm in only)}
        with Target(command) as t:
            lib.settle(1)
            for _ in range(args.pairs):
                for arm in times:
                    begin = lib.time.monotonic()
                    done = subprocess.run([*arms[arm], str(t.pid)], capture_output=True, text=True)
                    times[arm].append(1000 * (lib.time.monotonic() - begin))
                    if done.returncode:
                        raise SystemExit(f"{arm}: {done.stderr}")
        rows += [(name, arm, lib.spread(of, "{:.1f}")) for arm, of in times.items()]
    lib.table("Dump of all stacks", ("target", "tool", "ms"), rows)


if __name__ == "__main__":
    main()
