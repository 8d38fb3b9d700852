"""Sampled Python stacks: the kernel interrupts a thread anywhere, also while the interpreter changes its
frames; still no sampled stack may be impossible."""
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness  # noqa: E402
import pprof  # noqa: E402
from test_python import PYTHONS  # noqa: E402
from test_python_embedded import LENT, levels, told_by  # noqa: E402

TESTS = pathlib.Path(__file__).resolve().parents[1]


def with_jit():
    """The interpreters again whose JIT is there to be switched on; they are named VERSION-jit."""
    for version, command in PYTHONS:
        jit = ["env", "PYTHON_JIT=1", *command]
        if subprocess.run([*jit, "-c", "import sys; sys.exit(not sys._jit.is_enabled())"], stderr=subprocess.DEVNULL).returncode == 0:
            yield f"{version}-jit", jit


JITS = list(with_jit())
ALL = [*PYTHONS, *JITS]
every = pytest.mark.parametrize("version,command", ALL, ids=[v for v, _ in ALL])
MAIN = {"all_of_it", "<module>", "Thread.run", "Thread._bootstrap_inner", "Thread._bootstrap", "run", "_bootstrap_inner",
        "_bootstrap"}


def through_of(truth, command):
    """The C functions that must be seen. Debian's interpreters, and those in wheels, have no names for their static
    functions; and Debian's musl says nothing of its call frames, so that a stack may end in it."""
    path = next(word for word in command if word.startswith("/"))
    nameless = "ld-linux" in path or path.startswith("/usr/bin") or "-wheel/" in path
    return {} if nameless or "-musl" in path else truth["through"]


def short(name):
    return name.rsplit(".", 1)[-1]


def impossible(names, callers, through):
    """Why a stack (root first; names of Python functions and others alike) cannot be, or None."""
    short_callers = {short(k): short(v) for k, v in callers.items() if not k.startswith("work_re") or "." not in k}
    python = [n for n in names if n in callers or short(n) in short_callers or n in MAIN or n == "recursing"
              or n in ("Number.__init__", "__init__")]
    if python and "all_of_it" in python:
        for caller, callee in zip(python, python[1:]):
            if callee in MAIN or callee in ("<genexpr>", "<listcomp>", "__init__", "Number.__init__"):
                continue
            if callee == "recursing":
                right = caller in ("recursing", "all_of_it")
            else:
                right = short(caller) == short(callers.get(callee) or short_callers[short(callee)])
            if not right:
                return f"{callee} below {caller}"
    for callee, c_functions in through.items():
        if callee in names and not names[0].startswith("[truncated"):
            at = names.index(callee)
            if not any(c in n for c in c_functions for n in names[:at]):
                return f"{callee} without {c_functions}"
    return None


@every
def test_no_sampled_stack_is_impossible(version, command, tmp_path):
    with harness.Target([*command, TESTS / "targets/python_calls.py"], ready=False) as target:
        truth = target.line()
        out = tmp_path / "calls.folded"
        result = harness.scry("cpu", "-p", truth["ready"], "-d", 3, "-F", 1999, "--internal", "-o", out)
        assert result.status == 0, result
    total = bad = whole = 0
    reasons = {}
    for line in out.read_text(errors="replace").splitlines():
        stack, count = line.rsplit(" ", 1)
        names = [n.split(" (")[0] for n in stack.split(";")]
        total += int(count)
        whole += int(count) * ("all_of_it" in names)
        why = impossible(names, truth["callers"], through_of(truth, command))
        if why:
            bad += int(count)
            reasons.setdefault(why, [0, stack])[0] += int(count)
    assert total >= 50
    # One in a thousand may be torn: the thread ran while its lists changed.
    assert bad <= max(1, 0.001 * total), f"{bad} of {total}: {sorted(reasons.items(), key=lambda r: -r[1][0])[:5]}"
    assert total - whole <= max(1, 0.001 * total), f"{whole} of {total}"


STEP = harness.BUILD / "tests/live/python_step"
STEPS = int(os.environ.get("SCRY_PYTHON_STEPS", "8000"))


@every
@pytest.mark.parametrize("thread", ["main", "thread"])
def test_no_instruction_shows_an_impossible_stack(version, command, thread):
    with harness.Target([*command, TESTS / "targets/python_calls.py", thread], ready=False) as target:
        truth = target.line()
        pid = truth["ready"]
        time.sleep(0.3)
        tid = max(map(int, os.listdir(f"/proc/{pid}/task")))
        done = subprocess.run([STEP, str(pid), str(tid), str(STEPS)], stdout=subprocess.PIPE, check=True, timeout=900)
    wrong, total, cut = [], 0, 0
    for line in done.stdout.decode(errors="replace").splitlines():
        count, pc, stack = line.split(" ", 2)
        names = [n.rstrip("*") for n in stack[1:].split(";")]
        total += int(count)
        why = impossible(names, truth["callers"], through_of(truth, command))
        if "all_of_it" not in names:
            # 3.13.5: for two instructions a new frame is in the list before it is linked to its caller.
            cut += int(count)
            continue
        if not why and names[0] in MAIN:
            why = "Python outside of its loops"
        if why:
            wrong.append((why, int(count), int(pc), ";".join(names[-12:])))
    assert total >= STEPS
    assert cut <= total / 1000, f"{cut} of {total} Python stacks are cut"
    assert not wrong, (sum(w[1] for w in wrong), total, len(wrong), wrong[:4])


# ---- what runs the instructions ----

def stripped(command, folder):
    """The command with a program that has no names for its static functions; itself, where it has none anyway."""
    program = pathlib.Path(command[-1])
    if program.parent.name != "bin" or not program.is_file() or program.read_bytes()[:4] != b"\x7fELF":
        return command, {}
    subprocess.run(["strip", "-o", folder / "python3", os.path.realpath(program)], check=True)
    return [*command[:-1], folder / "python3"], {"PYTHONHOME": str(program.parents[1])}


MACHINERY = ("_PyEval_", "_TAIL_CALL_", "_PyJIT_")
SPIN = """
import json, os
def spin(a, b):
    while True:
        a, b = b, a
print(json.dumps({"ready": os.getpid()}), flush=True)
spin(1, 2)
"""


@every
def test_what_runs_the_instructions_is_not_shown(version, command, tmp_path):
    """Neither the loop, nor the functions that may stand for it, nor code that was generated: a function that calls
    nothing, in Python or in C, is its stack's leaf."""
    command, more = stripped(command, tmp_path)
    with harness.Target([*command, "-c", SPIN], env={**os.environ, **more}) as target:
        time.sleep(0.5)  # what runs often is compiled by now
        out = tmp_path / "spin.folded"
        result = harness.scry("cpu", "-p", target.pid, "-d", 1, "-F", 1999, "--no-kernel", "-o", out)
        assert result.status == 0, result
    total = leaf = 0
    for line in out.read_text(errors="replace").splitlines():
        stack, count = line.rsplit(" ", 1)
        names = stack.split(";")
        assert not any(n.startswith(MACHINERY) for n in names), stack
        total += int(count)
        leaf += int(count) * names[-1].startswith("spin")
    assert total >= 300
    assert leaf >= 0.8 * total, f"{leaf} of {total}"


@pytest.mark.parametrize("version,command", JITS, ids=[v for v, _ in JITS])
def test_generated_code_leaves_the_python_stack_whole_and_its_lines_right(version, command, tmp_path):
    """It has no call-frame information, and up to 3.14 no frame pointer either."""
    with harness.Target([*command, TESTS / "targets/python_parallel.py", 2], ready=False) as target:
        truth = target.line()
        time.sleep(1)
        out = tmp_path / "generated.pb.gz"
        result = harness.scry("cpu", "-p", truth["ready"], "-d", 3, "-F", 1999, "--internal", "-o", out)
        assert result.status == 0, result
    profile = pprof.read(out)
    index, total, bad, whole, generated, cut = profile.value_index("samples"), 0, {}, 0, 0, 0
    for sample in profile.samples:
        count = sample.values[index]
        total += count
        whole += count * ("work" in sample.names)
        generated += count * ("[generated code]" in sample.names)
        cut += count * sample.names[-1].startswith("[truncated")
        why = wrong_line(sample.frames, truth)
        if why:
            bad[why] = bad.get(why, 0) + count
    assert total >= 500
    assert generated >= 0.1 * total, "the JIT was not at work"
    assert sum(bad.values()) <= 0.001 * total, (total, sorted(bad.items(), key=lambda b: -b[1])[:5])
    assert total - whole <= 0.001 * total, (whole, total)
    assert cut <= 0.02 * total, f"{cut} of {total} native stacks are cut"


# ---- without the GIL ----

PARALLEL = [(v, c, o) for v, c in PYTHONS if v.split("-")[0].endswith("t")
            for o in ([], ["-X", "tlbc=0"]) if not (o and v.startswith("3.13"))]


def with_trampolines():
    for version, command in PYTHONS:
        if subprocess.run([*command, "-X", "perf", "-c", "import sys; sys.exit(not sys.is_stack_trampoline_active())"],
                          stderr=subprocess.DEVNULL).returncode == 0:
            yield version, [*command, "-X", "perf"]


TRAMPOLINES = list(with_trampolines())


@pytest.mark.parametrize("version,command", TRAMPOLINES, ids=[v for v, _ in TRAMPOLINES])
def test_stacks_go_through_the_trampolines_made_for_perf(version, command, tmp_path):
    path, source = tmp_path / "x.pb.gz", tmp_path / "tramps.py"
    source.write_text("import json, os, time\n"
                      "def key(x): return -x\n"
                      "def inner(n):\n"
                      "    return sorted(range(200), key=key) if n == 0 else inner(n - 1)\n"
                      "def outer():\n"
                      "    while True: inner(10)\n"
                      "print(json.dumps({'ready': os.getpid()}), flush=True)\n"
                      "outer()\n")
    with harness.Target([*command, source]) as t:
        r = harness.scry("cpu", "-p", t.pid, "-d", 2, "-F", 499, "-o", path)
    assert r.status == 0, r
    p = pprof.read(path)
    index = p.value_index()
    whole = sum(s.values[index] for s in p.samples if python_of(s) in PATHS)
    cut = sum(s.values[index] for s in p.samples if any(n.startswith("[truncated") for n in s.names))
    assert pprof.count(p) > 100 and whole >= 0.99 * p.total(index) and cut <= 0.01 * p.total(index), r


PATHS = [["<module>", "outer", *["inner"] * n, *more] for n in range(12) for more in ([], ["key"])]


def python_of(sample):
    return [n for n in reversed(sample.names) if n in ("<module>", "outer", "inner", "key")]


def wrong_line(frames, truth):
    """Why the lines of a stack (leaf first) cannot be, or None."""
    python = [f for f in frames if f.name in truth["lines"]]
    if python and python[0].line not in truth["lines"][python[0].name]:
        return f"{python[0].name} has no line {python[0].line}"
    for callee, caller in zip(python, python[1:]):
        if caller.line not in truth["calls"].get(f"{caller.name} {callee.name}", ()):
            return f"{caller.name}:{caller.line} does not call {callee.name}"
    return None


@pytest.mark.parametrize("version,command,options", PARALLEL, ids=["-".join([v, *o[1:]]) for v, _, o in PARALLEL])
def test_threads_that_run_in_parallel_have_the_right_lines(version, command, options, tmp_path):
    """From 3.14 on each thread has a copy of the instructions of its own, unless told not to."""
    threads = 12
    with harness.Target([*command, *options, TESTS / "targets/python_parallel.py", threads], ready=False) as target:
        truth = target.line()
        out = tmp_path / "parallel.pb.gz"
        result = harness.scry("cpu", "-p", truth["ready"], "-d", 3, "-F", 1999, "-o", out)
        assert result.status == 0, result
    profile = pprof.read(out)
    index, total, bad, whole, seen = profile.value_index("samples"), 0, {}, 0, set()
    for sample in profile.samples:
        count = sample.values[index]
        if not truth["lines"].keys() & set(sample.names):
            continue  # threads are being started
        total += count
        whole += count * ("work" in sample.names)
        seen.update(f.line for f in sample.frames if f.name == "busy")
        why = wrong_line(sample.frames, truth)
        if why:
            bad[why] = bad.get(why, 0) + count
    assert total >= 500
    assert sum(bad.values()) <= 0.001 * total, (total, sorted(bad.items(), key=lambda b: -b[1])[:5])
    assert total - whole <= 0.001 * total, (whole, total)
    assert len(seen) >= 4, seen


@every
def test_code_that_took_the_place_of_other_code_has_its_own_names(version, command, tmp_path):
    """And nothing is shown that the interpreter itself hides: what sees to the end of an __init__()."""
    path = tmp_path / "x.pb.gz"
    result = harness.scry("cpu", "-F", 999, "-o", path, "--", *command, TESTS / "targets/python_cells.py")
    assert result.status == 0, result
    truth = next(json.loads(line) for line in result.out.splitlines() if line.startswith('{"cells"'))["cells"]
    found, total, all_ = {}, 0, sum(truth.values())
    for sample in pprof.read(path).samples:
        files = {frame.file for frame in sample.frames}
        assert "__init__" not in files
        for file in files & set(truth):
            found[file] = found.get(file, 0) + sample.values[0]
            total += sample.values[0]
    assert total > 800, result
    for file, seconds in truth.items():
        assert abs(found.get(file, 0) / total - seconds / all_) < 0.12, (file, found, truth)  # it was 0.7


@pytest.mark.parametrize("version,command", LENT, ids=[v for v, _ in LENT])
def test_samples_go_through_all_states_of_a_thread(version, command, tmp_path):
    """Those that call each other, in their order; also while none holds the lock."""
    path, out = "0312213030", tmp_path / "x.pb.gz"
    with told_by(version, command, tmp_path, "crosses.c", path, "busy") as truth:
        result = harness.scry("cpu", "-p", truth["pid"], "-d", 0.5, "-F", 499, "-o", out)
    assert result.status == 0, result
    stacks = [(s.values[0], [f.name for f in s.frames if f.name == "<module>" or f.name.startswith("level_")])
              for s in pprof.read(out).samples]
    total = sum(count for count, _ in stacks)
    assert total > 30
    assert sum(count for count, names in stacks if names != levels(path)) <= 0.01 * total, stacks
