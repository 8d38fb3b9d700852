"""scry report of files that others wrote: every number fits, and every name is shown."""
import json

from conftest import message, needs_verb

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
