"""Completion as the shells do it: what is offered at a place of the command line."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time

import pytest
from conftest import BUILD, TABLE, needs_verb

VERBS = sorted(TABLE)
FORMATS = {"html", "folded", "pprof", "speedscope", "json", "svg"}


def bash_completes(tmp_path, scry, line):
    script = tmp_path / "scry.bash"
    script.write_text(scry("_reference", "bash").stdout)
    words = line.split(" ")
    program = f"""source {script}
COMP_WORDS=({' '.join(f"'{w}'" for w in words)}); COMP_CWORD={len(words) - 1}
_scry; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == "", done.stderr
    return set(done.stdout.splitlines()) - {""}


def fish_completes(tmp_path, scry, line):
    script = tmp_path / "scry.fish"
    script.write_text(scry("_reference", "fish").stdout)
    done = subprocess.run(["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"], capture_output=True,
                          text=True, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
    assert done.stderr == "", done.stderr
    return {offered.split("\t")[0] for offered in done.stdout.splitlines()}


ZSHRC = """
PS1= fpath=($ZDOTDIR $fpath); autoload -U compinit; compinit -u -D; unsetopt beep
zstyle ':completion:*' completer _all_matches _complete; zstyle ':completion:*' insert yes
show() { print -r -- "<<$BUFFER>>"; exit }; zle -N show; bindkey '^X' show
print READY
"""


def read_until(terminal, what):
    text, end = b"", time.monotonic() + 30
    while not (found := re.search(what, text, re.S)):
        assert time.monotonic() < end and select.select([terminal], [], [], 30)[0], text
        text += os.read(terminal, 65536)
    return found


def zsh_completes(tmp_path, scry, line):
    """Its completion works on a terminal alone: all that matches is put into the line there."""
    (tmp_path / "_scry").write_text(scry("_reference", "zsh").stdout)
    (tmp_path / ".zshrc").write_text(ZSHRC)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvpe("zsh", ["zsh", "-d", "-i"], {**os.environ, "TERM": "dumb", "ZDOTDIR": str(tmp_path)})
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 4000, 0, 0))
        read_until(terminal, rb"READY")
        os.write(terminal, line.encode() + b"\t\x18")
        whole = read_until(terminal, rb"<<(.*)>>\r")[1].decode()
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    before = line[:line.rindex(" ") + 1]
    assert whole.startswith(before), whole
    return {word.rstrip("=,") for word in whole[len(before):].split()}


COMPLETES = {"bash": bash_completes, "zsh": zsh_completes, "fish": fish_completes}


@pytest.fixture(params=COMPLETES)
def completes(request, tmp_path, scry):
    """What a shell offers for the last word of a line."""
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    return lambda line: COMPLETES[request.param](tmp_path, scry, line)


def test_verbs(completes):
    assert completes("scry ") == {*VERBS, "help", "version"}
    assert completes("scry help ") == {*VERBS, "help", "version"}


@pytest.mark.parametrize("verb", VERBS)
def test_the_options_of_the_verb(completes, verb):
    want = {f"--{o['name']}" for o in TABLE[verb]["options"]}
    assert completes(f"scry {verb} --") == want


@pytest.mark.parametrize("verb", VERBS)
def test_bash_offers_letters_too(scry, tmp_path, verb):
    want = {f"--{o['name']}" for o in TABLE[verb]["options"]} | {f"-{o['letter']}" for o in TABLE[verb]["options"] if o["letter"]}
    assert bash_completes(tmp_path, scry, f"scry {verb} -") == want


@needs_verb("report")
@needs_verb("cpu")
def test_values(completes):
    assert completes("scry report --sort ") == {"self", "total"}
    assert completes("scry report -b ") == {"functions", "lines", "files"}
    assert completes("scry cpu -t ") == FORMATS
    assert completes("scry convert --to ") == FORMATS


@needs_verb("cpu")
def test_processes_also_in_a_list(scry, tmp_path):
    assert "1" in bash_completes(tmp_path, scry, "scry cpu -p ")
    assert "1,1" in bash_completes(tmp_path, scry, "scry cpu -p 1,")


@needs_verb("report")
def test_bash_completes_a_value_after_an_equals_sign(scry, tmp_path):
    for line in ("scry report --sort =", "scry report --sort = "):  # words as bash splits them
        assert bash_completes(tmp_path, scry, line) == {"self", "total"}
    assert bash_completes(tmp_path, scry, "scry report --sort = s") == {"self"}


@needs_verb("report")
def test_files_where_files_are_wanted_and_nowhere_else(completes, tmp_path):
    (tmp_path / "profile.pb.gz").touch()
    assert completes("scry report prof") == {"profile.pb.gz"}
    assert completes("scry cpu -o prof") == {"profile.pb.gz"}
    assert completes("scry report -- prof") == {"profile.pb.gz"}
    assert completes("scry ps prof") <= {"prof"}  # what was there


def test_bash_keeps_a_name_with_a_space_whole(scry, tmp_path):
    (tmp_path / "my profile.pb.gz").touch()
    assert bash_completes(tmp_path, scry, "scry report my") == {"my profile.pb.gz"}


@needs_verb("cpu")
def test_after_the_dashes_stands_a_command(completes, tmp_path):
    (tmp_path / "--profile").touch()
    assert "printf" in completes("scry cpu -- print") and "printf" not in completes("scry cpu print")
    assert not completes("scry cpu -- printf --") & {"--pid", "--duration", "--json"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_good_shell_and_names_every_option(scry, tmp_path, shell):
    text = scry("_reference", shell).stdout
    for verb in VERBS:
        assert verb in text
        for o in TABLE[verb]["options"]:
            assert (f"-l {o['name']}" if shell == "fish" else f"--{o['name']}") in text
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(text)
    check = [shell, "--no-execute" if shell == "fish" else "-n", script]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_zsh_looks_where_it_is_installed():
    if not shutil.which("zsh") or not os.path.exists("/etc/debian_version"):
        pytest.skip("this is no Debian with zsh")

    def ask(what):
        return json.loads(subprocess.run(["meson", "introspect", what, BUILD], capture_output=True, text=True, check=True).stdout)

    prefix = next(o["value"] for o in ask("--buildoptions") if o["name"] == "prefix")
    if prefix not in ("/usr", "/usr/local"):
        pytest.skip(f"nobody looks in {prefix}")
    place = next(to for to in ask("--installed").values() if os.path.basename(to) == "_scry")
    searched = subprocess.run(["zsh", "-f", "-c", "print -l $fpath"], capture_output=True, text=True).stdout.split()
    assert os.path.dirname(place) in searched
