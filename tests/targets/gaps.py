"""Goes DEPTH Python calls deep, then sums up in C the time during which it was kept from running: see gaps.c.

    python3 gaps.py SECONDS DEPTH LIBRARY
"""
import ctypes
import sys

import measure


def spin(library):
    while measure.more():
        measure.ns["lost"] += library.gaps_spin(ctypes.c_uint64(1000000))


def descend(depth, library):
    if depth <= 1:
        measure.ready()
        spin(library)
        return 1
    return descend(depth - 1, library) + 1


def main():
    measure.start(["lost"])
    sys.setrecursionlimit(5000)
    library = ctypes.CDLL(sys.argv[3])
    library.gaps_spin.restype = ctypes.c_uint64
    descend(int(sys.argv[2]), library)
    measure.report()


if __name__ == "__main__":
    main()
