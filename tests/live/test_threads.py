"""Threads: sleeping ones are never counted, many are bearable, names are kept."""
import harness
import pprof
import pytest
from conftest import rooted
from harness import SOURCES, Target, pythons, target


def threads_of(profile):
    """{thread name: samples}, by whatever label carries a thread."""
    found = {}
    for sample in profile.samples:
        name = next((v for k, v in sample.labels.items() if k in ("thread", "thread_name", "thread name")), None)
        found[name] = found.get(name, 0) + 1
    return found


@pytest.mark.parametrize("command", [[target("threads")], [pythons()[0], SOURCES / "threads.py"]], ids=["c", "python"])
def test_sleeping_threads_are_never_counted_as_running(capture, command):
    with Target([*command, 60, 50]) as t:
        c = capture(t, seconds=3)
    assert c.holding("busy") >= 0.995, c.total()
    # A sleeper that is woken by nothing may not appear at all.
    assert "idle" not in c.total(), c.total()
    assert c.samples <= 999 * 3 * 1.1


def test_thread_names_are_kept(capture):
    with Target([target("shares"), 60, 3]) as t:
        c = capture(t, seconds=2)
    found = threads_of(c.profile)
    assert {"worker-1", "worker-2"} <= set(found), found


def test_a_thread_has_the_name_that_it_gave_itself_last(tmp_path):
    spin = "$end = time + 2; while (time < $end) { $n++ }"
    out = tmp_path / "o.pb.gz"
    result = harness.scry("cpu", "-o", out, "--", "perl", "-e", f'{spin} $0 = "named-late"; {spin}')
    assert result.status == 0, result
    found = threads_of(pprof.read(out))
    assert set(found) == {"named-late"}, found


def test_a_python_thread_has_the_name_that_it_gave_itself_last(tmp_path):
    source, out = tmp_path / "renamed.py", tmp_path / "o.pb.gz"
    source.write_text("import threading, time\n"
                      "def spin(seconds):\n"
                      "    end = time.monotonic() + seconds\n"
                      "    while time.monotonic() < end: sum(range(1000))\n"
                      "def run():\n"
                      "    spin(1)\n"
                      "    threading.current_thread().name = 'named-late'\n"
                      "    spin(2.5)\n"
                      "t = threading.Thread(target=run, name='named-early'); t.start(); t.join()\n")
    result = harness.scry("cpu", "-o", out, "--", pythons()[0], source)
    assert result.status == 0, result
    found = threads_of(pprof.read(out))
    assert "named-late" in found and "named-early" not in found, found


def test_ten_thousand_threads(capture):
    with Target([target("threads"), 60, 10000], ready=False) as t:
        try:
            t.pid = t.line(60)["ready"]
        except EOFError:
            pytest.skip("this machine does not allow 10,000 threads in a process")
        c = capture(t, seconds=2)
    assert c.holding("busy", "main") >= 0.99, c.total()
    assert c.result.seconds < 10


def test_threads_born_while_watching_are_followed(capture, tmp_path):
    source = tmp_path / "born.py"
    source.write_text("import threading, time, os, json\n"
                      "print(json.dumps({'ready': os.getpid()}), flush=True)\n"
                      "def born():\n"
                      "    end = time.monotonic() + 0.2\n"
                      "    while time.monotonic() < end: sum(range(1000))\n"
                      "for i in range(100):\n"
                      "    t = threading.Thread(target=born); t.start(); t.join()\n")
    with Target([pythons()[0], source]) as t:
        c = capture(t, seconds=2, truth=False)
    assert c.holding("born", "run") + c.holding("born", "Thread.run") >= 0.9, c.total()
    assert rooted(c.profile) >= 0.99


def test_python_threads_have_the_names_that_the_program_gives_them(capture, tmp_path):
    """Also those that are born while it is watched, and one whose name comes after its first samples."""
    source = tmp_path / "named.py"
    source.write_text("import os, json, _thread, time\n"
                      "def spin(seconds):\n"
                      "    end = time.monotonic() + seconds\n"
                      "    while time.monotonic() < end: sum(range(1000))\n"
                      "def late():\n"
                      "    spin(1.5)\n"
                      "    import threading\n"
                      "    threading.current_thread().name = 'named late'\n"
                      "    spin(60)\n"
                      "_thread.start_new_thread(late, ())\n"
                      "print(json.dumps({'ready': os.getpid()}), flush=True)\n"
                      "time.sleep(1.5)\n"
                      "import threading\n"
                      "for i in range(60):\n"
                      "    t = threading.Thread(target=spin, args=(0.3,), name='born %d' % i); t.start(); t.join()\n")
    with Target([pythons()[0], source]) as t:
        found = threads_of(capture(t, seconds=5, truth=False).profile)
    born = [name for name in found if name.startswith("born ")]
    assert found.get("named late", 0) / sum(found.values()) > 0.15, found
    assert len(born) >= 8, found
    unnamed = sum(n for name, n in found.items() if name != "named late" and not name.startswith("born "))
    assert unnamed / sum(found.values()) < 0.05, found
