/* Bump allocation: many small objects that die together.
 * May use: base/mem.h.
 * Must not: free single objects; that is what makes it cheap. */
#pragma once

#include "base/mem.h"

struct arena_block;

/* Zero-initialise to use. Owned by the caller; arena_free() releases everything at once. */
struct arena {
    struct arena_block *head;
    size_t bytes; /* handed to the system's allocator so far */
};

/* `size` bytes aligned to 8, zeroed. NULL when memory is out. */
void *arena_alloc(struct arena *arena, size_t size) _must_check_;

/* Copies n bytes and adds a final NUL. NULL when memory is out. */
char *arena_strndup(struct arena *arena, const char *s, size_t n) _must_check_;

void arena_free(struct arena *arena);
