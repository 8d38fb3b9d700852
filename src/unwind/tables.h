/* Builder and owner of the table memory that the walk reads (layout: unwind/table.h).
 * May use: base/, unwind/cfi.h, unwind/table.h.
 * Must not: know BPF; whoever needs the memory elsewhere supplies it. */
#pragma once

#include "unwind/cfi.h"
#include "unwind/table.h"

/* Where chunks of TABLE_CHUNK_BYTES zeroed bytes come from. new_chunk NULL: ordinary memory. */
struct tables_memory {
    void *(*new_chunk)(void *ctx, u32 index); /* NULL when there is no more */
    void (*free_chunk)(void *ctx, u32 index, void *chunk);
    void *ctx;
    struct unwind_rule *rules; /* room for TABLE_MAX_RULES, zeroed; owned by the caller */
};

struct tables;

int tables_new(const struct tables_memory *memory, struct tables **ret) _must_check_;
void tables_free(struct tables *t);

/* A file's page table. */
struct tables_file {
    u32 pages_at, n_pages;
    u64 first_page; /* address >> TABLE_PAGE_SHIFT of the first */
};

/* Copies rows into table memory. When the shared rule table is full, rules lose their saved registers,
 * then become RULE_NONE; tables_statistics() counts both. 0 or -ENOMEM. */
int tables_add_file(struct tables *t, const struct cfi_rows *rows, struct tables_file *ret) _must_check_;

/* The same for a file with an index (cfi_has_index()), whose rows are compiled when a walk in user space first looks
 * there, `at_once` pages at a time: of most large files little is ever looked at. The walk in the kernel ends there
 * until then (WALK_END_NO_TABLE). `f` must stay open. 0 or -ENOMEM. */
int tables_add_file_lazily(struct tables *t, struct symbol_file *f, u32 at_once, struct tables_file *ret) _must_check_;
/* Fills a page of such a file, if it is one and was not. */
void tables_want_page(struct tables *t, u32 page_at);

/* Gives a file's memory back, when no list of mappings that was not retired refers to it. Used again as late as
 * that of lists, and for the same reason. */
void tables_remove_file(struct tables *t, const struct tables_file *f);

static inline bool tables_file_covers(const struct tables_file *f, u64 address) {
    return address >> TABLE_PAGE_SHIFT >= f->first_page && (address >> TABLE_PAGE_SHIFT) - f->first_page < f->n_pages;
}
/* Reference to the page that covers a file address. */
static inline u32 tables_file_pages_at(const struct tables_file *f, u64 address) {
    return f->pages_at + (u32)((address >> TABLE_PAGE_SHIFT) - f->first_page);
}

/* Copies a sorted list of at most TABLE_MAX_MAPPINGS mappings into table memory. 0 or -ENOMEM. */
int tables_publish_mappings(struct tables *t, const struct table_mapping *list, u32 count, u32 *ret_at) _must_check_;
/* Gives a list back. Its memory is used again only after two calls of tables_reclaim(): a walk that is
 * under way may still read it, and rules found by it are remembered for one epoch (walk.h). Call that about
 * once a second, and not twice within an epoch. */
void tables_retire_mappings(struct tables *t, u32 at, u32 count);
void tables_reclaim(struct tables *t);

struct tables_statistics {
    u32 chunks, rules;
    u64 rows, pages, mappings;
    u64 fills; /* how often pages were filled on demand */
    u64 rules_simplified, rules_dropped;
};
struct tables_statistics tables_statistics(const struct tables *t);

/* The chunks, for walks in user space: TABLE_MAX_CHUNKS pointers, NULL where there is none. */
const void *const *tables_chunks(const struct tables *t);
const struct unwind_rule *tables_rules(const struct tables *t);
