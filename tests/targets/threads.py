"""COUNT threads of which one works; the others sleep in a lock, a condition, a queue, a read, a sleep.

    python3 threads.py [SECONDS [COUNT]]
"""
import os
import queue
import sys
import threading
import time

import measure


def idle(kind, lock, condition, box, fd):
    if kind == 0:
        lock.acquire()
    elif kind == 1:
        with condition:
            condition.wait()
    elif kind == 2:
        box.get()
    elif kind == 3:
        os.read(fd, 1)
    else:
        time.sleep(10000)


def busy():
    while measure.more():
        x = 0
        for i in range(5000):
            x += i & 3
        measure.loops[0] += 1


def main():
    measure.start()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    lock, condition, box = threading.Lock(), threading.Condition(), queue.Queue()
    lock.acquire()
    read_end, _ = os.pipe()
    threading.stack_size(256 << 10)
    for i in range(1, count):
        threading.Thread(target=idle, args=(i % 5, lock, condition, box, read_end), daemon=True,
                         name="idle-%d" % i).start()
    time.sleep(0.2)
    measure.ready()
    busy()
    measure.report()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
