"""Judges what scry wrote on the kernels that users run; run-kernels boots them.

    pytest tests/kernels            SCRY_KERNELS="6.1 newest" restricts it;
                                    SCRY_KERNELS_JUDGE=1 judges what the last run left, without booting
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import harness  # noqa: E402
import pprof  # noqa: E402

KERNELS = os.environ.get("SCRY_KERNELS", "6.1 6.8 6.12 7.0 newest").split()
SHARES = {"alpha", "beta", "beta_inner", "gamma", "delta", "epsilon"}


@pytest.fixture(scope="session", params=KERNELS)
def kernel(request, tmp_path_factory):
    """A directory with everything that the steps wrote on one kernel."""
    if os.environ.get("SCRY_KERNELS_JUDGE"):
        return harness.BUILD / "kernels" / request.param
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not installed")
    if not shutil.which("busybox"):
        pytest.skip("busybox is not installed")
    if not harness.scry_path().exists():
        pytest.skip(f"{harness.scry_path()} is not built")
    fetched = subprocess.run([HERE / "fetch-kernels", request.param], text=True, capture_output=True)
    if fetched.returncode:
        pytest.skip(f"kernel {request.param} could not be fetched: {fetched.stderr.strip()[-300:]}")
    out = harness.BUILD / "kernels"
    done = subprocess.run([HERE / "run-kernels", request.param, "--scry", harness.scry_path(), "--targets",
                           harness.TARGETS, "--out", out], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-4000:]
    return out / request.param


def status(kernel, step):
    path = kernel / f"{step}.status"
    assert path.exists(), f"{step} did not run"
    return int(path.read_text())


def text(kernel, step):
    return f"{(kernel / f'{step}.out').read_text()[-2000:]}\n{(kernel / f'{step}.err').read_text()[-4000:]}"


def profile(kernel, step):
    assert status(kernel, step) == 0, text(kernel, step)
    return pprof.read(kernel / f"{step}.pb.gz")


def test_no_program_is_refused_by_the_verifier(kernel):
    for path in kernel.glob("*.err"):
        if path.stem not in ("nobody", "nobody-own", "nobtf", "lockdown"):
            assert not re.search(r"libbpf:|verifier|Permission denied|Invalid argument", path.read_text()), text(
                kernel, path.stem)


def test_the_verifiers_work_is_far_from_its_limit(kernel):
    """It refuses at 1,000,000 instructions, and newer kernels need more of them than older ones."""
    assert status(kernel, "verify") == 0, text(kernel, "verify")
    found = (kernel / "verify.out").read_text()
    counts = [sum(map(int, n.split("+")))  # from 7.0 on, of each function that is looked at by itself
              for n in re.findall(r"\w+: processed ([\d+]+)", found)]
    assert len(counts) == 6 * found.count("== /cpu") > 0 and max(counts) <= 100000, found


def test_kernel_log_has_no_complaint(kernel):
    log = (kernel / "dmesg").read_text()
    assert not re.search(r"BUG:|WARNING:|Oops|Call Trace", log), log[-3000:]


def test_native_profile_names_every_function_and_its_lines(kernel):
    p = profile(kernel, "native")
    assert pprof.count(p) >= 50
    found = pprof.shares(p)
    assert SHARES <= set(found), found
    lines = {f.name: f.line for s in p.samples for f in s.frames if f.name in SHARES}
    source = (harness.SOURCES / "shares.c").read_text().count("\n")
    assert all(0 < line <= source for line in lines.values()), lines


def test_native_stacks_reach_main(kernel):
    p = profile(kernel, "native")
    whole = pprof.shares(p).get("main", 0)
    assert whole >= 0.98, whole


def test_python_profile_names_functions_and_lines(kernel):
    p = profile(kernel, "python")
    assert pprof.count(p) >= 50
    found = pprof.shares(p)
    for name in ("<module>", "main", "one_round", "pure_loop", "sort_key"):
        assert name in found, (name, sorted(found.items(), key=lambda kv: -kv[1])[:40])
    source = (harness.SOURCES / "shares.py").read_text().splitlines()
    for sample in p.samples:
        for frame in sample.frames:
            if frame.name == "main" and frame.file.endswith("shares.py"):
                assert "one_round" in source[frame.line - 1]
                return
    pytest.fail("no frame of main() carries its file")


def test_python_and_native_frames_are_in_one_stack(kernel):
    p = profile(kernel, "python")
    mixed = [s for s in p.samples if "one_round" in s.names and any("sha256" in n.lower() or "deflate" in n
             or "_Py" in n or n.endswith(".so") or "zlib" in n for n in s.names)]
    assert mixed, "no stack holds Python frames below native ones"


def test_folded_output_is_written(kernel):
    assert status(kernel, "python-folded") == 0, text(kernel, "python-folded")
    lines = (kernel / "python.folded").read_text().splitlines()
    assert lines and all(re.fullmatch(r".+ \d+", line) for line in lines)


@pytest.mark.parametrize("step,needle", [("dump-native", "worker"), ("dump-python", "one_round")])
def test_dump_shows_the_stack(kernel, step, needle):
    assert status(kernel, step) == 0, text(kernel, step)
    assert needle in (kernel / f"{step}.out").read_text()


def test_whole_host_holds_both_targets(kernel):
    found = pprof.shares(profile(kernel, "host"))
    assert "alpha" in found and "one_round" in found, sorted(found)[:60]


def test_samples_at_another_cpus_interrupts_are_as_those_of_timers(kernel):
    p = profile(kernel, "fast")
    ticked = re.search(r"metronome: it took (\d+) of", text(kernel, "fast"))
    assert ticked and int(ticked[1]) >= 100, text(kernel, "fast")
    found = pprof.shares(p)
    assert SHARES <= set(found), found
    assert found.get("main", 0) >= 0.98, found.get("main")
    ours = {tuple(s.names): s.values[0] for s in p.samples if any("call_function" in n or "bpf_" in n for n in s.names)}
    assert sum(ours.values()) <= 0.01 * pprof.count(p), ours


def test_command_is_sampled_from_its_start_and_keeps_its_status(kernel):
    assert status(kernel, "command") == 7, text(kernel, "command")
    found = pprof.shares(pprof.read(kernel / "command.pb.gz"))
    assert found.get("first", 0) == pytest.approx(0.5, abs=0.15), found
    assert found.get("second", 0) == pytest.approx(0.5, abs=0.15), found


def test_ps_lists_the_interpreter(kernel):
    assert status(kernel, "ps") == 0, text(kernel, "ps")
    assert re.search(r"[Pp]ython 3\.\d+", (kernel / "ps.out").read_text())


def test_without_privilege_the_missing_capability_is_named(kernel):
    assert status(kernel, "nobody") == 1, text(kernel, "nobody")
    err = (kernel / "nobody.err").read_text()
    assert re.search(r"CAP_[A-Z_]+|root|sudo|permitted", err), err
    assert "libbpf" not in err, err
    assert len([line for line in err.splitlines() if line.strip()]) <= 4, err


def test_own_process_without_privilege_works_or_says_why(kernel):
    if status(kernel, "nobody-own"):
        err = (kernel / "nobody-own.err").read_text()
        assert re.search(r"CAP_[A-Z_]+", err) and "libbpf" not in err, err


def test_without_btf_it_works_or_says_btf(kernel):
    if status(kernel, "nobtf"):
        err = (kernel / "nobtf.err").read_text()
        assert "BTF" in err and "libbpf" not in err, err


def test_in_lockdown_it_works_or_says_lockdown(kernel):
    if status(kernel / "lockdown", "lockdown"):
        err = (kernel / "lockdown/lockdown.err").read_text()
        assert "lockdown" in err.lower() and "libbpf" not in err, err
