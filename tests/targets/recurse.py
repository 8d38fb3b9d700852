"""Goes DEPTH Python calls deep, then works at the bottom and counts rounds.

    python3 recurse.py [SECONDS [DEPTH]]
"""
import sys
import threading

import measure


def bottom():
    while measure.more():
        x = 0
        for i in range(5000):
            x += i & 3
        measure.loops[0] += 1


def descend(depth):
    if depth <= 1:
        measure.ready()
        bottom()
        return 1
    return descend(depth - 1) + 1


def main():
    measure.start()
    depth = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    sys.setrecursionlimit(depth + 200)
    if depth < 2000:
        descend(depth)
    else:
        # Before 3.11 every Python call is a C call: the main thread's stack may be too small for it.
        threading.stack_size(512 << 20)
        thread = threading.Thread(target=descend, args=(depth,))
        thread.start()
        thread.join()
    measure.report()


if __name__ == "__main__":
    main()
