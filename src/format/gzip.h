/* gzip, whole buffers at a time. Private to format/.
 * May use: base/, zlib.
 * Must not: know what it compresses. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* `level` is zlib's: 1 is fast, 9 is small. -EFBIG beyond 2 GB. */
int gzip_compress(const void *data, size_t size, int level, struct buf *out, struct err *err);
/* At most `limit` bytes come out: a small file must not fill the memory. -EFBIG, -EBADMSG. */
int gzip_decompress(const void *data, size_t size, size_t limit, struct buf *out, struct err *err);
static inline bool gzip_recognise(const void *data, size_t size) {
    const unsigned char *p = data;
    return size >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}
