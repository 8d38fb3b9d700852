"""What scry writes for speedscope, read by speedscope itself: the released page, in a headless browser, and its
table of functions compared with scry's own."""
import base64
import html
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCRY = pathlib.Path(os.environ.get("SCRY", ROOT / "build/src/cli/scry"))
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

STACKS = """main;parse;read_[k] 30
main;sort;compare 25
main;sort;sort;compare 5
main;caf\u00e9 "quoted" <b>\\ 7
other;read 8
"""


def scry(*words, **more):
    done = subprocess.run([SCRY, *map(str, words)], text=True, capture_output=True, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def speedscope():
    if not BROWSER:
        pytest.skip("there is no chromium")
    done = subprocess.run([ROOT / "tools/npm-install", HERE], text=True, capture_output=True)
    if done.returncode:
        pytest.skip(f"speedscope could not be installed: {done.stderr[-300:]}")
    return HERE / "node_modules/speedscope/dist/release/index.html"


def rows_of(page, profile, folder):
    """speedscope's table: {function: (total %, self %)}, and the title it shows."""
    script = folder / "profile.js"
    data = base64.b64encode(profile.read_bytes()).decode()
    script.write_text(f"speedscope.loadFileFromBase64({json.dumps(profile.name)}, '{data}')")
    done = subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
                           f"--user-data-dir={folder / 'browser'}", "--virtual-time-budget=10000", "--dump-dom",
                           f"file://{page}#view=sandwich&localProfilePath={script}"],
                          text=True, capture_output=True, timeout=120)
    rows = {}
    for row in re.findall(r"<tr class.*?</tr>", done.stdout, re.S):
        shares = re.findall(r"\((?:&lt;)?([\d.]+)%\)", row)
        name = html.unescape(re.sub(r"<[^>]*>", "", row.rsplit("</span>", 1)[-1]))
        if len(shares) == 2:
            rows[name] = tuple(map(float, shares))
    return rows, html.unescape(re.search(r"<title>(.*?)</title>", done.stdout)[1])


def test_speedscope_shows_the_shares_that_scry_reports(speedscope, tmp_path):
    (tmp_path / "x.folded").write_text(STACKS)
    out = tmp_path / "x.speedscope.json"
    scry("convert", tmp_path / "x.folded", out)
    rows, title = rows_of(speedscope, out, tmp_path)
    assert title.endswith("speedscope") and title != "speedscope"
    ours = {f["name"]: f for f in json.loads(scry("report", tmp_path / "x.folded", "--json", "-n", "0"))["functions"]}
    assert set(rows) == set(ours)
    for name, (total, own) in rows.items():
        assert abs(total - ours[name]["total_percent"]) < 0.6, name
        assert abs(own - ours[name]["self_percent"]) < 0.6, name


def test_what_speedscope_reads_is_read_by_scry(tmp_path):
    """A file as its documentation describes it, with events."""
    events = [("O", 0, 0), ("O", 1, 2), ("C", 1, 5.5), ("C", 0, 10)]
    (tmp_path / "x.json").write_text(json.dumps({
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "shared": {"frames": [{"name": "a"}, {"name": "b", "file": "x.c", "line": 3}]},
        "profiles": [{"type": "evented", "name": "t", "unit": "milliseconds", "startValue": 0, "endValue": 10,
                      "events": [{"type": t, "frame": f, "at": at} for t, f, at in events]}]}))
    report = json.loads(scry("report", tmp_path / "x.json", "--json"))
    assert {f["name"]: (f["self"], f["total"]) for f in report["functions"]} == \
        {"a": (6_500_000, 10_000_000), "b": (3_500_000, 3_500_000)}


def test_every_format_that_is_written_and_read_keeps_the_shares(tmp_path):
    (tmp_path / "x.folded").write_text(STACKS)
    want = scry("report", tmp_path / "x.folded", "-n", 0).split("\n\n", 1)[1]
    for ending in (".pb.gz", ".speedscope.json", ".folded"):
        scry("convert", tmp_path / "x.folded", tmp_path / f"y{ending}")
        got = scry("report", tmp_path / f"y{ending}", "-n", 0).split("\n\n", 1)[1]
        assert [line.split("  ")[0:2] for line in got.splitlines()] == \
            [line.split("  ")[0:2] for line in want.splitlines()], ending


def test_svg_and_json_are_well_formed(tmp_path):
    import xml.dom.minidom
    (tmp_path / "x.folded").write_bytes(STACKS.encode() + b"bad\xff\xfe\xc3;name\x01\xed\xa0\x80 3\n")
    scry("convert", tmp_path / "x.folded", tmp_path / "x.svg")
    titles = [t.firstChild.data for t in xml.dom.minidom.parse(str(tmp_path / "x.svg")).getElementsByTagName("title")]
    assert any(t.startswith("sort: 38.46 %") for t in titles), titles
    scry("convert", tmp_path / "x.folded", tmp_path / "x.json")
    data = json.loads((tmp_path / "x.json").read_text())
    total = sum(s[3] for s in data["samples"])
    assert total == 78 and data["stacks"][0] == [0, 0]
