"""Greenlets that take turns on one C stack, begun at different depths of it, one by another; each works in functions of
its own, with C between them. Prints {"ready": pid, "chains": {leaf: [its callers, innermost first]}}."""
import json
import os

import greenlet

ITEMS = list(range(300))
LAPS = 12


def key_main(x):
    return -x


def work_main():
    for _ in range(LAPS):
        sorted(ITEMS, key=key_main)


def key_shallow(x):
    return -x


def work_shallow():
    for _ in range(LAPS):
        sorted(ITEMS, key=key_shallow)


def body_shallow():
    while True:
        work_shallow()
        hub.switch()


def key_deep(x):
    return -x


def work_deep():
    for _ in range(LAPS):
        sorted(ITEMS, key=key_deep)


def body_deep():
    while True:
        work_deep()
        hub.switch()


def key_nested(x):
    return -x


def work_nested():
    for _ in range(LAPS):
        sorted(ITEMS, key=key_nested)


def body_nested():
    while True:
        work_nested()
        hub.switch()


def body_parent():
    """Begins another greenlet from its own stack."""
    nested.switch()
    while True:
        hub.switch()
        nested.switch()


def descend(depth):
    """Python, C, Python, C …, and at the end of it a greenlet begins."""
    if depth == 0:
        deep.switch()
        return 0
    return max([depth], key=lambda d: descend(d - 1))


def hub_loop():
    while True:
        work_main()
        shallow.switch()
        deep.switch()
        parent.switch()


hub = greenlet.getcurrent()
shallow, deep, parent, nested = (greenlet.greenlet(f) for f in (body_shallow, body_deep, body_parent, body_nested))
descend(12)
shallow.switch()
print(json.dumps({"ready": os.getpid(), "chains": {
    "key_main": ["work_main", "hub_loop", "<module>"],
    "key_shallow": ["work_shallow", "body_shallow"],
    "key_deep": ["work_deep", "body_deep"],
    "key_nested": ["work_nested", "body_nested"],
}}), flush=True)
hub_loop()
