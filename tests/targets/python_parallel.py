"""Many threads that run the same functions at the same time; without the GIL, truly so.

    pythonX python_parallel.py [THREADS]

Prints {"ready": pid, "lines": {function: its lines}, "calls": {"caller callee": the lines of the caller at which it
names the callee}} by what the interpreter says of its own code, and works until it is killed.
"""
import dis
import json
import os
import sys
import threading


def busy(n):
    x = 0
    for i in range(n):
        x += i & 3

    for i in range(n):
        x ^= i

    return x


def down(n):
    if n:
        return down(n - 1)
    return busy(
        60)


def inner():
    for i in range(20):

        yield busy(i)


def outer():
    yield 0
    yield from inner()


def drain():

    return sum(outer())


async def second():
    return busy(40)


async def first():
    x = 1
    return x + await second()


def awaiting():
    try:
        first().send(None)
    except StopIteration as error:
        return error.value


def key(x):
    y = x & 15
    return busy(y)


def sorting():
    numbers = range(60)

    return sorted(numbers, key=key)


class Number:
    def __add__(self, other):
        return busy(other)


def adding():
    x = Number()
    return x + 30


def work():
    while True:
        down(30)
        drain()
        awaiting()
        sorting()
        adding()


FUNCTIONS = [busy, down, inner, outer, drain, second, first, awaiting, key, sorting, adding, work]


def described(lines, calls, name, code):
    line, starts = code.co_firstlineno, {at: line or 0 for at, line in dis.findlinestarts(code)}  # 0: has none
    own = {code.co_firstlineno}
    for instruction in dis.get_instructions(code):
        line = starts.get(instruction.offset, line)
        own.add(line)
        if instruction.opname == "LOAD_GLOBAL":
            calls.setdefault("%s %s" % (name, instruction.argval), set()).add(line)
    lines[name] = own


def main():
    lines, calls = {}, {}
    for function in FUNCTIONS:
        described(lines, calls, function.__name__, function.__code__)
    described(lines, calls, "Number.__add__", Number.__add__.__code__)
    calls["adding Number.__add__"] = lines["adding"]
    print(json.dumps({"ready": os.getpid(), "lines": {k: sorted(v) for k, v in lines.items()},
                      "calls": {k: sorted(v) for k, v in calls.items()}}))
    sys.stdout.flush()
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 8):
        threading.Thread(target=work, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
