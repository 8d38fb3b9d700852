#include "unwind/tables.h"

#include <errno.h>
#include <string.h>

#include "base/bisect.h"
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

/* A file whose pages are filled on demand. */
struct lazy_file {
    struct symbol_file *symbols;
    struct tables_file file;
    u8 *filled; /* a bit for each page */
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
    struct lazy_file *lazy;
    size_t n_lazy, cap_lazy;
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
    for (size_t i = 0; i < t->n_lazy; i++)
        free(t->lazy[i].filled);
    free(t->lazy);
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

/* The pages of the code from `start` to `last`, of which nothing is known yet. */
static int add_pages(struct tables *t, u64 start, u64 last, struct tables_file *ret) {
    u64 first_page = start >> TABLE_PAGE_SHIFT, last_page = last >> TABLE_PAGE_SHIFT;
    if (last_page - first_page >= MAX_FILE_PAGES)
        return -ENOMEM;
    *ret = (struct tables_file){.first_page = first_page, .n_pages = (u32)(last_page - first_page + 1)};
    return allocate(t, RECORD_PAGES, ret->n_pages, &ret->pages_at);
}

/* Their indices here; NULL when memory is out. */
static u16 *map_rules(struct tables *t, const struct cfi_rows *rows) {
    u16 *map = mem_alloc(rows->n_rules * sizeof(*map));
    for (size_t i = 0; map && i < rows->n_rules; i++)
        map[i] = global_rule(t, &rows->rules[i]);
    return map;
}

int tables_add_file(struct tables *t, const struct cfi_rows *rows, struct tables_file *ret) {
    if (rows->count == 0)
        return -ENOMEM;
    struct tables_file f;
    u16 *rule_map = map_rules(t, rows);
    if (!rule_map)
        return -ENOMEM;
    int rc = add_pages(t, rows->rows[0].address, rows->rows[rows->count - 1].address, &f);
    size_t i = 0;
    for (u32 p = 0; rc == 0 && p < f.n_pages; p++)
        rc = add_page(t, rows, rule_map, f.first_page + p, &i, record_at(t, RECORD_PAGES, f.pages_at + p));
    free(rule_map);
    if (rc < 0)
        return rc;
    t->statistics.pages += f.n_pages;
    *ret = f;
    return 0;
}

/* ---- files on demand ---- */

int tables_add_file_lazily(struct tables *t, struct symbol_file *f, struct tables_file *ret) {
    uint64_t start, end;
    struct lazy_file new = {.symbols = f};
    if (symbol_file_code_range(f, &start, &end) < 0 ||
        mem_grow((void **)&t->lazy, &t->cap_lazy, t->n_lazy + 1, sizeof(*t->lazy)) < 0)
        return -ENOMEM;
    int rc = add_pages(t, start, end - 1, &new.file);
    if (rc < 0)
        return rc;
    new.filled = mem_zalloc(new.file.n_pages / 8 + 1, 1);
    if (!new.filled)
        return -ENOMEM;
    t->statistics.pages += new.file.n_pages;
    t->lazy[t->n_lazy++] = new;
    *ret = new.file;
    return 0;
}

/* Where memory is out nothing is known of the page, as of code without information. */
static void fill_page(struct tables *t, const struct lazy_file *l, u32 page_at) {
    u64 page = l->file.first_page + (page_at - l->file.pages_at), start = page << TABLE_PAGE_SHIFT;
    _cleanup_(cfi_rows_free) struct cfi_rows rows = {0};
    if (cfi_compile_part(l->symbols, start, start + TABLE_MAX_ROWS, &rows) < 0 || rows.count == 0)
        return;
    _cleanup_(freep) u16 *rule_map = map_rules(t, &rows);
    size_t i = bisect(k, rows.count, rows.rows[k].address < start);
    if (rule_map)
        (void)add_page(t, &rows, rule_map, page, &i, record_at(t, RECORD_PAGES, page_at));
}

void tables_want_page(struct tables *t, u32 page_at) {
    for (size_t i = 0; i < t->n_lazy; i++) {
        struct lazy_file *l = &t->lazy[i];
        u32 n = page_at - l->file.pages_at;
        if (n >= l->file.n_pages)
            continue;
        if (!(l->filled[n / 8] >> n % 8 & 1))
            fill_page(t, l, page_at);
        l->filled[n / 8] |= (u8)(1 << n % 8);
        return;
    }
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
