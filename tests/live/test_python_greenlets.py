"""Greenlets: each has callers of its own, and its stack begins where it begins, not where another one was before."""
import os
import subprocess

import harness
import pprof
import pytest
from test_python import PYTHONS
from test_python_samples import TESTS
from wheels import wheel

every = pytest.mark.parametrize("version,command", PYTHONS, ids=[v for v, _ in PYTHONS])
FUNCTIONS = {f"{part}_{name}" for part in ("key", "work", "body") for name in ("main", "shallow", "deep", "nested")}
FUNCTIONS |= {"body_parent", "hub_loop", "<module>", "descend", "<lambda>"}


def chain_of(names, chains):
    """The chain that a stack is the upper part of, told by any function that only this chain has; None: no such."""
    for leaf, callers in chains.items():
        if set(names) & {leaf, *callers[:-1]}:
            return [leaf, *callers]
    return None


@every
def test_every_greenlet_has_its_own_callers(version, command, tmp_path):
    packages, why = wheel("greenlet", version)
    if "musl" in version or not packages:
        pytest.skip(why or "wheels of glibc do not run with musl")
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    if subprocess.run([*command, "-c", "import greenlet"], env=environment, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("the wheel needs libraries that this interpreter does not come with")
    path = tmp_path / "x.pb.gz"
    with harness.Target([*command, TESTS / "targets/greenlets.py"], ready=False, env=environment) as target:
        truth = target.line()
        result = harness.scry("cpu", "-p", truth["ready"], "-d", 2, "-F", 1999, "--internal", "-o", path)
        assert result.status == 0, result
    total, wrong, cut, seen = 0, {}, 0, set()
    for sample in pprof.read(path).samples:
        names, n = sample.names, sample.values[0]
        python = [name for name in names if name in FUNCTIONS]
        total += n
        cut += n * names[-1].startswith("[truncated")
        chain = chain_of(python, truth["chains"])
        if chain is None or names[-1].startswith("[truncated"):
            continue
        seen.add(chain[0])
        if python != chain[len(chain) - len(python):]:
            wrong[tuple(python)] = wrong.get(tuple(python), 0) + n
        elif chain[-1] != "<module>" and "greenlet" not in names[-1]:
            wrong[names[-1]] = wrong.get(names[-1], 0) + n
    assert total >= 200 and seen == set(truth["chains"])
    # A few are taken while one greenlet's stack is being put in the place of another's.
    assert sum(wrong.values()) <= max(1, 0.002 * total), (wrong, total)
    assert cut <= max(2, 0.02 * total), (cut, total, result)
