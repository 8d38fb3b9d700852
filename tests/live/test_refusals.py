"""Every bad request gets one sentence that says what happened and what to do next."""
import os
import pathlib
import re
import resource
import subprocess
import time

import pprof
import pytest
from harness import Result, Target, scry, scry_path, start_scry, target


def refused(r, status, *words):
    """One sentence on standard error, the right status, all of the words in it."""
    assert r.status == status, r
    lines = [line for line in r.err.splitlines() if line.strip()]
    assert 1 <= len(lines) <= 4, r
    for forbidden in ("libbpf", "Assertion", "Sanitizer", "(null)", "errno"):
        assert forbidden not in r.err, r
    for word in words:
        assert word.lower() in r.err.lower(), (word, r)


def gone_pid():
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid


def kernel_thread():
    for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit()):
        if not open(f"/proc/{pid}/cmdline").read() and open(f"/proc/{pid}/status").read().find("VmSize") < 0:
            return pid
    pytest.skip("no kernel thread to be seen")


@pytest.fixture(params=["cpu", "dump"])
def verb(request, tmp_path):
    return ["cpu", "-d", "1", "-o", tmp_path / "x.folded"] if request.param == "cpu" else ["dump"]


def test_a_process_that_is_gone(verb):
    pid = gone_pid()
    refused(scry(*verb, "-p", pid), 1, str(pid))


def test_a_zombie(verb):
    with Target([target("daemonic"), "zombie", 20]) as t:
        refused(scry(*verb, "-p", t.pid), 1, str(t.pid), "zombie")


def test_a_kernel_thread(verb):
    pid = kernel_thread()
    refused(scry(*verb, "-p", pid), 1, str(pid), "kernel thread")


def test_a_32_bit_process(verb):
    if not target("shares32").exists():
        pytest.skip("no compiler for 32-bit programs: install gcc-multilib")
    with Target([target("shares32")]) as t:
        refused(scry(*verb, "-p", t.pid), 1, str(t.pid), "32-bit")


@pytest.fixture
def as_nobody(tmp_path):
    """as_nobody(argument, …): runs scry without any privilege."""
    os.chmod(tmp_path, 0o777)
    for parent in tmp_path.parents:
        if str(parent).startswith("/tmp/"):
            os.chmod(parent, os.stat(parent).st_mode | 0o055)
    program = tmp_path / "scry"
    program.write_bytes(scry_path().read_bytes())
    program.chmod(0o755)

    def run(*arguments):
        done = subprocess.run([program, *map(str, arguments)], user=65534, group=65534, extra_groups=[],
                              cwd=tmp_path, text=True, capture_output=True, timeout=30)
        return Result(done.returncode, done.stdout, done.stderr, 0)
    return run


def test_ps_says_once_what_is_missing_for_many_processes(as_nobody):
    with Target([target("shares")]) as a, Target([target("shares")]) as b:
        r = as_nobody("ps", "-p", f"{a.pid},{b.pid}")
    table, missing = r.out.split("\n\n")
    assert r.status == 0 and len(table.splitlines()) == 3, r
    sentence, advice = missing.splitlines()
    assert str(a.pid) in sentence and "CAP_SYS_PTRACE; likewise 1 more" in sentence and "sudo" in advice, r


@pytest.mark.parametrize("name", ["cpu", "dump"])
def test_another_users_process_names_what_is_missing(name, as_nobody):
    with Target([target("shares")]) as t:
        arguments = ["cpu", "-d", "1", "-o", "x.folded"] if name == "cpu" else ["dump"]
        r = as_nobody(*arguments, "-p", t.pid)
    refused(r, 1)
    assert "CAP_" in r.err or "root" in r.err or "sudo" in r.err, r


@pytest.mark.parametrize("arguments,words", [
    (["-F", "0"], ["-F"]), (["-F", "-5"], []), (["-F", "1000000"], ["-F"]), (["-F", "fast"], ["fast"]),
    (["-d", "0"], ["-d"]), (["-d", "soon"], ["soon"]), (["-d", "-1"], []), (["--nonsense"], ["--nonsense"]),
    (["-p", "self"], ["self"]), (["-p", "-4"], []), (["-p"], []),
    (["-p", "99999999999999999999"], []),
], ids=lambda v: " ".join(v) if isinstance(v, list) else None)
def test_bad_usage_is_status_2_with_a_sentence(arguments, words, tmp_path):
    with Target([target("shares")]) as t:
        more = [] if "-p" in arguments else ["-p", t.pid]
        refused(scry("cpu", "-o", tmp_path / "x.folded", *more, *arguments, timeout=10), 2, *words)


def test_no_target_at_all_is_bad_usage(tmp_path):
    refused(scry("cpu", "-d", 1, "-o", tmp_path / "x.folded"), 2, "-p")


def test_a_command_that_may_not_be_run(tmp_path):
    def run(path):
        return scry("cpu", "-o", tmp_path / "x.folded", "--", path)

    (tmp_path / "script").write_text("#!/bin/sh\necho\n")
    refused(run(tmp_path / "script"), 1, "script: permission denied", "chmod +x")
    (tmp_path / "data").write_text("root:x:0:0\n")
    for path, words in ((tmp_path / "data", ("data: permission denied",)), (tmp_path, ("it is a directory",))):
        r = run(path)
        refused(r, 1, *words)
        assert "chmod" not in r.err, r


def in_namespaces(tmp_path, flags, before, *arguments):
    """scry in namespaces of its own, in which a shell has run `before`."""
    words = ["unshare", *flags, "sh", "-c", f'{before}; exec "$@"', "sh", scry_path(), *arguments]
    done = subprocess.run(list(map(str, words)), cwd=tmp_path, text=True, capture_output=True, timeout=30)
    if done.returncode and done.stderr.startswith("unshare:"):
        pytest.skip(done.stderr)
    return Result(done.returncode, done.stdout, done.stderr, 0)


@pytest.mark.parametrize("words", [["ps"], ["dump", "-p", 1], ["cpu", "-p", 1, "-o", "x.folded"], ["cpu", "-a", "-d", 1, "-o", "x.folded"]],
                         ids=lambda w: " ".join(map(str, w[:2])))
def test_a_proc_that_is_not_there_or_not_ours(words, tmp_path):
    refused(in_namespaces(tmp_path, ["-m"], "mount -t tmpfs none /proc", *words), 1, "/proc is not mounted here")
    r = in_namespaces(tmp_path, ["-pf"], ":", *words)
    refused(r, 1, "another PID namespace")
    assert "kernel thread" not in r.err, r


def test_sys_that_is_not_there(tmp_path):
    r = in_namespaces(tmp_path, ["-m"], "mount -t tmpfs none /sys", "cpu", "-a", "-d", 1, "-o", "x.folded")
    refused(r, 1, "/sys is not visible here")
    assert "Boot" not in r.err, r


def test_a_user_namespace_is_named(tmp_path):
    r = in_namespaces(tmp_path, ["-r"], ":", "cpu", "-a", "-d", 1, "-o", "x.folded")
    refused(r, 1, "user namespace")
    assert "lockdown" not in r.err, r


def test_root_without_its_capabilities_is_told_of_the_container(tmp_path):
    words = ["setpriv", "--bounding-set", "-sys_admin,-bpf,-perfmon", scry_path(), "cpu", "-a", "-d", "1", "-o", tmp_path / "x.folded"]
    done = subprocess.run(list(map(str, words)), text=True, capture_output=True, timeout=30)
    r = Result(done.returncode, done.stdout, done.stderr, 0)
    refused(r, 1, "CAP_BPF and CAP_PERFMON", "--cap-add=BPF")
    assert "sudo" not in r.err, r


def test_a_process_that_proc_hides_is_said_to_be_there(as_nobody, tmp_path):
    """With hidepid=2."""
    with Target([target("shares")]) as t:
        for words in (["dump"], ["ps"]):
            as_nobody("--version")
            done = subprocess.run(
                ["unshare", "-m", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc; exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"',
                 "sh", str(tmp_path / "scry"), *words, "-p", str(t.pid)], cwd=tmp_path, text=True, capture_output=True, timeout=30)
            refused(Result(done.returncode, done.stdout, done.stderr, 0), 1, f"Process {t.pid} exists, but /proc hides")


def test_a_summary_that_has_nowhere_to_go_is_said_and_the_file_written(tmp_path):
    with Target([target("shares")]) as t:
        done = subprocess.run(f"{scry_path()} cpu -p {t.pid} -d 1 -o {tmp_path / 'x.folded'} >&-", shell=True,
                              stderr=subprocess.PIPE, text=True)
    refused(Result(done.returncode, "", done.stderr, 0), 1, "Cannot write the standard output: Bad file descriptor")
    assert "alpha" in (tmp_path / "x.folded").read_text()


def test_an_unknown_verb(tmp_path):
    refused(scry("cqu"), 2, "cqu")


def test_help_and_version_are_status_0():
    for arguments in (["--help"], ["cpu", "--help"], ["--version"], ["dump", "--help"], ["report", "--help"]):
        r = scry(*arguments)
        assert r.status == 0 and r.out and not r.err, r


@pytest.mark.parametrize("path", ["/does/not/exist/x.pb.gz", "/proc/x.folded", "/"])
def test_an_output_that_cannot_be_written_is_said_before_the_capture(path):
    with Target([target("shares")]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 20, "-o", path)
    refused(r, 2 if r.status == 2 else 1, path)
    assert r.seconds < 10, "it must not capture for nothing"


def test_an_unknown_ending_names_the_known_ones(tmp_path):
    with Target([target("shares")]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 20, "-o", tmp_path / "x.doc")
    refused(r, 2, ".html", ".folded")
    assert r.seconds < 5


def kept_profile(r):
    """Where a capture whose file could not be written says that its profile is."""
    m = re.search(r"The profile is in (.*)\.$", r.err, re.M)
    assert m, r
    return pathlib.Path(m[1])


def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    link, elsewhere = tmp_path / "full.folded", tmp_path / "elsewhere"
    os.symlink("/dev/full", link)
    elsewhere.mkdir()
    with Target([target("shares")]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 1, "-F", 499, "-o", link, env={**os.environ, "TMPDIR": str(elsewhere)})
    refused(r, 1, "Cannot write " + str(link), "no space left on device")
    kept = kept_profile(r)
    assert kept.parent == elsewhere and kept.suffix == ".folded" and "alpha" in kept.read_text()
    assert "heaviest paths" in r.out and f"Written to {kept}" in r.out, r
    assert os.path.exists("/dev/full")


def test_a_profile_for_a_standard_output_that_is_full_is_kept(tmp_path):
    with Target([target("shares")]) as t, open("/dev/full", "w") as full:
        done = subprocess.run([scry_path(), "cpu", "-p", str(t.pid), "-d", "1", "-F", "499", "-o", "-", "--to", "pprof"],
                              stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    r = Result(done.returncode, "", done.stderr, 0)
    assert r.status == 1 and "Cannot write the standard output: No space left on device" in r.err, r
    assert "alpha" in pprof.shares(pprof.read(kept_profile(r)))


def test_a_directory_that_vanishes_meanwhile_loses_nothing(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with Target([target("shares")]) as t:
        s = start_scry("cpu", "-p", t.pid, "-d", 2, "-F", 499, "-q", "-o", folder / "x.pb.gz",
                       env={**os.environ, "TMPDIR": "/does/not/exist"}, cwd=tmp_path)
        time.sleep(1)
        folder.rmdir()
        out, err = s.communicate(timeout=20)
    r = Result(s.returncode, out, err, 0)
    refused(r, 1, "x.pb.gz", "no such file or directory")
    kept = kept_profile(r)
    assert kept.parent == pathlib.Path("/tmp") and out == ""
    assert "alpha" in pprof.shares(pprof.read(kept))
    kept.unlink()


def test_when_no_place_takes_the_profile_the_summary_is_left(tmp_path):
    with Target([target("shares")]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 1, "-F", 499, "-o", tmp_path / "x.html",
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    refused(r, 1, "x.html: File too large", "lost")
    assert "alpha" in r.out and "Written to" not in r.out, r
    assert os.listdir(tmp_path) == []


def test_a_full_file_system_leaves_no_half_file(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "small", mount], capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        with Target([target("shares")]) as t:
            r = scry("cpu", "-p", t.pid, "-d", 1, "-F", 999, "-o", mount / "x.html")
        refused(r, 1, "x.html", "space")
        assert os.listdir(mount) == []
        kept = kept_profile(r)
        assert kept.read_text().lower().startswith("<!doctype html")
        kept.unlink()
    finally:
        subprocess.run(["umount", mount])


@pytest.mark.parametrize("path", ["/no/such/group", "no/such/group"])
def test_a_control_group_that_is_not_there(path, tmp_path):
    refused(scry("cpu", "--cgroup", path, "-d", 1, "-o", tmp_path / "x.folded"), 1, path, "control group")


def test_a_directory_that_is_no_control_group(tmp_path):
    refused(scry("cpu", "--cgroup", tmp_path, "-d", 1, "-o", tmp_path / "x.folded"), 1, str(tmp_path), "control group")


def test_standard_output_that_is_closed_is_no_crash(tmp_path):
    with Target([target("shares")]) as t:
        s = start_scry("cpu", "-p", t.pid, "-d", 1, "-o", tmp_path / "x.folded")
        s.stdout.close()
        s.wait(20)
        assert s.returncode >= 0, s.stderr.read()
        s.stderr.close()
    assert (tmp_path / "x.folded").stat().st_size > 0


@pytest.mark.parametrize("name,data", [
    ("empty.pb.gz", b""), ("text.pb.gz", b"hello\n" * 100), ("gzip-cut.pb.gz", b"\x1f\x8b\x08\x00\x00\x00"),
    ("noise.pb", os.urandom(4096)), ("cut.speedscope.json", b'{"$schema": "https://www.speedscope.app/file'),
    ("deep.json", b"[" * 100000), ("noise.folded", b"\xff\xfe;;; x\n;;;\n \n1\n"),
])
def test_reading_a_broken_profile_is_a_sentence(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    for arguments in (["report", path], ["convert", path, tmp_path / "out.folded"]):
        r = scry(*arguments, timeout=20)
        if r.status != 0:
            refused(r, 1, name)


def test_reading_a_profile_that_is_not_there():
    refused(scry("report", "/does/not/exist.pb.gz"), 1, "/does/not/exist.pb.gz")


def test_a_stopped_process_is_profiled_as_idle(tmp_path):
    with Target([target("daemonic"), "stopped", 20]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 1, "-o", tmp_path / "x.folded", timeout=15)
        d = scry("dump", "-p", t.pid, timeout=15)
        for _ in range(100):  # a detached thread has to run once to stop again
            state = open(f"/proc/{t.pid}/stat").read().rsplit(")", 1)[1].split()[0]
            if state == "T":
                break
            time.sleep(0.05)
    assert r.status in (0, 1) and "Traceback" not in r.err, r
    assert d.status == 0 and "stopped" in d.out and "main" in d.out, d
    assert state == "T", "a stopped process must stay stopped"
