"""The JSON of a profile against what was put in."""
import collections
import json

import pytest


@pytest.mark.parametrize("kind, seed", [("plain", 1), ("odd", 3)])
def test_everything_is_in_it(made, kind, seed):
    path, truth = made(".json", kind, seed)
    p = json.loads(path.read_text())
    assert (p["format"], p["version"]) == ("scry-profile", 1)
    assert p["value_types"][p["default_value"]] == {"type": "cpu", "unit": "nanoseconds"}
    assert p["quality"]["samples_lost"] == 7 and p["quality"]["truncated"] == [{"reason": "no unwind information", "count": 3}]
    assert p["quality"]["notes"] == ["made by chance"]

    def frames(stack):
        while stack:
            stack, frame = p["stacks"][stack]
            f = p["frames"][frame]
            fn = p["functions"][f["function"]]
            yield (fn["name"], fn["file"], fn["start_line"], f["line"], int(f["address"], 16), f.get("inlined", False),
                   f.get("internal", False), f["kind"], p["mappings"][f["mapping"]]["file"])

    def wanted_frame(f):
        mapping = f"/usr/lib/lib{f['mapping']}.so" if f["mapping"] else ""
        return (f["name"], f["file"], f["start_line"], f["line"], f["address"], f["inlined"], f["internal"], f["kind"], mapping)

    found, wanted = [], []
    for (stack, thread, time, *values), labels in zip(p["samples"], p["sample_labels"], strict=True):
        told = {label["key"]: label.get("text", label.get("number")) for label in p["label_sets"][labels]}
        found.append((tuple(frames(stack)), p["threads"][thread]["tid"], time, tuple(values), told["request"], told["bytes"]))
    for i, s in enumerate(truth.samples):
        wanted.append((tuple(map(wanted_frame, s["frames"])), s["tid"], i * 10000000, tuple(s["values"]), s["request"], s["bytes"]))
    assert found == wanted
    assert all(parent < i for i, (parent, _) in enumerate(p["stacks"]) if i)
    assert collections.Counter(m["build_id"] for m in p["mappings"]) and p["mappings"][1]["start"].startswith("0x")
