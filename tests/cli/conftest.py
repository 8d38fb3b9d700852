"""The program under test and what its tables say, for all tests of the command line."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
BUILD = pathlib.Path(os.environ.get("SCRY_BUILD", ROOT / "build"))
SCRY = pathlib.Path(os.environ.get("SCRY", BUILD / "src/cli/scry"))


def run(*arguments, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    environment = {**os.environ, "COLUMNS": "80", **more.pop("env", {})}
    return subprocess.run([str(SCRY), *map(str, arguments)], text=True, capture_output=True, timeout=60,
                          env=environment, **more)


TABLE = json.loads(run("_reference", "json").stdout) if SCRY.exists() else {}


# ---- pprof files by hand ----

def varint(v):
    v &= (1 << 64) - 1
    return bytes([v]) if v < 128 else bytes([v & 127 | 128]) + varint(v >> 7)


def message(field, *parts):
    """Of bytes, and of pairs of a field and its number."""
    data = b"".join(p if isinstance(p, bytes) else varint(p[0] << 3) + varint(p[1]) for p in parts)
    return varint(field << 3 | 2) + varint(len(data)) + data


@pytest.fixture
def scry():
    if not SCRY.exists():
        pytest.skip(f"{SCRY} is not built")
    return run


def needs_verb(name):
    return pytest.mark.skipif(name not in TABLE, reason=f"this build has no scry {name}")
