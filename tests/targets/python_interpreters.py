"""Several interpreters in one process, and what each of them says of its stacks.

    pythonX python_interpreters.py

Threads of the main interpreter run code in further interpreters, which stands still there: their stacks go
through both. One interpreter starts a thread of its own, another makes an interpreter itself, one calls an older one. Prints one line of JSON
when all stand, as python_oracle.py does, without columns. Runs on CPython 3.8 and newer.
"""
import json
import os
import sys
import threading

try:
    import _interpreters as interpreters  # 3.13
except ImportError:
    import _xxsubinterpreters as interpreters

told, tell = os.pipe()
wait_end, _ = os.pipe()
names = {}  # tid -> name

# Runs in any interpreter. A stack is told at the very line at which it then stands.
STAND = """
import os, sys
def describe(frame):
    frames = []
    while frame:
        code = frame.f_code
        frames.append([code.co_name, getattr(code, "co_qualname", None), code.co_filename, frame.f_lineno,
                       code.co_firstlineno, None])
        frame = frame.f_back
    return frames
def stand(tell, wait_end):
    tid = int(os.readlink("/proc/thread-self").rsplit("/", 1)[1])
    def wait(): os.write(tell, repr((tid, describe(sys._getframe()))).encode() + b"\\n"); os.read(wait_end, 1)
    wait()
"""

SIMPLE = STAND + """
class Work:
    def inner(self):
        for _ in range(1):
            stand(%(tell)d, %(wait_end)d)
def outer(n):
    return Work().inner() if n == 0 else outer(n - 1)
outer(20)
"""

WITH_THREAD = STAND + """
import threading
def thread():
    stand(%(tell)d, %(wait_end)d)
t = threading.Thread(target=thread)
t.start()
t.join()
"""

NESTED = STAND + """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
def outer():
    i = interpreters.create()
    os.write(%(tell)d, repr((int(os.readlink("/proc/thread-self").rsplit("/", 1)[1]), describe(sys._getframe()))).encode() + b"\\n"); interpreters.run_string(i, SOURCE)
SOURCE = %(simple)r
outer()
"""

CROSSED = NESTED.replace("interpreters.create()", "%(older)d")


def create():
    try:
        return interpreters.create(isolated=False)  # 3.9 to 3.12: else it may start no threads
    except TypeError:
        return interpreters.create()


def run(name, source):
    names[int(os.readlink("/proc/thread-self").rsplit("/", 1)[1])] = name, threading.get_ident()
    interpreters.run_string(create(), source)
    print("a stack that should stand has ended:", name, file=sys.stderr, flush=True)


def lines(count):
    """So many lines as they are told, newest stacks of a thread last."""
    text = b""
    while text.count(b"\n") < count:
        text += os.read(told, 65536)
    return [eval(line) for line in text.splitlines()]


def main():
    pipes = {"tell": tell, "wait_end": wait_end}
    pipes["simple"] = SIMPLE % pipes
    older = create()  # up to 3.12 it goes with this object
    pipes["older"] = int(older)
    sources = {"simple": SIMPLE, "again": SIMPLE, "with_thread": WITH_THREAD, "nested": NESTED, "crossed": CROSSED}
    stacks = {}
    for name, source in sources.items():  # one after the other: CPython may crash when several begin at once
        threading.Thread(target=run, args=(name, source % pipes), daemon=True).start()
        for tid, frames in lines(2 if name in ("nested", "crossed") else 1):
            stacks[tid] = frames + stacks.get(tid, [])
    own = sys._current_frames()
    threads = {}
    for tid, frames in stacks.items():
        name, ident = names.get(tid, ("thread of another interpreter", None))
        scope = {}
        exec(STAND, scope)
        threads[tid] = {"name": name, "frames": frames + (scope["describe"](own[ident]) if ident else [])}
    sys.stdout.write(json.dumps({"pid": os.getpid(), "version": "%d.%d.%d" % sys.version_info[:3],
                                 "threads": threads, "failed": []}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
