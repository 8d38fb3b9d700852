"""Interpreters that are not a python command: several in one process, and inside of other programs."""
import contextlib
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness  # noqa: E402
from test_python import PYTHONS, Oracle, assert_equal_stacks, expected, needs_several_interpreters, probe  # noqa: E402

TARGETS = pathlib.Path(__file__).resolve().parents[1] / "targets"
WITHOUT_BPF = True  # conftest: these tests need neither root nor BPF


def minor_of(version):
    return int(version.split(".")[1].rstrip("t"))


# ---- several interpreters ----

SEVERAL = [p for p in PYTHONS if minor_of(p[0]) >= 8]


@pytest.mark.parametrize("options", [[], ["--no-slot"]], ids=["slot", "lists"])
@pytest.mark.parametrize("version,command", SEVERAL, ids=[v for v, _ in SEVERAL])
def test_stacks_go_through_all_interpreters_of_a_thread(version, command, options):
    needs_several_interpreters(command)
    with Oracle(command, TARGETS / "python_interpreters.py") as oracle:
        seen = probe(*options, oracle.process.pid)
    wrong = []
    for tid, thread in oracle.truth["threads"].items():
        if thread["name"] == "crossed":  # the walk has the interpreters' order; the next test is of the merged one
            continue
        found = [frame[:4] for frame in seen["threads"][tid]["frames"]]
        want = [frame[:4] for frame in expected(thread["frames"])]
        if found != want or seen["threads"][tid]["end"] != "ROOT":
            pairs = [(f, w) for f, w in zip(found + [None] * 99, want + [None] * 99) if f != w]
            wrong.append((thread["name"], seen["threads"][tid]["end"], pairs[:3]))
    assert len(oracle.truth["threads"]) == 5 and not wrong


@pytest.mark.parametrize("version,command", SEVERAL, ids=[v for v, _ in SEVERAL])
def test_interpreters_that_call_each_other_stand_in_the_calls_order(version, command):
    needs_several_interpreters(command)
    with Oracle(command, TARGETS / "python_interpreters.py") as oracle:
        dump = harness.scry("dump", "-p", oracle.process.pid, "--json")
    threads = {str(t["tid"]): t["frames"] for t in dump.json["threads"]}
    for tid, thread in oracle.truth["threads"].items():
        found = [(f["function"].rsplit(".", 1)[-1], f["line"]) for f in threads[tid] if f["kind"] == "python"]
        assert found == [(name, line) for name, _, _, line, _, _ in thread["frames"]], thread["name"]


# ---- inside of another program ----

ASK = """
import sys, sysconfig as s
print(s.get_config_var("LDLIBRARY"), s.get_config_var("LIBRARY"), s.get_path("include"), sys.prefix, sep="\\n")
print(s.get_config_var("LIBS"), s.get_config_var("SYSLIBS"), "-ldl -lutil -lm")
"""


def find(folder, name):
    return next((p for p in sorted(folder.glob(f"lib*/**/{name}")) if p.exists()), None) if name else None


def link_options(prefix, way, shared, static, libraries):
    """What the linker is told, or None when there is no such library."""
    found = find(prefix, static if way == "static" else shared)
    if not found or (way != "static" and ".so" not in shared):
        return None
    if way == "dlopened":
        return [f'-DEMBEDS_LIBRARY="{found}"', "-ldl"]
    if way == "linked":
        return [str(found), f"-Wl,-rpath,{found.parent}"]
    return ["-no-pie", "-rdynamic", str(found), *libraries.split()]


def embedded(version, command, folder, way, source="embeds.c"):
    """Builds the program; returns its command and environment, or says why not."""
    shared, static, include, prefix, libraries = subprocess.run([*command, "-c", ASK], text=True, stdout=subprocess.PIPE,
                                                                check=True).stdout.splitlines()
    options = link_options(pathlib.Path(prefix), way, shared, static, libraries)
    if not options or not pathlib.Path(include, "Python.h").exists():
        pytest.skip("its library or its headers are not installed")
    program = folder / "embeds"
    musl = version.endswith("-musl")
    compiler = ["musl-gcc"] if musl else shlex.split(os.environ.get("CC", shutil.which("cc") or "gcc"))
    subprocess.run([*compiler, "-O2", "-w", f"-I{include}", f"-I{prefix}/include", TARGETS / source, "-o", program, *options,
                    "-Wl,--allow-shlib-undefined"], check=True)
    if subprocess.run([*command[:-1], program], stderr=subprocess.DEVNULL).returncode != 2:
        pytest.skip("its C library is older than ours")
    return [*command[:-1], str(program)], dict(os.environ, PYTHONHOME=prefix)


def assert_own_frames_are_rootward(pid, truth, names):
    """What an embedding program does itself stays to be seen, rootward of its Python."""
    dump = harness.scry("dump", "-p", pid, "--json")
    assert dump.status == 0, dump
    main = next(t for t in dump.json["threads"] if t["tid"] == truth["pid"])
    seen = [f["function"] for f in main["frames"]]
    python = [f["function"].rsplit(".", 1)[-1] for f in main["frames"] if f["kind"] == "python"]
    assert python == [frame[0] for frame in truth["threads"][str(truth["pid"])]["frames"]]
    last = max(i for i, f in enumerate(main["frames"]) if f["kind"] == "python")
    assert any(name in names for name in seen[last + 1:]), seen


def ways(version, command):
    """Debian's archives want libraries that need not be here, those of other releases another C library too."""
    if version.endswith("-musl"):
        return ["static"]
    return ["linked", "dlopened"] if len(command) > 1 or command[0].startswith("/usr/bin/") else ["linked", "dlopened", "static"]


EMBEDDED = [(version, command, way) for version, command in PYTHONS if "-wheel/" not in command[0] for way in ways(version, command)]
WHEELS = [p for p in PYTHONS if "-wheel/" in p[1][0]]


@pytest.mark.parametrize("version,command,way", EMBEDDED, ids=[f"{v}-{way}" for v, _, way in EMBEDDED])
def test_an_embedding_program_has_the_interpreters_frames(version, command, way, tmp_path):
    program, environment = embedded(version, command, tmp_path, way)
    with Oracle(program, env=environment) as oracle:
        seen = probe(oracle.process.pid)
        assert_equal_stacks(seen, oracle.truth)
        assert seen["slot"] and seen["complete"]
        if not version.endswith("-musl"):  # Debian's musl says nothing of its call frames
            assert_own_frames_are_rootward(oracle.process.pid, oracle.truth, {"main"})


# ---- states that one thread makes and another runs ----

LENT = [p for p in PYTHONS if "-wheel/" not in p[1][0]]


@contextlib.contextmanager
def told_by(version, command, folder, source, *arguments):
    """Builds a program of tests/targets, which gets the name of a file first, and runs it until the block ends; what it
    wrote into that file."""
    way, told = "static" if version.endswith("-musl") else "linked", folder / "told"
    program, environment = embedded(version, command, folder, way, source)
    process = subprocess.Popen([*program, str(told), *arguments], env=environment, stderr=subprocess.DEVNULL)
    try:
        while not (told.exists() and told.read_text().endswith("\n")):
            assert process.poll() is None
            time.sleep(0.01)
        yield json.loads(told.read_text())
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("mode", ["lent", "waiting", "passed"])
@pytest.mark.parametrize("version,command", LENT, ids=[v for v, _ in LENT])
def test_a_state_that_another_thread_made_is_shown_where_it_runs(version, command, mode, tmp_path):
    with told_by(version, command, tmp_path, "lends.c", mode) as truth:
        threads = {t["tid"]: t for t in harness.scry("dump", "-p", truth["pid"], "--json").json["threads"]}
    python = {tid: [f["function"] for f in t["frames"] if f["kind"] == "python"] for tid, t in threads.items()}
    assert python == {tid: ["in_lent_state", "<module>"] if tid == truth["runs"] else [] for tid in threads}
    assert len(threads) == (3 if mode == "passed" else 2)


# ---- states of one thread that call each other ----

def levels(path):
    return [name for n in reversed(range(len(path))) for name in (f"level_{n}", "<module>")]


@pytest.mark.parametrize("path", ["0123", "3210 one", "0101010101", "001122330011 one", "0312213030213" * 3])
@pytest.mark.parametrize("version,command", LENT, ids=[v for v, _ in LENT])
def test_calls_among_states_stand_in_their_order(version, command, path, tmp_path):
    with told_by(version, command, tmp_path, "crosses.c", *path.split()) as truth:
        threads = harness.scry("dump", "-p", truth["pid"], "--json").json["threads"]
    path = path.split()[0]
    assert len(threads) == 1
    python = [f["function"] for f in threads[0]["frames"] if f["kind"] == "python"]
    assert python == levels(path)
    assert "were not found" not in json.dumps(threads)


STARTS = """
import runpy, sys
def init():
    pass
def run(*_):
    del sys.argv[0]
    sys.path.append(sys.path[0] + "/lib-dynload")
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("version,command", WHEELS, ids=[v for v, _ in WHEELS])
def test_a_script_made_into_a_program_has_the_interpreters_frames(version, command, tmp_path):
    """As cx_Freeze makes them: the interpreter is in the program, which is stripped and starts it by itself."""
    root, program, library = pathlib.Path(command[0]).parent, tmp_path / "embeds", tmp_path / "lib"
    name = pathlib.Path(command[0]).name
    shutil.copy(root / "bin" / name, program)
    library.mkdir()
    for module in "__init__embeds.py", "__startup__.py":  # the former since 0.7
        (library / module).write_text(STARTS)
    (library / "library.dat").write_text("library")
    (library / "library").symlink_to(root / "lib" / name)
    with Oracle([str(program)]) as oracle:
        assert_equal_stacks(probe(oracle.process.pid), oracle.truth)
        assert_own_frames_are_rootward(oracle.process.pid, oracle.truth, {"[embeds]", "__libc_start_main", "_start"})
