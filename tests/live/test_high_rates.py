"""At high rates another CPU's interrupts may take the place of timers (src/source/cpu/metronome.h): what is sampled must
be as true as with timers, and as complete, whichever of them a machine gets."""
import os
import re
import signal
import time

import pytest
from conftest import ROOTS, assert_kernel_share, assert_python_shares, assert_shares, in_kernel, rooted
from harness import SOURCES, Target, pythons, start_scry, target

HZ = 10000
# Of the interrupt that takes a sample, and of the programs that it runs.
MACHINERY = re.compile(r"sysvec_call_function|smp_call_function|bpf_|perf_swevent")


def kernel_frames(sample):
    return [f for f in sample.frames if in_kernel(f)]


def stolen():
    """CPU seconds that the host has taken from this machine, by the kernel's account."""
    with open("/proc/stat") as f:
        return int(f.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def complete(capture, t, least=0.8):
    """A capture with nearly as many samples as its CPU time calls for. Where the host took CPUs away meanwhile, and
    timers with them, another one is taken."""
    before = stolen()
    c = capture(t, hz=HZ)
    lost = stolen() - before
    if c.samples < least * c.expected() and lost > 0.1:
        c = capture(t, hz=HZ)
    assert least * c.expected() <= c.samples <= 1.03 * c.expected(), (c.samples, c.expected(), lost, c.result)
    return c


def test_shares_of_a_c_program(capture):
    with Target([target("shares")]) as t:
        c = complete(capture, t)
    assert_shares(c.total(), c.true_shares(), c.samples)
    assert rooted(c.profile) >= 0.999, {s.names[-1] for s in c.profile.samples if s.names[-1] not in ROOTS}


def test_shares_of_a_python_program(capture):
    with Target([pythons()[0], SOURCES / "shares.py"]) as t:
        c = complete(capture, t)
    assert_python_shares(c)


def test_kernel_time_and_its_stacks(capture):
    with Target([target("syscalls")]) as t:
        c = complete(capture, t)
    assert_kernel_share(c)
    index = c.profile.value_index()
    # Whole from the system call on, and nothing of the sampler's own above it.
    ours = {tuple(s.names): s.values[index] for s in c.profile.samples
            if any(MACHINERY.search(f.name) for f in kernel_frames(s))}
    assert sum(ours.values()) <= 0.002 * c.profile.total(index), ours
    reading = sum(s.values[index] for s in c.profile.samples if kernel_frames(s) and "reads" in s.names)
    entered = sum(s.values[index] for s in c.profile.samples
                  if "reads" in s.names and any("entry_SYSCALL" in n or "el0t_64_sync" in n for n in s.names))
    assert entered >= 0.98 * reading, (entered, reading)


def test_a_program_that_sleeps_and_wakes_is_counted_while_it_works(capture):
    with Target([target("naps")]) as t:
        c = complete(capture, t)
    found = {name: share for name, share in c.total().items() if name in ("first", "second")}
    true = c.true_shares()
    for name in true:
        assert found[name] / sum(found.values()) == pytest.approx(true[name] / sum(true.values()), abs=0.02), (found, true)


@pytest.mark.parametrize("options", [(), ("--no-kernel",)])
def test_what_has_no_user_stack_is_the_kernel(capture, options):
    """A thread that ends has given up its memory while the kernel takes it apart."""
    with Target([target("newthreads"), 60]) as t:
        c = capture(t, *options, hz=HZ, seconds=1, truth=False)
    assert not [s for s in c.profile.samples if not s.frames]
    at_end = [s for s in c.profile.samples if not any(name in s.names for name in ("main", "lives"))]
    bare = [s for s in at_end if s.names == ["[kernel]"]]
    if options:
        assert bare
    else:
        assert any("do_exit" in s.names for s in at_end)
        assert len(bare) <= 0.01 * len(c.profile.samples)


def test_where_every_cpu_is_busy_all_are_sampled(capture):
    with Target([target("shares"), 60, os.cpu_count()]) as t:
        c = complete(capture, t, least=0.7)
    assert_shares(c.total(), c.true_shares(), c.samples)


def test_killed_it_leaves_the_target_as_it_was(tmp_path):
    with Target([target("shares")]) as t:
        before = os.sched_getaffinity(t.pid), os.sched_getscheduler(t.pid)
        s = start_scry("cpu", "-p", t.pid, "-F", HZ, "-o", tmp_path / "p.pb.gz")
        time.sleep(1)
        s.send_signal(signal.SIGKILL)
        s.wait()
        assert (os.sched_getaffinity(t.pid), os.sched_getscheduler(t.pid)) == before
        t.mark()
        time.sleep(0.5)
        assert t.truth()["loops"] > 0


def test_a_command_may_use_every_cpu(tmp_path):
    """Only scry's own threads sit where the metronome does."""
    s = start_scry("cpu", "-F", HZ, "-d", "2", "-o", tmp_path / "p.pb.gz", "--", "python3", "-c",
                   "import os, time\nend = time.time() + 1\nwhile time.time() < end: pass\n"
                   "print(len(os.sched_getaffinity(0)))")
    out, err = s.communicate(timeout=60)
    assert re.search(rf"^{len(os.sched_getaffinity(0))}$", out, re.M), (out, err)
