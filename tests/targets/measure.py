"""What the Python test programs share: they measure themselves and say what is true.

Runs on CPython 3.6 to 3.15 without anything installed. The protocol is that of target.h: one JSON
object per line on standard output, {"ready": PID} first, then {"cpu_ns", "loops", "ns"} on SIGUSR1
and at the end.
"""
import json
import os
import signal
import sys
import time

ns = {}
loops = [0]
_asked = [False]
_deadline = [0.0]


def cpu():
    return time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)


def timed(function, *args):
    """Calls the function and charges the CPU time of this thread to its name."""
    start = cpu()
    result = function(*args)
    name = function.__name__
    ns[name] = ns.get(name, 0) + int((cpu() - start) * 1e9)
    return result


def report():
    sys.stdout.write(json.dumps({"cpu_ns": int(time.process_time() * 1e9), "loops": loops[0], "ns": ns}) + "\n")
    sys.stdout.flush()


def start(names=()):
    for name in names:
        ns[name] = 0
    signal.signal(signal.SIGUSR1, lambda *_: _asked.__setitem__(0, True))
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    _deadline[0] = time.monotonic() + seconds


def ready():
    sys.stdout.write(json.dumps({"ready": os.getpid()}) + "\n")
    sys.stdout.flush()


def more():
    if _asked[0]:
        _asked[0] = False
        report()
    return time.monotonic() < _deadline[0]
