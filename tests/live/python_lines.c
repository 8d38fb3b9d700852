/* Decodes a line table: the tests feed it what an interpreter has, and compare with what that
 * interpreter makes of it.
 *
 *     python_lines MINOR < input
 *
 * Input: records of { u32 first line, u32 table bytes, u32 instructions (2-byte units), table }.
 * Output per record and instruction: "line column end_line end_column\n", numbers from 1, 0 = none. */
#include <stdio.h>
#include <stdlib.h>

#include "lang/python/python_lines.h"

int main(int argc, char **argv) {
    unsigned head[3];
    if (argc != 2)
        return 2;
    unsigned minor = (unsigned)atoi(argv[1]);
    while (fread(head, sizeof(head), 1, stdin) == 1) {
        unsigned char *table = malloc(head[1] + 1);
        if (!table || (head[1] && fread(table, head[1], 1, stdin) != 1))
            return 1;
        for (unsigned i = 0; i < head[2]; i++) {
            struct python_position p = python_line(minor, table, head[1], head[0], i);
            printf("%u %u %u %u\n", p.line, p.column, p.end_line, p.end_column);
        }
        free(table);
    }
    return 0;
}
