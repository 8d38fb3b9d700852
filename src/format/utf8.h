/* Text of the model, which may be any bytes, for formats that allow only UTF-8. Private to format/.
 * May use: base/.
 * Must not: know which format it is. */
#pragma once

#include "base/buf.h"

/* Adds the n bytes at `s`, which a NUL follows; each byte that belongs to no valid sequence becomes U+FFFD. */
void utf8_add(struct buf *out, const char *s, size_t n);
