/* Ranges of addresses that belong to units or functions: sorted, made disjoint, searched by bisection.
 * May use: base/.
 * Must not: be included from other rooms. */
#pragma once

#include "base/mem.h"

/* 16 bytes each: a big binary has a million functions in sections of their own. */
struct dwarf_range {
    uint64_t low;
    uint32_t size;
    uint32_t what; /* the owner's business: a unit, a function */
};

struct dwarf_ranges {
    struct dwarf_range *all;
    size_t count, capacity;
};

/* Adds [low, high); longer than 4 GiB is cut. 0 or -ENOMEM. */
int dwarf_ranges_add(struct dwarf_ranges *r, uint64_t low, uint64_t high, uint32_t what) _must_check_;
/* Makes it ready for finding: of ranges that overlap the one that starts last wins. 0 or -ENOMEM. */
int dwarf_ranges_finish(struct dwarf_ranges *r) _must_check_;
const struct dwarf_range *dwarf_ranges_find(const struct dwarf_ranges *r, uint64_t address);
void dwarf_ranges_free(struct dwarf_ranges *r);
