"""Live tests: scry against programs with known answers, on this machine's kernel.

They need the built program and the right to load BPF programs; without, they skip and say why.
"""
import os
import pathlib
import sys

import pytest

os.environ.setdefault("SCRY_NICE", "-10")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness  # noqa: E402
import pprof  # noqa: E402


def pytest_collection_modifyitems(items):
    reason = None
    if not harness.scry_path().exists():
        reason = f"{harness.scry_path()} is not built"
    elif os.geteuid() != 0:
        reason = "needs root (BPF programs, other users' processes)"
    elif not os.path.exists("/sys/kernel/btf/vmlinux"):
        reason = "this kernel has no BTF"
    elif harness.scry("cpu", "--help").status:
        reason = "this build has no `scry cpu`"
    if reason:
        for item in items:
            if not getattr(item.module, "WITHOUT_BPF", False):
                item.add_marker(pytest.mark.skip(reason=reason))


class Capture:
    """One profile taken of a target, and what the target said of the same window."""

    def __init__(self, profile, result, truth, path, hz=None):
        self.profile, self.result, self.truth, self.path = profile, result, truth, path
        self.samples = pprof.count(profile)
        self.hz = hz

    def expected(self):
        """The samples that the target's CPU time calls for. Its window is longer than the capture, by the start."""
        return self.hz * self.truth["cpu_ns"] / 1e9

    def assert_enough(self):
        """On a busy machine a target runs less than it could."""
        expected = self.expected()
        assert 0.7 * expected <= self.samples <= 1.05 * expected + 20, (self.samples, expected, self.result)

    def total(self):
        return pprof.shares(self.profile)

    def self_(self):
        return pprof.shares(self.profile, total=False)

    def true_shares(self):
        whole = self.truth["cpu_ns"]
        return {name: ns / whole for name, ns in self.truth["ns"].items()}

    def holding(self, *names):
        """The share of samples whose stack holds all these names, leaf first and in this order."""
        index = self.profile.value_index()
        hit = 0
        for sample in self.profile.samples:
            it = iter(sample.names)
            if all(any(name == n for n in it) for name in names):
                hit += sample.values[index]
        return hit / max(1, self.profile.total(index))


@pytest.fixture
def capture(tmp_path):
    """capture(target, …): profiles a running Target; returns a Capture."""
    def take(target, *arguments, seconds=3, hz=999, truth=True):
        path = tmp_path / f"capture-{len(list(tmp_path.iterdir()))}.pb.gz"
        if truth:
            target.mark()
        result = harness.scry("cpu", "-p", target.pid, "-d", seconds, "-F", hz, "-o", path, *arguments,
                              timeout=seconds + 30)
        assert result.status == 0, result
        return Capture(pprof.read(path), result, target.truth() if truth else None, path, hz)
    return take


def assert_shares(found, true, samples, points=2.0):
    """Every true share is met within `points`, at 2,000 samples or more; below that within four
    standard deviations of random sampling."""
    for name, share in true.items():
        allowed = points / 100
        if samples < 2000:
            allowed = max(allowed, 4 * (share * (1 - share) / max(1, samples)) ** 0.5)
        assert abs(found.get(name, 0) - share) <= allowed, (
            f"{name}: {100 * found.get(name, 0):.2f} %, in truth {100 * share:.2f} %, at {samples} samples; "
            f"found {sorted(((round(100 * v, 1), k) for k, v in found.items()), reverse=True)[:25]}")


def assert_python_shares(capture):
    """What shares.py says of itself; its methods have a qualified name from 3.11 on."""
    found = capture.total()
    found["add_up"] = found.get("add_up", 0) + found.get("Account.add_up", 0)
    assert_shares(found, capture.true_shares(), capture.samples)
    assert rooted(capture.profile, "<module>") >= 0.999


def in_kernel(frame):
    return frame.address >> 63 or (frame.mapping and "kernel" in frame.mapping.file)


def assert_kernel_share(capture):
    """Of target `syscalls`, against the kernel's own account of it."""
    index = capture.profile.value_index()
    kernel = sum(s.values[index] for s in capture.profile.samples if in_kernel(s.frames[0]))
    assert kernel / capture.profile.total(index) == pytest.approx(capture.true_shares()["kernel"], abs=0.08)
    assert rooted(capture.profile, "main") >= 0.999


# The outermost frame of a whole stack: the first function of a process or of a thread.
ROOTS = {"_start", "_dl_start_user", "__clone3", "clone3", "__clone", "clone", "ret_from_fork",
         "ret_from_fork_asm", "_dl_start"}


def rooted(profile, root=None):
    """The share of samples whose outermost frame is a root (or the given function)."""
    index, hit = profile.value_index(), 0
    for sample in profile.samples:
        names = sample.names
        outermost = names[-1].split("@")[0].split("+")[0] if names else ""
        # A stripped program's own root has no name but its file's.
        nameless = outermost.startswith("[") and not outermost.startswith(("[truncated", "[unmapped", "[not walked"))
        if root in names if root else outermost in ROOTS or nameless:
            hit += sample.values[index]
    return hit / max(1, profile.total(index))
