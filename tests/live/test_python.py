"""The Python reader against the interpreters' own answers, for every interpreter that fetch-pythons finds.

Stacks: function, qualified name, file, line, first line and column of every frame of every thread equal
sys._current_frames(). Lines: every instruction of the standard library's code objects has the line (and
columns) that the interpreter's co_positions(), co_lines() or dis.findlinestarts() gives it.
"""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import struct
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness  # noqa: E402

TESTS = pathlib.Path(__file__).resolve().parents[1]
PROBE = harness.BUILD / "tests/live/python_probe"
LINES = harness.BUILD / "tests/live/python_lines"
WITHOUT_BPF = True  # conftest: these tests need neither root nor BPF


def interpreters():
    loader = importlib.machinery.SourceFileLoader("fetch_pythons", str(TESTS / "fetch-pythons"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module.pythons(say=NOT_HERE.append)


NOT_HERE = []  # why packages' interpreters are not here
PYTHONS = interpreters()
every = pytest.mark.parametrize("version,command", PYTHONS, ids=[v for v, _ in PYTHONS])


def needs_several_interpreters(command):
    """Skips where one cannot be made: a program that has the interpreter in it may lack the functions for it."""
    ask = "try: import _interpreters\nexcept ImportError: import _xxsubinterpreters"
    if subprocess.run([*command, "-c", ask], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this interpreter can make no others")


class Oracle:
    """The standing program, and what it says of itself."""

    def __init__(self, command, script=TESTS / "targets/python_oracle.py", *arguments, **more):
        self.process = subprocess.Popen([*command, str(script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)
        self.truth = json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def probe(*arguments):
    done = subprocess.run([PROBE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def shown(text):
    """Text as scry writes it to JSON: what is not UTF-8 becomes U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def expected(frames):
    return [[shown(qualname or name), shown(file), line or 0, first, 0 if column is None else column + 1]
            for name, qualname, file, line, first, column in frames]


def assert_equal_stacks(seen, truth):
    assert not truth["failed"]
    wrong = []
    for tid, thread in truth["threads"].items():
        got, want = seen["threads"][tid], expected(thread["frames"])
        if got["frames"] != want or got["end"] != "ROOT":
            pairs = [(g, w) for g, w in zip(got["frames"] + [None] * 99, want + [None] * 99) if g != w]
            wrong.append((thread["name"], got["end"], pairs[:3]))
    assert not wrong


def test_the_interpreters_that_packages_have_are_here():
    if NOT_HERE:
        pytest.skip("; ".join(NOT_HERE))


@every
def test_every_frame_of_every_thread_is_the_interpreters_own(version, command):
    with Oracle(command) as oracle:
        seen = probe(oracle.process.pid)
        assert_equal_stacks(seen, oracle.truth)
        assert seen["version"].split()[0] == version.split("-")[0].rstrip("t")
        assert ("free-threaded" in seen["version"]) == version.endswith("t")


@every
def test_the_thread_is_found_in_its_own_slot(version, command):
    with Oracle(command) as oracle:
        seen = probe(oracle.process.pid)
        assert seen["slot"] and seen["complete"] and seen["code_type"]


@every
def test_the_thread_is_found_in_the_lists(version, command):
    with Oracle(command) as oracle:
        assert_equal_stacks(probe("--no-slot", oracle.process.pid), oracle.truth)


# ---- lines ----

DESCRIBE = r"""
import dis, json, os, struct, sys, types
minor = sys.version_info[1]
out = sys.stdout.buffer

def answers(code):
    n = len(code.co_code) // 2
    if minor >= 11:
        return [(a or 0, 0 if c is None else c + 1, b or 0, 0 if d is None else d + 1)
                for a, b, c, d in code.co_positions()][:n]
    lines = [0] * n
    if minor == 10:
        for start, end, line in code.co_lines():
            for i in range(start // 2, end // 2):
                lines[i] = line or 0
    else:
        starts = dict(dis.findlinestarts(code))
        line = code.co_firstlineno
        for i in range(n):
            line = starts.get(2 * i, line)
            lines[i] = line
    return [(line, 0, 0, 0) for line in lines]

def describe(code):
    table = code.co_lnotab if minor < 10 else code.co_linetable
    right = answers(code)
    out.write(struct.pack("<III", code.co_firstlineno, len(table), len(right)) + table)
    out.write(b"".join(struct.pack("<IIII", *a) for a in right))
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            describe(c)

folder = os.path.dirname(os.__file__)
names = sorted(n for n in os.listdir(folder) if n.endswith(".py"))
for name in names + ["json/decoder.py", "email/message.py", "asyncio/tasks.py", "collections/__init__.py"]:
    path = os.path.join(folder, name)
    try:
        with open(path, "rb") as f:
            source = f.read()
        code = compile(source, path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        continue
    describe(code)
"""


@every
def test_every_instruction_of_the_standard_library_has_its_line(version, command):
    blob = subprocess.run([*command, "-c", DESCRIBE], stdout=subprocess.PIPE, check=True).stdout
    records, right, at = [], [], 0
    while at < len(blob):
        _, size, count = struct.unpack_from("<III", blob, at)
        records.append(blob[at:at + 12 + size])
        at += 12 + size
        right += struct.iter_unpack("<IIII", blob[at:at + 16 * count])
        at += 16 * count
    minor = version.split(".")[1]
    done = subprocess.run([LINES, minor], input=b"".join(records), stdout=subprocess.PIPE, check=True)
    seen = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    if int(minor) < 11:
        seen = [(line, 0, 0, 0) for line, _, _, _ in seen]
    assert len(seen) == len(right) > 100000
    assert [(i, s, r) for i, (s, r) in enumerate(zip(seen, right)) if s != r][:5] == []
