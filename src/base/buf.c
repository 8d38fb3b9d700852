#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *buf_reserve(struct buf *b, size_t n) {
    if (b->failed)
        return NULL;
    size_t need;
    b->full = b->limit && n > b->limit - MIN(b->len, b->limit);
    if (b->full || __builtin_add_overflow(b->len, n, &need) || mem_grow((void **)&b->data, &b->cap, need, 1) < 0) {
        b->failed = true;
        return NULL;
    }
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t n) {
    if (n == 0)
        return;
    void *p = buf_reserve(b, n);
    if (!p)
        return;
    memcpy(p, data, n);
    b->len += n;
}

void buf_adds(struct buf *b, const char *s) {
    buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c) {
    buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = n >= 0 ? buf_reserve(b, (size_t)n + 1) : NULL;
    if (p) {
        vsnprintf(p, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

const char *buf_cstr(struct buf *b) {
    char *p = buf_reserve(b, 1);
    if (!p)
        return "";
    *p = '\0';
    return b->data;
}

void buf_trim(struct buf *b) {
    mem_fit((void **)&b->data, &b->cap, b->len, 1);
}

void buf_reset(struct buf *b) {
    b->len = 0;
    b->failed = b->full = false;
}

void buf_free(struct buf *b) {
    free(b->data);
    *b = (struct buf){.limit = b->limit};
}
