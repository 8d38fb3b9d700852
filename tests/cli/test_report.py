"""scry report of files that others wrote: every number fits, and every name is shown."""
import json
import re
import resource

import pytest
from conftest import SCRY, message, needs_verb, varint

pytestmark = needs_verb("report")


def pprof(path, samples):
    """Writes [(function, file, line, value)] in bytes, each a stack of one frame."""
    strings = ["", "space", "bytes"]
    for name, file, _, _ in samples:
        strings += [name, file]
    parts = [message(1, (1, 1), (2, 2))]
    for i, (_, _, line, value) in enumerate(samples):
        parts += [message(2, (1, i + 1), (2, value)), message(4, (1, i + 1), message(4, (1, i + 1), (2, line))),
                  message(5, (1, i + 1), (2, 3 + 2 * i), (4, 4 + 2 * i))]
    path.write_bytes(b"".join(parts) + b"".join(message(6, s.encode()) for s in strings))
    return path


def test_branches_that_are_left_out_add_up_even_when_they_are_huge(scry, tmp_path):
    file = pprof(tmp_path / "x.pb", [(n, "f.c", 1, 1 << 62) for n in "abcd"])
    r = scry("report", "--tree", "--min", "100", file)
    assert r.returncode == 0 and "4 branches below 100 % are left out, together 100.0 %" in r.stdout, r.stdout


def test_a_long_function_name_stands_beside_its_line(scry, tmp_path):
    name = "std::vector<a::very::long/name/" + "x" * 200 + ">::push_back"
    file = pprof(tmp_path / "x.pb", [(name, "f.c", 7, 5)])
    r = scry("report", "--by", "lines", file)
    row = next(line for line in r.stdout.splitlines() if "f.c:7" in line)
    assert "  std::vec" in row and row.endswith("::push_back") and len(row) <= 80, row


def speedscope(path, profiles, quality=None):
    path.write_text(json.dumps({"$schema": "https://www.speedscope.app/file-format-schema.json", "shared": {"frames": [{"name": "f"}]},
                                "profiles": [{"name": "t", "unit": "nanoseconds", "endValue": 9000, **p} for p in profiles],
                                "scry": {"quality": quality or {}}}))
    return path


def test_samples_of_speedscope_begin_where_it_says(scry, tmp_path):
    file = speedscope(tmp_path / "x.json", [
        {"type": "sampled", "startValue": 1500, "samples": [[0], [0]], "weights": [10, 20]},
        {"type": "sampled", "startValue": 1000, "samples": [[0]], "weights": [5]},
        {"type": "evented", "startValue": 2000, "events": [{"type": "O", "frame": 0, "at": 2100}, {"type": "C", "frame": 0, "at": 2150}]}])
    told = json.loads(scry("convert", file, "-", "--to", "json").stdout)
    assert [(s[2], s[3]) for s in told["samples"]] == [(500, 10), (510, 20), (0, 5), (1100, 50)]


def test_a_file_cannot_say_of_its_quality_what_cannot_be(scry, tmp_path):
    most = 2**63 - 1
    counts = {"samples_taken": most, "samples_lost": most, "stacks_whole": 3, "frames": 1, "frames_unnamed": most,
              "frames_approximate": most, "self_cpu_ns": most, "probe_runs": 1}
    sampled = {"type": "sampled", "startValue": 0, "samples": [[0]], "weights": [1]}
    for bound in (1e308, -7):
        text = scry("report", speedscope(tmp_path / "x.json", [sampled], {**counts, "slowdown_bound": bound})).stdout
        assert "100.0 % of the frames have no name" in text and "(50.00 %) were lost" in text, text
        assert "inf" not in text and "speed" not in text, text
    file = tmp_path / "x.pb"
    comments = [f"scry.{key} {2**64 - 1 if value == most else value}" for key, value in counts.items()] + ["scry.slowdown_bound inf"]
    strings = ["", "space", "bytes", "f", *comments]
    file.write_bytes(b"".join([
        message(1, (1, 1), (2, 2)), message(2, (1, 1), (2, 5)), message(4, (1, 1), message(4, (1, 1))), message(5, (1, 1), (2, 3)),
        *(message(6, s.encode()) for s in strings), *(varint(13 << 3) + varint(4 + i) for i in range(len(comments))),
        *(varint(field << 3) + varint(-7) for field in (9, 10, 12)), message(11, (1, 1), (2, 2))]))
    text, told = scry("report", file).stdout, json.loads(scry("report", "--json", file).stdout)
    assert "100.0 % of the frames have no name" in text and "(50.00 %) were lost" in text and "speed" not in text, text
    assert told["duration_seconds"] == 0 and told["period_ns"] == 0 and told["quality"]["slowdown_bound"] is None


def test_json_tells_threads_as_the_text_does(scry, tmp_path):
    def thread(name, weight):
        return {"type": "sampled", "name": name, "unit": "nanoseconds", "startValue": 0, "endValue": weight,
                "samples": [[0]], "weights": [weight]}

    file = tmp_path / "x.speedscope.json"
    file.write_text(json.dumps({"$schema": "https://www.speedscope.app/file-format-schema.json",
                                "shared": {"frames": [{"name": "f"}]},
                                "profiles": [thread("slow", 300), thread("quick", 100)]}))
    text, told = scry("report", "--threads", file).stdout, json.loads(scry("report", "--threads", "--json", file).stdout)
    assert [(t["thread"], t["total"], t["total_percent"]) for t in told["threads"]] == [("slow", 300, 75), ("quick", 100, 25)]
    assert "75.0 %" in text and "slow" in text and told["processes"]
    assert len(json.loads(scry("report", "--threads", "--json", "-n", 1, file).stdout)["threads"]) == 1
    assert "threads" not in json.loads(scry("report", "--json", file).stdout)


def test_values_below_zero_count_as_nothing_and_it_is_said(scry, tmp_path):
    file = pprof(tmp_path / "x.pb", [("less", "f.c", 1, -5), ("more", "f.c", 1, 20)])
    text = scry("report", file).stdout
    assert "100.0 %  100.0 %         20 B  more" in text and "  0.0 %    0.0 %          0 B  less" in text, text
    assert "note: values below zero, as of a difference of two profiles, count as nothing: 1 rows, together -5 B" in text
    told = json.loads(scry("report", "--json", file).stdout)
    assert told["total"] == 20 and told["value"]["rows_below_zero"] == 1
    picture = scry("convert", file, "-", "--to", "svg").stdout
    assert 'data-w="1180.0000"' in picture and max(float(w) for w in re.findall('data-w="([^"]*)"', picture)) == 1180


def test_what_stands_for_no_sample_is_in_the_picture_too(scry, tmp_path):
    names = ["", "samples", "count", "cpu", "nanoseconds", "known", "uncounted"]
    parts = [message(1, (1, 1), (2, 2)), message(1, (1, 3), (2, 4))]
    for i, n in ((1, 1), (2, 0)):
        parts += [message(2, (1, i), (2, n), (2, 10**9)), message(4, (1, i), message(4, (1, i))), message(5, (1, i), (2, 4 + i))]
    file = tmp_path / "x.pb"
    file.write_bytes(b"".join(parts) + b"".join(message(6, s.encode()) for s in names))
    for words in (["report", file], ["report", "--tree", file], ["report", "--tree", "--inverted", file],
                  ["report", "--callers", "uncounted", file], ["convert", file, "-", "--to", "svg"]):
        assert "uncounted" in scry(*words).stdout, words
    assert "together 0.0 %" not in scry("report", "--tree", file).stdout


def test_a_small_file_does_not_ask_for_gigabytes(scry, tmp_path):
    """One name of 100 KB at 12,000 places of a stack."""
    name, depth = "x" * 100000, 12000
    parts = [message(1, (1, 1), (2, 2)), message(2, message(1, b"\1" * depth), (2, 1)), message(4, (1, 1), message(4, (1, 1))),
             message(5, (1, 1), (2, 3)), *(message(6, s.encode()) for s in ("", "samples", "count", name))]
    file = tmp_path / "x.pb"
    file.write_bytes(b"".join(parts))
    less = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))}
    if b"asan" in SCRY.read_bytes():
        pytest.skip("the sanitizer needs all addresses")
    r = scry("report", "--tree", "--min", 0, "--json", file, **less)
    assert r.returncode == 1 and "The report is larger than 256 MB" in r.stderr, r
    r = scry("convert", file, tmp_path / "x.folded", **less)
    assert r.returncode == 1 and "would be larger than 1024 MB" in r.stderr, r
    for words in (["report", file], ["report", "--tree", file], ["convert", file, tmp_path / "x.pb.gz"],
                  ["convert", file, tmp_path / "x.svg"]):
        assert scry(*words, **less).returncode == 0, words


def sampled(path, stacks):
    """Writes a pprof file of {function: (samples, nanoseconds)}."""
    strings, parts = ["", "samples", "count", "cpu", "nanoseconds"], [message(1, (1, 1), (2, 2)), message(1, (1, 3), (2, 4))]
    for i, (name, values) in enumerate(stacks.items()):
        parts += [message(2, (1, i + 1), *((2, v) for v in values)), message(4, (1, i + 1), message(4, (1, i + 1))),
                  message(5, (1, i + 1), (2, len(strings)))]
        strings.append(name)
    path.write_bytes(b"".join(parts) + b"".join(message(6, s.encode()) for s in strings))
    return path


def told(scry, path):
    r = json.loads(scry("report", "--json", "-n", 0, path).stdout)
    return r["verdict"]["samples_are_known"], r["samples"], {f["name"]: (f["self_samples"], f["self"]) for f in r["functions"]}


def test_samples_are_counted_through_speedscope_and_back(scry, tmp_path):
    stacks = {"a": (900, 9 * 10**8), "b": (400, 4 * 10**8)}
    at = sampled(tmp_path / "x.pb.gz", stacks)
    for i, ending in enumerate(("speedscope.json", "pb.gz", "speedscope.json", "pb.gz")):
        before, at = at, tmp_path / f"{i}.{ending}"
        assert scry("convert", before, at).returncode == 0
        assert told(scry, at) == (True, 1300, stacks)
    assert set(scry("convert", tmp_path / "0.speedscope.json", "-", "--to", "folded").stdout.splitlines()) == {"a 900", "b 400"}
    assert "\u00b12.7 points" in scry("report", at).stdout


def test_a_speedscope_file_of_another_tool_does_not_say_how_many_samples_it_has(scry, tmp_path):
    sampled(tmp_path / "x.pb.gz", {"a": (900, 9 * 10**8), "b": (400, 4 * 10**8)})
    scry("convert", tmp_path / "x.pb.gz", tmp_path / "x.speedscope.json")
    data = json.loads((tmp_path / "x.speedscope.json").read_text())
    ours = data.pop("scry")
    foreign, folded, again = tmp_path / "f.speedscope.json", tmp_path / "f.folded", tmp_path / "g.speedscope.json"
    # Nor does one that another tool cut, whatever it left of ours.
    for own in ({}, {"scry": {**ours, "samples": [[900]]}}, {"scry": {**ours, "samples": [[900, -3]]}}, {"scry": 7}):
        foreign.write_text(json.dumps({**data, **own}))
        assert told(scry, foreign)[0] is False, own
    for before, after in ((None, foreign), (foreign, folded), (folded, again)):
        if before:
            assert scry("convert", before, after).returncode == 0
        text = scry("report", after).stdout
        assert "does not say how many samples" in text.splitlines()[0] and "2 rows" in text and "points" not in text, text
        assert "900.0 ms" in text and "scry" not in text, text
    assert folded.read_text() == "# counts are of cpu in nanoseconds, not of samples\na 900000000\nb 400000000\n"
    assert "2 rows" in scry("convert", again, "-", "--to", "svg").stdout


def test_weights_without_a_unit_are_not_taken_for_samples(scry, tmp_path):
    file = speedscope(tmp_path / "x.json", [{"type": "sampled", "unit": "none", "startValue": 0, "samples": [[0]], "weights": [5]}])
    assert told(scry, file) == (False, 1, {"f": (1, 5)})


def test_no_program_is_invented_for_a_file_that_names_none(scry, tmp_path):
    (tmp_path / "x.folded").write_text("a;b 30\nc 8\n")
    scry("convert", tmp_path / "x.folded", tmp_path / "x.speedscope.json")
    assert "name" not in json.loads((tmp_path / "x.speedscope.json").read_text())
    text = scry("report", tmp_path / "x.speedscope.json").stdout
    assert "\n38 samples\n" in text, text


def test_what_rounds_to_nothing_is_not_told_as_a_defect(scry, tmp_path):
    def text(unnamed, approximate):
        counts = {"samples_taken": 5, "stacks_whole": 5, "frames": 10000, "frames_unnamed": unnamed, "frames_approximate": approximate}
        one = {"type": "sampled", "startValue": 0, "samples": [[0]], "weights": [1]}
        return scry("report", speedscope(tmp_path / "x.json", [one], counts)).stdout

    assert "0.0 % of the frames" not in text(3, 3) and "no name" not in text(3, 3) and "pointer" not in text(3, 3)
    assert "; 1.0 % of the frames were found by frame pointer only" in text(4, 100)
    assert "; 0.1 % of the frames have no name; 1.0 % were found by frame pointer only" in text(10, 100)


def test_rows_of_threads_are_not_counted_as_functions(scry, tmp_path):
    one = {"type": "sampled", "startValue": 0, "samples": [[0]], "weights": [1]}
    file = speedscope(tmp_path / "x.json", [{**one, "name": f"t{i}"} for i in range(7)])
    text = scry("report", "--threads", "-n", 3, file).stdout
    assert "... and 5 threads more" in text and "functions more" not in text, text
    assert "... and 1 function" not in scry("report", file).stdout
