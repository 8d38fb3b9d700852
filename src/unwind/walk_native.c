#include "unwind/walk_native.h"

static inline const void *table_chunk(struct walk *w, u32 chunk) {
    return chunk < TABLE_MAX_CHUNKS ? w->state->host->table_chunks[chunk] : NULL;
}

static inline const struct unwind_rule *table_rules(struct walk *w) {
    return w->state->host->table_rules;
}

static inline void table_want_page(struct walk *w, u32 page_at) {
    tables_want_page(w->state->host->tables, page_at);
}

#include "unwind/native_walk.h"

int walk_native(struct walk *w, struct tables *tables, u32 mappings_at, u32 n_mappings, bool exact) {
    w->state->host->tables = tables;
    w->state->host->table_chunks = tables_chunks(tables);
    w->state->host->table_rules = tables_rules(tables);
    return native_walk(w, mappings_at, n_mappings, exact);
}

u64 walk_native_at(const struct walk *w) {
    const struct native_state *s = (const struct native_state *)w->state->runtime;
    u64 pc = w->state->regs.value[ARCH_PC];
    return s->exact ? pc : pc - 1;
}
