/* The toy runtime's walk: a list of ids at a known address.
 * May use: unwind/walk.h.
 * Must not: allocate, loop without a bound, call libc. */
#pragma once

#include "lang/lang_id.h"
#include "unwind/walk.h"

enum { TOY_MOST_FRAMES = 16 };

struct toy_config {
    u64 frames_at;
};

struct toy_walking {
    struct walk *w;
    u64 at, depth;
};

static long toy_step(u32 i, void *arg) {
    struct toy_walking *t = arg;
    u64 id = 0;
    if (i >= t->depth || walk_read(t->w, &id, sizeof(id), t->at + 16 + i * 8ull) < 0)
        return 1;
    walk_emit(t->w, RAW_LANG(LANG_toy, 0), id, 0);
    return 0;
}

static __always_inline void toy_walk(struct walk *w, const void *config) {
    const struct toy_config *c = config;
    struct toy_walking t = {.w = w, .at = c->frames_at};
    if (walk_begin(w, LANG_toy) < 0)
        return;
    int rc = walk_read(w, &t.depth, sizeof(t.depth), t.at + 8);
    if (rc == 0)
        walk_loop(TOY_MOST_FRAMES, toy_step, &t);
    walk_finish(w, rc < 0 ? WALK_END_FAULT : WALK_END_ROOT);
}
