/* A walk host that reads a thread's stack from a copy taken at the sample, and everything else from
 * the target as it is now.
 * Private to session/.
 * May use: target/, unwind/walk.h.
 * Must not: outlive the copy. */
#pragma once

#include "target/target.h"
#include "unwind/walk.h"

struct stack_copy {
    struct walk_host host; /* must be first */
    struct target *target; /* NULL: there is the copy alone */
    const u8 *bytes;
    u64 start, end; /* of what the copy is of, in the target: [start, end) */
    u32 holes;      /* bit i: page i, from the one that `start` is in, was not in memory then, and is not in `bytes` */
    bool cut;       /* the stack was to be copied further, but there was no room */
    const struct walk_stack *walk; /* what the walk has found so far; without it nothing above the copy is believed */
    /* Private: */
    bool changed;                /* the stack has changed since */
    u64 outermost_at, outermost; /* where the outermost return address in the copy is, 0 = not known, and itself */
};

/* A copy of `size` bytes of the stack at `start`, those in holes left out. `t` may be NULL. */
struct stack_copy stack_copy_of(struct target *t, u64 start, const void *bytes, u32 size, u32 holes);

/* Appends stream `i` of `from` to `to`, frames and all. Does nothing when there is no room. */
void stack_copy_stream(struct walk_stack *to, const struct walk_stack *from, u32 i);
