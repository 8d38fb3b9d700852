/* Line tables of code objects: from a byte offset in the bytecode to a line.
 * May use: base/reader.h.
 * Must not: trust the table; it is target memory. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct python_position {
    uint32_t line, column; /* 0 when the table has none */
};

/* `offset` is in bytes and may be negative (not started): then the first line is the answer.
 * `minor` chooses the format:
 *   ≤ 3.9   co_lnotab: pairs (address delta u8, line delta s8)      Objects/lnotab_notes.txt
 *   3.10    co_linetable: pairs (address delta u8, line delta s8), −128 = no line
 *   ≥ 3.11  location table: 1cccc lll, varints                      Objects/locations.md, PEP 657 */
struct python_position python_position(unsigned minor, const void *table, size_t size, uint32_t first_line,
                                       int32_t offset);
