"""Names are other people's: whatever a process or a file is called, it cannot steer the terminal."""
import contextlib
import os
import re
import subprocess
import sys

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


@pytest.mark.parametrize("words", [[b"report", EVIL], [EVIL], [b"cpu", EVIL], [b"report", b"x", b"--" + EVIL],
                                   [b"convert", b"x", EVIL], [b"help", EVIL]])
def test_an_error_that_quotes_what_was_given(words):
    status, _, err = run(*words)
    assert status in (1, 2) and harmless(err).count("\n") == 2 and "evil" in err
