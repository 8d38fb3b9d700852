"""scry dump and scry ps."""
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest
from harness import SOURCES, Target, pythons, scry, scry_path, start_scry, target


def walk(value):
    """Every dictionary inside a JSON value."""
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from walk(one)
    elif isinstance(value, list):
        for one in value:
            yield from walk(one)


def names_in(value):
    return [d[k] for d in walk(value) for k in ("function", "name") if isinstance(d.get(k), str)]


def test_dump_shows_every_thread_of_a_c_program():
    with Target([target("threads"), 60, 50]) as t:
        r = scry("dump", "-p", t.pid)
        j = scry("dump", "-p", t.pid, "--json")
        assert t.alive()
    assert r.status == 0, r
    for name in ("busy", "idle-1", "idle-49", "main"):
        assert name in r.out, (name, r)
    assert j.status == 0, j
    threads = j.json.get("threads") or [d for d in walk(j.json) if "tid" in d]
    assert len(threads) == 50
    names = names_in(j.json)
    assert names.count("idle") >= 49, names[:60]


def test_dump_shows_python_frames_and_lines_of_every_thread():
    with Target([pythons()[0], SOURCES / "threads.py", 60, 50]) as t:
        r = scry("dump", "-p", t.pid)
        j = scry("dump", "-p", t.pid, "--json")
    assert r.status == 0, r
    assert r.out.count("idle") >= 49 and "busy" in r.out and "main" in r.out
    source = (SOURCES / "threads.py").read_text().splitlines()
    waiting = {i for i, text in enumerate(source, 1)
               if any(w in text for w in ("lock.acquire()", "condition.wait()", "box.get()", "os.read(", "time.sleep(10000)"))}
    addresses = [d["address"] for d in walk(j.json) if "address" in d]
    assert addresses and all(re.fullmatch(r"0x[1-9a-f][0-9a-f]*", a) for a in addresses), "numbers of JSON lose digits"
    lines = {d["line"] for d in walk(j.json) if (d.get("function") or d.get("name")) == "idle" and "line" in d}
    assert lines and lines <= waiting, (lines, waiting)


def test_dump_of_a_deep_stack_is_whole():
    with Target([target("recurse"), 60, 3000]) as t:
        j = scry("dump", "-p", t.pid, "--json")
    assert j.status == 0, j
    assert names_in(j.json).count("descend") == 3000


def test_dump_inside_the_kernel_shows_the_call():
    with Target(["sleep", "60"], ready=False) as t:
        time.sleep(0.2)
        r = scry("dump", "-p", t.pid)
    assert r.status == 0 and re.search(r"nanosleep", r.out), r


REGEX = """
#include <bits/stdc++.h>
#include <unistd.h>
int main() {
    std::printf("{\\"ready\\": %d}\\n", getpid());
    std::fflush(stdout);
    std::map<std::string, std::vector<int>> seen;
    for (;;) {
        std::regex r("a(b|c)*d");
        std::string text(200, 'b');
        seen[text].push_back(std::regex_match("a" + text + "d", r));
        if (seen[text].size() > 100) seen.clear();
        std::this_thread::sleep_for(std::chrono::hours(1));
    }
}
"""


def test_debug_information_that_was_decompressed_is_kept_for_the_next_time(tmp_path):
    """Names and lines are the same with and without, and where the folder is not to be had."""
    source, program, cache = tmp_path / "regex.cc", tmp_path / "regex", tmp_path / "cache"
    source.write_text(REGEX)
    subprocess.run(["g++", "-g", "-gz", "-O0", source, "-o", program], check=True)
    kept = cache / "debug"
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o777)
    closed.chmod(0o777)
    with Target([program]) as t:
        dumps = {where: scry("dump", "-p", t.pid, env={**os.environ, "SCRY_CACHE": str(where)})
                 for where in ("", cache, cache / ".", closed)}
        assert t.alive()
    for r in dumps.values():
        assert r.status == 0 and not r.err and r.out == dumps[""].out, r
    assert "sleep_for" in dumps[""].out and f"main ({source}:13)" in dumps[""].out, dumps[""].out
    assert not list(closed.iterdir())
    (mine,) = [f for f in kept.iterdir() if f"-{program.stat().st_ino:x}-" in f.name]
    assert mine.stat().st_mode & 0o777 == 0o600 and kept.stat().st_mode & 0o777 == 0o700
    lines = subprocess.run(["addr2line", "-f", "-e", mine, "0x0"], text=True, capture_output=True)
    assert lines.returncode == 0, lines  # what is kept is an ELF file with debug information that others read


def uses_frame_pointers(library):
    """Whether most of its functions find their frame by rbp."""
    maps = pathlib.Path("/proc/self/maps").read_text()
    path = next(line.split()[-1] for line in maps.splitlines() if line.endswith("/" + library))
    rules = subprocess.run(["readelf", "--debug-dump=frames", path], text=True, capture_output=True).stdout
    return rules.count("DW_CFA_def_cfa_register: r6") > rules.count(" FDE ") / 2


@pytest.mark.parametrize("how", ["sp", "fp"])
def test_a_thread_that_cannot_be_stopped_has_the_frames_that_its_stack_pointer_tells(how):
    """Its other registers are not known: where one is needed the stack is cut, and says so."""
    with Target([target("vforked"), how]) as t:
        deadline = time.time() + 5
        while "(disk sleep)" not in open(f"/proc/{t.pid}/status").read() and time.time() < deadline:
            time.sleep(0.01)
        j = scry("dump", "-p", t.pid, "--json")
    assert j.status == 0, j
    [thread] = j.json["threads"]
    assert thread["state"] == "in uninterruptible sleep"
    names = [f["function"] for f in thread["frames"]]
    if how == "sp":
        assert names[:3] == ["waits", "middle", "main"], names
        # The C library's first function may need the frame pointer (Ubuntu's do), which nobody has saved.
        assert names[-1] == "_start" or (uses_frame_pointers("libc.so.6") and "could not be stopped" in names[-1]), names
    else:
        assert names[0] == "waits" and "main" not in names, names
        assert "could not be stopped" in names[-1] and thread["frames"][-1]["mark"], names


def test_a_thread_that_waits_for_a_program_to_start_shows_who_starts_it(tmp_path):
    """It is inside clone(), and cannot be stopped."""
    fifo, source = tmp_path / "fifo", tmp_path / "spawns.py"
    os.mkfifo(fifo)
    source.write_text("import json, os, sys\n"
                      "print(json.dumps({'ready': os.getpid()}), flush=True)\n"
                      "os.posix_spawn('/bin/true', ['true'], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])\n")
    with Target([pythons()[0], source, fifo]) as t:
        deadline = time.time() + 5
        while "(disk sleep)" not in open(f"/proc/{t.pid}/status").read() and time.time() < deadline:
            time.sleep(0.01)
        j = scry("dump", "-p", t.pid, "--json")
        os.close(os.open(fifo, os.O_WRONLY))
    assert j.status == 0, j
    names = [f["function"] for f in j.json["threads"][0]["frames"]]
    assert (names[0].strip("_") in ("clone", "clone3") or names[0].startswith("[libc")) and any("spawn" in n for n in names[1:5]), names
    assert names[-1] == "<module>", names


def test_what_starts_python_is_folded_without_debug_symbols_too():
    """Between main() and __libc_start_main() there is a function that only they name."""
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /usr/lib/debug; exec "$@"', "sh"]
    hidden = hidden if os.path.isdir("/usr/lib/debug/.build-id") else []
    with Target([*hidden, pythons()[0], "-c", "import json, os, time\nprint(json.dumps({'ready': os.getpid()}), flush=True)\n"
                                              "def waits(): time.sleep(60)\nwaits()"]) as t:
        time.sleep(0.3)
        done = subprocess.run([*hidden, scry_path(), "dump", "-p", str(t.pid), "--json"], text=True, capture_output=True)
    names = [f["function"] for f in json.loads(done.stdout)["threads"][0]["frames"]]
    assert names[-2:] == ["waits", "<module>"], (names, done.stderr)


def test_dump_leaves_the_target_as_it_was():
    with Target([pythons()[0], SOURCES / "threads.py", 60, 20]) as t:
        for _ in range(10):
            assert scry("dump", "-p", t.pid).status == 0
        before = t.ask()
        time.sleep(0.3)
        assert t.ask()["loops"] > before["loops"]
        tracer = re.search(r"TracerPid:\s*(\d+)", open(f"/proc/{t.pid}/status").read()).group(1)
        assert tracer == "0"


def states_of(pid):
    """The letters of a process's threads; those that end meanwhile have none."""
    stats = [read for f in glob.glob(f"/proc/{pid}/task/*/stat") for read in [pathlib.Path(f)] if read.exists()]
    return [stat.read_text().rsplit(")", 1)[1].split()[0] for stat in stats]


def test_ctrl_z_does_not_hold_the_target():
    """Whenever it comes: the target runs while scry is stopped, or scry is not stopped yet."""
    with Target([pythons()[0], SOURCES / "threads.py", 60, 50]) as t:
        for delay in [0.002 * i for i in range(25)]:
            s = start_scry("dump", "-p", t.pid)
            time.sleep(delay)
            s.send_signal(signal.SIGTSTP)
            end = time.monotonic() + 5
            while "t" in (states := states_of(t.pid)) or s.poll() is None and "T" not in states_of(s.pid):
                assert time.monotonic() < end, (delay, states)
                time.sleep(0.02)
            t.ask()
            s.send_signal(signal.SIGCONT)
            s.communicate(timeout=20)


def core_of(pid, directory):
    """What gdb's gcore leaves: all of it but what was mapped from files and not written to."""
    gcore = shutil.which("gcore")
    if not gcore:
        pytest.skip("gcore (gdb) is not installed")
    made = subprocess.run([gcore, "-o", directory / "core", str(pid)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"gcore failed: {made.stderr[-200:]}")
    return directory / f"core.{pid}"


def test_dump_of_a_core_file(tmp_path):
    with Target([pythons()[0], SOURCES / "threads.py", 60, 5]) as t:
        r = scry("dump", "--core", core_of(t.pid, tmp_path))
    assert r.status == 0 and "idle" in r.out and "busy" in r.out, r
    assert "are not here" not in r.out


def test_a_core_that_was_cut_short_is_read_or_refused_for_that(tmp_path):
    """At every length down to nothing. gcore writes its notes last."""
    with Target([target("threads"), 60, 5]) as t:
        core = core_of(t.pid, tmp_path)
    whole, left = scry("dump", "--core", core, "--json"), core.stat().st_size
    while whole.json["threads"] and left > 0:
        left -= -(-core.stat().st_size // 7)
        os.truncate(core, max(left, 0))
        cut = scry("dump", "--core", core, "--json")
        assert cut.status in (0, 1) and "are not here" not in cut.out, (left, cut)
        if cut.status == 0:
            assert "cut short" in str(cut.json["notes"]), (left, cut)
            assert [t["tid"] for t in cut.json["threads"]] == [t["tid"] for t in whole.json["threads"]]
        else:
            assert "cut short" in cut.err or "no ELF file" in cut.err, (left, cut)
    assert whole.status == 0 and "cut short" not in whole.out


def test_files_of_a_core_that_are_not_here_are_counted_if_they_are_code(tmp_path):
    """The locale's data are mapped like a library, and the core does not say what they are."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    with Target(["sleep", 60], ready=False, env=environment) as t:
        time.sleep(0.3)
        maps = pathlib.Path(f"/proc/{t.pid}/maps").read_text().splitlines()
        core = core_of(t.pid, tmp_path)
    here, elsewhere = (scry("dump", "--core", core, "--json", *more) for more in ([], ["--sysroot", tmp_path]))
    files = {line.split()[-1] for line in maps if "/" in line}
    code = {line.split()[-1] for line in maps if "/" in line and "x" in line.split()[1]}
    assert len(files) > len(code) >= 2
    assert here.json["notes"] == []
    assert f"{len(code)} of the files that ran are not here" in str(elsewhere.json["notes"]), elsewhere


JIT = """
#include <string.h>
#include <sys/mman.h>
int main(void) {
    void *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, "\\xeb\\xfe", 2);
    ((void (*)(void))code)();
}
"""


def test_a_core_has_the_names_of_generated_code_only_where_the_map_is_its_own(tmp_path):
    program, source = tmp_path / "jit", tmp_path / "jit.c"
    source.write_text(JIT)
    subprocess.run(["cc", "-o", program, source], check=True)
    with Target([program], ready=False) as t:
        time.sleep(0.3)
        core = core_of(t.pid, tmp_path)
        maps = pathlib.Path(f"/proc/{t.pid}/maps").read_text().splitlines()
        start = next(line.split("-")[0] for line in maps if "rwxp" in line)
    name = pathlib.Path(f"/tmp/perf-{t.pid}.map")
    below = tmp_path / "root" / name.relative_to("/")
    below.parent.mkdir(parents=True)
    below.write_text(f"{start} 1000 its own\n")
    name.write_text(f"{start} 1000 of whoever had the number\n")
    try:
        plain = scry("dump", "--core", core)
        named = scry("dump", "--core", core, "--sysroot", "/")
        root = scry("dump", "--core", core, "--sysroot", tmp_path / "root")
    finally:
        name.unlink()
    assert "whoever" not in plain.out and "[generated code]" in plain.out and str(name) in plain.out, plain
    assert "of whoever had the number" in named.out, named
    assert "its own" in root.out, root


def test_dump_agrees_with_the_interpreters_own_answer(tmp_path):
    source = tmp_path / "own.py"
    source.write_text("import faulthandler, json, os, signal, sys, time\n"
                      "faulthandler.register(signal.SIGUSR2, file=open(sys.argv[1], 'w'), all_threads=True)\n"
                      "def inner():\n"
                      "    sys.stdout.write(json.dumps({'ready': os.getpid()}) + '\\n')\n"
                      "    sys.stdout.flush()\n"
                      "    end = time.time() + 60\n"
                      "    while time.time() < end:\n"
                      "        time.sleep(100)\n"
                      "def outer():\n"
                      "    return [inner() for _ in range(1)]\n"
                      "outer()\n")
    out = tmp_path / "own.txt"
    with Target([pythons()[0], source, out]) as t:
        time.sleep(0.1)
        j = scry("dump", "-p", t.pid, "--json")
        import signal
        os.kill(t.pid, signal.SIGUSR2)
        time.sleep(0.3)
    own = re.findall(r'File ".*own\.py", line (\d+) in (.+)', out.read_text())
    ours = [(str(d["line"]), (d.get("function") or d.get("name")).split(".")[-1]) for d in walk(j.json)
            if str(d.get("file", "")).endswith("own.py")]
    assert ours == [(line, name.split(".")[-1]) for line, name in own], (ours, own, j)


def test_ps_lists_processes_with_their_runtime():
    with Target([target("shares")]) as a, Target([pythons()[0], SOURCES / "shares.py"]) as b:
        r = scry("ps")
        j = scry("ps", "--json")
    assert r.status == 0, r
    rows = {line.split()[0]: line for line in r.out.splitlines() if line.strip()}
    assert str(a.pid) in rows and str(b.pid) in rows, r
    version = subprocess.run([pythons()[0], "-c", "import platform; print(platform.python_version())"],
                             text=True, capture_output=True).stdout.strip()
    assert version in rows[str(b.pid)], rows[str(b.pid)]
    assert "python" not in rows[str(a.pid)].lower().replace("/work", ""), rows[str(a.pid)]
    found = {d.get("pid"): d for d in walk(j.json) if "pid" in d}
    assert a.pid in found and b.pid in found
    assert version in json.dumps(found[b.pid])
