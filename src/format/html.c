/* A profile as one self-contained HTML page: the viewer that web/ builds, with the profile inside,
 * at the page's marker, as
 *
 *   <script type="text/plain" id="scry-profile">base64 of gzip of the block</script>
 *
 * The block is described in format/html_payload.h. Base64 has no character that HTML gives a meaning,
 * so no name of the target can reach the page's markup. */
#include <errno.h>
#include <string.h>

#include "format/format.h"
#include "format/gzip.h"
#include "format/html_page.h"
#include "format/html_payload.h"

static const char marker[] = "<!--scry:profile-->";

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

/* Level 4: within 10 % of the best size at a third of its time. */
enum { LEVEL = 4 };

static int html_write(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err) {
    const char *at = memmem(html_page, html_page_size, marker, sizeof(marker) - 1);
    if (!at)
        return err_set(err, -EBADMSG, "Build scry again, from a clean source tree",
                       "The viewer inside this scry has no place for a profile");
    _cleanup_(buf_free) struct buf block = {0}, packed = {0};
    int r = html_payload(p, o, &block, err);
    if (r < 0 || (r = gzip_compress(block.data, block.len, LEVEL, &packed, err)) < 0)
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
