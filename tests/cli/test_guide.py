"""Every example of the guide that is marked `run` does what it says: it ends with status 0 and says something."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, SCRY, TABLE

BLOCK = re.compile(r"^```sh run\n(.*?)^```", re.M | re.S)
EXAMPLES = [(page.name, line) for page in sorted((ROOT / "docs/guide").glob("*.md"))
            for block in BLOCK.findall(page.read_text()) for line in block.splitlines() if line.strip()]

WORK = """
import zlib
data = b"".join(b"%d" % (i * i) for i in range(20000))
def compress():
    return zlib.compress(data)
def one_round():
    sum(i * i for i in range(20000)); compress()
print("ready", flush=True)
while True:
    one_round()
"""


# Only these are no fault of scry's: a capture that fails otherwise is a failure of the guide.
LACKS_PRIVILEGE = re.compile(r"scry: (Sampling needs CAP_|The kernel refuses BPF although|The kernel is locked down)")


def lacks_privilege(done):
    return done.returncode == 1 and LACKS_PRIVILEGE.match(done.stderr)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `scry` first in PATH, a busy process as $PID, and its profile."""
    if not {"cpu", "convert", "report"} <= set(TABLE):
        pytest.skip("this build has no capture")
    folder = tmp_path_factory.mktemp("guide")
    (folder / "bin").mkdir()
    (folder / "bin/scry").symlink_to(SCRY)
    (folder / "work.py").write_text(WORK)
    process = subprocess.Popen([sys.executable, folder / "work.py"], stdout=subprocess.PIPE)
    process.stdout.readline()
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PID": str(process.pid)}
    try:
        first = shell("scry cpu -p $PID -d 1 -F 499 -o profile.pb.gz", folder, environment)
        if lacks_privilege(first):
            pytest.skip(f"nothing can be captured here: {first.stderr.strip()}")
        assert first.returncode == 0, first
        yield folder, environment
    finally:
        process.kill()
        process.wait()


def shell(line, folder, environment):
    return subprocess.run(["bash", "-c", line], cwd=folder, env=environment, text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize("page, line", EXAMPLES, ids=[f"{page}: {line}" for page, line in EXAMPLES])
def test_the_example_works(place, page, line):
    done = shell(line, *place)
    assert done.returncode == 0, done.stderr
    written = re.search(r"(?:-o |profile.pb.gz )(\w[\w.]+\.\w+)", line)
    if written:
        assert (place[0] / written[1]).stat().st_size > 0
    else:
        assert done.stdout.strip()


@pytest.mark.parametrize("status, told, missing", [
    (1, "scry: Sampling needs CAP_BPF and CAP_PERFMON, which this user does not have.\n", True),
    (1, "scry: The kernel did not accept the sampler: Invalid argument.\n", False),
    (1, "", False), (-11, "", False), (-11, "scry: Sampling needs CAP_BPF", False), (2, "scry: There is nothing to profile.\n", False),
])
def test_the_guide_is_left_out_for_missing_privilege_alone(status, told, missing):
    assert bool(lacks_privilege(subprocess.CompletedProcess([], status, "", told))) == missing


def test_the_guide_has_examples_of_every_verb():
    for verb in TABLE:
        assert any(f"scry {verb}" in line for _, line in EXAMPLES), verb


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_compares_by_the_figures_that_were_measured():
    done = subprocess.run([sys.executable, ROOT / "bench/comparison", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_demo_knows_where_everything_is():
    assert shutil.which("bash") and (ROOT / "demo/run").exists()
    assert os.access(ROOT / "demo/run", os.X_OK) and os.access(ROOT / "tools/setup", os.X_OK)
