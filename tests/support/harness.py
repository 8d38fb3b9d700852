"""Starts the test programs and scry, for the live tests, the kernel matrix and the benchmarks.

Where things are: SCRY (the program) and SCRY_BUILD (the build directory) in the environment, else
build/ of this checkout.
"""
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

# A shell that starts this in the background makes it ignore Ctrl-C, and scry would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SCRY_BUILD", ROOT / "build"))
SOURCES = ROOT / "tests/targets"
TARGETS = BUILD / "tests/targets"


def scry_path():
    if os.environ.get("SCRY"):
        return pathlib.Path(os.environ["SCRY"])
    for place in ("src/scry", "src/cli/scry", "scry"):
        if (BUILD / place).exists():
            return BUILD / place
    return BUILD / "src/scry"


def target(name):
    """The command of a C target ("shares") or a Python one ("shares.py", run by `python`)."""
    return TARGETS / f"target-{name}"


class Target:
    """A running test program. truth() is what it says of itself since the last mark()."""

    def __init__(self, command, ready=True, timeout=30, **more):
        self.command = [str(c) for c in command]
        # A test needs its target to run, whatever else the machine does; SCRY_NICE is set by the live tests.
        if os.environ.get("SCRY_NICE") and os.geteuid() == 0:
            more.setdefault("preexec_fn", lambda: os.nice(int(os.environ["SCRY_NICE"])))
        more.setdefault("stderr", subprocess.DEVNULL)
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, **more)
        self.pid, self._buffer, self._mark = self.process.pid, b"", None
        if ready:
            self.pid = self.line(timeout)["ready"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def alive(self):
        return self.process.poll() is None

    def line(self, timeout=10):
        """The next JSON line. Raises when none comes."""
        end = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError(f"{self.command} said nothing for {timeout} s")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise EOFError(f"{self.command} ended with status {self.process.wait()}")
            self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def ask(self, timeout=10):
        os.kill(self.pid, signal.SIGUSR1)
        return self.line(timeout)

    def mark(self):
        self._mark = self.ask(), time.monotonic()

    def truth(self):
        """{"cpu_ns", "loops", "wall", "ns": {name: ns}} since mark()."""
        (before, then), now, at = self._mark, self.ask(), time.monotonic()
        return {"cpu_ns": now["cpu_ns"] - before["cpu_ns"], "loops": now["loops"] - before["loops"],
                "wall": at - then, "ns": {k: v - before["ns"].get(k, 0) for k, v in now["ns"].items()}}


class Result:
    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"status {self.status}, {self.seconds:.2f} s\n-- out:\n{self.out[-3000:]}\n-- err:\n{self.err[-3000:]}"


def scry(*arguments, timeout=60, **more):
    """Runs scry to its end."""
    start = time.monotonic()
    more.setdefault("stdin", subprocess.DEVNULL)
    try:
        done = subprocess.run([scry_path(), *map(str, arguments)], text=True, errors="replace", timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    except subprocess.TimeoutExpired as over:
        raise AssertionError(f"scry {' '.join(map(str, arguments))} did not end within {timeout} s: "
                             f"{(over.stderr or b'')[-2000:]!r}")
    return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - start)


def start_scry(*arguments, **more):
    """Starts scry and leaves it running."""
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen([scry_path(), *map(str, arguments)], text=True, errors="replace",
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def cpu_ticks(pid):
    """CPU seconds that a process has used, all its threads, ended ones too."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_ns(pid):
    """CPU seconds of a process by the scheduler's own account, living threads only."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / 1e9


def pythons():
    """Interpreters to test with: SCRY_PYTHONS (a list of paths), else the one that runs this."""
    listed = os.environ.get("SCRY_PYTHONS")
    return listed.split(":") if listed else [os.path.realpath("/usr/bin/python3") if os.path.exists(
        "/usr/bin/python3") else sys.executable]
