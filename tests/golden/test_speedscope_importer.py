"""Our speedscope files as speedscope's own importer reads them, and its kinds of files as we read them."""
import collections
import json

import pytest

from harness import scry

SEEDED_KINDS = [("plain", 1), ("plain", 2), ("odd", 3)]


def shown(name):
    return name or "?"


@pytest.mark.parametrize("kind, seed", SEEDED_KINDS)
def test_its_importer_finds_every_stack_and_weight(made, speedscope, kind, seed):
    path, truth = made(".speedscope.json", kind, seed)
    read = speedscope(path)
    found = collections.Counter()
    for p in read["profiles"]:
        assert p["unit"] == "nanoseconds"
        for weight, frames in p["stacks"]:
            found[p["name"], tuple(frames)] += weight
    wanted = collections.Counter()
    for s in truth.samples:
        process = "server: " if True else ""
        wanted[f"{process}{s['thread']} ({s['tid']})", tuple(shown(f["name"]) for f in s["frames"])] += s["values"][1]
    assert found == wanted


@pytest.mark.parametrize("kind, seed", SEEDED_KINDS)
def test_its_importer_has_our_self_and_total(made, speedscope, kind, seed):
    path, truth = made(".speedscope.json", kind, seed)
    self_, total = collections.Counter(), collections.Counter()
    for p in speedscope(path)["profiles"]:
        for f in p["functions"]:
            self_[f["name"]] += f["self"]
            total[f["name"]] += f["total"]
    assert {n: v for n, v in self_.items() if v} == truth.by_function(1, leaf=True)
    assert total == truth.by_function(1, leaf=False)


def test_frames_carry_file_and_line_and_the_busiest_thread_is_shown(made, speedscope):
    path, truth = made(".speedscope.json")
    read = speedscope(path)
    places = {f["name"]: (f["file"] or "", f["line"]) for p in read["profiles"] for f in p["functions"]}
    assert places == {f["name"]: (f["file"], f["start_line"]) for s in truth.samples for f in s["frames"]}
    threads = collections.Counter()
    for s in truth.samples:
        threads[s["thread"]] += s["values"][1]
    assert threads.most_common(1)[0][0] in read["profiles"][read["active"]]["name"]
    assert read["name"] == "server --port 80"


@pytest.mark.parametrize("kind, seed", SEEDED_KINDS)
def test_read_again_it_has_the_same_threads_and_stacks(made, speedscope, tmp_path, kind, seed):
    path, _ = made(".speedscope.json", kind, seed)
    again = tmp_path / "again.speedscope.json"
    r = scry("convert", path, again)
    assert r.status == 0, r
    one, two = speedscope(path), speedscope(again)
    assert [(p["name"], p["stacks"]) for p in one["profiles"]] == [(p["name"], p["stacks"]) for p in two["profiles"]]
    assert one["active"] == two["active"] and one["name"] == two["name"]


def test_its_schema_allows_what_we_write(made, speedscope):
    path, _ = made(".speedscope.json")
    schema = json.loads((speedscope.package / "dist/release/file-format-schema.json").read_text())

    def check(value, rule, where):
        if "$ref" in rule:
            rule = schema["definitions"][rule["$ref"].rsplit("/", 1)[-1]]
        if "anyOf" in rule:
            problems = []
            for one in rule["anyOf"]:
                try:
                    return check(value, one, where)
                except AssertionError as e:
                    problems.append(str(e))
            raise AssertionError(problems)
        if "const" in rule:
            assert value == rule["const"], where
        if "enum" in rule:
            assert value in rule["enum"], where
        kinds = {"object": dict, "array": list, "string": str, "number": (int, float)}
        if rule.get("type") in kinds:
            assert isinstance(value, kinds[rule["type"]]), where
        for key in rule.get("required", []):
            assert key in value, f"{where}.{key} is missing"
        for key, inner in rule.get("properties", {}).items():
            if key in value:
                check(value[key], inner, f"{where}.{key}")
        if rule.get("type") == "array":
            for item in value[:200]:
                check(item, rule["items"], f"{where}[]")
        if rule.get("type") == "object":
            assert rule.get("additionalProperties", True), where

    check(json.loads(path.read_text()), {"$ref": "FileFormat.File"}, "file")


def test_evented_profiles_are_read_as_its_importer_reads_them(speedscope, tmp_path):
    events = [("O", 0, 10), ("O", 1, 12), ("C", 1, 15), ("O", 2, 15), ("O", 2, 16.5), ("C", 2, 17), ("C", 2, 18),
              ("C", 0, 30)]
    source = {
        "$schema": "https://www.speedscope.app/file-format-schema.json", "name": "made by hand",
        "shared": {"frames": [{"name": "a", "file": "a.c", "line": 3}, {"name": "b"}, {"name": "c"}]},
        "profiles": [{"type": "evented", "name": "t", "unit": "milliseconds", "startValue": 10, "endValue": 30,
                      "events": [{"type": t, "frame": f, "at": at} for t, f, at in events]}]}
    path = tmp_path / "evented.speedscope.json"
    path.write_text(json.dumps(source))
    theirs = {f["name"]: (round(f["self"] * 1e6), round(f["total"] * 1e6)) for f in speedscope(path)["profiles"][0]["functions"]}
    r = scry("report", path, "--json", "-n", 0)
    assert r.status == 0, r
    assert {f["name"]: (f["self"], f["total"]) for f in r.json["functions"]} == theirs
