#include "lang/python/python_text.h"

#include <errno.h>
#include <string.h>

static size_t encode(uint32_t c, char *to) {
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

static void add_character(uint32_t c, struct buf *ret) {
    char bytes[4];
    if (c >= 0xdc80 && c <= 0xdcff) { /* "surrogateescape" */
        buf_addc(ret, (char)(c - 0xdc00));
        return;
    }
    if (c == 0 || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
        c = 0xfffd;
    buf_add(ret, bytes, encode(c, bytes));
}

void python_text_decode(const void *units, size_t n, unsigned kind, struct buf *ret) {
    for (size_t i = 0; i < n; i++) {
        uint32_t c = 0;
        memcpy(&c, (const char *)units + i * kind, kind);
        add_character(c, ret);
    }
}

/* Header fields of a str object. */
struct text_header {
    uint64_t length;
    unsigned kind;
    bool compact, ascii;
};

static int read_header(struct target *t, const struct python_layout *l, uint64_t object, struct text_header *ret) {
    uint32_t state;
    if (target_read(t, object + l->text_length, &ret->length, 8) < 0 ||
        target_read(t, object + l->text_state, &state, 4) < 0)
        return -EFAULT;
    state >>= l->text_state_shift;
    ret->kind = state & 7;
    ret->compact = state >> 3 & 1;
    ret->ascii = state >> 4 & 1;
    return ret->kind == 1 || ret->kind == 2 || ret->kind == 4 ? 0 : -EBADMSG;
}

int python_text_read(struct target *t, const struct python_layout *l, uint64_t object, size_t limit, struct buf *ret) {
    struct text_header h;
    int rc = read_header(t, l, object, &h);
    if (rc < 0)
        return rc;
    if (h.length > limit)
        return -EBADMSG;
    uint64_t at = object + (h.ascii ? l->text_ascii : l->text_compact);
    if (!h.compact && target_read(t, at, &at, 8) < 0) /* made piece by piece: the text lies elsewhere */
        return -EFAULT;
    size_t bytes = h.length * h.kind;
    _cleanup_(freep) void *units = mem_alloc(bytes);
    if (!units)
        return -ENOMEM;
    if (bytes && (rc = target_read(t, at, units, bytes)) < 0)
        return rc;
    python_text_decode(units, h.length, h.kind, ret);
    return ret->failed ? -ENOMEM : 0;
}

int python_bytes_read(struct target *t, const struct python_layout *l, uint64_t object, size_t limit, struct buf *ret) {
    uint64_t size;
    int rc = target_read(t, object + l->bytes_size, &size, 8);
    if (rc < 0)
        return rc;
    if (size > limit)
        return -EBADMSG;
    buf_reset(ret);
    char *to = buf_reserve(ret, size);
    if (!to && size)
        return -ENOMEM;
    if (size && (rc = target_read(t, object + l->bytes_data, to, size)) < 0)
        return rc;
    ret->len = size;
    return 0;
}
