"""What the benchmarks share: the arms that are compared, interleaved runs, medians, a table.

How to time here. Two hardware threads of one core cost each other up to 1.8× CPU time, so: never two
measurements at once; the same load in every arm; what is compared is *work done* by a program that
counts its rounds; arms alternate A B A B …, and a figure is the median of the ratios of neighbours,
with its range. Absolute figures belong to one machine, ratios travel.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))
import harness  # noqa: E402
import pprof  # noqa: E402
from harness import SOURCES, Target, cpu_ns, cpu_ticks, pythons, scry_path, target  # noqa: E402,F401

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "scry-bench"
VENV = CACHE / "venv/bin"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="scry-bench-"))


def options(doc, **defaults):
    """The options that all benchmarks have; keyword arguments are further ones with their defaults."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=defaults.pop("seconds", 5), help="length of one window")
    parser.add_argument("--pairs", type=int, default=defaults.pop("pairs", 5), help="windows per arm")
    parser.add_argument("--arms", help="only these, comma-separated")
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    return parser.parse_args()


# ---- the profilers ----

def perf(*more, event="cpu-clock"):
    return lambda pid, hz, seconds, out: [
        "perf", "record", "-q", "-e", event, "-F", str(hz), "-o", str(out), *more, "-p", str(pid),
        *(["--", "sleep", str(seconds)] if seconds else [])]


def scry_cpu(*more, ending=".pb.gz"):
    def command(pid, hz, seconds, out):
        return [str(scry_path()), "cpu", "-p", str(pid), "-F", str(hz), "-o", f"{out}{ending}", "--json", "--internal", *more,
                *(["-d", str(seconds)] if seconds else [])]
    return command


def py_spy(*more):
    return lambda pid, hz, seconds, out: [
        str(VENV / "py-spy"), "record", "-p", str(pid), "-r", str(hz), "-d", str(int(seconds or 3600)), "-f", "raw",
        "-o", str(out), *more]


def austin(*more):
    return lambda pid, hz, seconds, out: [
        str(VENV / "austin"), "-i", str(int(1e6 / hz)), *(["-x", str(int(seconds))] if seconds else []), "-o",
        str(out), *more, "-p", str(pid)]


PROFILERS = {
    "scry": scry_cpu(),
    "perf -g": perf("-g"),
    "perf dwarf": perf("--call-graph", "dwarf"),
    "py-spy": py_spy(),
    "py-spy --nonblocking": py_spy("--nonblocking"),
    "py-spy --native": py_spy("--native"),
    "austin": austin(),
    "austin -s": austin("-s"),
}


def available(names, only=None):
    """Those of the arms that can run here; says which cannot."""
    kept = []
    for name in names:
        program = PROFILERS[name](1, 1, 1, WORK / "x")[0] if name in PROFILERS else None
        if only and name not in only.split(","):
            continue
        if program and not (shutil.which(program) or os.access(program, os.X_OK)):
            print(f"({name}: {program} is not here; see bench/setup)", file=sys.stderr)
            continue
        kept.append(name)
    return kept


class Running:
    """A profiler at work on a process: what it costs, and its end."""

    def __init__(self, name, pid, hz=99, seconds=None, command=None):
        self.name, self.out = name, WORK / f"{name.replace(' ', '_')}-{time.monotonic_ns()}"
        self.command = command or PROFILERS[name](pid, hz, seconds, self.out)
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace")
        self.pid, self.stopped = self.process.pid, None

    def cpu(self):
        """CPU seconds so far, with the helpers it started."""
        total = cpu_ns(self.pid)
        for child in pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            total += cpu_ns(child)
        return total

    def rss(self):
        """Peak resident set, bytes."""
        m = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text())
        return int(m.group(1)) << 10 if m else 0

    def bpf(self):
        """(bytes of BPF maps, run time of BPF programs in ns, runs), by what the process holds open."""
        maps, run_ns, runs, seen = 0, 0, 0, set()
        for info in pathlib.Path(f"/proc/{self.pid}/fdinfo").iterdir():
            try:
                fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
            except OSError:
                continue
            if "map_id" in fields and fields["map_id"] not in seen:
                seen.add(fields["map_id"])
                maps += int(fields.get("memlock", "0"))
            if "prog_id" in fields and "p" + fields["prog_id"] not in seen:
                seen.add("p" + fields["prog_id"])
                run_ns += int(fields.get("run_time_ns", "0"))
                runs += int(fields.get("run_cnt", "0"))
        return maps, run_ns, runs

    def stop(self, timeout=120):
        """Ctrl-C, then waits. Returns the seconds that took."""
        begin = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.stdout, self.stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.stdout, self.stderr = self.process.communicate()
            self.stderr += f"\n(killed after {timeout} s)"
        self.stopped = time.monotonic() - begin
        return self.stopped

    def wait(self, timeout=300):
        self.stdout, self.stderr = self.process.communicate(timeout=timeout)
        return time.monotonic() - self.started

    @property
    def file(self):
        for ending in ("", ".pb.gz"):
            path = pathlib.Path(f"{self.out}{ending}")
            if path.exists():
                return path
        raise SystemExit(f"{self.name} wrote nothing: {' '.join(self.command)}\n{self.stderr[-1500:]}")

    def summary(self):
        return json.loads(self.stdout) if self.stdout.strip().startswith("{") else {}


def bpf_stats(on):
    try:
        pathlib.Path("/proc/sys/kernel/bpf_stats_enabled").write_text("1" if on else "0")
        return True
    except OSError:
        return False


# ---- what the profilers wrote ----

def clean(name):
    """A function's bare name, whatever a tool puts around it."""
    name = re.sub(r"\s*\(.*\)$", "", name.strip())
    name = re.sub(r"(\+0x[0-9a-f]+|@plt|\.(constprop|isra|part)\.\d+|:\d+)$", "", name)
    return name.rsplit(".", 1)[-1] if re.fullmatch(r"[A-Z]\w*\.\w+", name) else name


def stacks_of(name, path):
    """[(frames leaf first, weight)] of what a profiler wrote."""
    if name.startswith("scry"):
        p = pprof.read(path)
        index = p.value_index()
        return [([clean(n) for n in s.names], s.values[index]) for s in p.samples]
    if name.startswith("perf"):
        text = subprocess.run(["perf", "script", "-i", path, "--no-inline", "-F", "ip,sym"], text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        found = []
        for block in re.split(r"\n\s*\n", text):
            names = [line.split(None, 1)[1] if len(line.split(None, 1)) > 1 else "?"
                     for line in block.splitlines() if line.strip()]
            if names:
                found.append(([clean(n) for n in names], 1))
        return found
    found = []
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("#") or " " not in line:
            continue
        stack, weight = line.rsplit(" ", 1)
        if not weight.isdigit():
            continue
        frames = stack.split(";")
        if name.startswith("austin"):
            frames = [f.split(":")[1] if f.count(":") >= 2 else f for f in frames if not re.match(r"[PT]\d", f)]
        frames = [clean(f) for f in frames]
        found.append((frames[::-1], int(weight)))
    return found


def shares_of(stacks, total=True):
    whole, weights = 0, collections.Counter()
    for names, weight in stacks:
        whole += weight
        for one in (set(names) if total else names[:1]):
            weights[one] += weight
    return {k: v / whole for k, v in weights.items()} if whole else {}


# ---- figures ----

def median(values):
    return statistics.median(values) if values else float("nan")


def spread(values, form="{:.3f}"):
    """"median [lowest–highest]"."""
    if not values:
        return "–"
    if len(values) == 1:
        return form.format(values[0])
    return f"{form.format(median(values))} [{form.format(min(values))}–{form.format(max(values))}]"


def megabytes(n):
    return f"{n / 1e6:.1f}"


def table(title, head, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def settle(seconds=0.5):
    time.sleep(seconds)


def keeps(targets, arm, hz, seconds, warm=1.5):
    """Work per wall second and per CPU second of running targets while a profiler works on the first
    of them ("none": nothing does). Returns (per wall, per CPU, Running or None)."""
    running = None
    if arm != "none":
        running = Running(arm, targets[0].pid, hz)
        time.sleep(warm)
        if running.process.poll() is not None:
            running.stop()
            raise SystemExit(f"{arm} ended: {running.stderr[-1500:]}")
    else:
        settle(0.3)
    for t in targets:
        t.mark()
    time.sleep(seconds)
    truths = [t.truth() for t in targets]
    if running:
        running.used = running.cpu(), running.rss(), running.bpf()
        running.stop()
    per_wall = sum(t["loops"] / t["wall"] for t in truths)
    per_cpu = sum(t["loops"] for t in truths) / sum(t["cpu_ns"] / 1e9 for t in truths)
    return per_wall, per_cpu, running


def interleave(make_targets, arms, hz, seconds, pairs, warm=1.5):
    """Runs none, arm 1, none, arm 2, … `pairs` times over. Returns {arm: ([wall ratios], [cpu ratios],
    [Running])}: each window is divided by the mean of the bare windows before and after it."""
    found = {arm: ([], [], []) for arm in arms}
    targets = make_targets()
    try:
        before = keeps(targets, "none", hz, seconds)
        for _ in range(pairs):
            for arm in arms:
                wall, per_cpu, running = keeps(targets, arm, hz, seconds, warm)
                after = keeps(targets, "none", hz, seconds)
                found[arm][0].append(wall / ((before[0] + after[0]) / 2))
                found[arm][1].append(per_cpu / ((before[1] + after[1]) / 2))
                found[arm][2].append(running)
                before = after
    finally:
        for t in targets:
            t.stop()
    return found


def cleanup():
    shutil.rmtree(WORK, ignore_errors=True)


import atexit  # noqa: E402
atexit.register(cleanup)
