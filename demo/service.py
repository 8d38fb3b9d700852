"""The demo's service: threads that do what services do, each for a fixed share of a core, and know it.

    service.py LIBRARY      prints {"ready": PID}; for each line on its standard input it prints the share of
                            its CPU time that each job took since the line before; ends with its input.

Python jobs parse orders (json), archive them (zlib), rank them (sorting in Python), sign sessions (hashlib) and
check packets (C through ctypes); the C library runs two threads of its own.
"""
import ctypes
import hashlib
import json
import os
import random
import sys
import threading
import time
import zlib

PERIOD = 0.1
library = ctypes.CDLL(sys.argv[1])
library.worker_cpu_ns.restype = ctypes.c_uint64
library.worker_cpu_ns.argtypes = [ctypes.c_char_p]
library.checksum.restype = ctypes.c_uint32
library.checksum.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

rng = random.Random(7)
orders = [{"id": i, "customer": f"customer-{rng.randrange(500)}", "total": rng.random() * 100,
           "items": [{"sku": f"sku-{rng.randrange(9000)}", "count": rng.randrange(5)} for _ in range(4)]}
          for i in range(60)]
document = json.dumps(orders)
archive = (document * 3).encode()
packet = bytes(rng.randrange(256) for _ in range(20000))


def parse_orders():
    for order in json.loads(document):
        order["total"] = round(order["total"], 2)
    json.dumps(orders)


def compress_archive():
    zlib.compress(archive, 6)


def by_customer_and_total(order):
    return order["customer"], -order["total"]


def rank_orders():
    sorted(orders * 5, key=by_customer_and_total)


def sign_sessions():
    digest = b"session"
    for _ in range(20):
        digest = hashlib.sha256(digest + packet).digest()


def check_packets():
    library.checksum(packet, len(packet))


# Job and its share of one core. The C workers take 36 % (blur_image) and 18 % (match_patterns).
JOBS = [(parse_orders, 0.24), (compress_archive, 0.20), (rank_orders, 0.14), (sign_sessions, 0.10),
        (check_packets, 0.08)]
used = {job.__name__: 0.0 for job, _ in JOBS}


def serve(job, share):
    """Does the job again and again until its share of this period is used up, then waits for the next."""
    while True:
        until = time.monotonic() + PERIOD
        start = time.thread_time()
        while time.thread_time() - start < share * PERIOD:
            job()
        used[job.__name__] = time.thread_time()
        time.sleep(max(0.0, until - time.monotonic()))


def account():
    """Seconds of CPU time by job so far."""
    c = {"blur_image": library.worker_cpu_ns(b"blur") / 1e9, "match_patterns": library.worker_cpu_ns(b"match") / 1e9}
    return {**used, **c}


def main():
    if library.workers_start():
        sys.exit("service: threads could not be started")
    for job, share in JOBS:
        threading.Thread(target=serve, args=(job, share), name=job.__name__, daemon=True).start()
    time.sleep(3 * PERIOD)
    print(json.dumps({"ready": os.getpid()}), flush=True)
    before = account()
    for _ in sys.stdin:
        now = account()
        spent = {name: now[name] - before[name] for name in now}
        total = sum(spent.values()) or 1.0
        print(json.dumps({name: seconds / total for name, seconds in spent.items()}), flush=True)
        before = now


if __name__ == "__main__":
    main()
