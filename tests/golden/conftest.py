"""Formats against the tools they are for. What a profile holds comes from the program that made it by chance."""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
import harness  # noqa: E402

MAKER = harness.BUILD / "tests/golden/random_profile"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "scry-tests"


class Truth:
    """What the maker says it put in."""

    def __init__(self, text):
        self.samples = json.loads(text)["samples"]

    def values(self, index):
        return sum(s["values"][index] for s in self.samples)

    def by_function(self, index, leaf):
        """{name: value} of self (leaf) or total values; recursion counts once."""
        found = collections.Counter()
        for s in self.samples:
            names = [f["name"] for f in s["frames"]]
            for name in names[:1] if leaf else set(names):
                found[name] += s["values"][index]
        return dict(found)

    def multiset(self, of):
        """{of(sample): values added up}"""
        found = {}
        for s in self.samples:
            key = of(s)
            before = found.get(key, (0,) * len(s["values"]))
            found[key] = tuple(a + b for a, b in zip(before, s["values"]))
        return found


@pytest.fixture
def made(tmp_path):
    """made(ending, kind="plain", seed=1): a file and the truth about it."""
    def make(ending, kind="plain", seed=1):
        path = tmp_path / f"made-{kind}-{seed}{ending}"
        done = subprocess.run([MAKER, str(seed), kind, path], capture_output=True, check=True)
        return path, Truth(done.stdout.decode())
    return make


def tool(name, *places):
    found = shutil.which(name) or next((p for p in places if os.access(p, os.X_OK)), None)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="session")
def go():
    """go("-raw", path): the text that go tool pprof prints, which must not complain."""
    program = tool("go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go")

    def run(*arguments):
        done = subprocess.run([program, "tool", "pprof", "-symbolize=none", *map(str, arguments)],
                              capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stderr
        return done.stdout
    return run


@pytest.fixture(scope="session")
def protoc():
    return tool("protoc")


SPEEDSCOPE = "1.25.0"


@pytest.fixture(scope="session")
def speedscope():
    """speedscope(path): what speedscope's own importer makes of a file, as import.mjs tells it."""
    node = tool("node")
    folder = CACHE / f"speedscope-{SPEEDSCOPE}"
    if not (folder / "package/package.json").exists():
        npm = tool("npm")
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([npm, "pack", "--silent", f"speedscope@{SPEEDSCOPE}"], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"npm could not fetch speedscope: {done.stderr[-300:]}")
        subprocess.run(["tar", "xzf", f"speedscope-{SPEEDSCOPE}.tgz"], cwd=folder, check=True)

    def run(path):
        script = pathlib.Path(__file__).with_name("speedscope_import.mjs")
        done = subprocess.run([node, script, folder / "package", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)
    run.package = folder / "package"
    return run
