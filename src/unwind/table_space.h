/* Who has which record of table memory: handing out and giving back. Private to unwind/.
 * May use: base/, unwind/table.h, unwind/tables.h.
 * Must not: know what a record says. */
#pragma once

#include "unwind/tables.h"

/* Chunks hold one kind of record each, as long as they hold any. */
enum record_kind { RECORD_ROWS, RECORD_PAGES, RECORD_MAPPINGS, RECORD_KINDS };

/* Lies within one chunk. */
struct free_range {
    u32 at, count;
    u32 age; /* calls of table_space_age() survived; used again from 2 on */
};

struct free_list {
    struct free_range *all;
    size_t count, capacity;
};

/* Zero-initialise, but for `memory`. */
struct table_space {
    struct tables_memory memory;
    void *chunks[TABLE_MAX_CHUNKS];
    u8 kinds[TABLE_MAX_CHUNKS];
    u32 used[TABLE_MAX_CHUNKS]; /* records handed out from the front; 0 = it is empty */
    u32 n_chunks;
    struct free_list free[RECORD_KINDS]; /* given back since */
};

void table_space_free(struct table_space *s);

/* `count` records with consecutive references: side by side in one chunk or, where they do not fit into one, in
 * empty ones. Their bytes are anything. 0 or -ENOMEM, and then nothing is taken. */
int table_space_take(struct table_space *s, enum record_kind kind, u32 count, u32 *ret_at) _must_check_;
/* What cannot be noted for want of memory is lost until the end; bounded by TABLE_MAX_CHUNKS. */
void table_space_give(struct table_space *s, enum record_kind kind, u32 at, u32 count);
/* Neighbours that are free for good become one, and chunks that hold nothing else are empty. */
void table_space_age(struct table_space *s);

/* NULL when nothing of that kind is there. */
void *table_space_record(const struct table_space *s, enum record_kind kind, u32 at);
