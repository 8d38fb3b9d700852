#!/usr/bin/env python3
"""Time per sample in the kernel on stacks of several depths, by the kernel's own account (kernel.bpf_stats_enabled:
run_time_ns and run_cnt of the programs that perf events start, as in `bpftool prog show`), for scry and for the others
that walk stacks in BPF. Every CPU runs one copy of the program, so that nearly every run is a sample; what the runs in
other processes took is charged to the samples. bpftrace follows frame pointers only: see how many frames it found.
OTel samples the whole host. Bar: 10 µs for mixed stacks of about 30 frames."""
import lib
from lib import SOURCES, Running, Target, pythons, target

ARMS = ["scry", "bpftrace", "OTel"]


def busy():
    """CPU seconds of the whole host so far, without idle ones."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(
        int, lib.pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / lib.os.sysconf("SC_CLK_TCK")


def depth(stacks):
    """The median number of frames per sample; bpftrace's stacks that are empty have lost their place to others."""
    half, found = sum(weight for names, weight in stacks if names) / 2, float("nan")
    for frames, weight in sorted((len(names), weight) for names, weight in stacks if names):
        if half <= 0:
            break
        half, found = half - weight, frames
    return found


def one(command, arm, args):
    """(µs of BPF per sample, frames per stack)"""
    cpus = lib.os.cpu_count()
    with lib.contextlib.ExitStack() as all_:
        targets = [all_.enter_context(Target(command)) for _ in range(cpus)]
        pids = [t.pid for t in targets]
        running = Running(arm, ",".join(map(str, pids)), args.hz)
        running.warm(2)

        def mark():
            cpu = busy() if arm == "OTel" else sum(map(lib.cpu_ns, pids))
            return lib.time.monotonic(), cpu, running.bpf(sampling=True)
        at0, cpu0, (_, ns0, runs0) = mark()
        lib.time.sleep(args.seconds)
        if running.process.poll() is not None:
            running.stop()
            raise lib.Failed(f"{arm} ended: {running.stderr.strip()[-500:]}")
        at1, cpu1, (_, ns1, runs1) = mark()
        running.stop()
        share = min(1, (cpu1 - cpu0) / (cpus * (at1 - at0)))
        frames = depth(lib.stacks_of(arm, running.file, pids))
    return (ns1 - ns0) / 1000 / max(1, (runs1 - runs0) * share), frames


def main():
    args = lib.options(__doc__, seconds=4, pairs=3, hz=499, targets="")
    python = pythons()[0]
    cases = [("C, 6 frames", [target("shares"), 3600]), ("C, 30 frames", [target("recurse"), 3600, 25]),
             ("C, 1,000 frames", [target("recurse"), 3600, 1000]),
             ("Python mixed, real calls", [python, SOURCES / "shares.py", 3600]),
             ("Python, 30 deep", [python, SOURCES / "recurse.py", 3600, 26]),
             ("Python, 900 deep", [python, SOURCES / "recurse.py", 3600, 900])]
    rows = []
    with lib.setting("/proc/sys/kernel/bpf_stats_enabled", "1") as can:
        if not can:
            raise SystemExit("kernel.bpf_stats_enabled cannot be written: run as root")
        for name, command in cases:
            if args.targets and not any(t in name for t in args.targets.split(",")):
                continue
            arms = lib.available(ARMS, args.arms)
            runs = {arm: [] for arm in arms}
            for arm in lib.in_turn(arms, args.pairs, name):
                try:
                    runs[arm].append(one(command, arm, args))
                except lib.Failed as why:
                    print(f"({why})", file=lib.sys.stderr)
            rows += [(name, arm, f"{lib.median([r[1] for r in of]):g}", lib.spread([r[0] for r in of], "{:.1f}"))
                     for arm, of in runs.items()]
    lib.table(f"BPF time per sample at {args.hz} Hz", ("target", "profiler", "frames (median)", "µs per sample"), rows)


if __name__ == "__main__":
    main()
