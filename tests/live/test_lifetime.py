"""Beginnings and ends: of the target, of its children, of scry."""
import contextlib
import ctypes
import gzip
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

import pprof
import pytest
from conftest import Capture, assert_shares, in_kernel, rooted
from harness import SOURCES, Target, pythons, scry, scry_path, start_scry, target


def wait_until_sampling(process, seconds=1.5):
    time.sleep(seconds)
    assert process.poll() is None, process.communicate()


def test_a_started_command_is_sampled_from_its_first_instruction(tmp_path):
    path = tmp_path / "brief.pb.gz"
    r = scry("cpu", "-F", 4999, "-o", path, "--", target("brief"), 300, 7)
    assert r.status == 7, r
    truth = [line for line in r.out.splitlines() if line.startswith('{"cpu_ns"')]
    assert truth, "the command's own output must pass through"
    p = pprof.read(path)
    c = Capture(p, r, None, path)
    assert c.samples >= 50, r
    assert_shares(c.total(), {"first": 0.5, "second": 0.5}, c.samples)
    assert rooted(p) >= 0.995


@pytest.mark.parametrize("status", [0, 3])
def test_the_commands_exit_status_is_ours(tmp_path, status):
    r = scry("cpu", "-o", tmp_path / "x.folded", "--", "sh", "-c", f"exit {status}")
    assert r.status == status, r


def test_the_command_has_the_limits_that_scry_had(tmp_path):
    r = scry("cpu", "-o", tmp_path / "x.folded", "--", "sh", "-c", "ulimit -n; nice",
             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    assert r.status == 0 and r.out.split()[:2] == ["200", str(os.nice(0))], r


def test_while_nobody_reads_what_it_writes_a_signal_ends_scry(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with Target([target("shares")]) as t:
        for number in (signal.SIGINT, signal.SIGTERM):
            s = start_scry("cpu", "-p", t.pid, "-d", 0.5, "-t", "html", "-q", "-o", pipe)
            time.sleep(2)
            assert s.poll() is None
            s.send_signal(number)
            assert s.wait(10) == -number
            s.communicate()


def test_a_command_killed_by_a_signal_gives_128_and_the_signal(tmp_path):
    r = scry("cpu", "-o", tmp_path / "x.folded", "--", "sh", "-c", "kill -TERM $$")
    assert r.status == 128 + signal.SIGTERM, r


def test_ctrl_c_reaches_the_command_whenever_it_comes(tmp_path):
    """Also before the command was started: then it never is."""
    for ms in range(0, 101, 10):
        s = start_scry("cpu", "-q", "-o", tmp_path / "x.folded", "--", "sh", "-c", "while :; do :; done", start_new_session=True)
        time.sleep(ms / 1000)
        os.killpg(s.pid, signal.SIGINT)
        try:
            status = s.wait(5)
        finally:
            left = subprocess.run(["pgrep", "-s", str(s.pid)], capture_output=True, text=True).stdout.split()
            if left:
                os.killpg(s.pid, signal.SIGKILL)
        s.communicate()
        assert not left, f"after {ms} ms"
        assert status in (128 + signal.SIGINT, -signal.SIGINT), (ms, status)


def test_a_command_that_does_not_exist_is_said(tmp_path):
    r = scry("cpu", "-o", tmp_path / "x.folded", "--", "/does/not/exist")
    assert r.status in (1, 127) and "/does/not/exist" in r.err, r
    assert not (tmp_path / "x.folded").exists()


def test_a_daemon_that_a_command_leaves_is_named(tmp_path):
    def run(command):
        r = scry("cpu", "-o", tmp_path / "x.folded", "--", "sh", "-c", command)
        assert r.status == 0, r
        return r.err

    said = re.search(r"sh has ended, and a process that it started goes on; to sample that: scry cpu -p (\d+)",
                     run("sleep 20 >/dev/null 2>&1 & sleep 0.2"))
    assert said
    with open(f"/proc/{said[1]}/comm") as f:
        assert f.read() == "sleep\n"
    os.kill(int(said[1]), signal.SIGKILL)
    assert "goes on" not in run("sleep 0.1 & wait")


def test_verbose_prints_no_more_than_a_person_reads(tmp_path):
    r = scry("cpu", "-v", "-q", "-o", tmp_path / "x.folded", "--", "true")
    assert r.status == 0 and len(r.err.splitlines()) < 50, r


def test_children_are_followed(capture):
    with Target([target("execs"), 60, 20]) as t:
        c = capture(t)
    truth = c.truth["ns"]["children"] / (c.truth["ns"]["children"] + c.truth["ns"]["parent"])
    found = c.total()
    assert found.get("child_work", 0) == pytest.approx(truth, abs=0.08), found
    # Half of them live only after an exec.
    assert found.get("exec_work", 0) >= 0.3 * truth, found
    assert rooted(c.profile) >= 0.95


def test_children_that_were_there_before_are_taken_along(tmp_path):
    path = tmp_path / "x.pb.gz"
    parent = subprocess.Popen(["sh", "-c", f"sh -c '{target('shares')} 60 & wait' & wait"], stdout=subprocess.DEVNULL,
                              start_new_session=True)
    try:
        time.sleep(0.5)
        r = scry("cpu", "-p", parent.pid, "-d", 2, "-F", 499, "-o", path)
        assert r.status == 0 and "and its children" in r.out, r
        assert "alpha" in pprof.shares(pprof.read(path))
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


def test_a_storm_of_children_of_two_milliseconds_is_kept(capture):
    with Target([target("execs"), 60, 2]) as t:
        c = capture(t, hz=1999)
    truth = c.truth["ns"]["children"] / (c.truth["ns"]["children"] + c.truth["ns"]["parent"])
    assert 1 - c.total().get("parent_work", 0) >= truth - 0.1, c.total()


def assert_all_is_there(path, truth_ns):
    """By the kernel's account of the processes themselves."""
    p = pprof.read(path)
    assert p.total(p.value_index("cpu")) == pytest.approx(truth_ns, rel=0.05), (pprof.count(p), truth_ns)


def test_what_takes_down_a_process_is_its_own_time(tmp_path):
    path = tmp_path / "x.pb.gz"
    r = scry("cpu", "-F", 997, "-o", path, "--", target("heavy"), 40, 64)
    assert r.status == 0, r
    assert_all_is_there(path, json.loads(r.out.splitlines()[1])["cpu_ns"])


def test_a_process_is_sampled_until_nothing_is_left_of_it(tmp_path):
    """Its end is told before its memory is given back: that of its children, and its own."""
    path = tmp_path / "x.pb.gz"
    with Target([target("heavy"), 40, 64, "wait"]) as t:
        s = start_scry("cpu", "-p", t.pid, "-F", 997, "-o", path)
        wait_until_sampling(s)
        truth = t.ask(30)["cpu_ns"]
        _, err = s.communicate(timeout=30)
    assert s.returncode == 0, err
    assert_all_is_there(path, truth)


def test_what_takes_down_a_process_has_its_name(tmp_path):
    source = tmp_path / "large.py"
    source.write_text("import os\n"
                      "data = bytearray(256 << 20)\n"
                      "for i in range(0, len(data), 4096): data[i] = 1\n"
                      "print('{\"ready\": %d}' % os.getpid(), flush=True)\n"
                      "input()\n"
                      "os._exit(0)\n")
    path = tmp_path / "x.pb.gz"
    with Target([pythons()[0], source], stdin=subprocess.PIPE) as t:
        s = start_scry("cpu", "-p", t.pid, "-F", 2999, "-o", path)
        wait_until_sampling(s)
        t.process.stdin.write(b"\n")
        t.process.stdin.close()
        _, err = s.communicate(timeout=30)
    p = pprof.read(path)
    torn_down = [sample for sample in p.samples if all(in_kernel(f) for f in sample.frames)]
    assert s.returncode == 0 and len(torn_down) > 10, (pprof.shares(p), err)
    assert {sample.labels.get("runtime", "")[:6] for sample in torn_down} == {"python"}, [s.labels for s in torn_down]


def test_programs_that_live_for_a_moment_have_whole_stacks(tmp_path):
    path = tmp_path / "x.pb.gz"
    program = "import time\nwhile time.process_time() < 0.1: pass"
    r = scry("cpu", "-o", path, "-F", 299, "--", "sh", "-c",
             f"for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do '{pythons()[0]}' -c '{program}'; done")
    assert r.status == 0, r
    p = pprof.read(path)
    cut = {name: share for name, share in pprof.shares(p).items() if name.startswith(("[truncated", "[not walked"))}
    assert pprof.count(p) > 300 and sum(cut.values()) <= 0.02, (cut, r)


def test_commands_that_end_before_they_can_be_asked_have_names(tmp_path):
    """A shell script of short commands: each lives for about a millisecond."""
    path = tmp_path / "brief.pb.gz"
    r = scry("cpu", "-F", 4999, "-o", path, "--", "sh", "-c",
             "i=0; while [ $i -lt 600 ]; do /bin/true; /bin/echo x >/dev/null; i=$((i+1)); done")
    assert r.status == 0, r
    p = pprof.read(path)
    index = p.value_index()
    whole = p.total(index)
    unknown = sum(s.values[index] for s in p.samples if any("not walked" in n for n in s.names))
    loader = sum(s.values[index] for s in p.samples if any(n.startswith(("_dl_", "dl_", "[ld-linux")) for n in s.names))
    assert pprof.count(p) >= 500 and unknown <= 0.02 * whole, (unknown, whole, r)
    assert loader >= 0.1 * whole, pprof.shares(p)  # what such commands do is to load their libraries
    cut = sum(s.values[index] for s in p.samples if any(n.startswith("[truncated") for n in s.names))
    assert cut <= 0.06 * whole  # the loader begins at the kernel's jump to it: nothing called that
    processes = {s.labels.get("process") for s in p.samples}
    assert {"true", "echo"} <= processes and not any("?" in (name or "") for name in processes), processes


def test_a_python_that_was_forked_and_has_ended_is_named_by_its_parent(tmp_path):
    path = tmp_path / "forks.pb.gz"
    source = tmp_path / "forks.py"
    source.write_text("import os, time\n"
                      "def handle():\n"
                      "    s = 0\n"
                      "    for i in range(20000): s += i * i\n"
                      "end = time.time() + 4\n"
                      "while time.time() < end:\n"
                      "    child = os.fork()\n"
                      "    if child == 0:\n"
                      "        handle()\n"
                      "        os._exit(0)\n"
                      "    os.waitpid(child, 0)\n")
    r = scry("cpu", "-F", 999, "-o", path, "--", pythons()[0], source)
    assert r.status == 0, r
    shares = pprof.shares(pprof.read(path))
    assert shares.get("handle", 0) > 0.1 and shares.get("[Python code that is gone]", 0) <= 0.002, shares


def test_what_scry_runs_where_no_cpu_is_idle_counts_as_lost_speed(tmp_path):
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() + 1):
            stack.enter_context(Target([target("shares")]))
        r = scry("cpu", "-d", 3, "--json", "--", "sh", "-c",
                 "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done >/dev/null & sleep 3.5; kill $!")
    told = r.json["quality"]
    assert told["slowdown_bound"] > 0.1 * told["self_cpu_seconds"] / 3, (told, r)


def test_what_scry_cannot_look_at_in_time_is_whole_all_the_same(tmp_path):
    """Code is mapped and used while scry is stopped: half a second of stacks that the kernel has no tables for."""
    path = tmp_path / "x.pb.gz"
    source = tmp_path / "late.py"
    source.write_text("import os, json, signal\n"
                      "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
                      "print(json.dumps({'ready': os.getpid()}), flush=True)\n"
                      "signal.sigwait([signal.SIGUSR1])\n"
                      "import _bz2\n"
                      "data = os.urandom(1 << 20)\n"
                      "print('{}', flush=True)\n"
                      "while True: _bz2.BZ2Compressor(9).compress(data)\n")
    with Target([pythons()[0], source]) as t:
        s = start_scry("cpu", "-p", t.pid, "-d", 2.5, "-F", 999, "-o", path)
        wait_until_sampling(s)
        s.send_signal(signal.SIGSTOP)
        t.ask()
        time.sleep(0.5)
        s.send_signal(signal.SIGCONT)
        _, err = s.communicate(timeout=30)
    profile = pprof.read(path)
    assert pprof.count(profile) > 300 and "_bz2" in str(pprof.shares(profile)), err
    assert sum(share for name, share in pprof.shares(profile).items() if name.startswith("[truncated")) <= 0.01, err


@contextlib.contextmanager
def frozen(tid):
    """One thread of another process stands still."""
    ptrace = ctypes.CDLL(None).ptrace
    ptrace.argtypes = [ctypes.c_ulong] * 4
    seize, interrupt, detach, wall = 0x4206, 0x4207, 17, 0x40000000
    assert ptrace(seize, tid, 0, 0) == 0 and ptrace(interrupt, tid, 0, 0) == 0
    os.waitpid(tid, wall)
    yield
    assert ptrace(detach, tid, 0, 0) == 0


def test_while_tables_are_loaded_the_ring_is_read(tmp_path):
    """The thread that finishes walks stands still for a second, as if a disk kept it waiting, while programs that it has
    not seen yet fill the ring many times over with copies of their deep stacks."""
    path = tmp_path / "x.pb.gz"
    source = tmp_path / "starts.py"
    source.write_text("import os, json, signal, subprocess, sys, time\n"
                      "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
                      "print(json.dumps({'ready': os.getpid()}), flush=True)\n"
                      "end = time.monotonic() + 1\n"
                      "while time.monotonic() < end: sum(range(1000))\n"
                      "signal.sigwait([signal.SIGUSR1])\n"
                      "all = [subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL) for _ in range(2)]\n"
                      "print('{}', flush=True)\n"
                      "for one in all: one.wait()\n")
    with Target([pythons()[0], source, target("recurse"), 2, 600]) as t:
        s = start_scry("cpu", "-p", t.pid, "-d", 5, "-F", 1999, "-o", path)
        wait_until_sampling(s, 2)
        aside = [int(tid) for tid in os.listdir(f"/proc/{s.pid}/task")
                 if pathlib.Path(f"/proc/{s.pid}/task/{tid}/comm").read_text() == "scry-aside\n"]
        assert len(aside) == 1, aside
        with frozen(aside[0]):
            t.ask()
            time.sleep(1)
        _, err = s.communicate(timeout=60)
    profile = pprof.read(path)
    assert "descend" in pprof.shares(profile), err
    cut = {name: share for name, share in pprof.shares(profile).items() if name.startswith("[truncated")}
    assert sum(cut.values()) <= 0.001, (cut, err)


def test_a_process_that_is_named_twice_is_one(tmp_path):
    path = tmp_path / "x.pb.gz"
    with Target([target("shares"), 60]) as t:
        p = start_scry("cpu", "-p", t.pid, "-p", t.pid, "-o", path)
        time.sleep(1.5)
        os.kill(t.pid, signal.SIGKILL)
        assert p.wait(timeout=20) == 0
    assert "alpha" in pprof.shares(pprof.read(path))


def test_a_target_that_dies_ends_the_capture_with_its_data(tmp_path):
    path = tmp_path / "x.pb.gz"
    with Target([target("shares"), 3]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 30, "-F", 499, "-o", path)
    assert r.status == 0 and r.seconds < 8, r
    p = pprof.read(path)
    assert pprof.count(p) >= 20 and "alpha" in pprof.shares(p)


def test_a_target_that_is_killed_keeps_its_names(tmp_path):
    path = tmp_path / "x.pb.gz"
    with Target([pythons()[0], SOURCES / "shares.py"]) as t:
        s = start_scry("cpu", "-p", t.pid, "-d", 30, "-F", 499, "-o", path)
        time.sleep(3)
        t.process.kill()
        t.process.wait()
        _, err = s.communicate(timeout=20)
    assert s.returncode == 0, err
    found = pprof.shares(pprof.read(path))
    for name in ("pure_loop", "one_round", "sort_words"):
        assert name in found, sorted(found.items(), key=lambda kv: -kv[1])[:30]


def test_a_target_that_execs_is_followed_into_the_new_program(tmp_path):
    path = tmp_path / "x.pb.gz"
    with Target([target("execself"), 2, target("shares"), 30]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 4, "-F", 999, "-o", path)
    assert r.status == 0, r
    found = pprof.shares(pprof.read(path))
    assert found.get("before_exec", 0) > 0.2 and found.get("alpha", 0) > 0.1, found
    assert rooted(pprof.read(path)) >= 0.98


def test_ctrl_c_keeps_what_was_captured(tmp_path):
    path = tmp_path / "x.pb.gz"
    with Target([target("shares")]) as t:
        s = start_scry("cpu", "-p", t.pid, "-F", 999, "-o", path)
        wait_until_sampling(s, 2)
        s.send_signal(signal.SIGINT)
        _, err = s.communicate(timeout=15)
        assert s.returncode == 0, err
        assert t.alive()
    p = pprof.read(path)
    assert pprof.count(p) >= 20 and "alpha" in pprof.shares(p)


def test_sigterm_keeps_what_was_captured(tmp_path):
    path = tmp_path / "x.folded"
    with Target([target("shares")]) as t:
        s = start_scry("cpu", "-p", t.pid, "-F", 999, "-o", path)
        wait_until_sampling(s)
        s.send_signal(signal.SIGTERM)
        _, err = s.communicate(timeout=15)
    assert "alpha" in path.read_text(), err


def test_a_command_that_outlives_the_duration_is_waited_for(tmp_path):
    path = tmp_path / "x.folded"
    r = scry("cpu", "-d", 0.5, "-o", path, "--", "sh", "-c", "sleep 2; exit 5")
    assert r.status == 5 and r.seconds >= 2, r
    assert re.search(r"^scry: sh \(pid \d+\) goes on, no longer sampled; waiting", r.err, re.M), r
    assert "left running" not in r.err, r


def test_a_command_that_slept_gives_an_honest_summary(tmp_path):
    r = scry("cpu", "-o", tmp_path / "x.folded", "--", "sleep", 0.2)
    assert r.status == 0 and "\n\n\n" not in r.err, r
    assert "no sample was taken" not in r.err or "Nothing of it ran when a sample was due" in r.err, r


def test_what_was_found_is_there_before_the_command_is_waited_for(tmp_path):
    path = tmp_path / "x.folded"
    s = start_scry("cpu", "-d", 1, "-F", 499, "-o", path, "--", target("shares"), 30, start_new_session=True)
    try:
        for line in s.stderr:
            if "waiting" in line:
                break
        assert "alpha" in path.read_text()
        assert s.poll() is None
        os.killpg(s.pid, signal.SIGINT)  # as a terminal does
        _, err = s.communicate(timeout=15)
        assert s.returncode == 128 + signal.SIGINT and "left running" not in err, err
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(s.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_and_says_what_is_left(tmp_path, number):
    s = start_scry("cpu", "-d", 0.2, "-o", tmp_path / "x.folded", "--", "sleep", 30, start_new_session=True)
    try:
        time.sleep(1.5)
        s.send_signal(number)  # to scry alone
        assert s.wait(timeout=15) == 0
    finally:
        os.killpg(s.pid, signal.SIGKILL)  # what is left running holds our pipes
    assert re.search(r"sleep \(pid \d+\) is left running", s.communicate()[1])


def test_sigterm_while_a_command_runs_does_not_wait_for_it(tmp_path):
    path = tmp_path / "x.folded"
    s = start_scry("cpu", "-F", 499, "-o", path, "--", target("shares"), 30, start_new_session=True)
    try:
        wait_until_sampling(s)
        s.send_signal(signal.SIGTERM)
        assert s.wait(timeout=15) == 0 and "alpha" in path.read_text()
    finally:
        os.killpg(s.pid, signal.SIGKILL)
    assert "is left running" in s.communicate()[1]


def test_nohup_is_respected(tmp_path):
    path = tmp_path / "x.folded"
    with Target([target("shares")]) as t:
        s = subprocess.Popen(["nohup", scry_path(), "cpu", "-p", str(t.pid), "-d", "3", "-F", "499", "-o", path],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(1)
        s.send_signal(signal.SIGHUP)
        time.sleep(0.7)
        assert s.poll() is None
        assert s.wait(20) == 0
        s.communicate()
    assert "alpha" in path.read_text()


def test_sighup_keeps_what_was_captured(tmp_path):
    path = tmp_path / "x.folded"
    with Target([target("shares")]) as t:
        s = start_scry("cpu", "-p", t.pid, "-F", 999, "-o", path)
        wait_until_sampling(s)
        s.send_signal(signal.SIGHUP)
        _, err = s.communicate(timeout=15)
    assert "alpha" in path.read_text(), err


def test_ctrl_c_while_a_command_runs_reaches_both_and_loses_nothing(tmp_path):
    path = tmp_path / "x.pb.gz"
    s = start_scry("cpu", "-F", 999, "-o", path, "--", target("shares"), 30, start_new_session=True)
    wait_until_sampling(s, 2)
    os.killpg(s.pid, signal.SIGINT)
    s.communicate(timeout=15)
    assert "alpha" in pprof.shares(pprof.read(path))


@pytest.mark.parametrize("command", [[target("shares")], [pythons()[0], SOURCES / "shares.py"]], ids=["c", "python"])
def test_killing_scry_leaves_the_target_running(command, tmp_path):
    with Target(command) as t:
        for verb in (["cpu", "-F", 999, "-o", tmp_path / "x.folded"], ["cpu", "-F", 9999, "-o", tmp_path / "y.folded"]):
            s = start_scry(*verb, "-p", t.pid)
            time.sleep(1)
            s.kill()
            s.communicate()
            before = t.ask()
            time.sleep(0.3)
            assert t.ask()["loops"] > before["loops"]
    assert not [f for f in os.listdir(tmp_path) if f.endswith((".folded",)) and os.path.getsize(tmp_path / f) == 0]


def test_killing_scry_in_a_dump_leaves_the_target_running():
    with Target([pythons()[0], SOURCES / "threads.py", 60, 50]) as t:
        for delay in (0.001, 0.005, 0.01, 0.02, 0.05):
            s = start_scry("dump", "-p", t.pid)
            time.sleep(delay)
            s.kill()
            s.communicate()
        before = t.ask()
        time.sleep(0.3)
        assert t.ask()["loops"] > before["loops"]


def test_killing_scry_kills_no_command_half_way(tmp_path):
    marker = tmp_path / "marker"
    s = start_scry("cpu", "-o", tmp_path / "x.folded", "--", "sh", "-c", f"sleep 2; echo done > {marker}")
    time.sleep(1)
    s.kill()
    s.communicate()
    time.sleep(2)
    assert marker.exists()


def test_two_at_a_time_do_not_disturb_each_other(capture, tmp_path):
    with Target([target("shares")]) as t:
        s = start_scry("cpu", "-p", t.pid, "-d", 3, "-F", 499, "-o", tmp_path / "other.pb.gz")
        c = capture(t, seconds=3, hz=2999)
        assert s.wait(20) == 0
        s.communicate()
    assert_shares(c.total(), c.true_shares(), c.samples)
    assert pprof.count(pprof.read(tmp_path / "other.pb.gz")) > 50


def test_several_pids_in_one_capture(tmp_path):
    path = tmp_path / "x.pb.gz"
    with Target([target("shares")]) as a, Target([target("recurse"), 60, 10]) as b:
        r = scry("cpu", "-p", a.pid, "-p", b.pid, "-d", 2, "-F", 499, "-o", path)
    assert r.status == 0, r
    found = pprof.shares(pprof.read(path))
    assert "alpha" in found and "descend" in found, found


def test_the_whole_host(tmp_path):
    path = tmp_path / "x.pb.gz"
    with Target([target("shares")]), Target([pythons()[0], SOURCES / "shares.py"]):
        s = start_scry("cpu", "-a", "-d", 4, "-F", 199, "-o", path)
        time.sleep(1.5)
        with Target([target("recurse"), 60, 10]):  # appears while watching
            _, err = s.communicate(timeout=40)
    assert s.returncode == 0, err
    found = pprof.shares(pprof.read(path))
    for name in ("alpha", "one_round", "descend"):
        assert name in found, sorted(found.items(), key=lambda kv: -kv[1])[:40]


def test_a_cgroup(tmp_path):
    with Target([target("shares")]) as t:
        base = next((fields[4] for fields in map(str.split, open("/proc/self/mountinfo")) if "cgroup2" in fields), None)
        if not base:
            pytest.skip("no cgroup v2 here")
        mine = f"{base}/scry-live-test"
        try:
            os.makedirs(mine, exist_ok=True)
            with open(f"{mine}/cgroup.procs", "w") as f:
                f.write(str(t.pid))
        except OSError as e:
            pytest.skip(f"cannot make a cgroup: {e}")
        try:
            for name in (mine, "/scry-live-test", "scry-live-test"):
                with Target([target("recurse"), 60, 10]):
                    r = scry("cpu", "--cgroup", name, "-d", 2, "-F", 499, "-o", tmp_path / "x.pb.gz")
                assert r.status == 0, r
                found = pprof.shares(pprof.read(tmp_path / "x.pb.gz"))
                assert "alpha" in found and "descend" not in found, found
        finally:
            t.stop()
            os.rmdir(mine)


def test_what_ended_is_not_kept(tmp_path):
    """Programs that end as soon as they have begun, before they can be looked at: scry has the memory of none open."""
    s = start_scry("cpu", "-a", "-d", 60, "-F", 499, "-o", tmp_path / "x.pb.gz")
    wait_until_sampling(s, 2)
    many = "for i in $(seq 200); do sh -c 'echo $$; exec expr $$ + 2 >/dev/null'; done"
    pids = subprocess.run(["sh", "-c", many], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    time.sleep(6)
    opened = set()
    for fd in os.listdir(f"/proc/{s.pid}/fd"):
        with contextlib.suppress(OSError):  # it closes files meanwhile
            opened.add(os.readlink(f"/proc/{s.pid}/fd/{fd}"))
    s.send_signal(signal.SIGINT)
    _, err = s.communicate(timeout=60)
    kept = [pid for pid in pids if f"/proc/{pid}/mem" in opened]
    assert len(pids) == 200 and not kept, (kept, err)
