"""Works hard in a known tree of calls: who calls whom, and through which C function.

    pythonX python_calls.py [main | thread]

Every function has one caller. In two threads, or in the one named. Prints {"ready": pid, "callers": {function: caller}, "through": {function: what
the C function's name holds, in one version or another}} and works until it is killed.
"""
import functools
import json
import os
import re
import sys
import threading

TEXT = "a1b2c3d4e5" * 20


def work_leaf(n):
    x = 0
    for i in range(n):
        x += i & 3
    return x


def key_function(x):
    return -x + work_key(x)


def work_key(x):
    y = 0
    for i in range(x & 7):
        y ^= i
    return y & 1


def replace_function(match):
    return work_replace(match.group(0))


def work_replace(text):
    return "".join(c for c in text)


def reduce_function(a, b):
    return a + work_reduce(b)


def work_reduce(b):
    return [b for _ in range(20)][0]


def yield_inner():
    for i in range(30):
        yield work_yield(i)


def work_yield(i):
    return sum([i, i, i])


def yield_outer():
    yield from yield_inner()


class Number:
    def __init__(self, n):
        self.n = n

    def __add__(self, other):
        return Number(self.n + work_add(other))

    def __lt__(self, other):
        return self.n < other.n


def work_add(other):
    return other.n if other.n > 3 else other.n + 1


def sorter():
    return sorted(range(200), key=key_function)


def replacer():
    return re.sub("[a-e]", replace_function, TEXT)


def reducer():
    return functools.reduce(reduce_function, range(100))


def generating():
    return sum(yield_outer())


def adding():
    total = Number(0)
    for i in range(50):
        total = total + Number(i)
    return total


def recursing(n=60):
    return recursing(n - 1) if n else recursed()


def recursed():
    return work_leaf(300)


def executing():
    exec(CODE)


CODE = compile("def made_inner():\n    for i in range(100): i * i\nmade_inner()\n", "<made>", "exec")


def all_of_it():
    while True:
        sorter()
        replacer()
        reducer()
        generating()
        adding()
        recursing()
        executing()


CALLERS = {
    "sorter": "all_of_it", "key_function": "sorter", "work_key": "key_function",
    "replacer": "all_of_it", "sub": "replacer", "replace_function": "sub", "work_replace": "replace_function",
    "work_replace.<locals>.<genexpr>": "work_replace",
    "reducer": "all_of_it", "reduce_function": "reducer", "work_reduce": "reduce_function",
    "work_reduce.<locals>.<listcomp>": "work_reduce",
    "generating": "all_of_it", "yield_outer": "generating", "yield_inner": "yield_outer", "work_yield": "yield_inner",
    "adding": "all_of_it", "Number.__add__": "adding", "work_add": "Number.__add__",
    "recursed": "recursing", "work_leaf": "recursed", "executing": "all_of_it", "made_inner": "<module>",
}
THROUGH = {"key_function": ["list_sort", "listsort"], "reduce_function": ["functools_reduce"],
           "replace_function": ["pattern_subx"], "yield_inner": ["builtin_sum"]}

def ready():
    print(json.dumps({"ready": os.getpid(), "callers": CALLERS, "through": THROUGH}))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.setrecursionlimit(10000)
    if sys.argv[1:] != ["main"]:
        worker = threading.Thread(target=all_of_it, daemon=True)
        worker.start()
    ready()
    if sys.argv[1:] == ["thread"]:
        worker.join()
    all_of_it()
