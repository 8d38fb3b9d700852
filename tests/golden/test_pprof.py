"""Our pprof files as go tool pprof and protoc read them."""
import gzip
import json
import pathlib
import re
import subprocess

import pytest

import pprof
from harness import scry

SEEDS = [1, 2, 3]
SEEDED_KINDS = [("plain", 1), ("plain", 2), ("odd", 3)]


def raw_parts(text):
    """{"samples": [(values, ids, labels)], "locations": {id: (address, mapping, [(name, file, line, start)])},
    "mappings": {id: (start, limit, offset, file, build id, flags)}} of pprof -raw."""
    samples, locations, mappings, part, head = [], {}, {}, None, {}
    for line in text.splitlines():
        if line in ("Samples:", "Locations", "Mappings"):
            part = line
        elif part is None:
            key, _, value = line.partition(": ")
            head[key] = value
        elif part == "Samples:" and re.match(r"\s*-?\d+\s+-?\d+: ", line):
            values, _, ids = line.partition(":")
            samples.append((tuple(map(int, values.split())), tuple(map(int, ids.split())), {}))
        elif part == "Samples:" and samples:
            samples[-1][2].update(re.findall(r"(\w+):\[(.*?)\]", line))
        elif part == "Locations":
            found = re.match(r"\s*(\d+): (0x[0-9a-f]+) (?:M=(\d+) )?(.*)$", line)
            if found:
                lines = locations.setdefault(int(found[1]), (int(found[2], 16), int(found[3] or 0), []))[2]
                line = found[4]
            # The column is there from Go 1.23 on.
            one = re.match(r"\s*(\S+) (\S*?):(\d+)(?::\d+)? s=(\d+)", line)
            if one:
                lines.append((one[1], one[2], int(one[3]), int(one[4])))
        elif part == "Mappings":
            found = re.match(r"(\d+): 0x(\w+)/0x(\w+)/0x(\w+) (\S+) (\S+) (.*)$", line)
            if found:
                mappings[int(found[1])] = tuple(int(x, 16) for x in found.group(2, 3, 4)) + found.group(5, 6, 7)
    return {"head": head, "samples": samples, "locations": locations, "mappings": mappings}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_sample_of_ours_is_the_one_that_go_reads(made, go, seed):
    path, truth = made(".pb.gz", seed=seed)
    raw = raw_parts(go("-raw", path))

    def frame(f):
        return f["name"], f["file"], f["line"], f["start_line"], f["address"], f["mapping"]

    wanted = truth.multiset(lambda s: (tuple(map(frame, s["frames"])), s["thread"], str(s["pid"]), s["request"]))
    found = {}
    for values, ids, labels in raw["samples"]:
        frames = []
        for i in ids:
            address, mapping, lines = raw["locations"][i]
            assert lines, f"location {i} has no line"
            frames += [line[:4] + (address, mapping) for line in lines]
        # The order of mapping ids is ours to choose; the file says which one it is.
        frames = [f[:5] + (int(re.search(r"lib(\d)\.so", raw["mappings"][f[5]][3])[1]) if f[5] else 0,) for f in frames]
        key = tuple(frames), labels["thread"], labels["pid"], labels["request"]
        before = found.get(key, (0, 0))
        found[key] = tuple(a + b for a, b in zip(before, values))
    assert found == wanted


def test_a_location_is_an_address_with_its_inlined_calls(made, go):
    path, truth = made(".pb.gz")
    raw = raw_parts(go("-raw", path))
    depths = {}
    for s in truth.samples:
        run = 0
        for f in s["frames"]:
            run += 1
            if not f["inlined"]:
                if f["address"]:
                    depths[f["address"]] = run
                run = 0
    assert {a: len(lines) for a, _, lines in raw["locations"].values() if a} == depths
    assert max(depths.values()) == 3


def test_mappings_carry_build_ids_and_say_that_they_are_named(made, go):
    path, _ = made(".pb.gz")
    mappings = raw_parts(go("-raw", path))["mappings"].values()
    assert sorted(m[:5] for m in mappings) == [
        (0x10000000 * (i + 1), 0x10000000 * (i + 1) + 0x100000, 0x1000 * i, f"/usr/lib/lib{i + 1}.so", f"{i + 0xabc:040x}")
        for i in range(4)]
    assert {m[5] for m in mappings} == {"[FN][FL][LN][IN]"}


def test_the_header_says_what_was_measured(made, go):
    path, _ = made(".pb.gz")
    text = go("-raw", path)
    head = raw_parts(text)["head"]
    assert head["PeriodType"] == "cpu nanoseconds" and head["Period"] == "10101010"
    assert "2023-11-14 22:13:20" in head["Time"] and head["Duration"].startswith("4")
    assert "samples/count cpu/nanoseconds[dflt]" in text
    assert "scry: 400 samples, 7 lost" in go("-comments", path)


@pytest.mark.parametrize("index, name, unit", [(0, "samples", 1), (1, "cpu", 1)])
@pytest.mark.parametrize("seed", SEEDS)
def test_gos_table_has_the_numbers_of_the_definition(made, go, seed, index, name, unit):
    path, truth = made(".pb.gz", seed=seed)
    text = go("-top", "-nodecount=100000", "-nodefraction=0", f"-sample_index={name}", "-unit=" + ("count", "ns")[index], path)
    rows = re.findall(r"^\s*(\d+)(?:ns)?\s+\S+%\s+\S+%\s+(\d+)(?:ns)?\s+\S+%\s+(\S+)", text, re.M)
    found = {n: (int(s), int(t)) for s, t, n in rows}
    self_, total = truth.by_function(index, True), truth.by_function(index, False)
    assert found == {n: (self_.get(n, 0), t) for n, t in total.items()}
    assert f"of {truth.values(index)}" in text.splitlines()[-len(rows) - 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_report_has_the_numbers_of_the_definition(made, seed):
    path, truth = made(".pb.gz", seed=seed)
    r = scry("report", path, "--json", "--internal", "-n", 0)
    assert r.status == 0, r
    found = {}
    for f in r.json["functions"]:
        before = found.get(f["name"], (0, 0))
        found[f["name"]] = before[0] + f["self"], before[1] + f["total"]
    self_, total = truth.by_function(1, True), truth.by_function(1, False)
    assert found == {n: (self_.get(n, 0), t) for n, t in total.items()}


def decode(protoc, path):
    schema = pathlib.Path(__file__).with_name("profile.proto")
    return subprocess.run([protoc, f"--proto_path={schema.parent}", "--decode=Profile", schema.name],
                          input=gzip.decompress(path.read_bytes()), capture_output=True)


@pytest.mark.parametrize("kind, seed", SEEDED_KINDS)
def test_protoc_decodes_it_whole(made, protoc, kind, seed):
    path, truth = made(".pb.gz", kind, seed)
    done = decode(protoc, path)
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode()
    assert not re.search(r"^\s*\d+[:{ ]", text, re.M), "a field that the schema does not have"
    assert not done.stderr, done.stderr.decode()
    for block, least in (("sample_type", 2), ("sample", 100), ("mapping", 4), ("location", 100), ("function", 50)):
        assert len(re.findall(rf"^{block} {{", text, re.M)) >= least
    strings = re.findall(r'^string_table: "(.*)"$', text, re.M)
    assert strings[0] == "" and len(set(strings)) == len(strings)
    parsed = pprof.read(path)
    assert parsed.total(1) == truth.values(1)


@pytest.mark.parametrize("kind, seed", SEEDED_KINDS)
def test_names_survive_or_are_mended(made, go, kind, seed):
    path, truth = made(".pb.gz", kind, seed)
    found = {f.name for s in pprof.read(path).samples for f in s.frames}
    assert found == {f["name"] for s in truth.samples for f in s["frames"]}
    go("-raw", path)
    go("-traces", path)


@pytest.mark.parametrize("kind, seed", SEEDED_KINDS)
def test_read_and_written_again_it_is_the_same_profile(made, tmp_path, kind, seed):
    path, _ = made(".pb.gz", kind, seed)
    again, third = tmp_path / "again.pb.gz", tmp_path / "third.pb.gz"
    for source, to in ((path, again), (again, third)):
        r = scry("convert", "--internal", source, to)
        assert r.status == 0, r

    def contents(of):
        p = pprof.read(of)
        rows = {}
        for s in p.samples:
            key = tuple(f._replace(mapping=f.mapping and f.mapping._replace(id=0)) for f in s.frames), tuple(sorted(s.labels.items()))
            rows[key] = tuple(a + b for a, b in zip(rows.get(key, (0, 0)), s.values))
        quality = [c for c in p.comments if not c.startswith("scry.kind")]
        return rows, p.sample_types, p.default_type, p.period, p.period_type, p.time_ns, p.duration_ns, quality
    assert contents(path) == contents(again) == contents(third)


def test_what_go_writes_is_read(made, go, tmp_path):
    path, truth = made(".pb.gz")
    gos, ours = tmp_path / "gos.pb.gz", tmp_path / "ours.folded"
    go("-proto", f"-output={gos}", path)
    r = scry("convert", "--internal", gos, ours)
    assert r.status == 0, r
    total = sum(int(line.rsplit(" ", 1)[1]) for line in ours.read_text().splitlines())
    assert total == truth.values(0)


def test_labels_of_every_kind_survive(made):
    path, truth = made(".pb.gz")
    found = {(s.labels["thread"], s.labels["tid"], s.labels["request"], s.labels["bytes"]) for s in pprof.read(path).samples}
    assert found == {(s["thread"], s["tid"], s["request"], s["bytes"]) for s in truth.samples}
    assert {s["bytes"] for s in truth.samples} == {-512, 0, 512}


def test_kinds_are_not_believed_when_functions_were_numbered_anew(made, go, tmp_path):
    """go keeps our comments when it merges, but numbers the functions anew: what they say of ids would be wrong."""
    (one, truth), (two, _) = made(".pb.gz", seed=1), made(".pb.gz", seed=2)
    merged, out = tmp_path / "merged.pb.gz", tmp_path / "out.json"

    def kinds(of):
        r = scry("convert", "--internal", of, out)
        assert r.status == 0, r
        p = json.loads(out.read_text())
        return {(p["functions"][f["function"]]["name"], f["kind"]) for f in p["frames"][1:]}

    assert kinds(one) == {(f["name"], f["kind"]) for s in truth.samples for f in s["frames"]}
    go("-proto", f"-output={merged}", one, two)
    assert any(c.startswith("scry.kind python") for c in pprof.read(merged).comments)
    assert {kind for _, kind in kinds(merged)} == {"native"}
