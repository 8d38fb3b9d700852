#include "unwind/tables.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* Chunks hold one kind of record each; within a chunk memory is handed out from the front. */
enum record_kind { RECORD_ROWS, RECORD_PAGES, RECORD_MAPPINGS, RECORD_KINDS };
static const u32 record_bytes[RECORD_KINDS] = {4, sizeof(struct table_page), sizeof(struct table_mapping)};

/* 2 GiB of code: as much as can call itself. */
enum { MAX_FILE_PAGES = 1 << (31 - TABLE_PAGE_SHIFT) };

struct free_range {
    u32 at, count;
    u8 age; /* reclaim rounds survived; usable from 2 on */
};

struct tables {
    struct tables_memory memory;
    void *chunks[TABLE_MAX_CHUNKS];
    u8 kinds[TABLE_MAX_CHUNKS];
    u32 used[TABLE_MAX_CHUNKS]; /* records handed out */
    u32 n_chunks;
    struct hash_index rule_index;
    u32 n_rules;
    struct free_range *free_mappings;
    size_t n_free, cap_free;
    struct tables_statistics statistics;
};

/* ---- chunks ---- */

static void *default_new_chunk(void *ctx, u32 index) {
    return mem_zalloc(1, TABLE_CHUNK_BYTES);
}

static void default_free_chunk(void *ctx, u32 index, void *chunk) {
    free(chunk);
}

static u32 capacity_of(u8 kind) {
    return TABLE_CHUNK_BYTES / record_bytes[kind];
}

static void *record_at(struct tables *t, u8 kind, u32 at) {
    u32 capacity = capacity_of(kind);
    return (char *)t->chunks[at / capacity] + (size_t)(at % capacity) * record_bytes[kind];
}

static int add_chunk(struct tables *t, u8 kind, u32 used) {
    if (t->n_chunks == TABLE_MAX_CHUNKS)
        return -ENOMEM;
    void *chunk = t->memory.new_chunk(t->memory.ctx, t->n_chunks);
    if (!chunk)
        return -ENOMEM;
    t->chunks[t->n_chunks] = chunk;
    t->kinds[t->n_chunks] = kind;
    t->used[t->n_chunks++] = used;
    return 0;
}

/* `count` records with consecutive references: side by side in one chunk or, where they do not fit into one, in
 * fresh ones. 0 or -ENOMEM. */
static int allocate(struct tables *t, u8 kind, u32 count, u32 *ret_at) {
    u32 capacity = capacity_of(kind);
    for (u32 i = 0; i < t->n_chunks; i++)
        if (t->kinds[i] == kind && capacity - t->used[i] >= count) {
            *ret_at = i * capacity + t->used[i];
            t->used[i] += count;
            return 0;
        }
    *ret_at = t->n_chunks * capacity;
    for (u32 left = count; left;) {
        u32 here = MIN(left, capacity);
        int rc = add_chunk(t, kind, here);
        if (rc < 0)
            return rc;
        left -= here;
    }
    return 0;
}

int tables_new(const struct tables_memory *memory, struct tables **ret) {
    struct tables *t = mem_zalloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->memory = *memory;
    if (!t->memory.new_chunk) {
        t->memory.new_chunk = default_new_chunk;
        t->memory.free_chunk = default_free_chunk;
    }
    t->n_rules = 1; /* rule 0 is RULE_NONE, which is all zeros */
    *ret = t;
    return 0;
}

void tables_free(struct tables *t) {
    if (!t)
        return;
    for (u32 i = 0; i < t->n_chunks; i++)
        t->memory.free_chunk(t->memory.ctx, i, t->chunks[i]);
    hash_index_free(&t->rule_index);
    free(t->free_mappings);
    free(t);
}

/* ---- rules ---- */

struct rule_key {
    const struct unwind_rule *rules, *rule;
};

static bool rule_equal(const void *ctx, uint32_t id) {
    const struct rule_key *k = ctx;
    return memcmp(&k->rules[id], k->rule, sizeof(*k->rule)) == 0;
}

/* The index of a rule, or -1 when the table is full. */
static s32 find_or_add_rule(struct tables *t, const struct unwind_rule *rule) {
    struct rule_key key = {.rules = t->memory.rules, .rule = rule};
    uint64_t hash = hash_bytes(rule, sizeof(*rule));
    uint32_t id = hash_index_find(&t->rule_index, hash, rule_equal, &key);
    if (id != UINT32_MAX)
        return (s32)id;
    if (t->n_rules == TABLE_MAX_RULES || hash_index_add(&t->rule_index, hash, t->n_rules) < 0)
        return -1;
    t->memory.rules[t->n_rules] = *rule;
    return (s32)t->n_rules++;
}

static u16 global_rule(struct tables *t, const struct unwind_rule *rule) {
    if (rule->kind == RULE_NONE)
        return 0;
    s32 id = find_or_add_rule(t, rule);
    if (id >= 0)
        return (u16)id;
    struct unwind_rule simple = *rule;
    for (int i = 0; i < RULE_SAVED; i++)
        if (i != 1) /* rbp is worth most */
            simple.saved[i] = RULE_NOT_SAVED;
    id = find_or_add_rule(t, &simple);
    if (id >= 0) {
        t->statistics.rules_simplified++;
        return (u16)id;
    }
    t->statistics.rules_dropped++;
    return 0;
}

/* ---- files ---- */

/* Rows of one page of code, beginning with the rule in force at its start. Advances *i. */
static int add_page(struct tables *t, const struct cfi_rows *rows, const u16 *rule_map, u64 page, size_t *i,
                    struct table_page *ret) {
    size_t first = *i;
    while (*i < rows->count && rows->rows[*i].address >> TABLE_PAGE_SHIFT == page)
        (*i)++;
    bool carries = first == *i || (rows->rows[first].address & (TABLE_MAX_ROWS - 1)) != 0;
    u16 carried = first ? rule_map[rows->rows[first - 1].rule] : 0;
    u32 count = (u32)(*i - first) + carries, at;
    *ret = (struct table_page){0};
    if (count == 1 && carries && carried == 0)
        return 0; /* nothing known in the whole page */
    int rc = allocate(t, RECORD_ROWS, count, &at);
    if (rc < 0)
        return rc;
    u32 *to = record_at(t, RECORD_ROWS, at);
    if (carries)
        *to++ = carried;
    for (size_t k = first; k < *i; k++)
        *to++ = (u32)(rows->rows[k].address & (TABLE_MAX_ROWS - 1)) << TABLE_RULE_BITS | rule_map[rows->rows[k].rule];
    *ret = (struct table_page){.rows_at = at, .n_rows = count};
    t->statistics.rows += count;
    return 0;
}

int tables_add_file(struct tables *t, const struct cfi_rows *rows, struct tables_file *ret) {
    if (rows->count == 0)
        return -ENOMEM;
    u64 first = rows->rows[0].address >> TABLE_PAGE_SHIFT,
        last = rows->rows[rows->count - 1].address >> TABLE_PAGE_SHIFT;
    if (last - first >= MAX_FILE_PAGES)
        return -ENOMEM;
    struct tables_file f = {.first_page = first, .n_pages = (u32)(last - first + 1)};
    u16 *rule_map = mem_alloc(rows->n_rules * sizeof(*rule_map));
    if (!rule_map)
        return -ENOMEM;
    for (size_t i = 0; i < rows->n_rules; i++)
        rule_map[i] = global_rule(t, &rows->rules[i]);
    int rc = allocate(t, RECORD_PAGES, f.n_pages, &f.pages_at);
    size_t i = 0;
    for (u32 p = 0; rc == 0 && p < f.n_pages; p++)
        rc = add_page(t, rows, rule_map, first + p, &i, record_at(t, RECORD_PAGES, f.pages_at + p));
    free(rule_map);
    if (rc < 0)
        return rc;
    t->statistics.pages += f.n_pages;
    *ret = f;
    return 0;
}

/* ---- mapping lists ---- */

static bool reuse(struct tables *t, u32 count, u32 *ret_at) {
    for (size_t i = 0; i < t->n_free; i++) {
        struct free_range *f = &t->free_mappings[i];
        if (f->age < 2 || f->count < count)
            continue;
        *ret_at = f->at;
        f->at += count;
        f->count -= count;
        if (f->count == 0)
            *f = t->free_mappings[--t->n_free];
        return true;
    }
    return false;
}

int tables_publish_mappings(struct tables *t, const struct table_mapping *list, u32 count, u32 *ret_at) {
    u32 at = 0;
    if (count && !reuse(t, count, &at)) {
        int rc = allocate(t, RECORD_MAPPINGS, count, &at);
        if (rc < 0)
            return rc;
    }
    if (count)
        memcpy(record_at(t, RECORD_MAPPINGS, at), list, count * sizeof(*list));
    t->statistics.mappings += count;
    *ret_at = at;
    return 0;
}

void tables_retire_mappings(struct tables *t, u32 at, u32 count) {
    t->statistics.mappings -= MIN(t->statistics.mappings, (u64)count);
    if (count == 0 || mem_grow((void **)&t->free_mappings, &t->cap_free, t->n_free + 1, sizeof(struct free_range)) < 0)
        return; /* lost until the session ends; bounded by TABLE_MAX_CHUNKS */
    t->free_mappings[t->n_free++] = (struct free_range){.at = at, .count = count};
}

void tables_reclaim(struct tables *t) {
    for (size_t i = 0; i < t->n_free; i++)
        if (t->free_mappings[i].age < 2)
            t->free_mappings[i].age++;
}

/* ---- looking in ---- */

struct tables_statistics tables_statistics(const struct tables *t) {
    struct tables_statistics s = t->statistics;
    s.chunks = t->n_chunks;
    s.rules = t->n_rules;
    return s;
}

const void *const *tables_chunks(const struct tables *t) {
    return (const void *const *)t->chunks;
}

const struct unwind_rule *tables_rules(const struct tables *t) {
    return t->memory.rules;
}
