#!/usr/bin/env python3
"""All stacks of a Python with 50 threads, once: wall time from start to end. Bar: 30 ms.
Where debug information is compressed (libc6-dbg is installed), scry keeps it decompressed since the first dump;
"(first time)" is that one: it finds nothing kept, and keeps it."""
import subprocess

import lib
from lib import SOURCES, VENV, Target, pythons, scry_path, target

FIRST = lib.WORK / "first"


def main():
    args = lib.options(__doc__, pairs=15)
    arms = {"scry": [str(scry_path()), "dump", "-p"],
            "scry (first time)": ["env", f"SCRY_CACHE={FIRST}", str(scry_path()), "dump", "-p"],
            "py-spy": [str(VENV / "py-spy"), "dump", "-p"],
            "py-spy --native": [str(VENV / "py-spy"), "dump", "--native", "-p"], "austin": [str(VENV / "austin"), "-w"],
            "profiling.sampling": [str(lib.PYTHON315), "-m", "profiling.sampling", "dump", "-a", "--blocking"],
            "eu-stack": ["eu-stack", "-p"], "gdb": ["gdb", "-batch", "-nx", "-ex", "thread apply all bt", "-p"]}
    rows = []
    python = ["scry", "scry (first time)", "py-spy", "py-spy --native", "austin"]
    new = [("Python 3.15, 50 threads", [lib.PYTHON315, SOURCES / "threads.py", 3600, 50],
            ["scry", "py-spy", "profiling.sampling"])] if lib.PYTHON315.exists() else []
    for name, command, only in (("Python, 50 threads", [pythons()[0], SOURCES / "threads.py", 3600, 50], python),
                                ("Python, 1 thread", [pythons()[0], SOURCES / "shares.py", 3600], python),
                                ("C, 50 threads", [target("threads"), 3600, 50], ["scry", "eu-stack", "gdb"]), *new):
        times = {arm: [] for arm in only if lib.shutil.which(arms[arm][0]) and (not args.arms or arm in args.arms.split(","))}
        with Target(command) as t:
            lib.settle(1)
            for arm in lib.in_turn(times, args.pairs, name):
                lib.shutil.rmtree(FIRST, ignore_errors=True)
                begin = lib.time.monotonic()
                done = subprocess.run([*arms[arm], str(t.pid)], capture_output=True, text=True, errors="replace")
                took = 1000 * (lib.time.monotonic() - begin)
                if not done.returncode:
                    times[arm].append(took)
                elif arm == "scry":
                    raise SystemExit(f"{arm}: {done.stderr}")
                else:
                    print(f"({arm}: {done.stderr.strip()[-200:]})", file=lib.sys.stderr)
        rows += [(name, arm, lib.spread(of, "{:.1f}")) for arm, of in times.items()]
    lib.table("Dump of all stacks", ("target", "tool", "ms"), rows)


if __name__ == "__main__":
    main()
