"""Recorded cores: every version's stacks as the interpreter itself told them, read on any machine.

See `record`. Neither the interpreter nor its file is here, nor are privileges needed: `scry dump --core` has only
the memory in the core.
"""
import gzip
import json
import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SCRY = pathlib.Path(os.environ.get("SCRY", HERE.parents[1] / "build/src/cli/scry"))
CORES = sorted(HERE.glob("*.core.zst"))
each = pytest.mark.parametrize("core", CORES, ids=[c.name.split(".core")[0] for c in CORES])


def dump(core, sysroot):
    done = subprocess.run([SCRY, "dump", "--core", core, "--sysroot", sysroot, "--json"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shown(text):
    """Text as scry writes it to JSON: what is not UTF-8 becomes U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def expected(frames):
    return [[shown(qualname or name), shown(file), line or 0, 0 if column is None else column + 1]
            for name, qualname, file, line, _, column in frames]


@each
def test_every_frame_and_thread_name_of_a_recorded_core_is_the_interpreters_own(core, tmp_path):
    truth = json.loads(gzip.decompress(core.with_name(core.name.replace(".core.zst", ".json.gz")).read_bytes()))
    threads = {str(t["tid"]): t for t in dump(core, tmp_path)["threads"]}
    wrong = []
    for tid, thread in truth["threads"].items():
        found = [[f["function"], f["file"], f["line"], f.get("column", 0)] for f in threads[tid]["frames"]
                 if f["kind"] == "python" and not f["mark"]]
        want = expected(thread["frames"])
        if found != want:
            pairs = [(f, w) for f, w in zip(found + [None] * 99, want + [None] * 99) if f != w]
            wrong.append((thread["name"], len(found), len(want), pairs[:3]))
    assert not wrong
    assert {t: threads[t]["name"] for t in truth["threads"]} == {
        t: thread["thread"] for t, thread in truth["threads"].items()}
    minor = ".".join(truth["version"].split(".")[:2])
    assert all(threads[tid]["runtime"].startswith(f"python {minor}") for tid in truth["threads"])


def test_code_whose_file_is_not_here_has_the_files_name(tmp_path):
    answer = dump(CORES[0], tmp_path)
    names = {f["function"] for t in answer["threads"] for f in t["frames"] if f["kind"] == "native" and not f["mark"]}
    assert names and all(n.startswith(("[libc", "[libpthread")) for n in names), names
    assert any("--sysroot" in note for note in answer["notes"]), answer["notes"]


def test_a_core_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path):
    """As the kernel leaves one: the notes come first, then the memory."""
    core = tmp_path / "core"
    subprocess.run(["zstd", "-q", "-d", CORES[-1], "-o", core], check=True)
    whole, size, short = dump(core, tmp_path), core.stat().st_size, []
    assert "cut short" not in str(whole["notes"])
    for tenths in range(9, 2, -1):
        os.truncate(core, size * tenths // 10)
        cut = dump(core, tmp_path)
        assert [t["tid"] for t in cut["threads"]] == [t["tid"] for t in whole["threads"]]
        short += re.findall(r"cut short, by ([\d.]+) MB", str(cut["notes"]))
    assert short == [f"{(size - size * tenths // 10) / 1e6:.1f}" for tenths in range(9, 2, -1)]


def test_there_is_a_core_of_every_version():
    minors = {int(c.name.split(".")[1].rstrip("t")) for c in CORES}
    assert minors >= set(range(6, 16)), minors


def test_the_cores_are_small():
    sizes = {c.name: c.stat().st_size for c in HERE.glob("*.[cj]*")}
    assert sum(sizes.values()) <= 2 << 20 and max(sizes.values()) <= 200 << 10, sizes
