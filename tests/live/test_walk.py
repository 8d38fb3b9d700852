"""Stacks: whole, in order, across everything that makes walking hard."""
import os
import shutil
import subprocess
import sys

import pytest
from conftest import assert_shares, rooted
from harness import SOURCES, Target, pythons, target


@pytest.mark.parametrize("depth", [900, 4000])
def test_deep_c_recursion_is_whole(capture, depth):
    with Target([target("recurse"), 60, depth]) as t:
        c = capture(t, seconds=1, hz=199)
    assert rooted(c.profile) >= 0.999
    for sample in c.profile.samples:
        if "bottom" in sample.names:
            assert sample.names.count("descend") == depth, sample.names.count("descend")


def test_recursion_beyond_the_limit_keeps_both_ends_and_marks_the_cut(capture):
    with Target([target("recurse"), 60, 20000]) as t:
        c = capture(t, seconds=1, hz=199)
    names = max(c.profile.samples, key=lambda s: s.values[0]).names
    assert "bottom" in names[:5] and "main" in names[-6:], (names[:5], names[-6:])
    odd = [n for n in set(names) if n not in ("descend", "bottom", "main", "target_more") and "left out" in n
           or "cut" in n or "…" in n or "..." in n or "frames" in n]
    assert odd, set(names)
    assert "stacks are deeper than can be kept" in c.result.out + c.result.err, c.result


@pytest.mark.parametrize("python", pythons())
@pytest.mark.parametrize("depth", [900, 4000])
def test_deep_python_recursion_is_whole(capture, python, depth):
    with Target([python, SOURCES / "recurse.py", 60, depth]) as t:
        c = capture(t, seconds=1, hz=199, truth=False)
    deep = [s for s in c.profile.samples if "bottom" in s.names]
    assert deep
    for sample in deep:
        assert sample.names.count("descend") == depth, sample.names.count("descend")
        assert ("<module>" if depth < 2000 else "run") in [n.split(".")[-1] for n in sample.names]


def test_work_in_a_signal_handler_shows_what_it_interrupted(capture):
    with Target([target("signal")]) as t:
        c = capture(t)
    assert_shares(c.total(), {"handler_work": c.true_shares()["handler_work"]}, c.samples)
    assert rooted(c.profile) >= 0.999
    in_handler = c.total()["handler_work"]
    assert c.holding("handler_work", "on_alarm", "main") >= in_handler * 0.999


def test_libraries_that_come_and_go_are_told_apart(capture):
    with Target([target("dlopen")]) as t:
        c = capture(t, seconds=4)
    # A stack that was walked while the other library took its place is cut there; no name is wrong. How many these
    # are depends on how soon scry is woken: on a busy machine more.
    found = c.self_()
    whole = 1 - found.pop("[code that was mapped for a moment]", 0)
    assert_shares({name: share / whole for name, share in found.items()}, c.true_shares(), c.samples, points=2)
    assert whole >= 0.9 and rooted(c.profile) >= 0.9
    assert c.holding("plugin_inner_a", "plugin_work", "visit", "main") >= 0.4
    assert c.holding("plugin_inner_b", "plugin_work", "visit", "main") >= 0.4


def test_assembly_without_unwind_information_is_crossed_by_frame_pointer(capture):
    with Target([target("noframe")]) as t:
        c = capture(t, seconds=2)
    assert c.holding("callback", "asm_framed", "framed_path", "main") >= 0.98, c.total()
    assert rooted(c.profile) >= 0.99


def test_a_leaf_without_any_rule_does_not_invent_callers(capture):
    with Target([target("noframe"), 60, "leaf"]) as t:
        c = capture(t, seconds=2)
    assert_shares(c.total(), c.true_shares(), c.samples, points=3)
    allowed = {"asm_leaf", "leaf_path", "main"}
    for sample in c.profile.samples:
        if sample.names[0] == "asm_leaf":
            own = [n for n in sample.names if n in ("callback", "asm_framed", "framed_path")]
            assert not own, (own, allowed)


def test_a_frame_pointer_that_is_zero_is_no_root_where_nobody_keeps_one(capture):
    with Target([target("noframe"), 60, "bare"]) as t:
        c = capture(t, seconds=2, hz=1999)
    ends = {s.names[-1] for s in c.profile.samples if "unframed" in s.names}
    assert c.samples > 20 and ends and all(end.startswith("[truncated") for end in ends), ends


@pytest.mark.parametrize("how,maker", [("pthread", "makes"), ("clone", "makes_cloned")])
def test_both_stacks_are_whole_where_a_thread_is_made(capture, how, maker):
    """The system call returns twice, and the C library has information for neither. The stack of who made the
    thread goes on to main; that of the new one ends there, with no caller."""
    with Target([target("newthreads"), 60, how]) as t:
        c = capture(t, seconds=3, hz=4999, truth=False)
    # What was sampled before the tables were loaded, on a stack that nothing had touched yet, is cut and says so.
    known = [s.names for s in c.profile.samples if "not loaded yet" not in s.names[-1]]
    at_call = [names for names in known if any(n.strip("_") in ("clone", "clone3") for n in names)]
    if how == "pthread" and not at_call:
        pytest.skip("clone3 has no name without the C library's debug symbols")
    old = [names for names in at_call if "main" in names]
    new = [names for names in at_call if "main" not in names]
    assert len(old) > 20 and len(new) > 20, (len(old), len(new))
    for names in old:
        assert maker in names and names[-1] == "_start", names
    for names in new:
        assert names[-1].strip("_") in ("clone", "clone3") and maker not in names, names
    made = [names for names in known if "lives" in names]
    assert made and not any(maker in names for names in made)
    # Who waits for a thread frees its stack as soon as the kernel says that it has ended, which it does on the way out.
    cut = [names for names in known if names[-1].startswith("[truncated")]
    assert not [names for names in cut if "do_exit" not in names or "could not be read" not in names[-1]]
    assert len(cut) <= 0.001 * len(known), cut
    assert len(known) >= 0.99 * len(c.profile.samples)


FIRST_BYTE = """
    .text
spin:
    .cfi_startproc
1:  jmp 1b
    .cfi_endproc
    .globl _start
_start:
    .cfi_startproc
    .cfi_undefined rip
    call spin
    .cfi_endproc
    .section .note.GNU-stack
"""


def test_code_at_the_first_byte_of_a_mapping_is_walked_from(capture, tmp_path):
    program, source = tmp_path / "first", tmp_path / "first.s"
    source.write_text(FIRST_BYTE)
    subprocess.run(["cc", "-nostdlib", "-static", "-Wl,-z,separate-code", "-o", program, source], check=True)
    with Target([program], ready=False) as t:
        c = capture(t, truth=False, seconds=1)
    assert c.samples > 100 and c.holding("spin", "_start") > 0.99, c.result


def test_tail_calls_do_not_break_the_stack(capture):
    with Target([target("tailcall")]) as t:
        c = capture(t, seconds=2)
    assert_shares(c.total(), c.true_shares(), c.samples)
    assert c.holding("caller", "main") >= 0.98
    assert rooted(c.profile) >= 0.999


def test_pages_of_the_stack_that_were_never_touched_end_no_stack(capture):
    """Before the process's tables are loaded its stack is copied, and walked later."""
    samples = 0
    with Target([target("roomy")]) as t:
        for _ in range(10):
            c = capture(t, "--no-kernel", seconds=0.2, hz=1999, truth=False)
            samples += c.samples
            assert rooted(c.profile) == 1, [s.names for s in c.profile.samples if "[" in s.names[-1]][:5]
            for names in (s.names for s in c.profile.samples):
                for side in ("left", "right"):
                    if f"{side}_inner" in names:
                        assert names[names.index(f"{side}_inner") + 1:][:2] == [side, "worker"], names
    assert samples > 800 # a busy machine leaves it less


def test_realigned_stacks_are_crossed(capture):
    with Target([target("drap")]) as t:
        c = capture(t, seconds=2)
    assert c.holding("drap_leaf", "drap_outer", "caller", "main") >= 0.98, c.total()
    assert rooted(c.profile) >= 0.999


def test_the_vdso_is_crossed_and_named(capture):
    with Target([target("vdso")]) as t:
        c = capture(t, seconds=2)
    found = c.total()
    assert rooted(c.profile) >= 0.999
    assert c.holding("asks_time", "main") >= 0.95
    assert sum(v for k, v in found.items() if "vdso" in k) > 0.3, found


def test_plt_entries_are_crossed(capture):
    with Target([target("plt")]) as t:
        c = capture(t, seconds=2)
    assert rooted(c.profile) >= 0.999
    assert c.holding("calls_out", "main") >= 0.98, c.total()


def line_of(path, mark):
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.endswith(f"// {mark}"):
            return number
    raise AssertionError(mark)


@pytest.mark.parametrize("name,source,chain", [
    ("inlines-cc", "inlines.cc", ["Shop::tax", "Shop::price", "Shop::Cart<long>::total"]),
    ("inlines-rs", "inlines.rs", ["inlines::shop::tax", "inlines::shop::price", "inlines::shop::Cart<T>::total"]),
])
def test_inlined_functions_are_frames_with_their_own_lines(capture, name, source, chain):
    if not target(name).exists():
        pytest.skip(f"{target(name)} is not built: its compiler is missing")
    with Target([target(name)]) as t:
        c = capture(t, seconds=2, truth=False)
    file, hits, whole = SOURCES / source, 0, 0
    middle, outer = line_of(file, "MIDDLE"), line_of(file, "OUTER")
    short = [n.split("::")[-1] for n in chain]
    for sample in c.profile.samples:
        names = [n.split("(")[0].split("::")[-1] for n in sample.names]
        weight = sample.values[c.profile.value_index()]
        whole += weight
        for at in range(len(names) - 2):
            if names[at:at + 3] == short:
                a, b, d = sample.frames[at:at + 3]
                assert a.inlined and b.inlined and not d.inlined
                assert (b.line, d.line) == (middle, outer), (a, b, d)
                assert a.file.endswith(source)
                hits += weight
                break
    assert hits >= 0.95 * whole, (hits, whole, c.total())
    assert "Shop::" in " ".join(c.total()) or "shop::" in " ".join(c.total())


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_file_that_is_gone_or_replaced_is_still_the_one_that_runs(capture, tmp_path, how):
    path = tmp_path / "program"
    shutil.copy(target("shares"), path)
    with Target([path]) as t:
        path.unlink()
        if how == "replaced":
            shutil.copy(target("recurse"), path)
        c = capture(t, seconds=3, hz=1999)
    assert_shares(c.total(), c.true_shares(), c.samples)
    assert rooted(c.profile) >= 0.999


def test_real_python_with_c_extensions_is_whole(capture):
    with Target([pythons()[0], SOURCES / "shares.py"]) as t:
        c = capture(t, "--internal", seconds=2)
    assert rooted(c.profile) >= 0.999, {s.names[-1] for s in c.profile.samples}


def test_a_callback_from_c_into_python_is_in_the_right_order(capture):
    with Target([pythons()[0], SOURCES / "shares.py"]) as t:
        c = capture(t, seconds=2)
    found = c.total()
    assert found.get("sort_key", 0) > 0.01
    assert c.holding("sort_key", "sort_words", "one_round", "main", "<module>") >= 0.98 * found["sort_key"]
    assert not c.holding("sort_words", "sort_key")
