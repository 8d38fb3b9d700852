"""The names of a Python program's threads are those that the interpreter itself tells, on every version."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness  # noqa: E402
from test_python import PYTHONS, Oracle, every, needs_several_interpreters  # noqa: E402

TARGETS = pathlib.Path(__file__).resolve().parents[1] / "targets"
SCRIPT = TARGETS / "python_thread_names.py"
WITHOUT_BPF = True  # conftest: these tests need neither root nor BPF


class Program(Oracle):
    def __init__(self, command, *arguments):
        super().__init__(command, SCRIPT, *arguments)
        self.names = {int(tid): name for tid, name in self.truth["names"].items()}


def minor_of(version):
    return int(version.split(".")[1].rstrip("t"))


def dump(*arguments):
    done = harness.scry("dump", *arguments, "--json")
    assert done.status == 0, done
    return {t["tid"]: t["name"] for t in done.json["threads"]}


def comm(pid, tid):
    return pathlib.Path(f"/proc/{pid}/task/{tid}/comm").read_text().rstrip("\n")


def cut(name):
    """At most 63 bytes, whole letters, nothing that a terminal obeys."""
    name = "".join("?" if ord(c) in [*range(1, 32), 127] else c for c in name.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    return name.encode()[:63].decode(errors="ignore")


def expected(program):
    pid = program.truth["pid"]
    return {tid: cut(name) if name else comm(pid, tid) for tid, name in program.names.items()}


def differences(seen, want):
    return [(tid, seen.get(tid), name) for tid, name in want.items() if seen.get(tid) != name]


@every
@pytest.mark.parametrize("count", [0, 20, 300])
def test_threads_have_the_names_that_the_program_gave_them(version, command, count):
    with Program(command, str(count)) as program:
        want = expected(program)
        assert len(want) > count + 20 and list(want.values()).count("spinner") == 1
        assert differences(dump("-p", program.truth["pid"]), want) == []


@every
def test_a_forked_child_has_its_own(version, command):
    with Program(command, "fork") as program:
        try:
            want = expected(program)
            assert program.names[program.truth["pid"]] is not None
            assert differences(dump("-p", program.truth["pid"]), want) == []
        finally:
            os.kill(program.truth["pid"], signal.SIGKILL)


SEVERAL = [p for p in PYTHONS if minor_of(p[0]) >= 8]


@pytest.mark.parametrize("version,command", SEVERAL, ids=[v for v, _ in SEVERAL])
def test_threads_of_another_interpreter_have_names(version, command):
    needs_several_interpreters(command)
    with Program(command, "interpreter") as program:
        want = expected(program)
        assert {"of both", "of another interpreter"} <= set(want.values())
        assert differences(dump("-p", program.truth["pid"]), want) == []


@every
def test_without_the_module_threads_have_the_kernels_name(version, command):
    with Program(command, "none") as program:
        pid = program.truth["pid"]
        assert dump("-p", pid)[pid] == comm(pid, pid)


@every
def test_the_oracles_threads_have_their_names(version, command):
    with Oracle(command) as oracle:
        names = {int(tid): t["thread"] for tid, t in oracle.truth["threads"].items()}
        assert differences(dump("-p", oracle.truth["pid"]), names) == []


@every
@pytest.mark.skipif(not shutil.which("gcore"), reason="gcore is not installed")
def test_a_core_has_the_names(version, command, tmp_path):
    # Without the GIL each thread has 32 MB and more of address space of its own, and gdb writes zeros out.
    count = "0" if version.split("-")[0].endswith("t") else "300"
    with Program(command, count) as program:
        pid = program.truth["pid"]
        core = tmp_path / f"core.{pid}"
        want = {tid: cut(name) for tid, name in program.names.items() if name}
        try:
            subprocess.run(["gcore", "-o", tmp_path / "core", str(pid)], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            assert differences(dump("--core", core), want) == []
        finally:
            core.unlink()
