/* Looking things up in table memory: inline code shared by the BPF programs and user space.
 * May use: unwind/table.h. The host defines, before including this file,
 *     const void *table_chunk(struct walk *w, u32 chunk);          NULL when there is none
 *     const struct unwind_rule *table_rules(struct walk *w);       TABLE_MAX_RULES of them, or NULL
 * Must not: branch on data inside a bisection. The verifier would follow both ways at every step; so
 * a step is taken by masking, and the steps are unrolled; a step beyond the end reads the first record,
 * which is in the cache. Chunks are read with masked indices: a stale
 * reference reads the wrong record, never outside. */
#pragma once

#include "unwind/table.h"

/* Keeps the compiler from turning the masks below back into branches. */
#define TABLE_OPAQUE(x) __asm__ volatile("" : "+r"(x))

/* All ones when a < b, for values below 2^63. */
static __always_inline u32 table_less(u64 a, u64 b) {
    u64 difference = a - b;
    TABLE_OPAQUE(difference);
    return 0 - (u32)(difference >> 63);
}

/* Copies the mapping that holds `address` to *ret. 0, or -1 when there is none. */
static __always_inline int table_find_mapping(struct walk *w, u32 mappings_at, u32 count, u64 address,
                                              struct table_mapping *ret) {
    const struct table_mapping *chunk = table_chunk(w, mappings_at / TABLE_MAPPINGS_PER_CHUNK);
    if (!chunk || count == 0 || address >> 63)
        return -1;
    u32 first = mappings_at & (TABLE_MAPPINGS_PER_CHUNK - 1), found = 0;
    WALK_UNROLL
    for (u32 step = TABLE_MAPPINGS_PER_CHUNK / 2; step; step >>= 1) {
        u32 probe = found + step, within = table_less(probe, count);
        u64 start = chunk[(first + (probe & within)) & (TABLE_MAPPINGS_PER_CHUNK - 1)].start;
        found += step & within & ~table_less(address, start);
    }
    const struct table_mapping *m = &chunk[(first + found) & (TABLE_MAPPINGS_PER_CHUNK - 1)];
    if (address < m->start || address >= m->end)
        return -1;
    *ret = *m;
    return 0;
}

/* The rule at `address`, which lies in a mapping whose table is loaded. NULL when nothing is known. */
static __always_inline const struct unwind_rule *table_find_rule(struct walk *w, const struct table_mapping *m,
                                                                 u64 address) {
    u64 at = address - m->bias;
    u32 page_at = m->pages_at + (u32)((at >> TABLE_PAGE_SHIFT) - ((m->start - m->bias) >> TABLE_PAGE_SHIFT));
    const struct table_page *pages = table_chunk(w, page_at / TABLE_PAGES_PER_CHUNK);
    if (!pages)
        return NULL;
    struct table_page page = pages[page_at & (TABLE_PAGES_PER_CHUNK - 1)];
    const u32 *rows = table_chunk(w, page.rows_at / TABLE_ROWS_PER_CHUNK);
    if (!rows || page.n_rows == 0)
        return NULL;
    u32 first = page.rows_at & (TABLE_ROWS_PER_CHUNK - 1), found = 0;
    /* The greatest row that begins at or before `at`. */
    u64 last = (at & (TABLE_MAX_ROWS - 1)) << TABLE_RULE_BITS | ((1 << TABLE_RULE_BITS) - 1);
    WALK_UNROLL
    for (u32 step = TABLE_MAX_ROWS / 2; step; step >>= 1) {
        u32 probe = found + step, within = table_less(probe, page.n_rows);
        u64 row = rows[(first + (probe & within)) & (TABLE_ROWS_PER_CHUNK - 1)];
        found += step & within & ~table_less(last, row);
    }
    u32 row = rows[(first + found) & (TABLE_ROWS_PER_CHUNK - 1)];
    const struct unwind_rule *rules = table_rules(w);
    return rules ? &rules[row & (TABLE_MAX_RULES - 1)] : NULL;
}
