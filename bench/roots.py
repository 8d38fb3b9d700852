#!/usr/bin/env python3
"""Real programs: the share of stacks that reach their thread's root. Bar: 99.9 % each.
A stack is whole when its outermost frame is where threads begin, whatever the profiler says of itself. OTel, which does
not name native frames, is judged by the addresses that bear such names in scry's profile of the same process; the
processes are the same, one after the other."""
import contextlib
import subprocess

import lib
from lib import SOURCES, VENV, Running, pythons

ROOTS = {"_start", "__clone3", "clone3", "__clone", "clone", "_dl_start_user", "ret_from_fork", "ret_from_fork_asm"}


@contextlib.contextmanager
def running(command, **more):
    p = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True, **more)
    try:
        yield p.pid
    finally:
        lib.os.killpg(p.pid, 15)
        p.wait()


@contextlib.contextmanager
def redis():
    with running(["redis-server", "--port", "16379", "--save", "", "--appendonly", "no"]) as pid:
        lib.time.sleep(0.7)
        with running(["redis-benchmark", "-p", "16379", "-n", "100000000", "-q", "-c", "20", "-t",
                      "set,get,lpush,zadd,mset", "-l"]):
            yield pid


@contextlib.contextmanager
def nginx():
    root = lib.WORK / "nginx"
    (root / "logs").mkdir(parents=True, exist_ok=True)
    (root / "index.html").write_text("hello " * 2000)
    lib.WORK.chmod(0o755)
    (root / "nginx.conf").write_text(
        f"daemon off; user root; master_process off; pid {root}/pid; error_log {root}/error;\n"
        "events { worker_connections 512; }\n"
        f"http {{ access_log {root}/access; gzip on; gzip_types text/html; server {{ listen 18080; root {root}; }} }}\n")
    with running(["nginx", "-p", root, "-c", root / "nginx.conf"]) as pid:
        lib.time.sleep(0.7)
        with running(["sh", "-c", "while ab -q -k -c 8 -n 200000 -H 'Accept-Encoding: gzip' http://127.0.0.1:18080/; "
                      "do :; done"]):
            yield pid


def cc1():
    source = lib.WORK / "big.c"
    if not source.exists():
        import start
        source.write_text("".join(start.UNIT % {"u": 0, "f": f, "m": f + 1} for f in range(6000)))
    program = subprocess.run(["gcc", "-print-prog-name=cc1"], text=True, capture_output=True).stdout.strip()
    return running(["sh", "-c", f"while :; do {program} -quiet -O2 -g {source} -o /dev/null; done"])


PYTHON_MIXED = """
import json, re, zlib, hashlib, decimal, csv, io, struct, pickle, xml.etree.ElementTree as ET
try:
    import numpy
except ImportError:
    numpy = None
text = json.dumps([{"k%d" % i: list(range(20))} for i in range(300)])
while True:
    data = json.loads(text); zlib.compress(pickle.dumps(data), 6); hashlib.sha256(text.encode() * 20).digest()
    re.sub(r"k(\\d+)", lambda m: m.group(1)[::-1], text); sorted(data, key=lambda d: len(str(d)))
    sum((decimal.Decimal(i) / 7 for i in range(300)), decimal.Decimal(0))
    list(csv.reader(io.StringIO("a,b,c\\n" * 500))); ET.fromstring("<a>" + "<b c='d'/>" * 500 + "</a>")
    if numpy is not None:
        a = numpy.random.rand(120, 120); numpy.linalg.svd(a); (a @ a).sum(); numpy.apply_along_axis(lambda r: r.max(), 0, a)
"""
SQL = ("create table t(a integer primary key, b text, c real);\n"
       "with recursive n(i) as (select 1 union all select i+1 from n where i < 200000) "
       "insert into t select i, hex(randomblob(8)), random() from n;\n"
       + "select count(*), avg(c), max(b) from t where b like '%A%' group by a % 100 order by 2;\n" * 400)


def programs():
    sql = lib.WORK / "load.sql"
    sql.write_text(SQL)
    numpy_python = VENV / "python3"
    return {
        "python3 with C extensions": lambda: running(
            [numpy_python if numpy_python.exists() else pythons()[0], "-c", PYTHON_MIXED]),
        "redis-server under load": redis,
        "sqlite3": lambda: running(["sh", "-c", f"exec sqlite3 :memory: < {sql}"]),
        "cc1": cc1,
        "nginx under load": nginx,
        "openssl speed": lambda: running(["openssl", "speed", "-seconds", "2"]),
        "perl": lambda: running(["perl", "-e", "while(1){my %h; $h{$_*7%1009}.=join(',',map{$_**2}1..5) for 1..2000; "
                                 "my @s=sort{$h{$a}cmp$h{$b}}keys %h; my $t=join(';',@s); $t=~s/(\\d+);/f($1)/ge; "
                                 "sub f{return $_[0]+1}}"]),
        "bash": lambda: running(["bash", "-c", "f() { local i; for i in {1..500}; do x=$((x+i)); y=${y:0:50}$i; done; }; "
                                 "while :; do f; done"]),
    }


def root_addresses(profile):
    """{(file's name, address in the file)} of the outermost frames that are roots by name."""
    return {(lib.os.path.basename(frame.mapping.file), frame.address)
            for frame in {s.frames[-1] for s in profile.samples if s.frames}
            if frame.mapping and frame.name.split("@")[0].split("+")[0] in ROOTS}


def otel(pid, args, roots):
    """(samples, those that are whole, [outermost frames of the others]) of the OTel profiler."""
    running, pids = Running("OTel", pid, args.hz), set()
    running.warm()
    end = lib.time.monotonic() + args.seconds
    while lib.time.monotonic() < end:
        pids |= lib.family(pid)
        lib.time.sleep(0.1)
    running.stop()
    all_, whole, odd = 0, 0, lib.collections.Counter()
    for names, weight in lib.stacks_of("OTel", running.file, pids):
        last = names[-1]
        # A return address, or the byte before it.
        good = last in ROOTS if isinstance(last, str) else any(
            (lib.os.path.basename(last[0]), last[1] + more) in roots for more in (-1, 0, 1))
        all_, whole = all_ + weight, whole + good * weight
        if not good:
            odd[last if isinstance(last, str) else f"{lib.os.path.basename(last[0])}+{last[1]:#x}"] += weight
    return all_, whole, odd


def main():
    args = lib.options(__doc__, seconds=5, pairs=1, hz=499, programs="")
    rows, arms = [], lib.available(["scry", "OTel"], args.arms)
    for name, start in programs().items():
        if args.programs and not any(p in name for p in args.programs.split(",")):
            continue
        with start() as pid:
            lib.time.sleep(0.5)
            r = Running("scry", pid, args.hz, args.seconds)
            lib.progress(name, "scry")
            r.wait()
            others = None
            if "OTel" in arms:
                lib.progress(name, "OTel")
                others = otel(pid, args, root_addresses(lib.pprof.read(r.file)))
        p = lib.pprof.read(r.file)
        index, whole, all_, odd = p.value_index(), 0, 0, lib.collections.Counter()
        unnamed = frames = 0
        for s in p.samples:
            value = s.values[index]
            all_ += value
            outermost = s.names[-1].split("@")[0].split("+")[0] if s.names else ""
            frames += len(s.names)
            unnamed += sum(1 for n in s.names if not n or n.startswith(("0x", "[")))
            if outermost in ROOTS:
                whole += value
            else:
                odd[outermost] += 1
        quality = r.summary().get("quality", {})
        rows.append((name, "scry", lib.pprof.count(p), f"{100 * whole / max(1, all_):.2f}",
                     f"{100 * unnamed / max(1, frames):.2f}", ", ".join(f"{n} ({c})" for n, c in odd.most_common(3)),
                     lib.json.dumps(quality.get("truncated", ""))[:80]))
        if others:
            count, good, odd = others
            rows.append((name, "OTel", count, f"{100 * good / max(1, count):.2f}", "–",
                         ", ".join(f"{n} ({c})" for n, c in odd.most_common(3)), ""))
    lib.table(f"Stacks that reach the root, {args.hz} Hz × {args.seconds:g} s",
              ("program", "profiler", "samples", "% whole", "% frames unnamed", "other outermost frames", "scry's own reasons"), rows)


if __name__ == "__main__":
    main()
