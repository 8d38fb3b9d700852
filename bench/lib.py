"""What the benchmarks share: the arms that are compared, interleaved runs, medians, a table.

How to time here. Two hardware threads of one core cost each other up to 1.8× CPU time, so: never two
measurements at once; the same load in every arm; what is compared is *work done* by a program that
counts its rounds; arms alternate A B A B …, and a figure is the median of the ratios of neighbours,
with its range. Absolute figures belong to one machine, ratios travel.
"""
import argparse
import atexit
import collections
import contextlib
import gzip
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
SAMPLY = str(CACHE / "samply/bin/samply")
OTEL = os.environ.get("SCRY_BENCH_OTEL") or str(CACHE / "bin/ebpf-profiler")
PYTHON315 = CACHE / "python3.15/bin/python3.15"
BEGAN = time.monotonic()
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


def progress(*what):
    """One line for whoever waits: the time since the start and what is measured now."""
    print(f"[{time.monotonic() - BEGAN:5.0f} s] {pathlib.Path(sys.argv[0]).stem}: {', '.join(map(str, what))}",
          file=sys.stderr, flush=True)


def in_turn(arms, pairs, *what):
    """Every arm once, `pairs` times over, and says which is next."""
    for pair in range(pairs):
        for arm in arms:
            progress(*what, arm, f"{pair + 1} of {pairs}")
            yield arm


def pythons_and_315():
    """The interpreters to measure on, and bench/setup's 3.15, which brings a sampler of its own."""
    return [*pythons(), *([str(PYTHON315)] if PYTHON315.exists() and str(PYTHON315) not in pythons() else [])]


def every_python():
    """(version, command) of an interpreter of each minor version from 3.6 on, as tests/fetch-pythons finds them."""
    lines = subprocess.run([ROOT / "tests/fetch-pythons"], check=True, text=True, stdout=subprocess.PIPE).stdout
    found = {}
    for version, *command in map(str.split, lines.splitlines()):
        minor = tuple(map(int, re.match(r"(\d+)\.(\d+)", version).groups()))
        if minor >= (3, 6) and re.fullmatch(r"[\d.]+(a|b|rc)?\d*", version):
            found.setdefault(minor, (version, command))
    return [found[minor] for minor in sorted(found)]


# ---- the profilers ----
# pid may be several, comma-separated, for those that take it.

def perf(*more, event="cpu-clock"):
    return lambda pid, hz, seconds, out: [
        "perf", "record", "-q", "-e", event, "-F", str(hz), "-o", str(out), *more, "-p", str(pid),
        *(["--", "sleep", str(seconds)] if seconds else [])]


def scry_cpu(*more, ending=".pb.gz"):
    def command(pid, hz, seconds, out):
        return [str(scry_path()), "cpu", *sum((["-p", p] for p in str(pid).split(",")), []), "-F", str(hz),
                "-o", f"{out}{ending}", "--json", "--internal", *more, *(["-d", str(seconds)] if seconds else [])]
    return command


def py_spy(*more):
    return lambda pid, hz, seconds, out: [
        str(VENV / "py-spy"), "record", "-p", str(pid), "-r", str(hz), "-d", str(int(seconds or 3600)), "-f", "raw",
        "-o", str(out), *more]


def austin(*more):
    return lambda pid, hz, seconds, out: [
        str(VENV / "austin"), "-i", str(int(1e6 / hz)), *(["-x", str(int(seconds))] if seconds else []), "-o",
        str(out), *more, "-p", str(pid)]


def samply(*more):
    """Attached, it records until Ctrl-C whatever -d says. Names are made by its viewer, unless it is asked for them."""
    return lambda pid, hz, seconds, out: [
        SAMPLY, "record", "-s", "-n", "-r", str(hz), "-o", f"{out}.json.gz", *more, "-p", str(pid)]


def tachyon(*more):
    """CPython 3.15's own sampler; it works on the same version only."""
    return lambda pid, hz, seconds, out: [
        str(PYTHON315), "-m", "profiling.sampling", "attach", "-a", "-r", str(hz), "--collapsed", "-o", str(out),
        *(["-d", str(int(seconds))] if seconds else []), *more, str(pid)]


def otel(_pid, hz, _seconds, _out):
    """The OpenTelemetry eBPF profiler, of the whole host: it can do no less. Running gives it a collector."""
    command = [OTEL, "-disable-tls", "-samples-per-second", str(hz), "-reporter-interval", "1s"]
    if not any(pathlib.Path(p, "events").exists() for p in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")):
        # It needs a tracefs: one of its own, so that nothing changes for the others.
        command = ["unshare", "-m", "sh", "-c", 'mount -t tracefs none /sys/kernel/tracing && exec "$@"', "sh", *command]
    return command


def bpftrace(pid, hz, _seconds, out):
    only = " || ".join(f"pid == {p}" for p in str(pid).split(","))
    return ["bpftrace", "-o", str(out), "-e", f"profile:hz:{hz} /{only}/ {{ @[ustack, kstack] = count() }}"]


def timer_alone(_pid, hz, _seconds, _out):
    """No profiler: what the timers that all of them use cost by themselves."""
    return [str(ROOT / "bench/timer-alone"), str(hz)]


def nothing(_pid, _hz, _seconds, _out):
    """The control: what two windows differ by when neither has a profiler is the machine's, and no profiler's."""
    return ["sleep", "86400"]


PROFILERS = {
    "nothing": nothing,
    "scry": scry_cpu(),
    "perf -g": perf("-g"),
    "perf dwarf": perf("--call-graph", "dwarf"),
    "py-spy": py_spy(),
    "py-spy --nonblocking": py_spy("--nonblocking"),
    "py-spy --native": py_spy("--native"),
    "austin": austin(),
    "austin -s": austin("-s"),
    "samply": samply(),
    "samply with names": samply("--unstable-presymbolicate"),
    "profiling.sampling": tachyon(),
    "OTel": otel,
    "bpftrace": bpftrace,
    "timer alone": timer_alone,
}
PORT = 11417


def program_of(name):
    """What has to be installed for an arm."""
    return OTEL if name == "OTel" else PROFILERS[name](1, 1, 1, WORK / "x")[0]


@contextlib.contextmanager
def setting(path, value):
    """A kernel setting for a while; nothing happens where it cannot be written."""
    path = pathlib.Path(path)
    try:
        before = path.read_text()
        path.write_text(value)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        path.write_text(before)


def available(names, only=None, python=None):
    """Those of the arms that can run here, on an interpreter of 3.15 with its own sampler; says which cannot."""
    names = [*names, *(["profiling.sampling"] if python and str(python) == str(PYTHON315) else [])]
    kept = []
    for name in names:
        program = program_of(name) if name in PROFILERS else None
        if only and name not in only.split(","):
            continue
        if program and not (shutil.which(program) or os.access(program, os.X_OK)):
            if name not in MISSING:
                print(f"({name}: {program} is not here; see bench/setup)", file=sys.stderr)
            MISSING.add(name)
            continue
        kept.append(name)
    return kept


def family(pid):
    """The process and its descendants, now."""
    found, todo = set(), [str(pid)]
    while todo:
        one = todo.pop()
        found.add(one)
        for tasks in pathlib.Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                todo += tasks.read_text().split()
    return found


MISSING = set()


class Running:
    """A profiler at work on a process: what it costs, and its end."""

    def __init__(self, name, pid, hz=99, seconds=None, command=None):
        self.name, self.out = name, WORK / f"{name.replace(' ', '_')}-{time.monotonic_ns()}"
        self.command = command or PROFILERS[name](pid, hz, seconds, self.out)
        self.around, self.seconds, self.targets = contextlib.ExitStack(), seconds, str(pid).split(",")
        if name.startswith("samply"):
            # It takes a machine without a cycle counter for a lack of permission while this is above 1.
            self.around.enter_context(setting("/proc/sys/kernel/perf_event_paranoid", "1"))
        if name == "OTel":
            self.receive()
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace")
        self.pid, self.stopped = self.process.pid, None
        atexit.register(self.leave_nothing)

    def leave_nothing(self):
        """However the benchmark ends: no profiler goes on, and the kernel's settings are what they were."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.around.close()

    def receive(self):
        """Starts the collector that the profiler sends to."""
        here = pathlib.Path(__file__).resolve().parent
        receiver = subprocess.Popen([VENV / "python3", here / "otlp-receiver", str(PORT), self.out])
        self.around.callback(receiver.wait)
        self.around.callback(receiver.terminate)
        self.command = [*self.command, "-collection-agent", f"127.0.0.1:{PORT}"]
        time.sleep(0.7)

    def warm(self, seconds=1.5):
        """Waits until it is at work: so many seconds. OTel has its programs checked by the kernel and then reads the files
        of every process of the host, which takes long on a busy machine: until it has shown a stack of the target."""
        while self.name == "OTel" and self.process.poll() is None and time.monotonic() < self.started + 120:
            if self.out.exists() and otlp_stacks(self.out, set().union(*map(family, self.targets))):
                break
            time.sleep(0.3)
        time.sleep(seconds)

    def cpu(self):
        """CPU seconds so far, with the helpers it started."""
        total = cpu_ns(self.pid)
        for child in pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            total += cpu_ns(child)
        return total

    def rss(self):
        """Peak resident set, bytes; without the BPF maps that it maps, which bpf() counts."""
        m = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text())
        mapped = re.findall(r"^[^\n]*anon_inode:bpf-map\n(?:[A-Z][^\n]*\n)*?Rss:\s+(\d+) kB",
                            pathlib.Path(f"/proc/{self.pid}/smaps").read_text(), re.M)
        return int(m.group(1)) - sum(map(int, mapped)) << 10 if m else 0

    def bpf(self, sampling=False):
        """(bytes of BPF maps, run time of BPF programs in ns, runs), by the kernel's own count for what the process
        holds open; with `sampling` of the programs alone that perf events start."""
        maps, run_ns, runs, seen = 0, 0, 0, set()
        for info in pathlib.Path(f"/proc/{self.pid}/fdinfo").iterdir():
            try:
                fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
            except OSError:
                continue
            if "map_id" in fields and fields["map_id"] not in seen:
                seen.add(fields["map_id"])
                maps += int(fields.get("memlock", "0"))
            if "prog_id" in fields and "p" + fields["prog_id"] not in seen and (
                    not sampling or fields.get("prog_type", "").strip() == "7"):
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
        self.around.close()
        return self.stopped

    def wait(self, timeout=300):
        if self.seconds and self.name.startswith(("samply", "OTel", "bpftrace")):  # they know no end of their own
            self.warm(0)
            time.sleep(self.seconds)
            self.stop()
            return time.monotonic() - self.started
        self.stdout, self.stderr = self.process.communicate(timeout=timeout)
        return time.monotonic() - self.started

    @property
    def file(self):
        for ending in ("", ".pb.gz", ".json.gz"):
            path = pathlib.Path(f"{self.out}{ending}")
            if path.exists():
                return path
        raise SystemExit(f"{self.name} wrote nothing: {' '.join(self.command)}\n{self.stderr[-1500:]}")

    def summary(self):
        return json.loads(self.stdout) if self.stdout.strip().startswith("{") else {}


# ---- what the profilers wrote ----

def clean(name):
    """A function's bare name, whatever a tool puts around it."""
    name = re.sub(r"\s*\(.*\)$", "", name.strip())
    name = re.sub(r"(\+0x[0-9a-f]+|@plt|\.(constprop|isra|part)\.\d+|:\d+)$", "", name)
    return name.rsplit(".", 1)[-1] if re.fullmatch(r"[A-Z]\w*\.\w+", name) else name


def samply_stacks(path):
    """[(frames leaf first, weight)] of the Firefox profiler's format, named by the file of symbols beside it, if any."""
    profile = json.loads(gzip.decompress(path.read_bytes()))
    symbols, beside = {}, path.with_name(path.name.replace(".json.gz", ".json.syms.json"))
    if beside.exists():
        known = json.loads(beside.read_text())
        for lib in known["data"]:
            symbols[lib["debug_name"]] = [(s["rva"], s["rva"] + s["size"], known["string_table"][s["symbol"]])
                                          for s in lib["symbol_table"]]
    found = []
    for thread in profile["threads"]:
        stacks, frames, funcs = thread["stackTable"], thread["frameTable"], thread["funcTable"]
        strings, names = thread["stringArray"], {}

        def name_of(frame):
            if frame not in names:
                func = frames["func"][frame]
                resource = funcs["resource"][func]
                lib = thread["resourceTable"]["lib"][resource] if resource is not None and resource >= 0 else None
                at = frames["address"][frame]
                names[frame] = next((n for low, high, n in symbols.get(
                    profile["libs"][lib]["debugName"] if lib is not None else None, ()) if low <= at < high),
                    strings[funcs["name"][func]])
            return clean(names[frame])

        weights = thread["samples"].get("weight") or [1] * thread["samples"]["length"]
        for stack, weight in zip(thread["samples"]["stack"], weights):
            one = []
            while stack is not None:
                one.append(name_of(stacks["frame"][stack]))
                stack = stacks["prefix"][stack]
            if one:
                found.append((one, weight))
    return found


def otlp_stacks(path, pids=None):
    """[(frames leaf first, samples)] of what bench/otlp-receiver took, of some processes or of all. A frame without a
    name, which every native one is, is (file, address). Field numbers: opentelemetry-proto, profiles/v1development."""
    fields, numbers, data, at, found = pprof._fields, pprof._numbers, path.read_bytes(), 0, []
    pids = {str(p) for p in pids} if pids else None
    while at + 4 <= len(data):
        size = int.from_bytes(data[at:at + 4], "little")
        message, at = list(fields(data[at + 4:at + 4 + size])), at + 4 + size
        tables = collections.defaultdict(list)
        for _, dictionary in (m for m in message if m[0] == 2):
            for field, value in fields(dictionary):
                tables[field].append(value)
        strings = [s.decode(errors="replace") for s in tables[5]]
        mappings = [strings[dict(fields(m)).get(4, 0)] for m in tables[1]]
        functions = [strings[dict(fields(f)).get(1, 0)] for f in tables[3]]
        locations = []
        for raw in tables[2]:
            one = collections.defaultdict(list)
            for field, value in fields(raw):
                one[field].append(value)
            lines = [functions[dict(fields(line)).get(1, 0)] for line in one[3]]
            locations.append([clean(n) for n in lines if n] or [(mappings[(one[1] or [0])[0]], (one[2] or [0])[0])])
        stacks = []
        for raw in tables[7]:
            indices = []
            for field, value in fields(raw):
                if field == 1:
                    numbers(indices, value)
            stacks.append([name for i in indices for name in locations[i]])
        for _, resource in (m for m in message if m[0] == 1):
            of = collections.defaultdict(list)
            for field, value in fields(resource):
                of[field].append(value)
            pid = next((str(dict(fields(dict(fields(a))[2])).get(3)) for r in of[1] for n, a in fields(r)
                        if n == 1 and dict(fields(a)).get(1) == b"process.pid"), None)
            if pids and pid not in pids:
                continue
            for sample in (s for scope in of[2] for n, p in fields(scope) if n == 2 for m, s in fields(p) if m == 2):
                index, values, times = 0, [], []
                for field, value in fields(sample):
                    if field == 1:
                        index = value
                    elif field == 4:
                        numbers(values, value)
                    elif field == 5:  # packed, eight bytes each
                        times += [0] * (len(value) // 8 if isinstance(value, bytes) else 1)
                found.append((stacks[index], len(times) or sum(values) or 1))
    return found


def bpftrace_stacks(path):
    """[(frames leaf first, weight)] of `@[ustack, kstack] = count()`."""
    found = []
    for user, kernel, weight in re.findall(r"^@\[(.*?),(.*?)\]: (\d+)$", path.read_text(errors="replace"), re.S | re.M):
        names = [clean(line) for part in (kernel, user) for line in part.splitlines() if line.strip()]
        found.append((names, int(weight)))
    return found


def stacks_of(name, path, pids=None, kind=None):
    """[(frames leaf first, weight)] of what a profiler wrote; of a whole host's, those of the processes asked for.
    `kind`: which value of pprof's is the weight, where it wrote that; its default one."""
    if name.startswith("samply"):
        return samply_stacks(path)
    if name == "OTel":
        return otlp_stacks(path, pids)
    if name == "bpftrace":
        return bpftrace_stacks(path)
    if name.startswith("scry"):
        p = pprof.read(path)
        index = p.value_index(kind)
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
        if name == "profiling.sampling":
            frames = [f.split(":")[1].rsplit(".", 1)[-1] if f.count(":") >= 2 else f for f in frames
                      if not f.startswith("tid:")]
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


class Failed(Exception):
    """An arm could not do what was asked of it; the others go on."""


def window(targets, arm, hz, seconds, warm=1.5):
    """What running targets say of a while in which a profiler works on the first of them ("none": nothing does).
    Returns ([truth of each], Running or None)."""
    running = None
    if arm != "none":
        running = Running(arm, targets[0].pid, hz)
        running.warm(warm)
        if running.process.poll() is not None:
            running.stop()
            if arm == "scry":
                raise SystemExit(f"{arm} ended: {running.stderr[-1500:]}")
            raise Failed(f"{arm} ended: {running.stderr.strip()[-500:]}")
    else:
        settle(0.3)
    for t in targets:
        t.mark()
    time.sleep(seconds)
    truths = [t.truth() for t in targets]
    if running:
        running.used = running.cpu(), running.rss(), running.bpf()
        running.stop()
    return truths, running


def keeps(targets, arm, hz, seconds, warm=1.5):
    """Work per wall second and per CPU second in a window. Returns (per wall, per CPU, Running or None)."""
    truths, running = window(targets, arm, hz, seconds, warm)
    per_wall = sum(t["loops"] / t["wall"] for t in truths)
    per_cpu = sum(t["loops"] for t in truths) / sum(t["cpu_ns"] / 1e9 for t in truths)
    return per_wall, per_cpu, running


STEADY = 0.03  # how far two bare windows may be apart


def steady(arm, windows):
    """The windows in which the machine kept its speed, judged by the bare ones around them alone; the steadiest third
    when they are fewer."""
    kept = [w for w in windows if w[0] <= STEADY]
    if 3 * len(kept) < len(windows):
        kept = sorted(windows, key=lambda w: w[0])[:-(-len(windows) // 3)]
    if len(kept) < len(windows):
        print(f"({arm}: {len(kept)} of {len(windows)} windows count, the bare ones around the others are up to "
              f"{100 * max(w[0] for w in windows):.0f} % apart)", file=sys.stderr)
    return kept


def between(make_targets, measure, arms, pairs, what):
    """Runs none, arm 1, none, arm 2, … `pairs` times over. Yields (arm, before, here, after): what measure(targets, arm)
    returns for an arm, and for the bare windows before and after it. An arm that fails is left out from then on."""
    targets, failed = make_targets(), set()
    try:
        before = measure(targets, "none")
        for arm in in_turn(arms, pairs, *what):
            if arm in failed:
                continue
            try:
                here = measure(targets, arm)
            except Failed as why:
                print(f"({why})", file=sys.stderr)
                failed.add(arm)
                continue
            after = measure(targets, "none")
            yield arm, before, here, after
            before = after
    finally:
        for t in targets:
            t.stop()


def interleave(make_targets, arms, hz, seconds, pairs, warm=1.5, what=()):
    """Returns {arm: ([wall ratios], [cpu ratios], [Running])}: each window is divided by the mean of the bare windows
    before and after it, and left out when those show that the machine changed its speed meanwhile."""
    found = {arm: [] for arm in arms}
    measure = lambda targets, arm: keeps(targets, arm, hz, seconds, warm)  # noqa: E731
    for arm, before, (wall, per_cpu, running), after in between(make_targets, measure, arms, pairs, what):
        bare = [(a + b) / 2 for a, b in zip(before[:2], after[:2])]
        apart = abs(before[0] - after[0]) / bare[0]
        found[arm].append((apart, wall / bare[0], per_cpu / bare[1], running))
    kept = {arm: steady(arm, windows) for arm, windows in found.items()}
    return {arm: tuple([w[i] for w in windows] for i in (1, 2, 3)) for arm, windows in kept.items()}


def gaps(depth, threads=1):
    """The command of a C program that looks for gaps in its own time, so many calls deep."""
    return [target("gaps"), 3600, threads, depth]


def python_gaps(python, depth):
    """The same in Python."""
    return [python, SOURCES / "gaps.py", 3600, depth, harness.TARGETS / "libgaps.so"]


def taken(make_targets, threads, arms, hz, seconds, pairs, what=()):
    """Returns {arm: [per cent of the CPU time of so many threads that it took from them in each window]}: what targets
    that look for gaps missed, less what they missed in the bare windows before and after."""
    def missed(targets, arm):
        truths, _ = window(targets, arm, hz, seconds)
        return 100 * sum(t["ns"]["lost"] / 1e9 / t["wall"] for t in truths) / threads

    found = {arm: [] for arm in arms}
    for arm, before, here, after in between(make_targets, missed, arms, pairs, what):
        found[arm].append(here - (before + after) / 2)
    return found


def cleanup():
    shutil.rmtree(WORK, ignore_errors=True)


atexit.register(cleanup)
