"""Shares of the CPU, against programs that measure themselves."""
import pytest
from conftest import ROOTS, assert_kernel_share, assert_python_shares, assert_shares, rooted
from harness import SOURCES, Target, pythons, target


@pytest.mark.parametrize("name", ["shares", "shares-O3", "shares-nopie", "shares-static", "shares-fp"])
def test_shares_of_a_c_program_are_true_and_its_stacks_whole(capture, name):
    with Target([target(name)]) as t:
        c = capture(t, hz=2999)
    c.assert_enough()
    assert_shares(c.total(), c.true_shares(), c.samples)
    assert rooted(c.profile, "main") >= 0.999
    if name != "shares-fp":
        assert rooted(c.profile) >= 0.999, {s.names[-1] for s in c.profile.samples if s.names[-1] not in ROOTS}


def test_two_saturated_threads_are_both_seen(capture):
    with Target([target("shares"), 60, 2]) as t:
        c = capture(t, hz=2999)
    c.assert_enough()
    assert_shares(c.total(), c.true_shares(), c.samples)
    assert rooted(c.profile) >= 0.999
    # start_thread() and clone3() have names in the C library's debug symbols alone.
    thread = c.holding("worker", "start_thread") + c.holding("worker", "[libc.so.6]", "[libc.so.6]")
    assert c.holding("worker", "main") + thread >= 0.999, c.total()


def test_a_stripped_program_still_has_whole_stacks(capture):
    with Target([target("shares-stripped")]) as t:
        c = capture(t)
    assert rooted(c.profile, "__libc_start_main") + rooted(c.profile, "__libc_start_main_impl") + rooted(
        c.profile, "__libc_start_call_main") >= 0.999, c.total()


@pytest.mark.parametrize("python", pythons())
def test_shares_of_a_python_program_are_true(capture, python):
    with Target([python, SOURCES / "shares.py"]) as t:
        c = capture(t, seconds=4, hz=1999)
    c.assert_enough()
    assert_python_shares(c)


def assert_in_proportion(c):
    c.assert_enough()
    found = c.total()
    for name, share in c.true_shares().items():
        assert abs(found.get(name, 0) - share) <= 0.06, (name, found.get(name), share, c.samples)


def test_a_program_in_step_with_the_sampler_keeps_its_proportions(capture):
    with Target([target("instep")]) as t:
        c = capture(t, seconds=12, hz=99)
    assert_in_proportion(c)


# The sampler has several timers, each of some four sampling periods. With fixed ones of 3.35, 3.80, 4.28 and 4.89 sampling
# periods, programs of these cycles were wrong by up to 21 points.
@pytest.mark.parametrize("periods", [0.5, 2, 3.3537, 3.796, 4, 4.2798, 4.8844])
def test_a_program_in_step_with_one_of_the_timers_keeps_its_proportions(capture, periods):
    hz = 999
    with Target([target("instep"), 60, round(periods * 1e9 / hz)]) as t:
        c = capture(t, seconds=3, hz=hz)
    assert_in_proportion(c)


def test_kernel_time_is_the_kernels_own_account(capture):
    with Target([target("syscalls")]) as t:
        c = capture(t)
    assert_kernel_share(c)
    assert c.holding("read", "reads", "main") + c.holding("__read", "reads", "main") + c.holding(
        "__GI___libc_read", "reads", "main") + c.holding("__libc_read", "reads", "main") >= 0.2, c.total()


def test_without_kernel_frames_the_time_stays(capture):
    with Target([target("syscalls")]) as t:
        c = capture(t, "--no-kernel", seconds=2)
    assert not [f for s in c.profile.samples for f in s.frames if f.address >> 63]
    c.assert_enough()


def test_the_rate_asked_for_is_the_rate_taken(capture):
    with Target([target("shares")]) as t:
        c = capture(t, seconds=3, hz=499)
    c.assert_enough()
    assert c.profile.period_type and c.profile.period == pytest.approx(1e9 / 499, rel=0.1)
