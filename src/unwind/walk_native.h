/* The native walk compiled for user space.
 * May use: unwind/.
 * Must not: load tables; it reports what stopped it. */
#pragma once

#include "unwind/tables.h"
#include "unwind/walk.h"

/* See native_walk() in unwind/native_walk.h; w->state->host->read reads the target. Sets that host's tables.
 * w->state was zeroed, apart from `host` and `leaf`.
 * Returns enum walk_end; w->state->regs is then that of the last frame. */
int walk_native(struct walk *w, struct tables *tables, u32 mappings_at, u32 n_mappings, bool exact);
/* Where that looked for the last frame's rule: its pc, or what is before a return address. */
u64 walk_native_at(const struct walk *w);
