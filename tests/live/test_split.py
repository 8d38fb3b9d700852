"""Split debug information: it is read as the target sees it, and only out of files."""
import os
import shutil
import subprocess

import pytest
from harness import Target, scry

SPIN = """
#include <cstdio>
#include <unistd.h>
namespace deep {
struct Waiting {
    __attribute__((always_inline)) void waits() {
        for (;;)
            pause();
    }
};
}
int main() {
    std::printf("{\\"ready\\": %d}\\n", getpid());
    std::fflush(stdout);
    deep::Waiting().waits();
}
"""


@pytest.fixture
def built(tmp_path):
    """A program whose .dwo is in the folder that it was built in, not beside it."""
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "spin.cc").write_text(SPIN)
    subprocess.run(["g++", "-O2", "-g", "-gsplit-dwarf", "-c", "spin.cc"], cwd=folder, check=True)
    subprocess.run(["g++", folder / "spin.o", "-o", tmp_path / "spin"], check=True)
    assert (folder / "spin.dwo").exists()
    return tmp_path / "spin", folder


def functions(t):
    r = scry("dump", "-p", t.pid, "--json")
    assert r.status == 0, r
    frames = r.json["threads"][0]["frames"]
    (main,) = [f for f in frames if f["function"].startswith("main")]
    assert main["line"] > 0, main
    return [f["function"] for f in frames]


def test_the_file_that_the_target_sees_is_read(built):
    """Where we see a pipe it has another file system, with the file."""
    program, folder = built
    inside = 'cp -r "$1" "$1.kept" && mount -t tmpfs none "$1" && cp "$1.kept"/* "$1" && rm -r "$1.kept" && exec "$2"'
    with Target(["unshare", "--mount", "sh", "-c", inside, "sh", folder, program]) as t:
        (folder / "spin.dwo").unlink()
        os.mkfifo(folder / "spin.dwo")
        found = functions(t)
    assert any(name.startswith("deep::Waiting::waits") for name in found), found


def test_a_pipe_in_its_place_is_left_alone(built):
    program, folder = built
    shutil.move(folder / "spin.dwo", folder / "kept")
    os.mkfifo(folder / "spin.dwo")
    with Target([program]) as t:
        without = functions(t)
        (folder / "spin.dwo").unlink()
        shutil.move(folder / "kept", folder / "spin.dwo")
        found = functions(t)
    assert not any("waits" in name for name in without), without
    assert any(name.startswith("deep::Waiting::waits") for name in found), found
