#include "unwind/tables.h"

#include <errno.h>
#include <string.h>

#include "base/bisect.h"
#include "base/hash.h"
#include "base/mem.h"
#include "unwind/table_space.h"

/* 2 GiB of code: as much as can call itself. */
enum { MAX_FILE_PAGES = 1 << (31 - TABLE_PAGE_SHIFT) };

/* A file whose pages are filled on demand. */
struct lazy_file {
    struct symbol_file *symbols;
    struct tables_file file;
    u32 at_once; /* pages */
};

struct tables {
    struct table_space space;
    struct hash_index rule_index;
    u32 n_rules;
    struct lazy_file *lazy;
    size_t n_lazy, cap_lazy;
    struct tables_statistics statistics;
};

static void *default_new_chunk(void *ctx, u32 index) {
    return mem_zalloc(1, TABLE_CHUNK_BYTES);
}

static void default_free_chunk(void *ctx, u32 index, void *chunk) {
    free(chunk);
}

int tables_new(const struct tables_memory *memory, struct tables **ret) {
    struct tables *t = mem_zalloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->space.memory = *memory;
    if (!memory->new_chunk) {
        t->space.memory.new_chunk = default_new_chunk;
        t->space.memory.free_chunk = default_free_chunk;
    }
    t->n_rules = 1; /* rule 0 is RULE_NONE, which is all zeros */
    *ret = t;
    return 0;
}

void tables_free(struct tables *t) {
    if (!t)
        return;
    table_space_free(&t->space);
    free(t->lazy);
    hash_index_free(&t->rule_index);
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
    struct rule_key key = {.rules = t->space.memory.rules, .rule = rule};
    uint64_t hash = hash_bytes(rule, sizeof(*rule));
    uint32_t id = hash_index_find(&t->rule_index, hash, rule_equal, &key);
    if (id != UINT32_MAX)
        return (s32)id;
    if (t->n_rules == TABLE_MAX_RULES || hash_index_add(&t->rule_index, hash, t->n_rules) < 0)
        return -1;
    t->space.memory.rules[t->n_rules] = *rule;
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

/* A walk may read the page meanwhile: it sees it as it was or as it is. */
static void put_page(struct tables *t, u32 page_at, struct table_page page) {
    table_page_word *at = table_space_record(&t->space, RECORD_PAGES, page_at);
    __atomic_store_n(at, (u64)page.n_rows << 32 | page.rows_at, __ATOMIC_RELEASE);
}

/* Rows of one page of code, beginning with the rule in force at its start. Advances *i. */
static int add_page(struct tables *t, const struct cfi_rows *rows, const u16 *rule_map, u64 page, size_t *i,
                    u32 page_at) {
    size_t first = *i;
    while (*i < rows->count && rows->rows[*i].address >> TABLE_PAGE_SHIFT == page)
        (*i)++;
    bool carries = first == *i || (rows->rows[first].address & (TABLE_MAX_ROWS - 1)) != 0;
    u16 carried = first ? rule_map[rows->rows[first - 1].rule] : 0;
    u32 count = (u32)(*i - first) + carries, at;
    if (count == 1 && carries && carried == 0) { /* nothing known in the whole page */
        put_page(t, page_at, (struct table_page){0});
        return 0;
    }
    int rc = table_space_take(&t->space, RECORD_ROWS, count, &at);
    if (rc < 0)
        return rc;
    u32 *to = table_space_record(&t->space, RECORD_ROWS, at);
    if (carries)
        *to++ = carried;
    for (size_t k = first; k < *i; k++)
        *to++ = (u32)(rows->rows[k].address & (TABLE_MAX_ROWS - 1)) << TABLE_RULE_BITS | rule_map[rows->rows[k].rule];
    put_page(t, page_at, (struct table_page){.rows_at = at, .n_rows = count});
    t->statistics.rows += count;
    return 0;
}

/* The pages of the code from `start` to `last`, of which nothing is known yet. */
static int add_pages(struct tables *t, u64 start, u64 last, struct tables_file *ret) {
    u64 first_page = start >> TABLE_PAGE_SHIFT, last_page = last >> TABLE_PAGE_SHIFT;
    if (last_page - first_page >= MAX_FILE_PAGES)
        return -ENOMEM;
    *ret = (struct tables_file){.first_page = first_page, .n_pages = (u32)(last_page - first_page + 1)};
    int rc = table_space_take(&t->space, RECORD_PAGES, ret->n_pages, &ret->pages_at);
    for (u32 i = 0; rc == 0 && i < ret->n_pages; i++)
        put_page(t, ret->pages_at + i, (struct table_page){.n_rows = TABLE_PAGE_LATER});
    if (rc == 0)
        t->statistics.pages += ret->n_pages;
    return rc;
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
    _cleanup_(freep) u16 *rule_map = map_rules(t, rows);
    if (!rule_map)
        return -ENOMEM;
    int rc = add_pages(t, rows->rows[0].address, rows->rows[rows->count - 1].address, &f);
    if (rc < 0)
        return rc;
    size_t i = 0;
    for (u32 p = 0; rc == 0 && p < f.n_pages; p++)
        rc = add_page(t, rows, rule_map, f.first_page + p, &i, f.pages_at + p);
    if (rc < 0)
        tables_remove_file(t, &f);
    else
        *ret = f;
    return rc;
}

/* ---- files on demand ---- */

int tables_add_file_lazily(struct tables *t, struct symbol_file *f, u32 at_once, struct tables_file *ret) {
    struct symbol_code code;
    struct lazy_file new = {.symbols = f, .at_once = at_once};
    if (symbol_file_code(f, &code) < 0 ||
        mem_grow((void **)&t->lazy, &t->cap_lazy, t->n_lazy + 1, sizeof(*t->lazy)) < 0)
        return -ENOMEM;
    int rc = add_pages(t, code.start, code.end - 1, &new.file);
    if (rc < 0)
        return rc;
    t->lazy[t->n_lazy++] = new;
    *ret = new.file;
    return 0;
}

/* The file that a page belongs to; NULL when it is not one of these. */
static const struct lazy_file *lazy_file_of(const struct tables *t, u32 page_at) {
    for (size_t i = 0; i < t->n_lazy; i++)
        if (page_at - t->lazy[i].file.pages_at < t->lazy[i].file.n_pages)
            return &t->lazy[i];
    return NULL;
}

/* Fills the pages [page_at, end_at). Where memory is out nothing is known of a page, as of code without
 * information. */
static void fill_pages(struct tables *t, const struct lazy_file *l, u32 page_at, u32 end_at) {
    u64 page = l->file.first_page + (page_at - l->file.pages_at), start = page << TABLE_PAGE_SHIFT;
    _cleanup_(cfi_rows_free) struct cfi_rows rows = {0};
    int rc = cfi_compile_part(l->symbols, start, start + ((u64)(end_at - page_at) << TABLE_PAGE_SHIFT), &rows);
    _cleanup_(freep) u16 *rule_map = map_rules(t, &rows);
    size_t i = bisect(k, rows.count, rows.rows[k].address < start);
    for (; page_at < end_at; page_at++, page++)
        if (rc < 0 || rows.count == 0 || !rule_map || add_page(t, &rows, rule_map, page, &i, page_at) < 0)
            put_page(t, page_at, (struct table_page){0});
    if (l->at_once > 1) /* who fills much at once means to look for long */
        symbol_file_release_pages(l->symbols);
}

void tables_want_page(struct tables *t, u32 page_at) {
    const struct table_page *page = table_space_record(&t->space, RECORD_PAGES, page_at);
    if (!page || page->n_rows != TABLE_PAGE_LATER)
        return;
    const struct lazy_file *l = lazy_file_of(t, page_at);
    if (!l)
        return;
    u32 first = (page_at - l->file.pages_at) / l->at_once * l->at_once;
    fill_pages(t, l, l->file.pages_at + first, l->file.pages_at + MIN(first + l->at_once, l->file.n_pages));
    t->statistics.fills++;
}

/* ---- files no longer needed ---- */

static void forget_lazy(struct tables *t, u32 pages_at) {
    for (size_t i = 0; i < t->n_lazy; i++)
        if (t->lazy[i].file.pages_at == pages_at) {
            t->lazy[i] = t->lazy[--t->n_lazy];
            return;
        }
}

void tables_remove_file(struct tables *t, const struct tables_file *f) {
    forget_lazy(t, f->pages_at);
    for (u32 i = 0; i < f->n_pages; i++) {
        const struct table_page *page = table_space_record(&t->space, RECORD_PAGES, f->pages_at + i);
        if (page->n_rows == 0 || page->n_rows == TABLE_PAGE_LATER)
            continue;
        table_space_give(&t->space, RECORD_ROWS, page->rows_at, page->n_rows);
        t->statistics.rows -= page->n_rows;
    }
    table_space_give(&t->space, RECORD_PAGES, f->pages_at, f->n_pages);
    t->statistics.pages -= f->n_pages;
}

/* ---- mapping lists ---- */

int tables_publish_mappings(struct tables *t, const struct table_mapping *list, u32 count, u32 *ret_at) {
    u32 at = 0;
    int rc = count ? table_space_take(&t->space, RECORD_MAPPINGS, count, &at) : 0;
    if (rc < 0)
        return rc;
    if (count)
        memcpy(table_space_record(&t->space, RECORD_MAPPINGS, at), list, count * sizeof(*list));
    t->statistics.mappings += count;
    *ret_at = at;
    return 0;
}

void tables_retire_mappings(struct tables *t, u32 at, u32 count) {
    t->statistics.mappings -= MIN(t->statistics.mappings, (u64)count);
    table_space_give(&t->space, RECORD_MAPPINGS, at, count);
}

void tables_reclaim(struct tables *t) {
    table_space_age(&t->space);
}

/* ---- looking in ---- */

struct tables_statistics tables_statistics(const struct tables *t) {
    struct tables_statistics s = t->statistics;
    s.chunks = t->space.n_chunks;
    s.rules = t->n_rules;
    return s;
}

const void *const *tables_chunks(const struct tables *t) {
    return (const void *const *)t->space.chunks;
}

const struct unwind_rule *tables_rules(const struct tables *t) {
    return t->space.memory.rules;
}
