"""Runs the oracle over the C library, its loader and whatever else with difficult frames is installed."""
import glob
import os
import subprocess
import sys
import tempfile

libraries = "/lib/x86_64-linux-gnu/"
files = [libraries + "libc.so.6", "/lib64/ld-linux-x86-64.so.2", libraries + "libcrypto.so.3", "/usr/bin/node", sys.executable]
files += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/lib/libpython3.*.so.1.0")))[:2]
cc1 = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True).stdout.strip()
files.append(cc1)


def mixed(folder):
    """Half of it has .eh_frame, the other half .debug_frame only."""
    function = """
#include <string.h>
int {0}_leaf(const char *s);
int {0}_buffer(int n) {{ char text[n + 300]; memset(text, n, sizeof(text)); return {0}_leaf(text); }}
__attribute__((noinline)) int {0}_leaf(const char *s) {{ return s[0] + {1}; }}
"""
    objects = []
    for name, flags in (("whole", []), ("bare", ["-fno-asynchronous-unwind-tables"]), ("also", [])):
        path = f"{folder}/{name}"
        with open(path + ".c", "w") as f:
            f.write(function.format(name, len(name)))
        subprocess.run(["gcc", "-g", "-O1", *flags, "-c", path + ".c", "-o", path + ".o"], check=True)
        objects.append(path + ".o")
    with open(f"{folder}/main.c", "w") as f:
        f.write("int whole_buffer(int), bare_buffer(int), also_buffer(int);\n"
                "int main(int n, char **a) { return whole_buffer(n) + bare_buffer(n) + also_buffer(n); }\n")
    subprocess.run(["gcc", "-g", f"{folder}/main.c", *objects, "-o", f"{folder}/mixed"], check=True)
    subprocess.run(["gcc", "-g", "-gz", f"{folder}/main.c", *objects, "-o", f"{folder}/mixed-gz"], check=True)
    return [f"{folder}/mixed", f"{folder}/mixed-gz"]


with tempfile.TemporaryDirectory() as work:
    sys.exit(subprocess.run([sys.argv[1], *mixed(work), *files]).returncode)
