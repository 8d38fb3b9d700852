"""Runs the oracle over the C library, its loader and whatever else with difficult frames is installed."""
import glob
import os
import subprocess
import sys

libraries = "/lib/x86_64-linux-gnu/"
files = [libraries + "libc.so.6", "/lib64/ld-linux-x86-64.so.2", libraries + "libcrypto.so.3", "/usr/bin/node", sys.executable]
files += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/lib/libpython3.*.so.1.0")))[:2]
cc1 = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True).stdout.strip()
files.append(cc1)
sys.exit(subprocess.run([sys.argv[1], *files]).returncode)
