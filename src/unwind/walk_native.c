#include "unwind/walk_native.h"

static inline const void *table_chunk(struct walk *w, u32 chunk) {
    return chunk < TABLE_MAX_CHUNKS ? w->host->table_chunks[chunk] : NULL;
}

static inline const struct unwind_rule *table_rules(struct walk *w) {
    return w->host->table_rules;
}

#include "unwind/native_walk.h"

int walk_native(struct walk *w, const struct tables *tables, u32 mappings_at, u32 n_mappings, bool exact) {
    w->host->table_chunks = tables_chunks(tables);
    w->host->table_rules = tables_rules(tables);
    return native_walk(w, mappings_at, n_mappings, exact);
}
