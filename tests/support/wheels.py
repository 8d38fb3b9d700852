"""Packages from PyPI for interpreters that have no pip of their own: unpacked into the test cache, used by PYTHONPATH."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "scry-tests" / "wheels"
PLATFORMS = ["manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_24_x86_64", "manylinux_2_28_x86_64"]


def wheel(package, version):
    """The folder to put on PYTHONPATH, for a CPython version as fetch-pythons prints it ("3.13.2t"). None, and why,
    when no wheel of the package fits."""
    major, minor = version.split(".")[:2]
    tag = f"cp{major}{minor}" + ("t" if version.split("-")[0].endswith("t") else "")
    at = CACHE / f"{package}-{tag}"
    if at.exists():
        return at, ""
    abis = [tag] + ([tag + "m"] if int(minor) < 8 else [])
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--implementation",
             "cp", "--python-version", f"{major}{minor}", "-d", work,
             *[word for p in PLATFORMS for word in ("--platform", p)], *[word for a in abis for word in ("--abi", a)],
             package], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        found = list(pathlib.Path(work).glob("*.whl"))
        if done.returncode or not found:
            return None, f"no {package} for {tag}: {done.stdout.strip().splitlines()[-1:]}"
        with zipfile.ZipFile(found[0]) as archive:
            archive.extractall(pathlib.Path(work) / "unpacked")
        shutil.move(pathlib.Path(work) / "unpacked", at)
    return at, ""
