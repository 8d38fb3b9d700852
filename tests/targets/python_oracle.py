"""Threads that stand still at known points, and what the interpreter itself says of their stacks.

    pythonX python_oracle.py

Prints one line of JSON when all threads stand: {"pid", "version", "threads": {tid: {"name", "thread" (its name
for threading), "frames": [[name, qualified name or null, file, line or null, first line, column or null], …]}}},
leaf first, then waits for its standard input to end. Runs on Python 3.6 and newer; what a build lacks (ctypes, asyncio) is left out.
"""
import builtins
import functools
import importlib
import itertools
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time

standing = {}  # tid -> (name, thread ident)
wait_end, _ = os.pipe()
failed = []
absent = []  # scenarios that need a module which this build lacks


def stand(name):
    tid = int(os.readlink("/proc/thread-self").rsplit("/", 1)[1])
    standing[tid] = name, threading.get_ident()
    os.read(wait_end, 1)


scenarios = []


def scenario(function):
    scenarios.append(function)
    return function


@scenario
def recursion():
    def down(n):
        if n == 0:
            stand("recursion")
        else:
            down(
                n - 1
            )
    down(50)


@scenario
def deep_recursion():
    def down(n):
        return stand("deep_recursion") if n == 0 else down(n - 1)
    down(900)


@scenario
def generators():
    def inner():
        for i in range(3):
            if i == 2:
                stand("generators")
            yield i

    def middle():
        yield 0
        got = yield from inner()
        return got

    def outer():
        for x in middle():
            yield x

    return list(x for x in outer() if x >= 0)


@scenario
def generator_throw():
    def thrown():
        try:
            yield 1
        except ValueError:
            stand("generator_throw")
    g = thrown()
    next(g)
    g.throw(ValueError("x"))


@scenario
def generator_close():
    def closed():
        try:
            yield 1
        finally:
            stand("generator_close")
    g = closed()
    next(g)
    g.close()


@scenario
def coroutines():
    async def third():
        stand("coroutines")

    async def second():
        return await third()

    async def first():
        async def numbers():
            yield 1
            await second()
        async for _ in numbers():
            pass

    first().send(None)


@scenario
def event_loop():
    import asyncio

    async def leaf():
        await asyncio.sleep(0)
        stand("event_loop")

    async def root():
        await asyncio.gather(leaf(), asyncio.sleep(0))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(root())


@scenario
def through_c():
    def key(x):
        if x == 3:
            stand("through_c")
        return x

    def replaced(match):
        return str(sorted([1, 2, 3], key=key))

    def add(a, b):
        return a + len(re.sub("b", replaced, "abc"))

    def reduced(_):
        return functools.reduce(add, [1, 2])

    list(itertools.starmap(lambda a, b: max(map(reduced, [a])), [(1, 2)]))


@scenario
def through_ctypes():
    import ctypes
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

    def compare(a, b):
        stand("through_ctypes")
        return 0

    array = (ctypes.c_int * 2)(2, 1)
    ctypes.CDLL(None).qsort(array, 2, 4, kind(compare))


@scenario
def classes():
    class Meta(type):
        def __call__(cls, *args):
            return super().__call__(*args)

    class Base(metaclass=Meta):
        def __new__(cls, n):
            return super().__new__(cls)

        def __init__(self, n):
            self.n = n
            self[n]

        def __getitem__(self, n):
            return self.attribute

        def __getattr__(self, name):
            return self.prop

        @property
        def prop(self):
            return self.cls_method()

        @classmethod
        def cls_method(cls):
            return cls.static_method()

        @staticmethod
        def static_method():
            return (lambda: Base.__enter__(None))()

        def __enter__(self):
            return Other() + 1

    class Other:
        def __add__(self, other):
            return self == other

        def __eq__(self, other):
            return [y for y in [hash(self)] if y]

        def __hash__(self):
            return int(str(self))

        def __str__(self):
            stand("classes")
            return "1"

    Base(1)


@scenario
def decorated():
    def decorator(f):
        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            return f(*args, **kwargs)
        return wrapper

    @decorator
    @decorator
    def inner(*args, key=None):
        stand("decorated")

    functools.partial(inner, 1, key=2)(3)


@scenario
def statements():
    def many(a, *,
             b):
        return stand(
            "statements"
        )

    value = {
        "a": 1,
        "b": [
            2,
            many(
                1,
                b=[x
                   for x in range(2)],
            ),
        ],
    }
    return value


@scenario
def handlers():
    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            for _ in range(1):
                stand("handlers")

    def body():
        try:
            raise KeyError(1)
        except KeyError:
            try:
                with Manager():
                    pass
            finally:
                pass
        else:
            pass
    while True:
        body()


@scenario
def comprehensions():
    return [[{stand("comprehensions") for _ in range(1)}
             for _ in
             "a"] for _ in (0,)]


@scenario
def executed():
    source = "\n" * 300 + "def f():\n    g()\n\n\ndef g():\n" + "    1\n" * 400 + "    x = (1,\n       stand('executed'))\n\n\nf()\n"
    exec(compile(source, "<made by hand>", "exec"), {"stand": stand})


@scenario
def evaluated():
    return eval("(lambda: [\n\n stand('evaluated')])()", {"stand": stand})


def named(name, filename):
    source = "def %s():\n    stand('%s')\n\n%s()\n" % (name, name, name)
    exec(compile(source, filename, "exec"), {"stand": stand})


@scenario
def latin():
    named("fonction_éàü", "/tmp/répertoire/é.py")


@scenario
def wide():
    named("функция_数学", "/tmp/папка/数.py")


@scenario
def astral():
    named("x\U00020000y", "/tmp/\U0001f40d.py")


@scenario
def no_text():
    named("bad_name", os.fsdecode(b"/tmp/\xff\xfe.py"))


@scenario
def long_lines():
    source = "def f():\n    return [" + ", ".join("%d" % i for i in range(3000)) + ", stand('long_lines')]\nf()\n"
    exec(compile(source, "long.py", "exec"), {"stand": stand})


@scenario
def backwards():
    source = ("def f(a, b): pass\n" + "def g():\n    for i in [1]:\n        f(1,\n" + "\n" * 200 +
              "          2)\n        f(\n" + "#\n" * 140 + "          stand('backwards'), 1)\ng()\n")
    exec(compile(source, "backwards.py", "exec"), {"stand": stand})


@scenario
def traced():
    def tracer(frame, event, arg):
        return tracer

    def one():
        two()

    def two():
        x = 1
        stand("traced")
        return x
    sys.settrace(tracer)
    try:
        one()
    finally:
        sys.settrace(None)


@scenario
def tracing():
    def tracer(frame, event, arg):
        if event == "line":
            stand("tracing")
        return tracer

    def watched():
        return 1
    sys.settrace(tracer)
    try:
        watched()
    finally:
        sys.settrace(None)


@scenario
def profiled():
    def profiler(frame, event, arg):
        if event == "c_call" and arg is len:
            stand("profiled")
    sys.setprofile(profiler)
    try:
        sorted([len("x")])
    finally:
        sys.setprofile(None)


@scenario
def imported():
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "scry_oracle_module.py")
    with open(path, "w") as f:
        f.write("import builtins\n\n\nclass C:\n    builtins.scry_stand('imported')\n")
    builtins.scry_stand = stand
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    try:
        importlib.import_module("scry_oracle_module")
    finally:
        os.unlink(path)


def main_thread():
    """The main thread stands in a signal handler."""
    def handler(number, frame):
        stand("signal_handler")

    def loop():
        os.kill(os.getpid(), signal.SIGUSR1)
        while True:
            time.sleep(0.01)
    signal.signal(signal.SIGUSR1, handler)
    loop()


def run(function):
    try:
        function()
    except ImportError:
        absent.append(function.__name__)
    except BaseException as error:
        failed.append("%s: %r" % (function.__name__, error))


def describe(frame):
    frames = []
    while frame:
        code = frame.f_code
        column = None
        if hasattr(code, "co_positions") and frame.f_lasti >= 0:
            position = next(itertools.islice(code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
            column = position[2]
        frames.append([code.co_name, getattr(code, "co_qualname", None), code.co_filename, frame.f_lineno,
                       code.co_firstlineno, column])
        frame = frame.f_back
    return frames


def report():
    deadline = time.time() + 20
    while len(standing) + len(failed) + len(absent) < len(scenarios) + 1 and time.time() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)  # from the dictionary to the system call
    frames = sys._current_frames()
    threads = {}
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for tid, (name, ident) in standing.items():
        threads[tid] = {"name": name, "thread": names[ident], "frames": describe(frames[ident])}
    text = json.dumps({"pid": os.getpid(), "version": "%d.%d.%d" % sys.version_info[:3], "threads": threads,
                       "failed": failed})
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    sys.setrecursionlimit(3000)
    threading.stack_size(64 << 20)
    for each in scenarios:
        threading.Thread(target=run, args=(each,), daemon=True, name=each.__name__).start()
    threading.Thread(target=report, daemon=True).start()
    main_thread()
