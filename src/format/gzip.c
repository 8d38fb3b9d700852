#include "format/gzip.h"

#include <errno.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, CHUNK = 1 << 18 };

int gzip_compress(const void *data, size_t size, int level, struct buf *out, struct err *err) {
    z_stream z = {0};
    if (size > UINT32_MAX / 2)
        return err_set(err, -EFBIG, "Capture for a shorter time", "The profile is too large");
    if (deflateInit2(&z, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return err_nomem(err);
    uLong bound = deflateBound(&z, (uLong)size);
    z.next_out = buf_reserve(out, bound);
    z.avail_out = (uInt)bound;
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)size;
    int r = z.next_out ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
    out->len += r == Z_STREAM_END ? z.total_out : 0;
    deflateEnd(&z);
    return r == Z_STREAM_END ? 0 : err_nomem(err);
}

/* Members may follow one another, as `cat a.gz b.gz` makes them. */
static int inflate_all(z_stream *z, size_t limit, struct buf *out) {
    for (;;) {
        z->next_out = buf_reserve(out, CHUNK);
        z->avail_out = CHUNK;
        if (!z->next_out)
            return -ENOMEM;
        int r = inflate(z, Z_NO_FLUSH);
        out->len += CHUNK - z->avail_out;
        if (out->len > limit)
            return -EFBIG;
        if (r == Z_STREAM_END) {
            if (z->avail_in < 18)
                return 0;
            inflateReset(z);
        } else if (r != Z_OK) {
            return -EBADMSG;
        }
    }
}

int gzip_decompress(const void *data, size_t size, size_t limit, struct buf *out, struct err *err) {
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
    if (size > UINT32_MAX)
        return err_set(err, -EFBIG, NULL, "The file is too large");
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return err_nomem(err);
    int rc = inflate_all(&z, limit, out);
    inflateEnd(&z);
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc == -EFBIG)
        return err_set(err, rc, NULL, "The file unpacks to more than %zu MB", limit >> 20);
    return rc < 0 ? err_set(err, rc, "The file may be cut short: fetch it again", "The file is not valid gzip") : 0;
}
