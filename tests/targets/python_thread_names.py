"""Threads with names of all kinds, and what the interpreter itself says they are called.

    pythonX python_thread_names.py [COUNT] [fork] [interpreter] [none] [busy]

Prints one line of JSON when all threads stand, {"pid", "names": {tid: name}}, then waits for its standard input to
end. COUNT further threads stand beside as many that have ended. fork: the answer is a child's. interpreter: another
interpreter has threads too. none: the module threading is not imported. busy: one thread named "spinner" computes.
"""
import os
import sys


def tid():
    return int(os.readlink("/proc/thread-self").rsplit("/", 1)[1])


def say(names):
    sys.stdout.write(__import__("json").dumps({"pid": os.getpid(), "names": names}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if "none" in sys.argv:
    for module in list(sys.modules):
        if module == "threading":
            del sys.modules[module]
    sys.stdout.write('{"pid": %d, "names": {}}\n' % os.getpid())
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)

import _thread  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

wait_end, keep_open = os.pipe()
idents = {}  # tid -> ident
ready = threading.Semaphore(0)


def stand():
    idents[tid()] = threading.get_ident()
    ready.release()
    os.read(wait_end, 1)


class Plain(threading.Thread):
    pass


class Slots(threading.Thread):
    __slots__ = ("first", "second", "__private")

    def __init__(self, **more):
        super().__init__(**more)
        self.first = self.second = "not the name"


class Many(threading.Thread):
    """More attributes than a class shares keys for."""

    def __init__(self, **more):
        for i in range(60):
            setattr(self, "attribute_%d" % i, "no")
        super().__init__(**more)


class Mixed(Exception, threading.Thread):
    """An instance whose base has a dictionary of its own."""

    def __init__(self, **more):
        Exception.__init__(self)
        threading.Thread.__init__(self, **more)


class Own(str):
    pass


def start(kind, name):
    thread = kind(target=stand, name=name)
    thread.daemon = True
    thread.start()
    ready.acquire()
    return thread


def specials():
    for name in ("spinner", "x" * 63, "y" * 64, "z" * 5000, "fil_\xe9\xe0\xfc", "\u043f\u043e\u0442\u043e\u043a \u6570",
                 "snake \U0001f40d", "\xe9" * 40, "a" + "\u6570" * 40, "\U0001f40d" * 20, "line\nbreak\x1b[31m\x7f",
                 "nul\0inside", " ", Own("subclass of str"), 12, ("_", "tuple")):
        start(threading.Thread, name)
    for kind in (Plain, Slots, Many, Mixed):
        start(kind, kind.__name__)
    start(threading.Thread, "before").name = "renamed"
    thread = start(threading.Thread, "has a dictionary")
    thread.__dict__["another"] = thread.__dict__
    thread = start(Plain, "many attributes later")
    for i in range(100):
        setattr(thread, "attribute_%d" % i, "no")
    thread = start(Plain, "without one")
    thread.other = 1
    del thread.other
    start(Plain, "set in the dictionary").__dict__["_name"] = "through " + "the dictionary"
    start(threading.Thread, "will have no name").name = ""

    def foreign():
        threading.current_thread()  # makes an object for it: Dummy-1
        stand()
    _thread.start_new_thread(foreign, ())
    ready.acquire()
    _thread.start_new_thread(stand, ())  # has none
    ready.acquire()


def many(count):
    ended = []
    for i in range(count):
        thread = threading.Thread(target=int)
        thread.start()
        ended.append(thread)
        start(threading.Thread, "worker %d" % i)
    for thread in ended:
        thread.join()


def spin():
    idents[tid()] = threading.get_ident()
    ready.release()
    while True:
        sum(range(1000))


def another_interpreter():
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    told, tell = os.pipe()
    source = """
import os, threading
def stand():
    os.write(%d, (os.readlink("/proc/thread-self").rsplit("/", 1)[1] + "\\n").encode())
    os.read(%d, 1)
thread = threading.Thread(target=stand, name="of another interpreter")
thread.start()
thread.join()
""" % (tell, wait_end)

    def run():
        idents[tid()] = threading.get_ident()
        try:
            interpreter = interpreters.create(isolated=False)
        except TypeError:
            interpreter = interpreters.create()
        interpreters.run_string(interpreter, source)
    threading.Thread(target=run, name="of both", daemon=True).start()
    return {int(os.read(told, 16)): "of another interpreter"}


def answer():
    idents[tid()] = threading.get_ident()
    counts = [int(word) for word in sys.argv[1:] if word.isdigit()]
    names = {}
    if "interpreter" in sys.argv:
        names.update(another_interpreter())
    specials()
    many(counts[0] if counts else 0)
    if "busy" in sys.argv:
        threading.Thread(target=spin, name="spinner", daemon=True).start()
        ready.acquire()
    time.sleep(0.1)  # into the system call
    by_ident = {thread.ident: thread.name for thread in threading.enumerate()}
    names.update({t: by_ident.get(ident) for t, ident in idents.items()})
    say(names)


threading.stack_size(256 << 10)
if "fork" in sys.argv:
    start(threading.Thread, "stays with the parent")
    start(threading.Thread, "forks")
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        sys.exit()
    idents.clear()
answer()
