/* Looking things up in table memory: inline code shared by the BPF programs and user space.
 * May use: unwind/table.h. The host defines, before including this file,
 *     const void *table_chunk(struct walk *w, u32 chunk);          NULL when there is none
 *     const struct unwind_rule *table_rules(struct walk *w);       TABLE_MAX_RULES of them, or NULL
 *     void table_want_page(struct walk *w, u32 page_at);           fills the page if that was put off till now
 * Must not: branch on data at every step of a bisection. The verifier would follow both ways each time; so
 * a step is taken by masking, and the steps are unrolled. How many are left does not depend on what is read, so
 * that the steps' loads are all that the processor has to wait for. Chunks are read with masked indices: a stale
 * reference reads the wrong record, never outside. */
#pragma once

#include "unwind/table.h"

/* `step` when a <= b, else 0; both below 2^63. */
static __always_inline u32 table_step(u64 a, u64 b, u32 step) {
    s64 difference = (s64)(b - a);
    WALK_OPAQUE(difference); /* or the mask becomes a branch again */
    return step & ~(u32)(difference >> 63);
}

/* One step: of `left` records from `found` on, the half that holds the last one whose key is not above `key`.
 * With one record left nothing changes. */
#define TABLE_BISECT(record, key, found, left)                                                                         \
    do {                                                                                                               \
        u32 half = (left) >> 1;                                                                                        \
        (found) += table_step(record((found) + half), key, half);                                                      \
        (left) -= half;                                                                                                \
    } while (0)

_Static_assert(sizeof(struct table_mapping) == sizeof(((struct walk_state *)0)->mapping), "lies there");

/* Copies the mapping that holds `address` to state->mapping. 0, or -1 when there is none. */
WALK_APART int table_look_for_mapping(struct walk_state *state, u32 mappings_at, u32 count, u64 address) {
    if (!state)
        return -1;
    struct walk w = {.state = state};
    const struct table_mapping *chunk = table_chunk(&w, mappings_at / TABLE_MAPPINGS_PER_CHUNK);
    if (!chunk || count == 0 || address >> 63)
        return -1;
    u32 found = mappings_at, left = count;
#define MAPPING(i) (chunk[(i) & (TABLE_MAPPINGS_PER_CHUNK - 1)].start)
    if (left > 64) {
        WALK_UNROLL
        for (u32 most = TABLE_MAX_MAPPINGS; most > 64; most >>= 1)
            TABLE_BISECT(MAPPING, address, found, left);
    }
    WALK_UNROLL
    for (u32 most = 64; most > 1; most >>= 1)
        TABLE_BISECT(MAPPING, address, found, left);
#undef MAPPING
    const struct table_mapping *m = &chunk[found & (TABLE_MAPPINGS_PER_CHUNK - 1)];
    if (address < m->start || address >= m->end)
        return -1;
    *(struct table_mapping *)state->mapping = *m;
    return 0;
}

/* The mapping that holds `address`, until the next is looked for. NULL when there is none. */
static __always_inline const struct table_mapping *table_find_mapping(struct walk *w, u32 mappings_at, u32 count,
                                                                      u64 address) {
    return table_look_for_mapping(w->state, mappings_at, count, address) < 0
               ? NULL
               : (const struct table_mapping *)w->state->mapping;
}

enum { TABLE_RULE_LATER = TABLE_MAX_RULES };

/* Index of the rule at `address`, which lies in a mapping whose table is loaded. 0 when nothing is known,
 * TABLE_RULE_LATER when the page is not filled yet. *ret gets the addresses that the row found speaks of; nothing when
 * there is none. */
static __always_inline u32 table_find_rule_index(struct walk *w, const struct table_mapping *m, u64 address,
                                                 struct walk_span *ret) {
    u64 at = address - m->bias;
    u32 page_at = m->pages_at + (u32)((at >> TABLE_PAGE_SHIFT) - ((m->start - m->bias) >> TABLE_PAGE_SHIFT));
    table_want_page(w, page_at);
    const struct table_page *pages = table_chunk(w, page_at / TABLE_PAGES_PER_CHUNK);
    if (!pages)
        return 0;
    u64 page = *(const volatile table_page_word *)&pages[page_at & (TABLE_PAGES_PER_CHUNK - 1)];
    u32 found = (u32)page, left = (u32)(page >> 32);
    if (left == TABLE_PAGE_LATER)
        return TABLE_RULE_LATER;
    const u32 *rows = table_chunk(w, found / TABLE_ROWS_PER_CHUNK);
    if (!rows || left == 0)
        return 0;
    u32 end = found + left;
    /* The greatest row that begins at or before `at`. */
    u64 last = (at & (TABLE_MAX_ROWS - 1)) << TABLE_RULE_BITS | ((1 << TABLE_RULE_BITS) - 1);
#define ROW(i) (rows[(i) & (TABLE_ROWS_PER_CHUNK - 1)])
    if (left > 512) {
        WALK_UNROLL
        for (u32 most = TABLE_MAX_ROWS; most > 512; most >>= 1)
            TABLE_BISECT(ROW, last, found, left);
    }
    if (left > 64) {
        WALK_UNROLL
        for (u32 most = 512; most > 64; most >>= 1)
            TABLE_BISECT(ROW, last, found, left);
    }
    WALK_UNROLL
    for (u32 most = 64; most > 1; most >>= 1)
        TABLE_BISECT(ROW, last, found, left);
    u32 row = ROW(found);
    u64 page_start = address - (at & (TABLE_MAX_ROWS - 1));
    u64 next = page_start + (found + 1 == end ? TABLE_MAX_ROWS : ROW(found + 1) >> TABLE_RULE_BITS);
    ret->start = page_start + (row >> TABLE_RULE_BITS);
    ret->end = next < m->end ? next : m->end;
    return row & (TABLE_MAX_RULES - 1);
#undef ROW
}

/* A rule by its index. NULL when there are none. */
static __always_inline const struct unwind_rule *table_rule(struct walk *w, u32 index) {
    const struct unwind_rule *rules = table_rules(w);
    return rules ? &rules[index & (TABLE_MAX_RULES - 1)] : NULL;
}

/* The rule at `address`, which lies in a mapping whose table is loaded. NULL or RULE_NONE when nothing is known. */
static __always_inline const struct unwind_rule *table_find_rule(struct walk *w, const struct table_mapping *m,
                                                                 u64 address) {
    struct walk_span span;
    u32 index = table_find_rule_index(w, m, address, &span);
    return index == TABLE_RULE_LATER ? NULL : table_rule(w, index);
}
