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
    struct target *target;
    const u8 *bytes;
    u64 start, size; /* of the copy, in the target */
    bool cut;
};

/* `cut`: the stack was to be copied further, but there was no room. */
void stack_copy_init(struct stack_copy *c, struct target *t, u64 start, const void *bytes, u64 size, bool cut);

/* Appends stream `i` of `from` to `to`, frames and all. Does nothing when there is no room. */
void stack_copy_stream(struct walk_stack *to, const struct walk_stack *from, u32 i);
