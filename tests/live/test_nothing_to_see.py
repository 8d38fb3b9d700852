"""What cannot be sampled, or not any more, is said: control groups that go and come, what stands still, containers."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pprof
import pytest
from harness import Target, scry, scry_path, start_scry, target

GUESS = "it slept, or it was too brief"


@pytest.fixture
def group():
    """make() makes the group, or makes it anew; it returns its directory."""
    base = next((fields[4] for fields in map(str.split, open("/proc/self/mountinfo")) if "cgroup2" in fields), None)
    if not base:
        pytest.skip("no cgroup v2 here")
    mine = pathlib.Path(base, f"scry-nothing-{os.getpid()}", "service")

    def remove():
        for directory in (mine / "inner", mine):
            if directory.exists():
                directory.rmdir()

    def make():
        remove()
        try:
            mine.mkdir(parents=True)
        except OSError as e:
            pytest.skip(f"cannot make a cgroup: {e}")
        return mine

    make.remove = remove
    yield make
    for _ in range(50):  # what was killed leaves it a moment later
        try:
            remove()
            mine.parent.rmdir()
            break
        except OSError:
            time.sleep(0.1)


def enter(directory, pid):
    (directory / "cgroup.procs").write_text(str(pid))


def test_a_group_that_is_made_anew_is_followed(tmp_path, group):
    path, first = tmp_path / "x.pb.gz", group()
    with Target([target("recurse"), 60, 10]) as t:
        enter(first, t.pid)
        s = start_scry("cpu", "--cgroup", first, "-d", 7, "-F", 499, "-o", path)
        time.sleep(1.5)
    time.sleep(0.2)
    second = group()
    (second / "inner").mkdir()
    with Target([target("shares")]) as t:
        enter(second / "inner", t.pid)
        out, err = s.communicate(timeout=60)
    assert s.returncode == 0, err
    found = pprof.shares(pprof.read(path))
    assert "descend" in found and found.get("alpha", 0) > 0.05, (found, err)
    assert "made anew, 1 time:" in " ".join(out.split()), out


def test_a_group_that_is_gone_is_said(tmp_path, group):
    path, directory = tmp_path / "x.pb.gz", group()
    with Target([target("shares")]) as t:
        enter(directory, t.pid)
        s = start_scry("cpu", "--cgroup", directory, "-F", 499, "-o", path)
        time.sleep(1.5)
    time.sleep(0.2)
    group.remove()
    time.sleep(2.5)
    assert s.poll() is None  # a service may come back
    s.send_signal(signal.SIGINT)
    out, err = s.communicate(timeout=30)
    assert "was gone from second" in " ".join((out + err).split()), (out, err)
    assert "alpha" in pprof.shares(pprof.read(path))


def empty(tmp_path, *arguments, **more):
    """What is said when there is not one sample."""
    r = scry("cpu", *arguments, "-d", 1, "-o", tmp_path / "x.pb.gz", **more)
    said = " ".join((r.out + r.err).split())
    assert r.status == 0 and GUESS not in said and "Capture longer" not in said, r
    return said


def test_an_empty_group_is_said(tmp_path, group):
    assert "has no processes" in empty(tmp_path, "--cgroup", group())


def test_a_stopped_target_is_said(tmp_path):
    with Target([target("shares")]) as t:
        os.kill(t.pid, signal.SIGSTOP)
        assert f"is stopped. kill -CONT {t.pid} lets it go on" in empty(tmp_path, "-p", t.pid)


def test_a_frozen_target_is_said(tmp_path, group):
    directory = group()
    with Target([target("shares")]) as t:
        enter(directory, t.pid)
        (directory / "cgroup.freeze").write_text("1")
        try:
            time.sleep(0.3)
            assert "is frozen, by its control group" in empty(tmp_path, "-p", t.pid)
            assert "is frozen. What froze it thaws it" in empty(tmp_path, "--cgroup", directory)
        finally:
            (directory / "cgroup.freeze").write_text("0")


def contained(tmp_path, *arguments):
    """Run in a pid namespace of its own."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare here")
    r = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", scry_path(), "cpu", *map(str, arguments), "-d", "1", "-o",
                        tmp_path / "x.pb.gz"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if "unshare failed" in r.stderr or "Operation not permitted" in r.stderr:
        pytest.skip(r.stderr)
    assert r.returncode == 0, r
    return " ".join((r.stdout + r.stderr).split())


def test_in_a_container_all_is_not_the_whole_host(tmp_path):
    with Target([target("shares")]):
        said = contained(tmp_path, "-a")
    assert "all of this container" in said and "whole host" not in said, said
    assert "processes outside of it are not seen" in said, said
    assert "whole host" in " ".join(scry("cpu", "-a", "-d", 0.5, "-o", tmp_path / "y.pb.gz").out.split())


def test_in_a_container_a_group_of_others_is_said(tmp_path, group):
    directory = group()
    with Target([target("shares")]) as t:
        enter(directory, t.pid)
        said = contained(tmp_path, "--cgroup", directory)
    assert "processes outside of it are not seen" in said and GUESS not in said, said
