"""What a user meets before anything is captured: help, errors, exit statuses."""
import json
import os
import re
import resource
import subprocess

import pytest
from conftest import ROOT, SCRY, TABLE, needs_verb

VERBS = sorted(TABLE)


def refused(r, status=2):
    """Two lines on the standard error and nothing else: what happened, what to do next."""
    assert r.returncode == status and r.stdout == "", r
    lines = r.stderr.splitlines()
    assert len(lines) == 2, r.stderr
    assert re.fullmatch(r"scry: \S.*\.", lines[0]), lines[0]
    assert re.fullmatch(r"  \S.*[.?]", lines[1]), lines[1]
    return r.stderr


def test_without_a_verb_the_help_is_on_the_standard_error(scry):
    r = scry()
    assert r.returncode == 2 and r.stdout == "" and "Usage: scry VERB" in r.stderr


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_names_every_verb(scry, words):
    r = scry(*words)
    assert r.returncode == 0 and r.stderr == ""
    for verb, about in TABLE.items():
        assert re.search(rf"^  {verb} +{re.escape(about['summary'])}$", r.stdout, re.M)


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["version"]])
def test_version(scry, words):
    r = scry(*words)
    assert r.returncode == 0 and re.fullmatch(r"scry \d+\.\d+\.\d+\n", r.stdout)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_is_the_same_by_all_ways(scry, verb):
    a, b, c = scry(verb, "--help"), scry("help", verb), scry(verb, "-h")
    assert a.returncode == 0 and a.stdout == b.stdout == c.stdout


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("columns", [40, 80, 100])
def test_help_keeps_to_the_width(scry, verb, columns):
    text = scry(verb, "--help", env={"COLUMNS": str(columns)}).stdout
    prose = text.split("\nExamples:")[0]
    for line in prose.splitlines():
        assert line == line.rstrip()
        # A word that is wider than its column cannot be broken.
        assert len(line) <= columns or " " not in line.strip() or line.startswith(("scry ", "Usage: ")), line


@pytest.mark.parametrize("verb", VERBS)
def test_help_asked_for_wins_over_what_is_missing(scry, verb):
    assert scry(verb, "--help").returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_option_of_every_verb(scry, verb):
    assert f"scry {verb} has no option --nonsense" in refused(scry(verb, "--nonsense"))
    assert f"scry {verb} has no option -Z" in refused(scry(verb, "-Z"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_misspelt_option_is_suggested(scry, verb):
    for option in TABLE[verb]["options"]:
        name = option["name"]
        if len(name) < 5:
            continue
        misspelt = name[:2] + "q" + name[3:]
        assert f"Did you mean --{name}?" in refused(scry(verb, f"--{misspelt}")), misspelt


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_value_is_said(scry, verb):
    for option in TABLE[verb]["options"]:
        if option["argument"]:
            assert f"--{option['name']} wants a value: {option['argument']}" in refused(scry(verb, "--" + option["name"]))
        else:
            assert f"--{option['name']} takes no value" in refused(scry(verb, f"--{option['name']}=1"))


def test_an_unknown_verb_is_suggested(scry):
    assert "See scry --help" in refused(scry("xyzzy"))
    for verb in VERBS:
        if len(verb) > 3:
            assert f"Did you mean scry {verb}?" in refused(scry(verb[:-1] + "q"))


def test_an_option_in_place_of_the_verb(scry):
    assert "A verb is wanted first, not -p.\n  Options follow the verb, as in scry cpu -p 1234" in refused(scry("-p", "1"))


@needs_verb("cpu")
@needs_verb("convert")
def test_help_names_the_endings_of_every_format_that_is_written(scry, tmp_path):
    told = re.search(r"The endings are (.*)\.$", scry("convert", "x", "y.nothing").stderr)[1]
    for verb in ("cpu", "convert"):
        text = " ".join(scry(verb, "--help").stdout.split())
        listed = re.search(r"names(?: the format)?: (\.html.*?\.json)\.(?= )", text)[1]
        assert set(re.findall(r"(?<=\s)\.[\w.]+\w", " " + listed)) == set(told.split(", ")), verb


def test_help_of_an_unknown_verb(scry):
    refused(scry("help", "xyzzy"))


def test_help_of_what_is_no_verb_but_listed(scry):
    listed = dict(re.findall(r"^  (\w+) +(.*)$", scry("--help").stdout.split("\nOther:\n")[1].split("\n\n")[0], re.M))
    assert set(listed) == {"help", "version"}
    for word, about in listed.items():
        r = scry("help", word)
        assert r.returncode == 0 and r.stdout.startswith(f"scry {word}: {about}.\n\nUsage: scry {word}"), r


def test_the_manual_knows_every_place_that_a_profile_is_kept_in(scry):
    places = re.search(r'const places\[\] = \{[^"]*"", (.*)\};', (ROOT / "src/cli/output.c").read_text())[1]
    told = scry("_reference", "man").stdout.split(".It Ev TMPDIR\n")[1].split(".El")[0]
    for place in re.findall(r'"(/.*?)/"', places):
        assert re.search(rf"^\.Pa {place}\b", told, re.M), place
    assert "the present directory" in told and '"./"' in places


@needs_verb("cpu")
@pytest.mark.parametrize("words, sentence", [
    (["-F", "0", "-a"], "-F 0 is out of range: it goes from 1 to 20000"),
    (["-F", "1000000", "-a"], "-F 1000000 is out of range: it goes from 1 to 20000"),
    (["--frequency=1e3", "-a"], '--frequency wants a whole number, not "1e3"'),
    (["-d", "soon", "-a"], '-d wants a time such as 10, 1.5s, 500ms or 2m, not "soon"'),
    (["-d", "10years", "-a"], '-d wants a time such as 10, 1.5s, 500ms or 2m, not "10years"'),
    (["-p", "self"], '-p wants a process id, not "self"'),
    (["-p", "4194305"], "-p 4194305 is out of range: it goes from 1 to 4194304"),
    ([], "There is nothing to profile"),
    (["--"], 'There is no command after "--"'),
    (["python3", "x.py"], 'scry cpu does not know what to do with "python3"'),
    (["sh", "-c", "exit 3"], 'A command to run stands after "--": scry cpu -- sh'),
    (["python3", "x.py"], 'A command to run stands after "--": scry cpu -- python3'),
    (["1234"], "A process is named with -p: scry cpu -p 1234"),
    (["-a", "-o", "/tmp"], "/tmp is a directory"),
    (["-a", "-o", "x/"], "Name the file to write in it, such as profile.html"),
    (["-a", "-p", "1"], "Only one of"),
    (["-a", "-o", ""], '-o wants a name, not ""'),
])
def test_bad_usage_of_cpu(scry, words, sentence):
    assert sentence in refused(scry("cpu", *words))


@needs_verb("dump")
def test_dump_wants_one_target(scry):
    refused(scry("dump"))
    refused(scry("dump", "-p", "1,2"))
    refused(scry("dump", "-p", "1", "--core", "x"))


@needs_verb("dump")
def test_dump_tells_two_targets_from_none(scry):
    assert "Both a process and a core file were named" in refused(scry("dump", "-p", "1", "--core", "x"))
    assert "scry dump looks at one process" in refused(scry("dump", "-p", "1,2"))


@needs_verb("ps")
def test_ps_lists_the_processes_that_are_named_and_no_others(scry):
    with subprocess.Popen(["sleep", "60"]) as a, subprocess.Popen(["sleep", "60"]) as b:
        try:
            text, both = scry("ps", "-p", a.pid), scry("ps", "-p", f"{a.pid},{b.pid}", "--json")
            mixed = scry("ps", "-p", f"{a.pid},4194303", "--json")
        finally:
            a.kill()
            b.kill()
    assert text.returncode == 0 and [line.split()[0] for line in text.stdout.splitlines()[:2]] == ["PID", str(a.pid)]
    assert not re.search(rf"^ *{b.pid}\b", text.stdout, re.M)
    assert both.returncode == 0 and [p["pid"] for p in json.loads(both.stdout)] == sorted([a.pid, b.pid])
    assert mixed.returncode == 1 and [p["pid"] for p in json.loads(mixed.stdout)] == [a.pid]
    assert "There is no process 4194303" in mixed.stderr
    assert "There is no process 4194303" in refused(scry("ps", "-p", 4194303), 1)


@needs_verb("ps")
def test_verbs_have_no_options_that_do_nothing(scry):
    for verb, option in [("ps", "-a"), ("ps", "-v"), ("dump", "-v")]:
        assert f"has no option {option}" in refused(scry(verb, "-p", "1", option))


@needs_verb("report")
@pytest.mark.parametrize("words, sentence", [
    (["--tree", "-n", "1"], "-n (--limit) is said of a table, and --tree prints a tree"),
    (["--callers", "f", "--sort", "total"], "-s (--sort) is said of a table, and --callers prints a tree"),
    (["--min", "3"], "--min is said of a tree"),
])
def test_report_ignores_no_option(scry, words, sentence):
    assert sentence in refused(scry("report", *words, "x.pb.gz"))


@needs_verb("dump")
def test_dump_of_a_process_has_no_other_root(scry):
    assert "--sysroot is said of a core file" in refused(scry("dump", "-p", "1", "--sysroot", "/"))


@needs_verb("report")
def test_report_wants_one_file(scry):
    assert "scry report wants FILE" in refused(scry("report"))
    assert "-s is one of self|total" in refused(scry("report", "-s", "name", "x"))
    refused(scry("report", "/does/not/exist.pb.gz"), 1)


@needs_verb("report")
def test_what_is_no_profile_is_said(scry, tmp_path):
    (tmp_path / "empty.pb.gz").touch()
    (tmp_path / "text").write_text("hello\n")
    assert "empty.pb.gz is empty" in refused(scry("report", tmp_path / "empty.pb.gz"), 1)
    assert "scry reads folded stacks (.folded), pprof" in refused(scry("report", tmp_path / "text"), 1)


@needs_verb("convert")
def test_convert_wants_two_files(scry, tmp_path):
    assert "scry convert wants IN OUT" in refused(scry("convert", "x"))


def test_a_full_disk_is_not_taken_for_success():
    with open("/dev/full", "w") as full:
        r = subprocess.run([SCRY, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert r.returncode == 1 and "No space left" in r.stderr


def test_a_standard_output_that_is_closed_is_no_other_file():
    r = subprocess.run(f"{SCRY} --help >&-", shell=True, stderr=subprocess.PIPE, text=True)
    assert r.returncode == 1 and "Cannot write the standard output: Bad file descriptor" in r.stderr


def test_a_closed_pipe_does_not_crash():
    r = subprocess.run(f"{SCRY} --help | true; exit ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash")
    assert r.returncode in (0, 141)


def test_there_is_no_colour_without_a_terminal(scry):
    assert "\x1b" not in scry("--help").stdout + scry("xyzzy").stderr


def test_strange_words_do_no_harm(scry):
    for word in ["", "-", "--", "---", "-=", "--=", "\n", "%s%n", "x" * 70000, "\udcff"]:
        for words in ([word], ["help", word], ["report", word], ["cpu", word], ["cpu", "--pid", word], ["_reference", word]):
            r = subprocess.run([os.fsencode(SCRY), *map(os.fsencode, words)], capture_output=True, stdin=subprocess.DEVNULL,
                               timeout=20)
            assert r.returncode in (0, 1, 2), (words, r)


@pytest.mark.skipif("report" not in TABLE, reason="this build has no scry report")
def test_a_stack_that_is_too_small_is_said(scry, tmp_path):
    (tmp_path / "x.folded").write_text("a;b 3\n")
    if b"asan" in SCRY.read_bytes():
        pytest.skip("the sanitizer needs more before it begins")
    r = scry("report", tmp_path / "x.folded", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (64 << 10, 64 << 10)))
    assert r.returncode == 1 and "The stack is limited to 64 KB" in r.stderr and "ulimit -s 8192" in r.stderr, r
