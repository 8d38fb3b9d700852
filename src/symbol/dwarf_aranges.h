/* Which addresses compilers say that the units of a file cover: .debug_aranges (DWARF 5 §6.1.2).
 * May use: base/reader.h.
 * Must not: know libdw. */
#pragma once

#include "base/reader.h"

/* The ranges of one unit, and where the next one's are. */
struct dwarf_aranges {
    struct reader rest;
    uint64_t unit; /* offset of its header in .debug_info; UINT64_MAX = there are no more */
    struct reader ranges;
};

/* Begins with the first unit that is listed. */
struct dwarf_aranges dwarf_aranges_open(const uint8_t *section, size_t size);
/* Goes on to the next one. */
void dwarf_aranges_next(struct dwarf_aranges *a);
/* The next range of the unit that has code: [*low, *low + *size). False at its end. */
bool dwarf_aranges_range(struct dwarf_aranges *a, uint64_t *low, uint64_t *size);

enum { DWARF_MAX_REACH = 1024 }; /* addresses; of more, all is wanted */
/* How much of .debug_info, from its beginning on, holds the units of all the addresses, which are sorted. UINT64_MAX:
 * all of it, for one of them is not listed, or is in the last unit, or it is too much work. */
uint64_t dwarf_aranges_reach(const uint8_t *section, size_t size, const uint64_t *addresses, size_t n);
