"""Interpreters that are not a python command: several in one process, and inside of other programs."""
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

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
        found = [frame[:4] for frame in seen["threads"][tid]["frames"]]
        want = [frame[:4] for frame in expected(thread["frames"])]
        if found != want or seen["threads"][tid]["end"] != "ROOT":
            pairs = [(f, w) for f, w in zip(found + [None] * 99, want + [None] * 99) if f != w]
            wrong.append((thread["name"], seen["threads"][tid]["end"], pairs[:3]))
    assert len(oracle.truth["threads"]) == 4 and not wrong


# ---- inside of another program ----

ASK = "import sys, sysconfig as s; print(s.get_config_var('LDLIBRARY'), s.get_config_var('LIBDIR'), s.get_path('include'), sys.prefix, sep='\\n')"


def embedded(version, command, folder, by_dlopen):
    """Builds the program; returns its command and environment, or says why not."""
    if len(command) > 1:
        pytest.skip("this interpreter is unpacked, not installed")
    library, where, include, prefix = subprocess.run([*command, "-c", ASK], text=True, stdout=subprocess.PIPE,
                                                     check=True).stdout.split("\n")[:4]
    library = pathlib.Path(where, library)
    if ".so" not in library.name or not library.exists() or not pathlib.Path(include, "Python.h").exists():
        pytest.skip("its library or its headers are not installed")
    program = folder / "embeds"
    options = [f'-DEMBEDS_LIBRARY="{library}"', "-ldl"] if by_dlopen else [str(library), f"-Wl,-rpath,{where}"]
    compiler = shlex.split(os.environ.get("CC", shutil.which("cc") or "gcc"))
    subprocess.run([*compiler, "-O2", "-w", f"-I{include}", TARGETS / "embeds.c", "-o", program, *options], check=True)
    return [str(program)], dict(os.environ, PYTHONHOME=prefix)


@pytest.mark.parametrize("by_dlopen", [False, True], ids=["linked", "dlopened"])
@pytest.mark.parametrize("version,command", PYTHONS, ids=[v for v, _ in PYTHONS])
def test_an_embedding_program_has_the_interpreters_frames(version, command, by_dlopen, tmp_path):
    program, environment = embedded(version, command, tmp_path, by_dlopen)
    with Oracle(program, env=environment) as oracle:
        assert_equal_stacks(probe(oracle.process.pid), oracle.truth)
        dump = harness.scry("dump", "-p", oracle.process.pid, "--json")
    assert dump.status == 0, dump
    main = next(t for t in dump.json["threads"] if t["tid"] == oracle.truth["pid"])
    names = [f["function"] for f in main["frames"]]
    python = [f["function"].rsplit(".", 1)[-1] for f in main["frames"] if f["kind"] == "python"]
    assert python == [frame[0] for frame in oracle.truth["threads"][str(oracle.truth["pid"])]["frames"]]
    # What an embedding program does itself stays to be seen, rootward of its Python.
    assert "main" in names and names.index("main") > names.index(python[-1]), names
