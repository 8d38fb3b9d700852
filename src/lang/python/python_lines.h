/* From an instruction to its line and column: CPython's three kinds of line tables.
 * May use: base/.
 * Must not: trust a byte; work is linear in the table's size.
 *
 * co_lnotab, 3.6-3.9: pairs (bytes of code u8, lines s8), see CPython's Objects/lnotab_notes.txt.
 * co_linetable, 3.10: pairs (bytes of code u8, lines s8) per range, -128 = no line.
 * co_linetable, 3.11+: a location table, see CPython's Objects/locations.md (InternalDocs/code_objects.md). */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct python_position {
    uint32_t line, column;         /* from 1; 0 = there is none */
    uint32_t end_line, end_column; /* the column behind the last character */
};

/* `minor` chooses the kind of table; `index` is in 2-byte units, UINT32_MAX = before the first
 * instruction. What the interpreter has no line for has line 0 here. */
struct python_position python_line(unsigned minor, const void *table, size_t size, uint32_t first_line, uint32_t index);
