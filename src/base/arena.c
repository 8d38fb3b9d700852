#include "base/arena.h"

#include <string.h>

enum { ARENA_BLOCK_BYTES = 64 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    max_align_t data[];
};

static struct arena_block *block_new(struct arena *arena, size_t size) {
    struct arena_block *b = mem_alloc(sizeof(*b) + size);
    if (!b)
        return NULL;
    b->used = 0;
    b->size = size;
    arena->bytes += sizeof(*b) + size;
    return b;
}

void *arena_alloc(struct arena *arena, size_t size) {
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 7) & ~(size_t)7;
    struct arena_block *b = arena->head;
    if (!b || b->size - b->used < size) {
        b = block_new(arena, MAX(size, (size_t)ARENA_BLOCK_BYTES));
        if (!b)
            return NULL;
        /* An oversized object gets a block of its own, behind the one that still has room. */
        if (size > ARENA_BLOCK_BYTES / 4 && arena->head) {
            b->next = arena->head->next;
            arena->head->next = b;
        } else {
            b->next = arena->head;
            arena->head = b;
        }
    }
    void *p = (char *)b->data + b->used;
    b->used += size;
    return memset(p, 0, size);
}

char *arena_strndup(struct arena *arena, const char *s, size_t n) {
    char *copy = arena_alloc(arena, n + 1);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

void arena_free(struct arena *arena) {
    for (struct arena_block *b = arena->head; b;) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
    *arena = (struct arena){0};
}
