"""Folded stacks against what was put in."""
import collections

import pytest

from harness import scry


def plain(name):
    """A name as one line of frames can hold it."""
    return "".join(":" if c == ";" else " " if c < " " or "\x7f" <= c < "\xa0" else c for c in name) or "?"


@pytest.mark.parametrize("kind, seed", [("plain", 1), ("plain", 2), ("odd", 3)])
def test_every_stack_is_a_line_with_its_count(made, kind, seed):
    path, truth = made(".folded", kind, seed)
    wanted = collections.Counter()
    for s in truth.samples:
        wanted[";".join(plain(f["name"]) for f in reversed(s["frames"])) or "[no stack]"] += s["values"][0]
    lines = path.read_bytes().decode("utf-8", "replace").splitlines() if kind == "plain" else \
        path.read_bytes().decode("utf-8", "replace").split("\n")[:-1]
    found = dict(line.rsplit(" ", 1) for line in lines)
    assert len(found) == len(lines), "a stack stands on two lines"
    assert {k: int(v) for k, v in found.items()} == wanted


@pytest.mark.parametrize("kind, seed", [("plain", 1), ("odd", 3)])
def test_read_and_written_again_it_is_the_same_file(made, tmp_path, kind, seed):
    path, _ = made(".folded", kind, seed)
    again = tmp_path / "again.folded"
    text = path.read_bytes()
    if kind == "odd":  # a name that ends like a mark is taken for one
        text = text.replace(b"ends_[k]", b"ends_k")
        path.write_bytes(text)
    r = scry("convert", path, again)
    assert r.status == 0, r
    assert sorted(again.read_bytes().split(b"\n")) == sorted(text.split(b"\n"))
