"""Everything that is made from the option table says the same: help, manual pages, completion, the guide."""
import re
import shutil
import subprocess

import pytest
from conftest import ROOT, TABLE

VERBS = sorted(TABLE)


def plain(mdoc):
    return mdoc.replace("\\-", "-").replace("\\e", "\\").replace("\\&", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_in_help_with_its_sentence_and_default(scry, verb):
    text = " ".join(scry(verb, "--help").stdout.split())
    for o in TABLE[verb]["options"]:
        head = (f"-{o['letter']}, " if o["letter"] else "") + f"--{o['name']}" + (f" {o['argument']}" if o["argument"] else "")
        tail = f" Default: {o['default']}." if o["default"] else ""
        assert f"{head} {o['help']}{tail}" in text


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_no_option_that_is_not_in_the_table(scry, verb):
    text = scry(verb, "--help").stdout.split("\nOptions:")[1].split("\nExamples:")[0]
    found = set(re.findall(r"^ +(?:-\w, )?--([\w-]+)", text, re.M))
    assert found == {o["name"] for o in TABLE[verb]["options"]}


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_in_the_manual_page(scry, verb):
    page = scry("_reference", "man", verb).stdout
    for o in TABLE[verb]["options"]:
        head = (f"Fl {o['letter']} , " if o["letter"] else "") + "Fl \\-" + o["name"].replace("-", "\\-")
        assert f".It {head}" in page
        assert " ".join(o["help"].split()) in " ".join(plain(page).split())


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_manual_pages_are_good_mdoc(scry, verb, tmp_path):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    page = tmp_path / (f"scry-{verb}.1" if verb else "scry.1")
    page.write_text(scry("_reference", "man", *([verb] if verb else [])).stdout)
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
    assert lint.stdout == ""


def test_the_guides_reference_is_what_the_table_makes(scry):
    made = scry("_reference", "markdown").stdout
    assert (ROOT / "docs/guide/reference.md").read_text() == made, \
        "run: build/src/cli/scry _reference markdown > docs/guide/reference.md"


@pytest.mark.parametrize("verb", VERBS)
def test_examples_use_only_options_that_exist(scry, verb):
    names = {o["name"] for o in TABLE[verb]["options"]}
    letters = {o["letter"] for o in TABLE[verb]["options"]}
    for line in TABLE[verb]["examples"].splitlines():
        command = line.split("\t")[0].split(" -- ")[0].split()
        assert command[:2] == ["scry", verb]
        for word in command[2:]:
            if word.startswith("--"):
                assert word[2:] in names, line
            elif word.startswith("-") and len(word) > 1:
                assert word[1] in letters, line


def test_the_reference_names_what_it_has(scry):
    r = scry("_reference", "nonsense")
    assert r.returncode == 2 and "man [VERB]" in r.stderr


def test_help_names_every_runtime_of_the_table(scry):
    titles = re.findall(r'^LANG\(\w+, "([^"]+)"\)', (ROOT / "src/lang/langs.def").read_text(), re.M)
    text = " ".join(scry("--help").stdout.split())
    for title in titles:
        assert title in text
