#!/usr/bin/env python3
"""Turns the built viewer page into a C source file: embed.py PAGE OUTPUT.c"""

import sys


def main() -> None:
    page_path, output_path = sys.argv[1:]
    with open(page_path, "rb") as page_file:
        page = page_file.read()
    rows = [",".join(str(b) for b in page[i : i + 32]) for i in range(0, len(page), 32)]
    with open(output_path, "w", encoding="ascii") as out:
        out.write('#include "format/html_page.h"\n\n')
        out.write("const char html_page[] = {\n" + ",\n".join(rows) + ",\n0};\n")
        out.write("const size_t html_page_size = sizeof(html_page) - 1;\n")


if __name__ == "__main__":
    main()
