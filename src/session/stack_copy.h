/* A walk host that reads a thread's stack from a copy taken at the sample, and everything else from
 * the target as it is now.
 * Private to session/.
 * May use: target/, unwind/walk.h.
 * Must not: outlive the copy. */
#pragma once

#include "target/target.h"
#include "unwind/walk.h"

struct stack_copy {
    struct walk_host host; /* must be first; `read` is stack_copy_read */
    struct target *target; /* NULL: there is the copy alone */
    const u8 *bytes;
    u64 start, size; /* of the copy, in the target */
    u32 holes;       /* bit i: page i of the copy, from the one that `start` is in, was not in memory then */
    bool cut;        /* the stack was to be copied further, but there was no room */
    bool changed;    /* private: the stack has changed since */
};

/* Reads `size` bytes at `address`: of the copy, or of the target. 0, or -EFAULT where neither has them. */
int stack_copy_read(struct walk_host *copy, u64 address, void *dst, size_t size);

/* Appends stream `i` of `from` to `to`, frames and all. Does nothing when there is no room. */
void stack_copy_stream(struct walk_stack *to, const struct walk_stack *from, u32 i);
