#!/usr/bin/env python3
"""Names addresses of programs that it compiles, and asks addr2line, eu-addr2line and llvm-symbolizer the same.

Usage: oracle.py PROBE [WORDS]. Prints TAP; with words, of the cases that are called so. A case whose compiler or tool is missing is skipped, and says so.

The judges have faults of their own: GNU addr2line names the innermost inlined call after the symbol when it has no
linkage name, takes ends of functions for functions and files of included code for those that include it; none of the
others joins names without linkage to their namespaces. So an answer must agree, at every address, with at least one
judge in its lines and whole depth; and in each name with one of them, where a bare name matches a qualified one.
"""
import bisect
import functools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROBE = os.path.abspath(sys.argv[1])
ADDRESSES = 500
WORK = tempfile.mkdtemp(prefix="symbol-oracle-")


class Skip(Exception):
    pass


class Wrong(Exception):
    pass


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise Skip(f"there is no {tool}")


def run(*command, text=None, check=True):
    r = subprocess.run(command, input=text, text=True, capture_output=True, cwd=WORK)
    if check and r.returncode:
        raise Wrong(f"{' '.join(command)}: {r.stderr.strip()[-500:]}")
    return r.stdout


def build(output, source, *flags, compiler="gcc"):
    need(compiler)
    path = os.path.join(WORK, output)
    libraries = ["-lm"] if source.endswith(".c") else ["-lstdc++", "-lm"]
    run(compiler, *flags, os.path.join(HERE, "programs", source), "-o", path, *libraries)
    return path


# ---- addresses ----

PADDING = re.compile(r"\s*(nop|data16|cs nop|xchg\s+%ax,%ax|int3|\(bad\)|\.\.\.)")


def instructions(path):
    """Addresses of instructions that run: inside functions, and no padding."""
    found = []
    for line in run("objdump", "-d", "--no-show-raw-insn", "-j", ".text", path).splitlines():
        m = re.match(r"\s*([0-9a-f]+):\t(.*)", line)
        if m and not PADDING.match(m[2]):
            found.append(int(m[1], 16))
    return found


def sample(path, n=ADDRESSES):
    every = instructions(path)
    return sorted(random.Random(len(every)).sample(every, min(n, len(every))))


def asked(addresses):
    return "".join(f"{a:#x}\n" for a in addresses)


# ---- answers: address -> [(name, file name, line)], innermost first ----

def ours(path, addresses, *arguments, **environment):
    answers, now = {}, None
    try:
        r = subprocess.run([PROBE, path, *arguments], input=asked(addresses), text=True, capture_output=True, timeout=120,
                           env={**os.environ, **environment})
    except subprocess.TimeoutExpired as waits:
        raise Wrong("the probe waits") from waits
    if r.returncode:
        raise Wrong(f"the probe ended with {r.returncode}: {r.stderr[-300:]}")
    for line in r.stdout.splitlines():
        if re.fullmatch(r"@[0-9a-f]+", line):
            now = answers.setdefault(int(line[1:], 16), [])
            continue
        name, system, file, number, column, start, inlined = line.split("\t")
        now.append((name, os.path.basename(file), int(number)))
    return answers


PLACE = re.compile(r"(.*?):(\d+|\?)(:\d+)?( \(discriminator \d+\))?( \(.*\))?$")


def demangled(names):
    """What a judge left as it is: llvm-addr2line 18 cannot read the names of generic lambdas."""
    left = sorted({n for n in names if n.startswith("_Z")})
    return dict(zip(left, run("c++filt", text="\n".join(left)).splitlines())) if left else {}


def judge(path, addresses, tool, *flags):
    answers, now, lines = {}, None, run(tool, *flags, "-f", "-i", "-C", "-a", "-e", path,
                                       text=asked(addresses), check=False)
    lines = [line for line in lines.splitlines() if line]
    i = 0
    while i < len(lines):
        if re.fullmatch(r"0x[0-9a-f]+:?", lines[i]):
            now = answers.setdefault(int(lines[i].rstrip(":"), 16), [])
            i += 1
            continue
        name = re.sub(r" inlined at .* in .*$", "", lines[i])
        m = PLACE.match(lines[i + 1])
        file, number = (m[1], m[2]) if m else (lines[i + 1], "0")
        file = "" if file.startswith("??") else file
        now.append(("" if name == "??" else name, os.path.basename(file), int(number) if number.isdigit() else 0))
        i += 2
    plain = demangled(name for frames in answers.values() for name, _, _ in frames)
    return {a: [(plain.get(name, name), *rest) for name, *rest in frames] for a, frames in answers.items()}


VERSIONS = [*range(40, 13, -1)]  # of LLVM, which a distribution may have several of


def newest(name):
    return next((f"{name}-{v}" for v in VERSIONS if shutil.which(f"{name}-{v}")), name)


def llvm():
    return next((name for name in (newest("llvm-addr2line"), "llvm-addr2line") if shutil.which(name)), None)


def need_llvm():
    if not llvm():
        raise Skip("there is no llvm-addr2line")


def judges(path, addresses):
    need("addr2line", "eu-addr2line")
    all_ = {"addr2line": judge(path, addresses, "addr2line"), "eu-addr2line": judge(path, addresses, "eu-addr2line")}
    if llvm():
        all_["llvm-addr2line"] = judge(path, addresses, llvm())
    return all_


def without_parameters(name):
    """Cuts "(int) const" and the like off the end; the parentheses may hold others."""
    name = re.sub(r"( \[clone [^]]*\]|\) const)$", lambda m: ")" if m[1] == ") const" else "", name)
    if not name.endswith(")") or name.endswith("operator()"):
        return name
    depth = 0
    for i in range(len(name) - 1, -1, -1):
        depth += (name[i] == ")") - (name[i] == "(")
        if depth == 0:
            return name[:i] or name
    return name


def bare(name):
    """Spaces, the hash of Rust and the ways to write a lambda are not worth a difference."""
    name = re.sub(r"::h[0-9a-f]{16}$", "", without_parameters(name))
    name = re.sub(r"\{lambda\([^)]*\)#\d+\}|'lambda'\([^)]*\)|<lambda\([^)]*\)>", "lambda", name)
    return name.replace(" ", "")


def same_name(mine, theirs):
    mine, theirs = bare(mine), bare(theirs)
    if "lambda" in mine and "lambda" in theirs and theirs.split("<")[0].endswith(mine.split("<")[0]):
        return True  # LLVM writes what the template around it returns
    return bool(theirs) and (mine == theirs or mine.endswith("::" + theirs) or
                             mine.split("<")[0].endswith(theirs.split("<")[0]))


def places(answer):
    # Without inlined calls, an answer without a file is the same as none.
    return [(f if n else "", n) for _, f, n in answer] or [("", 0)]


def compare(path, addresses, answers, names_only=False, least=0.95):
    """Every address agrees with one judge; each judge agrees on most, or the judges are not worth much."""
    verdicts = judges(path, addresses)
    agreed, faults = {j: 0 for j in verdicts}, []
    for a in addresses:
        mine = answers.get(a, [])
        right_place, right_names = names_only, [False] * len(mine)
        for j, all_ in verdicts.items():
            theirs = all_.get(a, [])
            same = places(mine) == places(theirs)
            agreed[j] += same
            right_place |= same
            for i, frame in enumerate(mine):
                # From the outside in, since a judge may not see all inlined calls.
                k = i - len(mine)
                if -k <= len(theirs) and same_name(frame[0], theirs[k][0]):
                    right_names[i] = True
        if not mine or not right_place or not all(right_names):
            faults.append(f"{a:#x}: {mine} but " + "; ".join(f"{j}: {v.get(a)}" for j, v in verdicts.items()))
    if faults:
        raise Wrong(f"{len(faults)} of {len(addresses)} differ, such as {faults[0]}")
    best = max(agreed.values())
    if not names_only and best < least * len(addresses):
        raise Wrong(f"no judge agrees on more than {best} of {len(addresses)} addresses")
    return f"{len(addresses)} addresses; " + ", ".join(f"{j} agrees on {n}" for j, n in agreed.items())


def check(path, **how):
    addresses = sample(path)
    return compare(path, addresses, ours(path, addresses), **how)


# ---- cases ----

CASES = []


def case(what):
    def add(function):
        CASES.append((what, function))
        return function
    return add


for title, compiler, flags in [
    ("gcc, DWARF 5", "gcc", ["-O2", "-g"]),
    ("gcc, DWARF 4", "gcc", ["-O2", "-gdwarf-4"]),
    ("gcc -O0", "gcc", ["-O0", "-g"]),
    ("gcc -O3, link-time optimisation", "gcc", ["-O3", "-g", "-flto"]),
    ("gcc, functions in sections of their own", "gcc", ["-O2", "-g", "-ffunction-sections", "-Wl,--gc-sections"]),
    ("gcc, not position-independent", "gcc", ["-O2", "-g", "-no-pie", "-fno-pie"]),
    ("clang, DWARF 5", "clang", ["-O2", "-gdwarf-5"]),
    ("clang, DWARF 4", "clang", ["-O2", "-gdwarf-4"]),
    ("the newest clang", newest("clang"), ["-O2", "-g"]),
]:
    for language, source in [("C", "inline.c"), ("C++", "shop.cc")]:
        def compiled(source=source, compiler=compiler, flags=flags):
            if "clang" in compiler or "-flto" in flags:
                need_llvm()  # the others lose inlined calls there
            return check(build("program", source, *flags, compiler=compiler))
        case(f"{language} by {title}: lines, inlined calls and names")(compiled)


for title, compiler, flags in [
    ("gcc", "gcc", ["-O2", "-g"]),
    ("gcc -O1", "gcc", ["-O1", "-g"]),
    ("gcc -O0", "gcc", ["-O0", "-g"]),
    ("clang", "clang", ["-O2", "-gdwarf-5"]),
]:
    def scopes(compiler=compiler, flags=flags):
        if compiler == "clang":
            need_llvm()
        return check(build("scopes", "scopes.cc", "-std=c++17", *flags, compiler=compiler))

    def inner(flags=flags):
        return check(build("inner", "inner.c", "-fopenmp", *flags))
    case(f"C++ by {title}: ends of scopes, lambdas, 80 inlined calls")(scopes)
    if compiler == "gcc":
        case(f"C by {title}: functions inside functions")(inner)


def rust(*flags):
    need("rustc")
    path = os.path.join(WORK, "rust")
    run("rustc", "-g", "-O", *flags, os.path.join(HERE, "programs", "shapes.rs"), "-o", path)
    return path


@case("Rust, legacy names")
def rust_legacy():
    path = rust()
    answers = ours(path, sample(path))
    if any(re.search(r"::h[0-9a-f]{16}", f[0]) for chain in answers.values() for f in chain):
        raise Wrong("a hash is left in a name")
    return check(path)


@case("Rust, v0 names")
def rust_v0():
    return check(rust("-C", "symbol-mangling-version=v0"))


for how in ("zlib", "zlib-gnu", "zstd"):
    for language, source in [("C", "inline.c"), ("C++", "shop.cc")]:
        def compressed(source=source, how=how):
            path = build("plain", source, "-O2", "-g")
            packed = os.path.join(WORK, "packed")
            if how not in run("objcopy", "--help"):
                raise Skip(f"objcopy knows no {how}")
            run("objcopy", f"--compress-debug-sections={how}", path, packed)
            addresses = sample(path)
            return compare(path, addresses, ours(packed, addresses))  # not every judge reads every way
        case(f"{language}, sections compressed by {how}")(compressed)


UNITS, FUNCTIONS = 32, 100


def write_unit(unit):
    """Some 40 kB of .debug_info, with inlined calls in them."""
    text = ["static inline int half(int x) { return x > 3 ? x / 2 : x * 5; }"]
    members = " ".join(f"int m{i};" for i in range(20))
    for k in range(FUNCTIONS):
        text.append(f"struct s{k} {{ int a, b; struct s{k} *next; {members} }};\n__attribute__((noinline)) int u{unit}_{k}(struct s{k} *p, int n)\n{{\n"
                    f"    int sum = half(n) + {unit * FUNCTIONS + k};\n    for (; p; p = p->next)\n        sum += p->a * half(p->b);\n    return sum;\n}}")
    text.append(f"int u{unit}(int n)\n{{\n    int sum = n;")
    text += [f"    sum += u{unit}_{k}(0, sum);" for k in range(FUNCTIONS)]
    text.append("    return sum;\n}")
    path = os.path.join(WORK, f"unit{unit}.c")
    with open(path, "w") as f:
        f.write("\n".join(text) + "\n")
    return path


def write_main(units):
    """The program of so many of them."""
    path = os.path.join(WORK, f"main{units}.c")
    with open(path, "w") as f:
        f.write("".join(f"int u{i}(int n);\n" for i in range(units)) + "int main(int argc, char **argv)\n{\n    (void)argv;\n"
                "    return " + " + ".join(f"u{i}(argc)" for i in range(units)) + ";\n}\n")
    return path


@functools.cache
def many(*flags):
    """A program of many units, which lie in order."""
    plain = os.path.join(WORK, "in-part" + "".join(flags))
    sources = [write_unit(i) for i in range(UNITS)]
    run("gcc", "-O1", "-g", *flags, *sources, write_main(UNITS), "-o", plain)
    return plain


def many_compressed(how, *flags):
    """The same program, and one with its sections compressed."""
    if how not in run("objcopy", "--help"):
        raise Skip(f"objcopy knows no {how}")
    plain = many(*flags)
    packed = f"{plain}.{how}"
    run("objcopy", f"--compress-debug-sections={how}", plain, packed)
    return plain, packed


@case("units of a compiler that lists them, and of one that does not")
def two_compilers():
    need("clang")
    objects = []
    for i in range(6):
        objects.append(os.path.join(WORK, f"two{i}.o"))
        run(*(["clang", "-gdwarf-5"] if i % 2 else ["gcc", "-g"]), "-O1", "-c", write_unit(i), "-o", objects[-1])
    path = os.path.join(WORK, "two")
    run("gcc", "-g", write_main(6), *objects, "-o", path)
    addresses = [a for i in range(6) for a in units_of(path, i, i + 1)]
    for order in (addresses, addresses[::-1]):
        answers = ours(path, order)
        without = sum(not chain[0][2] for chain in answers.values())  # which some judges agree with
        if without > len(order) // 20:
            raise Wrong(f"{without} of {len(order)} have no line")
        agreed = compare(path, order, answers)
    return agreed


@case("a namespace that is told in a unit that is not listed")
def namespace_elsewhere():
    source, path = os.path.join(WORK, "desk.cc"), os.path.join(WORK, "desk")
    with open(source, "w") as f:
        f.write('namespace shop { namespace desk {\nextern "C" __attribute__((noinline)) int tally(int x) { asm volatile(""); '
                'return x * 3 + 1; }\n} }\nint main(int argc, char **) { return shop::desk::tally(argc); }\n')
    run("g++", "-g", "-O2", "-flto", source, "-o", path)
    at = [int(line.split()[0], 16) for line in run("nm", path).splitlines() if re.search(r" [tT] tally$", line)]
    answers = ours(path, at)
    if [answers[a][0][0] for a in at] != ["shop::desk::tally"]:
        raise Wrong(f"{answers}")
    return "it has its namespaces"


def kept_in(cache):
    """How long what was kept is."""
    names = os.listdir(os.path.join(cache, "debug"))
    if len(names) != 1 or not names[0].startswith("kept-"):
        raise Wrong(f"kept are {names}")
    return os.path.getsize(os.path.join(cache, "debug", names[0]))


def units_of(path, first, end):
    """Addresses in the functions of some units."""
    wanted = {f"u{i}_{k}" for i in range(first, end) for k in range(FUNCTIONS)}
    ranges = []
    for line in run("nm", "-S", "--defined-only", path).splitlines():
        part = line.split()
        if len(part) == 4 and part[3].split(".")[0] in wanted:
            ranges.append((int(part[0], 16), int(part[0], 16) + int(part[1], 16)))
    ranges.sort()
    inside = [a for a in instructions(path) if (i := bisect.bisect(ranges, (a, 1 << 64))) and a < ranges[i - 1][1]]
    return sorted(random.Random(first).sample(inside, min(50, len(inside))))


def in_part(plain, packed):
    """How long what is kept of a few units is, and of all, each of which must be named right."""
    with tempfile.TemporaryDirectory(dir=WORK) as cache:
        few, others = units_of(plain, 0, UNITS // 8), units_of(plain, UNITS // 2, UNITS)
        if len(few) < 50 or len(others) < 50:
            raise Wrong(f"only {len(few)} and {len(others)} addresses")
        compare(plain, few, ours(packed, few, "", str(len(few)), SCRY_CACHE=cache))
        short = kept_in(cache)
        compare(plain, few, ours(packed, few, SCRY_CACHE=cache))
        if kept_in(cache) != short:
            raise Wrong("what was kept in part was not found again")
        compare(plain, others, ours(packed, others, SCRY_CACHE=cache))
        compare(plain, few, ours(packed, few, SCRY_CACHE=cache))
        return short, kept_in(cache)


for how in ("zlib", "zstd"):
    def partly(how=how):
        short, whole = in_part(*many_compressed(how))
        if short > whole * 2 // 3:
            raise Wrong(f"{short} bytes of {whole} are kept for one unit of eight")
        return f"{short} bytes kept, then {whole}"
    case(f"sections compressed by {how}: as far as they are wanted, then all")(partly)


@case("units that refer to others: all of them, at once")
def across_units():
    short, whole = in_part(*many_compressed("zlib", "-flto", "-flto-partition=none"))
    if short != whole:
        raise Wrong(f"{short} bytes of {whole} are kept")
    return f"{whole} bytes kept"


def strip(path, *flags):
    stripped = path + ".stripped"
    run("strip", *flags, path, "-o", stripped)
    return stripped


def inside_functions(path):
    """Addresses in functions of .symtab that have a size."""
    ranges = []
    for line in run("nm", "-S", "--defined-only", path).splitlines():
        part = line.split()
        if len(part) == 4 and part[2] in "tTwWiu":
            ranges.append((int(part[0], 16), int(part[0], 16) + int(part[1], 16)))
    return [a for a in sample(path) if any(low <= a < high for low, high in ranges)]


def symbols_at(path):
    """Every name that nm gives to an address, by range."""
    table = []
    for line in run("nm", "-S", "-C", "--defined-only", path).splitlines():
        m = re.match(r"([0-9a-f]+) ([0-9a-f]+) [tTwWiu] (.*)", line)
        if m:
            table.append((int(m[1], 16), int(m[1], 16) + int(m[2], 16), m[3]))
    return lambda a: [name for low, high, name in table if low <= a < high]


def check_symbols(full, stripped, *arguments):
    addresses, names = inside_functions(full), symbols_at(full)
    answers = ours(stripped, addresses, *arguments)
    wrong = [(hex(a), answers[a], names(a)) for a in addresses
             if len(answers[a]) != 1 or answers[a][0][0] not in names(a)]
    if wrong or len(addresses) < 100:
        raise Wrong(f"{len(wrong)} of {len(addresses)}: {wrong[:1]}")
    return f"{len(addresses)} addresses"


@case("without debug information: names of the symbol table")
def symtab_only():
    path = build("bare", "shop.cc", "-O2")
    return check_symbols(path, path)


@case("without lines and symbols: the names that DWARF has")
def names_of_dwarf():
    path = build("named", "inline.c", "-O2", "-g")
    bare_ = path + ".bare"
    run("objcopy", "--wildcard", "-N", "*", "-R", ".debug_line", path, bare_)
    addresses, names = inside_functions(path), symbols_at(path)
    # What is written in assembly has no entry.
    addresses = [a for a in addresses if not any(n.startswith(("from_assembly", "_")) for n in names(a))]
    answers = ours(bare_, addresses)
    wrong = [(hex(a), answers[a], names(a)) for a in addresses
             if not answers[a] or answers[a][-1][0] not in [n.split(".")[0] for n in names(a)]]
    if wrong or len(addresses) < 50:
        raise Wrong(f"{len(wrong)} of {len(addresses)}: {wrong[:1]}")
    return f"{len(addresses)} addresses"


@case("stripped with MiniDebugInfo: names come back")
def mini():
    need("xz")
    path = build("mini", "shop.cc", "-O2")
    stripped = strip(path, "--strip-all")
    symbols = path + ".symbols"
    run("objcopy", "--only-keep-debug", path, symbols)
    run("xz", "-f", "-k", symbols)
    run("objcopy", "--add-section", f".gnu_debugdata={symbols}.xz", stripped)
    return check_symbols(path, stripped)


@case("stripped: exported functions, and nothing invented for the others")
def dynsym_only():
    path = build("shared.so", "inline.c", "-O2", "-shared", "-fPIC")
    stripped = strip(path, "--strip-all")
    addresses, names = inside_functions(path), symbols_at(path)
    exported = {line.split()[-1] for line in run("nm", "-D", "--defined-only", path).splitlines()}
    answers, hits = ours(stripped, addresses), 0
    for a in addresses:
        expected = [n for n in names(a) if n in exported]
        got = [f[0] for f in answers[a]]
        hits += bool(expected)
        if bool(got) != bool(expected) or (got and got[0] not in expected):
            raise Wrong(f"{a:#x}: {got}, not {expected}")
    if hits < 10:
        raise Wrong("nothing exported was asked for")
    return f"{len(addresses)} addresses, {hits} in exported functions"


def debug_of(path):
    debug = path + ".debug"
    run("objcopy", "--only-keep-debug", path, debug)
    return debug


def build_id(path):
    m = re.search(r"Build ID: ([0-9a-f]+)", run("readelf", "-n", path))
    return m[1]


@case("separate debug file by build id")
def by_build_id():
    path = build("separate", "shop.cc", "-O2", "-g", "-Wl,--build-id")
    stripped, root, id_ = strip(path), os.path.join(WORK, "root"), build_id(path)
    os.makedirs(os.path.join(root, ".build-id", id_[:2]), exist_ok=True)
    os.replace(debug_of(path), os.path.join(root, ".build-id", id_[:2], id_[2:] + ".debug"))
    addresses = sample(path)
    return compare(path, addresses, ours(stripped, addresses, root))


def linked(directory=None):
    path = build("linked", "inline.c", "-O2", "-g", "-Wl,--build-id=none")
    stripped, debug = strip(path), debug_of(path)
    run("objcopy", f"--add-gnu-debuglink={debug}", stripped)
    if directory:
        os.makedirs(os.path.join(WORK, directory), exist_ok=True)
        os.replace(debug, os.path.join(WORK, directory, os.path.basename(debug)))
    return path, stripped


@case("separate debug file by debuglink, beside the file")
def by_link():
    path, stripped = linked()
    addresses = sample(path)
    return compare(path, addresses, ours(stripped, addresses, "/nonexistent"))


@case("separate debug file by debuglink, in .debug")
def by_link_below():
    os.path.exists(os.path.join(WORK, "linked.debug")) and os.unlink(os.path.join(WORK, "linked.debug"))
    path, stripped = linked(".debug")
    addresses = sample(path)
    return compare(path, addresses, ours(stripped, addresses, "/nonexistent"))


@case("separate debug file of another build is refused by its checksum")
def wrong_crc():
    path, stripped = linked()
    with open(path + ".debug", "ab") as f:
        f.write(b"x")
    shutil.rmtree(os.path.join(WORK, ".debug"), ignore_errors=True)
    answers = ours(stripped, sample(path), "/nonexistent")
    if any(line for chain in answers.values() for _, _, line in chain):
        raise Wrong("lines came from a file that does not belong")
    return ""


@case("common parts moved out by dwz")
def dwz():
    need("dwz")
    a, b = build("dwz-a", "shop.cc", "-O2", "-g"), build("dwz-b", "shop.cc", "-O1", "-g")
    plain = a + ".plain"
    shutil.copy(a, plain)
    run("dwz", "-m", os.path.join(WORK, "common.debug"), a, b)
    if ".gnu_debugaltlink" not in run("readelf", "-SW", a):
        raise Skip("dwz found nothing in common")
    addresses = sample(plain)
    verdict = compare(plain, addresses, ours(a, addresses, "/nonexistent"))
    common = os.path.join(WORK, "common.debug")
    os.unlink(common)
    os.mkfifo(common)  # whoever opened it would wait
    without = ours(a, addresses, "/nonexistent")
    if not any(line for chain in without.values() for _, _, line in chain):
        raise Wrong("without it there are no lines either")
    return verdict


# ---- split units ----

for how in ("unpacked", "packed"):
    def rust_split(how=how):
        need_llvm()
        return check(rust("-C", f"split-debuginfo={how}", "-C", "symbol-mangling-version=v0"))
    case(f"Rust, split units, {how}")(rust_split)



def folder(*names):
    path = os.path.join(WORK, *names)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def compile_parts(name, compiler, flags, sources, link):
    need(compiler)
    at = folder(name)
    for source in sources:
        r = subprocess.run([compiler, *flags, "-c", os.path.join(HERE, "programs", source), "-o",
                            os.path.splitext(source)[0] + ".o"], cwd=at, text=True, capture_output=True)
        if r.returncode:
            raise Wrong(r.stderr[-500:])
    path = os.path.join(at, "program")
    run(compiler, *[os.path.join(at, os.path.splitext(source)[0] + ".o") for source in sources], "-o", path, *link,
        "-lstdc++", "-lm")
    return path


def build_split(name, compiler, flags, sources=("parts_first.cc", "parts_second.cc"), link=()):
    """A program in a folder of its own, with its .dwo files in the folder that it was built in; and its twin, which has
    the same code and whole debug information, so that all judges can read it."""
    path = compile_parts(name, compiler, ["-gsplit-dwarf", *flags], sources, link)
    twin = compile_parts(name + "-twin", compiler, ["-g", *flags], sources, link)
    if not dwo_files(path):
        raise Skip(f"{compiler} leaves no .dwo")
    if code_of(path) != code_of(twin):
        raise Skip("the twin has other code")
    return path, twin


def code_of(path):
    code = path + ".code"
    run("objcopy", "-O", "binary", "-j", ".text", path, code)
    with open(code, "rb") as f:
        return f.read()


def dwo_files(path):
    at = os.path.dirname(path)
    return sorted(os.path.join(at, name) for name in os.listdir(at) if name.endswith(".dwo"))


def without_dwo(path):
    for name in dwo_files(path):
        os.unlink(name)


def checked_split(path, twin, inlined=True):
    """Addresses, our answers, with which the judges of the twin agree, and their verdict."""
    addresses = sample(path)
    answers = ours(path, addresses)
    verdict = compare(twin, addresses, answers)
    same_as(ours(twin, addresses), path, addresses)
    theirs = judge(path, addresses, llvm())
    other = [(hex(a), answers[a], theirs.get(a)) for a in addresses if places(answers[a]) != places(theirs.get(a, []))]
    if other:
        raise Wrong(f"{len(other)} of {len(addresses)} are split in another way: {other[0]}")
    if inlined and sum(len(chain) > 1 for chain in answers.values()) < len(addresses) / 10:
        raise Wrong("there are hardly any inlined calls")
    return addresses, answers, verdict


def same_as(answers, path, addresses, *arguments):
    found = ours(path, addresses, *arguments)
    wrong = [(hex(a), found[a], answers[a]) for a in addresses if found[a] != answers[a]]
    if wrong:
        raise Wrong(f"{len(wrong)} of {len(addresses)}: {wrong[0]}")
    return f"{len(addresses)} addresses"


CLONE = re.compile(r"( \[clone [^]]*\]|\.(cold|isra|part|constprop)[.0-9]*)+$")


def as_without(path, addresses, whole):
    """Without its .dwo files a program has the same functions and lines, and no inlined calls."""
    answers = ours(path, addresses)
    inlined = [a for a in addresses if len(answers[a]) > 1]
    other = [(hex(a), answers[a], whole[a]) for a in addresses
             if not answers[a] or places(answers[a]) != places(whole[a])[:1] or
             not same_name(CLONE.sub("", answers[a][0][0]), CLONE.sub("", whole[a][-1][0]))]
    if inlined or other:
        raise Wrong(f"{len(inlined)} inlined calls; {len(other)} others, such as {other[:1]}")
    return f"{len(addresses)} addresses"


SPLIT = [(f"{title}, DWARF {version}", compiler, version)
         for title, compiler in [("gcc", "gcc"), ("clang", "clang"), ("the newest clang", newest("clang"))]
         for version in (4, 5)]

for title, compiler, version in SPLIT:
    for what, flags, link in [("", ["-O2"], []), (" -O0", ["-O0"], []),
                              (", functions in sections of their own", ["-O3", "-ffunction-sections"],
                               ["-Wl,--gc-sections"]),
                              (", units of types", ["-O2", "-fdebug-types-section"], []),
                              (", not position-independent, compressed", ["-O2", "-fno-pie", "-gz"], ["-no-pie", "-gz"])]:
        def split(compiler=compiler, version=version, flags=flags, link=link):
            need_llvm()
            both = build_split("split", compiler, [f"-gdwarf-{version}", *flags], link=link)
            return checked_split(*both, inlined="-O0" not in flags)[2]
        case(f"split units by {title}{what}")(split)
    for source in ["inline.c", "scopes.cc", *(["shop.cc"] if version == 5 and compiler in ("gcc", "clang") else [])]:
        def split_one(compiler=compiler, version=version, source=source):
            need_llvm()
            standard = ["-std=c++17"] if source == "scopes.cc" else []
            return checked_split(*build_split("split", compiler, ["-O2", f"-gdwarf-{version}", *standard], [source]))[2]
        case(f"split units by {title}: {source}")(split_one)


def packers(version):
    """Tools that make packages; GNU's knows DWARF 4 alone."""
    return [tool for tool in [newest("llvm-dwp"), "llvm-dwp", *(["dwp"] if version == 4 else [])] if shutil.which(tool)]


for title, compiler, version in SPLIT:
    def packed_units(compiler=compiler, version=version):
        need_llvm()
        path, twin = build_split("package", compiler, ["-O2", f"-gdwarf-{version}", "-ffunction-sections"])
        addresses, answers, _ = checked_split(path, twin)
        files, done = dwo_files(path), []
        for tool in packers(version):
            package = path + ".by-" + tool
            try:  # LLVM's can search for a free place in its index for ever
                subprocess.run([tool, *files, "-o", package], cwd=WORK, check=True, capture_output=True, timeout=20)
                done.append((tool, package))
            except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
                pass
        without_dwo(path)
        if not done:
            raise Skip("no tool makes a package")
        for tool, package in done:
            shutil.copy(package, path + ".dwp")
            same_as(answers, path, addresses)
            run("objcopy", "--compress-debug-sections", path + ".dwp")
            same_as(answers, path, addresses)
        return f"{len(addresses)} addresses in packages by {', '.join(tool for tool, _ in done)}"
    case(f"a package of units by {title}")(packed_units)

    def elsewhere(compiler=compiler, version=version):
        need_llvm()
        path, twin = build_split("built", compiler, ["-O2", f"-gdwarf-{version}"])
        addresses, answers, _ = checked_split(path, twin)
        moved = os.path.join(WORK, "installed")
        shutil.rmtree(moved, ignore_errors=True)
        shutil.move(os.path.dirname(path), moved)
        moved = os.path.join(moved, "program")
        same_as(answers, moved, addresses)
        without_dwo(moved)
        return as_without(moved, addresses, answers)
    case(f"split units by {title}: copied together, and missing")(elsewhere)

    def stripped_split(compiler=compiler, version=version):
        need_llvm()
        path, twin = build_split("whole", compiler, ["-O2", f"-gdwarf-{version}", "-Wl,--build-id"])
        addresses, answers, _ = checked_split(path, twin)
        stripped, debug = strip(path), debug_of(path)
        run("objcopy", f"--add-gnu-debuglink={debug}", stripped)
        same_as(answers, stripped, addresses, "/nonexistent")
        run("objcopy", "--compress-debug-sections", debug)
        return same_as(answers, stripped, addresses, "/nonexistent")
    case(f"split units by {title}: the skeletons in a separate debug file")(stripped_split)


@case("more units than are open at once, in any order")
def many_units():
    need_llvm()
    sources = [f"unit{i}.cc" for i in range(20)]
    at, programs = folder("many"), os.path.join(HERE, "programs")
    for i, source in enumerate(sources):
        with open(os.path.join(at, source), "w") as f:
            f.write(f'#include "{programs}/parts.h"\n'
                    f"int unit{i}(int x) {{ return outer::blend(x, {i}) + outer::inner::Box{{x}}.area({i}); }}\n")
    with open(os.path.join(at, "main.cc"), "w") as f:
        f.write("".join(f"int unit{i}(int);\n" for i in range(20)))
        f.write("int main(int x, char **) { return 0" + "".join(f" + unit{i}(x)" for i in range(20)) + "; }\n")
    r = subprocess.run(["g++", "-O2", "-gdwarf-5", "-gsplit-dwarf", "-c", *sources, "main.cc"], cwd=at,
                       text=True, capture_output=True)
    if r.returncode:
        raise Wrong(r.stderr[-500:])
    path = os.path.join(at, "program")
    run("g++", *[os.path.join(at, source[:-2] + "o") for source in [*sources, "main.cc"]], "-o", path)
    addresses = sample(path)
    whole = ours(path, addresses)
    random.Random(1).shuffle(addresses)
    same_as(whole, path, addresses)
    return compare(path, addresses, whole)


@case("a .dwo that is no file, no ELF file, cut short, or of another build")
def bad_dwo():
    done = []
    for version in (4, 5):
        path, _ = build_split("bad", "gcc", ["-O2", f"-gdwarf-{version}"])
        addresses = sample(path)
        whole, (file, other) = ours(path, addresses), dwo_files(path)
        os.unlink(other)
        good = open(file, "rb").read()
        os.unlink(file)

        def is_left_alone(what):
            try:
                as_without(path, addresses, whole)
            except Wrong as why:
                raise Wrong(f"{what}: {why}") from why
            done.append(what)
        os.mkfifo(file)
        is_left_alone("a pipe")
        os.unlink(file)
        os.mkdir(file)
        is_left_alone("a folder")
        os.rmdir(file)
        for target in ("/dev/zero", "/proc/kmsg", "/nonexistent", file):
            os.symlink(target, file)
            is_left_alone(target)
            os.unlink(file)
        for what, content in [("nothing", b""), ("text", b"text" * 99), ("half", good[:len(good) // 2]),
                              ("its headers", good[:64]), ("zeros", good[:64] + bytes(len(good) - 64))]:
            with open(file, "wb") as f:
                f.write(content)
            is_left_alone(what)
        again, _ = build_split("again", "gcc", ["-O2", f"-gdwarf-{version}", "-DINLINED=inline"])
        shutil.copy(dwo_files(again)[0], file)
        is_left_alone("another build")
        with open(file, "wb") as f:
            f.write(good)
        if not any(len(chain) > 1 for chain in ours(path, addresses).values()):
            raise Wrong("the right one is not read either")
    return f"{len(done)} of them"


@case("libdw opens no .dwo by itself")
def opened_by_us():
    need("strace")
    path, _ = build_split("traced", "gcc", ["-O2", "-gdwarf-5"])
    log = path + ".log"
    r = subprocess.run(["strace", "-f", "-o", log, "-e", "trace=open,openat,openat2", PROBE, path],
                       input=asked(sample(path)), text=True, capture_output=True)
    calls = [line for line in open(log) if ".dwo" in line]
    if r.returncode or not calls:
        raise Skip("strace does not work here")
    wrong = [line for line in calls if "openat2(" not in line or "O_PATH" not in line]
    if wrong:
        raise Wrong(wrong[0])
    return f"{len(calls)} opened by their names alone"


@case("linkage stubs")
def stubs():
    path = build("stubs", "inline.c", "-O2", "-Wl,-z,lazy", "-fcf-protection=none")
    found = []
    for line in run("objdump", "-d", "-j", ".plt", "-j", ".plt.sec", path, check=False).splitlines():
        m = re.match(r"([0-9a-f]+) <(.*@plt)>:", line)
        if m:
            found.append((int(m[1], 16), m[2]))
    answers = ours(path, [a for a, _ in found])
    wrong = [(hex(a), name, answers[a]) for a, name in found if [f[0] for f in answers[a]] != [name]]
    wrong = [w for w in wrong if not w[1].startswith("*")]
    if wrong or len(found) < 4:
        raise Wrong(f"{wrong} of {found}")
    return f"{len(found)} stubs"


def main():
    failed = 0
    cases = [c for c in CASES if " ".join(sys.argv[2:]) in c[0]]
    print(f"1..{len(cases)}", flush=True)
    for i, (what, function) in enumerate(cases, 1):
        try:
            print(f"ok {i} - {what}\n# {function() or ''}", flush=True)
        except Skip as why:
            print(f"ok {i} - {what} # SKIP {why}", flush=True)
        except Wrong as why:
            print(f"not ok {i} - {what}\n# {why}", flush=True)
            failed = 1
    shutil.rmtree(WORK)
    return failed


sys.exit(main())
