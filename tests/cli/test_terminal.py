"""Names are other people's: whatever a process or a file is called, it cannot steer the terminal."""
import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from conftest import SCRY, needs_verb

# A window title, the same by C1 characters, a line break, a right-to-left override, and a byte that is no letter.
EVIL = b"a\x1b]0;evil\x07b\xc2\x9d0;evil\xc2\x9cc\nd\xe2\x80\xaee\xff\x7f"
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

WORK = """
import sys, time
def wait():
    print("ready", flush=True)
    time.sleep(100)
names = {"co_name": %a, "co_qualname": %a} if sys.version_info >= (3, 11) else {"co_name": %a}
wait.__code__ = wait.__code__.replace(**names)
open("/proc/self/comm", "wb").write(%a)
wait()
"""


def run(*words):
    """Standard output and error as the terminal gets them, which must be UTF-8."""
    done = subprocess.run([os.fsencode(SCRY), *words], capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
                          env={**os.environ, "COLUMNS": "100"})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def harmless(text):
    assert text and not STEERS.search(text), STEERS.search(text)
    return text


@contextlib.contextmanager
def evil_process(folder):
    """A process whose file, functions, arguments and name are hostile."""
    file = os.fsencode(folder) + b"/" + EVIL.replace(b"/", b"") + b".py"
    name = EVIL.decode(errors="replace")
    with open(file, "wb") as f:
        f.write((WORK % (name, name, name, EVIL[:15])).encode())
    process = subprocess.Popen([os.fsencode(sys.executable), file, EVIL], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@needs_verb("ps")
def test_ps_of_a_process_with_a_hostile_command_line(tmp_path):
    with evil_process(tmp_path) as pid:
        _, out, _ = run(b"ps")
        _, json_out, _ = run(b"ps", b"--json")
    assert harmless(out) and re.search(rf"^ *{pid} .*evil", out, re.M)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", json_out)


@needs_verb("dump")
def test_dump_of_a_process_with_hostile_names(tmp_path):
    with evil_process(tmp_path) as pid:
        status, out, err = run(b"dump", b"-p", str(pid).encode())
    if status == 1 and "CAP_" in err:
        pytest.skip(err)
    assert status == 0, err
    assert harmless(out) and "thread" in out and "evil" in out
    # The function, its file, the process and its thread.
    assert re.search(r"^    a\?\]0;evil\?b.* \(.*evil.*:\d+\)$", out, re.M), out


def on_a_terminal(columns, *words, **environment):
    """What appears on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    process = subprocess.Popen([SCRY, *words], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                               env={**os.environ, "TERM": "xterm", **environment})
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # the other end was closed
        while piece := os.read(ours, 65536):
            text += piece
    os.close(ours)
    process.wait()
    return text.decode().replace("\r\n", "\n")


@needs_verb("report")
@pytest.mark.parametrize("columns", [40, 60, 80])
def test_prose_is_broken_between_words(tmp_path, columns):
    (tmp_path / "x.folded").write_text("main;work 3\n")
    whole = on_a_terminal(1000, "report", tmp_path / "x.folded", NO_COLOR="1").split("\n\n")[0]
    broken = on_a_terminal(columns, "report", tmp_path / "x.folded", NO_COLOR="1").split("\n\n")[0]
    assert broken.split() == whole.split() and max(map(len, whole.splitlines())) > 60
    assert all(len(line) <= columns and not line.startswith("%") for line in broken.splitlines()), broken


@needs_verb("ps")
def test_a_row_of_ps_fits_a_terminal_of_the_usual_width():
    rows = on_a_terminal(80, "ps", "-p", str(os.getpid())).split("\n\n")[0].splitlines()
    assert len(rows) == 2 and all(len(row) <= 80 for row in rows), rows


@needs_verb("report")
def test_colours_are_for_terminals_that_want_them(tmp_path):
    (tmp_path / "x.folded").write_text("main;work 3\n")
    coloured = on_a_terminal(80, "report", tmp_path / "x.folded")
    assert "\x1b[" in coloured
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == on_a_terminal(80, "report", tmp_path / "x.folded", NO_COLOR="1")
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_a_terminal(80, "report", tmp_path / "x.folded", **environment)


@pytest.mark.parametrize("words", [[b"report", EVIL], [EVIL], [b"cpu", EVIL], [b"report", b"x", b"--" + EVIL],
                                   [b"convert", b"x", EVIL], [b"help", EVIL]])
def test_an_error_that_quotes_what_was_given(words):
    status, _, err = run(*words)
    assert status in (1, 2) and harmless(err).count("\n") == 2 and "evil" in err
