/* A profile as one self-contained HTML page: the viewer that web/ builds, with the profile inside,
 * at the page's marker, as
 *
 *   <script type="text/plain" id="scry-profile">base64 of gzip of the block</script>
 *
 * The block is described in format/html_payload.h. Base64 has no character that HTML gives a meaning,
 * so no name of the target can reach the page's markup. */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "format/format.h"
#include "format/html_page.h"
#include "format/html_payload.h"

static const char marker[] = "<!--scry:profile-->";

/* Level 4: within 10 % of the best size at a third of its time. */
enum { LEVEL = 4, GZIP_WINDOW = 15 + 16, MEMORY_LEVEL = 8 };

static int compress_block(const struct buf *block, struct buf *out, struct err *err) {
    z_stream z = {0};
    if (block->len > UINT32_MAX / 2)
        return err_set(err, -EFBIG, "Capture for a shorter time, or write .pb.gz",
                       "The profile is too large for an HTML page");
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return err_nomem(err);
    uLong bound = deflateBound(&z, (uLong)block->len);
    z.next_out = buf_reserve(out, bound);
    z.avail_out = (uInt)bound;
    z.next_in = (Bytef *)block->data;
    z.avail_in = (uInt)block->len;
    int r = z.next_out ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
    out->len += r == Z_STREAM_END ? z.total_out : 0;
    deflateEnd(&z);
    return r == Z_STREAM_END ? 0 : err_nomem(err);
}

static void add_base64(struct buf *out, const unsigned char *data, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *to = buf_reserve(out, (n + 2) / 3 * 4);
    if (!to)
        return;
    out->len += (n + 2) / 3 * 4;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t w = (uint32_t)data[i] << 16;
        w |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        w |= left > 2 ? data[i + 2] : 0;
        *to++ = digits[w >> 18];
        *to++ = digits[w >> 12 & 63];
        *to++ = left > 1 ? digits[w >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[w & 63] : '=';
    }
}

static int html_write(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err) {
    const char *at = memmem(html_page, html_page_size, marker, sizeof(marker) - 1);
    if (!at)
        return err_set(err, -EBADMSG, "Build scry again, from a clean source tree",
                       "The viewer inside this scry has no place for a profile");
    _cleanup_(buf_free) struct buf block = {0}, packed = {0};
    int r = html_payload(p, o, &block, err);
    if (r < 0 || (r = compress_block(&block, &packed, err)) < 0)
        return r;
    const char *rest = at + sizeof(marker) - 1;
    buf_add(out, html_page, (size_t)(at - html_page));
    buf_adds(out, "<script type=\"text/plain\" id=\"scry-profile\">");
    add_base64(out, (const unsigned char *)packed.data, packed.len);
    buf_adds(out, "</script>");
    buf_add(out, rest, (size_t)(html_page + html_page_size - rest));
    return out->failed ? err_nomem(err) : 0;
}

extern const struct format format_html;
const struct format format_html = {
    .name = "html",
    .ending = ".html",
    .title = "one self-contained page: flame graph, table, callers and callees",
    .write = html_write,
};
