"""Python functions with known shares of the CPU: pure Python, nested calls, C extensions, callbacks
from C into Python, a generator, a method. What a profiler must say of each one's *total* is what the
program measured.

    python3 shares.py [SECONDS]
"""
import hashlib
import json
import random
import zlib

import measure

TEXT = json.dumps([{"id": i, "name": "n%d" % i, "tags": ["a", "b", str(i)]} for i in range(400)])
BYTES = TEXT.encode() * 4
WORDS = [str(i * 7919 % 10007) for i in range(4000)]


def pure_loop(n):
    x = 1
    for i in range(n):
        x = (x * 31 + i) & 0xFFFFFF
    return x


def outer_call(n):
    x = 0
    for _ in range(8):
        x += measure.timed(inner_call, n // 16)
    for i in range(n // 2):
        x ^= i
    return x


def inner_call(n):
    x = 1
    for i in range(n):
        x = (x * 17 + i) & 0xFFFFFF
    return x


def parse_json():
    return [json.loads(TEXT) for _ in range(6)]


def compress():
    return zlib.compress(BYTES, 6)


def sort_key(word):
    return (len(word), word[::-1])


def sort_words():
    return sorted(WORDS, key=sort_key)


def digest():
    data = BYTES
    for _ in range(3):
        data = hashlib.sha256(data).digest() + BYTES
    return data


def squares(n):
    for i in range(n):
        yield i * i & 1023


def drain(n):
    return sum(squares(n))


class Account:
    def add_up(self, n):
        total = 0
        for i in range(n):
            total += i & 7
        self.total = total
        return total


NAMES = ("pure_loop", "outer_call", "inner_call", "parse_json", "compress", "sort_words", "digest", "drain", "add_up")


def one_round(rng, account):
    measure.timed(pure_loop, rng.randint(20000, 60000))
    measure.timed(outer_call, rng.randint(10000, 30000))
    measure.timed(parse_json)
    measure.timed(compress)
    measure.timed(sort_words)
    measure.timed(digest)
    measure.timed(drain, rng.randint(5000, 20000))
    measure.timed(account.add_up, rng.randint(5000, 20000))
    measure.loops[0] += 1


def main():
    measure.start(NAMES)
    rng = random.Random(7)
    account = Account()
    measure.ready()
    while measure.more():
        one_round(rng, account)
    measure.report()


if __name__ == "__main__":
    main()
