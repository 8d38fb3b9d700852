"""A profile in which every text is hostile: whatever it is turned into stays well-formed and steers no terminal."""
import base64
import gzip
import json
import re
import xml.etree.ElementTree as xml

import pprof as reader
import pytest
from conftest import message, needs_verb, run

pytestmark = [needs_verb("report"), needs_verb("convert")]

# A window title, the same by C1 characters, all kinds of line ends, a turn of direction, markup, ends of what it may
# stand in, a letter that XML forbids, and a byte that is no letter.
EVIL = ("\x1b]0;evil\x07\x9d0;evil\x9c\r\n\x0b\x0c\x1c\x85\u2028\u2029\u202e\u061c\u200e\u200f\u2066\u2069\ufeff;]]></text></title></script><!--<script>"
        "alert(1)//&amp;&#0;\"'\\%s%n\x7f\x08\ufffe").encode() + b"\xff\xc0\x80\xed\xa0\x80"
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Functions, files, mapping, build id, units, thread, and what scry keeps in comments."""
    texts = [b"", b"samples", b"count", b"other function", b"nanoseconds", b"thread", EVIL + b"function", EVIL + b"file.py",
             EVIL + b"mapping", EVIL + b"build", EVIL + b"type", EVIL + b"unit", EVIL + b"thread", EVIL + b"key",
             *(b"scry." + key + EVIL + b" text" for key in (b"command ", b"host ", b"note ", b"truncated 7 ", b"", b"kind ")),
             b"scry.samples_taken 9", b"scry.frames 9"]
    at = {text: i for i, text in enumerate(texts)}
    pairs = [(1, 10), (2, 11)]
    parts = [message(1, (1, 1), (2, 2)), message(1, *pairs),
             message(3, (1, 1), (2, 0x1000), (3, 0x9000), (5, 8), (6, 9))]
    for i in range(3):
        label = message(3, (1, 5), (2, 12)) + message(3, (1, 13), (2, 12)) + message(3, (1, 13), (3, 5), (4, 11))
        parts += [message(2, (1, i % 2 + 1), (1, 2), (2, 3), (2, 5), label)]
    for i in (1, 2):
        parts += [message(4, (1, i), (2, 1), (3, 0x2000 + i), message(4, (1, i), (2, 7))),
                  message(5, (1, i), (2, 6 if i == 1 else 3), (3, 6), (4, 7))]
    parts += [message(6, text) for text in texts] + [bytes([13 << 3]) + bytes([i]) for t, i in at.items() if t[:5] == b"scry."]
    path = tmp_path_factory.mktemp("hostile") / "x.pb"
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("words", [[], ["--by", "lines"], ["--by", "files"], ["--tree"], ["--tree", "--inverted"],
                                   ["--threads"], ["--callers", "function"], ["--callees", "/./"], ["--value", "samples"],
                                   ["--value", EVIL.decode(errors="replace").replace("\0", "") + "x"], ["--callers", "\x1b[2J\x9b2J"]],
                         ids=lambda w: " ".join(map(ascii, w))[:40])
@pytest.mark.parametrize("json_too", [False, True])
def test_reports_steer_no_terminal(hostile, words, json_too):
    r = run("report", hostile, *words, *(["--json"] if json_too else []))
    assert r.returncode in (0, 1)
    text = r.stdout + r.stderr
    assert text and not STEERS.search(text), (STEERS.search(text), text)
    assert "function" in text or "--by" in words or r.returncode
    if json_too and r.returncode == 0:
        json.loads(r.stdout)


def test_the_reasons_and_notes_of_a_profile_are_shown_harmless(hostile):
    text = run("report", hostile).stdout
    for word in ("note: ", "(7)", " of ?]0"):
        assert word in text, text


def converted(hostile, tmp_path, ending):
    out = tmp_path / f"out{ending}"
    r = run("convert", hostile, out)
    assert r.returncode == 0 and r.stderr == "", r
    return out


def test_the_picture_is_xml_without_what_was_smuggled_in(hostile, tmp_path):
    text = converted(hostile, tmp_path, ".svg").read_bytes().decode()
    assert not STEERS.search(text)
    root = xml.fromstring(text)
    assert [e for e in root.iter() if e.tag.endswith("script")] == [root[-1]]
    assert "alert" not in root[-1].text
    titles = [e.text for e in root.iter() if e.tag.endswith("title")]
    assert any("<script>" in t and "function" in t for t in titles)


@pytest.mark.parametrize("ending", [".json", ".speedscope.json"])
def test_json_is_json(hostile, tmp_path, ending):
    text = converted(hostile, tmp_path, ending).read_bytes().decode()
    assert not STEERS.search(text) and "</script" not in text
    assert "alert(1)" in json.dumps(json.loads(text))


def test_folded_stacks_are_lines_of_frames(hostile, tmp_path):
    text = converted(hostile, tmp_path, ".folded").read_bytes().decode()
    assert not STEERS.search(text)
    lines = text.splitlines()  # at every line end that Unicode knows
    assert len(lines) == text.count("\n") == 2
    for line in lines:
        stack, count = line.rsplit(" ", 1)
        assert all("function" in frame for frame in stack.split(";")) and int(count) > 0


def test_the_page_holds_it_as_data(hostile, tmp_path):
    page = converted(hostile, tmp_path, ".html").read_text()
    data = re.search(r'<script type="text/plain" id="scry-profile">([A-Za-z0-9+/=]*)</script>', page)
    assert data and "alert(1)" not in page
    assert b"alert(1)" in gzip.decompress(base64.b64decode(data[1]))


def test_pprof_is_read_again(hostile, tmp_path):
    p = reader.read(converted(hostile, tmp_path, ".pb.gz"))
    assert len(p.samples) >= 1 and all("function" in name for s in p.samples for name in s.names)
    again = run("report", converted(hostile, tmp_path, ".pb.gz"))
    assert again.returncode == 0 and not STEERS.search(again.stdout)
