#!/usr/bin/env python3
"""Turns a text file into a C source file that holds it: embed.py TEXT HEADER NAME OUTPUT.c"""
import pathlib
import sys

text, header, name, output = sys.argv[1:]
data = pathlib.Path(text).read_bytes()
rows = [",".join(map(str, data[i:i + 32])) for i in range(0, len(data), 32)]
pathlib.Path(output).write_text(f'#include "{header}"\n\nconst char {name}[] = {{\n' + ",\n".join(rows) + ",\n0};\n", encoding="ascii")
