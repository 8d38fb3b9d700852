"""What a capture leaves behind: every format, the summary, report and convert."""
import json
import re
import shutil
import subprocess

import pprof
import pytest
from conftest import assert_shares
from harness import SOURCES, Target, pythons, scry, start_scry, target


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """One capture of the Python target, as pprof."""
    path = tmp_path_factory.mktemp("profiled") / "python.pb.gz"
    with Target([pythons()[0], SOURCES / "shares.py"]) as t:
        t.mark()
        r = scry("cpu", "-p", t.pid, "-d", 3, "-F", 999, "-o", path, "--json")
        truth = t.truth()
    assert r.status == 0, r
    return path, r, truth


def test_the_summary_for_programs_is_json_and_tells_quality_first(profiled):
    _, r, _ = profiled
    summary = r.json
    text = json.dumps(summary)
    assert "quality" in summary, text[:500]
    for word in ("taken", "lost", "truncated", "unnamed", "cpu", "rss", "slowdown"):
        assert word in text, (word, text[:2000])


def test_json_of_a_command_is_a_line_of_the_standard_output(tmp_path):
    path = tmp_path / "x.folded"
    r = scry("cpu", "-o", path, "--json", "--", "sh", "-c", "echo mine; echo too >&2")
    assert r.status == 0 and r.err == "too\n", r
    first, last = r.out.splitlines()
    assert first == "mine" and json.loads(last)["output"] == str(path)


def test_the_summary_of_a_command_stays_out_of_its_output(tmp_path):
    r = scry("cpu", "-o", tmp_path / "x.folded", "--", "echo", "mine")
    assert r.status == 0 and r.out == "mine\n" and "Written to" in r.err, r


def test_json_beside_a_profile_on_the_standard_output_is_on_the_other(tmp_path):
    with Target([target("shares")]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 1, "-F", 499, "-o", "-", "--to", "folded", "--json")
    assert r.status == 0 and "alpha" in r.out and json.loads(r.err)["output"] == "-", r


def test_the_summary_for_people_is_short_and_names_the_file(tmp_path):
    with Target([target("shares")]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 1, "-o", tmp_path / "x.html")
    text = r.out + r.err
    assert "alpha" in text and "x.html" in text and len(text.splitlines()) < 60, r
    assert "\x1b[" not in text, "no colours and no progress in a pipe"


def test_without_an_output_one_html_page_appears_here(tmp_path):
    with Target([target("shares")]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 1, cwd=tmp_path)
    assert r.status == 0, r
    pages = list(tmp_path.glob("*.html"))
    assert len(pages) == 1 and pages[0].name in r.out + r.err, r
    page = pages[0].read_text()
    assert "alpha" in page and page.lstrip().lower().startswith("<!doctype html")
    assert not re.search(r'(src|href)="https?://', page), "the page must work offline"


def test_the_name_of_a_file_that_nobody_named_tells_its_format(tmp_path):
    with Target([target("shares")]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 1, "-t", "folded", cwd=tmp_path)
    [file] = tmp_path.iterdir()
    assert r.status == 0 and file.suffix == ".folded" and "alpha" in file.read_text(), r


def test_a_process_that_is_named_twice_is_one(tmp_path):
    with Target([target("shares")]) as t:
        r = scry("cpu", "-p", f"{t.pid},{t.pid}", "-p", t.pid, "-d", "0.2", "--json", cwd=tmp_path)
    assert r.status == 0 and "2 processes" not in r.json["command"] and str(t.pid) in r.json["command"], r
    assert not list(tmp_path.iterdir()), "with --json a file is written only where -o says"


def test_quiet_keeps_the_json_that_was_asked_for(tmp_path):
    with Target([target("shares")]) as t:
        r = scry("cpu", "-q", "--json", "-p", t.pid, "-d", "0.2", cwd=tmp_path)
    assert r.status == 0 and r.err == "" and "quality" in r.json, r


def test_nothing_more_is_promised_of_a_capture_without_samples(tmp_path):
    path = tmp_path / "x.folded"
    r = scry("cpu", "-F", 1, "-d", "0.3", "-o", path, "--", "sleep", "0.1")  # which begins within a millisecond
    assert r.status == 0 and "0 samples" in r.err and f"Written to {path}\n" in r.err, r


def test_two_captures_of_one_second_are_two_files(tmp_path):
    with Target([target("shares")]) as t:
        # They end by one signal: most pairs write in the same second.
        both = [start_scry("cpu", "-p", t.pid, "-d", 1, "-q", cwd=tmp_path) for _ in range(4)]
        assert [p.wait(30) for p in both] == [0] * 4
    for p in both:
        p.communicate()
    assert len(list(tmp_path.glob("*.html"))) == 4, list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".html", ".svg", ".folded", ".speedscope.json", ".json"])
def test_every_format_holds_the_functions(profiled, tmp_path, ending):
    path, _, _ = profiled
    out = tmp_path / f"x{ending}"
    r = scry("convert", path, out)
    assert r.status == 0, r
    text = out.read_text()
    if ending == ".html":  # its data is compressed; tests/web looks into it
        assert text.lower().startswith("<!doctype html") and len(text) > 50000
        return
    for name in ("pure_loop", "sort_words", "one_round"):
        assert name in text
    if ending.endswith("json"):
        json.loads(text)
    if ending == ".folded":
        lines = text.splitlines()
        assert all(re.fullmatch(r".+ \d+", line) for line in lines)
        total = sum(int(line.rsplit(" ", 1)[1]) for line in lines)
        assert total == pprof.count(pprof.read(path))


def go_pprof(*arguments):
    go = shutil.which("go") or ("/usr/local/go/bin/go" if shutil.which("/usr/local/go/bin/go") else None)
    if not go:
        pytest.skip("go is not installed")
    done = subprocess.run([go, "tool", "pprof", *arguments], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pprof_is_read_by_its_own_tool(profiled):
    path, _, truth = profiled
    top = go_pprof("-top", "-cum", "-nodecount=400", path)
    rows = {m[1]: float(m[0]) / 100 for m in re.findall(r"^ .*\s([\d.]+)%\s+(\S[^%]*)$", top, re.M)}
    found = {name.split(" ")[0].split(".")[-1]: share for name, share in rows.items()}
    true = {name: ns / truth["cpu_ns"] for name, ns in truth["ns"].items()}
    assert_shares(found, true, pprof.count(pprof.read(path)))
    assert "<module>" in top and "<unknown>" not in top
    assert re.search(r"^File: (libpython|python)", top, re.M), top[:300] # its "main binary", which is no library of C's
    raw = go_pprof("-raw", path)
    assert re.search(r"libpython|python3", raw[raw.index("\nMappings"):])


@pytest.mark.parametrize("name", ["shares", "shares-nopie", "shares-static"])
def test_pprof_finds_the_instruction_of_each_address(name, tmp_path):
    """It reads them in the program's file, by the mapping."""
    path = tmp_path / "x.pb.gz"
    with Target([target(name)]) as t:
        assert scry("cpu", "-p", t.pid, "-d", 1, "-F", 999, "-o", path).status == 0
    profile = pprof.read(path)
    for frame in (f for s in profile.samples for f in s.frames if f.mapping):
        assert frame.mapping.start <= frame.address < frame.mapping.limit, frame
    ours = sum(s.values[0] for s in profile.samples
               if next((f.name for f in s.frames if not f.inlined), "") == "beta_inner")
    listing = go_pprof("-sample_index=samples", "-disasm=beta_inner", path)
    theirs = sum(int(m) for m in re.findall(r"^ +(\d+) +\d+ +[0-9a-f]+: ", listing, re.M))
    assert theirs == ours > 50, listing
    assert re.search(r" target_spin \(inline\)$", go_pprof("-top", path), re.M)


def test_report_agrees_with_pprof_reader(profiled):
    path, _, _ = profiled
    r = scry("report", path, "-n", 0)
    assert r.status == 0, r
    j = scry("report", path, "--json")
    assert j.status == 0
    json.loads(j.out)
    shares = pprof.shares(pprof.read(path))
    for name in ("pure_loop", "compress", "sort_words"):
        assert name in r.out, r
        stated = [float(x) for line in r.out.splitlines() if re.search(rf"\b{name}\b", line)
                  for x in re.findall(r"([\d.]+)\s*%", line)]
        assert any(abs(x - 100 * shares[name]) < 0.6 for x in stated), (name, stated, shares[name])


def test_threads_can_be_told_apart(tmp_path):
    path = tmp_path / "x.folded"
    with Target([target("shares"), 60, 2]) as t:
        r = scry("cpu", "-p", t.pid, "-d", 1, "-F", 499, "--threads", "-o", path)
    assert r.status == 0, r
    roots = {line.split(";")[0] for line in path.read_text().splitlines()}
    assert len(roots) >= 2 and any("worker-1" in root for root in roots), roots


def test_quality_is_in_the_pprof_too(profiled):
    path, _, _ = profiled
    comments = " ".join(pprof.read(path).comments)
    assert re.search(r"lost", comments) and re.search(r"taken|samples", comments), comments
