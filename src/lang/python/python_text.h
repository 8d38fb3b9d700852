/* Python's str and bytes objects, read from outside.
 * May use: target/, lang/python/python_offsets.h.
 * Must not: trust a length; everything is bounded. */
#pragma once

#include "base/buf.h"
#include "lang/python/python_offsets.h"
#include "target/target.h"

/* Decodes n units of `kind` (1, 2, 4 bytes) to UTF-8, appended to `ret`. Bytes that Python smuggled in
 * as lone surrogates (file names that are not UTF-8) come out as they were; what is no character becomes
 * U+FFFD. */
void python_text_decode(const void *units, size_t n, unsigned kind, struct buf *ret);

/* Appends a str object's text to `ret`. -EBADMSG when it is none or longer than `limit` characters. */
int python_text_read(struct target *t, const struct python_layout *l, uint64_t object, size_t limit, struct buf *ret);

/* Replaces *ret by a bytes object's content. -EBADMSG when longer than `limit`. */
int python_bytes_read(struct target *t, const struct python_layout *l, uint64_t object, size_t limit, struct buf *ret);
