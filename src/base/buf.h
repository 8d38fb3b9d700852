/* A growable byte buffer with an upper bound, for everything that is written out.
 * May use: base/mem.h.
 * Must not: lose an error: once a write failed, `failed` stays set and later writes do nothing,
 * so that a writer checks once, at its end. */
#pragma once

#include "base/mem.h"

struct buf {
    char *data; /* owned; not NUL-terminated unless buf_cstr() is called */
    size_t len, cap;
    size_t limit; /* 0 = no limit */
    bool failed;  /* out of memory or over the limit */
    bool full;    /* it was the limit */
};

void buf_add(struct buf *b, const void *data, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) _printf_(2, 3);

/* Room for n more bytes at the end (not yet counted in len), or NULL. */
void *buf_reserve(struct buf *b, size_t n);

/* NUL-terminates and returns the text; "" when empty or failed. */
const char *buf_cstr(struct buf *b);

void buf_reset(struct buf *b); /* empties it, keeps the memory */
void buf_trim(struct buf *b);  /* gives back what it has beyond its length */
void buf_free(struct buf *b);  /* releases it; ready to be used again */
