/* Reading foreign bytes: every access is bounded, nothing is trusted, the first failure sticks.
 * May use: the C library.
 * Must not: allocate. A failed reader returns zeros and stays failed; check `failed` once at the end
 * of each record. Little-endian, as all the formats scry reads are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
    const uint8_t *pos, *end;
    bool failed;
};

static inline struct reader reader_of(const void *data, size_t size) {
    const uint8_t *p = data;
    return (struct reader){.pos = p, .end = p ? p + size : p};
}

static inline size_t reader_left(const struct reader *r) {
    return (size_t)(r->end - r->pos);
}

/* Pointer to the next n bytes, which are consumed; NULL (and failed) when there are fewer. */
static inline const uint8_t *reader_bytes(struct reader *r, size_t n) {
    if (r->failed || n > reader_left(r)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->pos;
    r->pos += n;
    return p;
}

#define READER_DEFINE(type, name)                                                                                      \
    static inline type name(struct reader *r) {                                                                        \
        type v = 0;                                                                                                    \
        const uint8_t *p = reader_bytes(r, sizeof(v));                                                                 \
        if (p)                                                                                                         \
            memcpy(&v, p, sizeof(v));                                                                                  \
        return v;                                                                                                      \
    }
READER_DEFINE(uint8_t, reader_u8)
READER_DEFINE(uint16_t, reader_u16)
READER_DEFINE(uint32_t, reader_u32)
READER_DEFINE(uint64_t, reader_u64)
#undef READER_DEFINE

/* DWARF's "initial length" (DWARF 5 §7.4), also of .eh_frame: in the 64-bit format a mark goes before it, and what
 * the record says of offsets is then as wide. */
static inline uint64_t reader_dwarf_length(struct reader *r, bool *ret_wide) {
    uint32_t length = reader_u32(r);
    *ret_wide = length == UINT32_MAX;
    return *ret_wide ? reader_u64(r) : length;
}

/* Unsigned LEB128; also protobuf's varint. Over-long encodings fail. */
static inline uint64_t reader_uleb(struct reader *r) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = reader_u8(r);
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
    r->failed = true;
    return 0;
}

/* Signed LEB128. */
static inline int64_t reader_sleb(struct reader *r) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64;) {
        uint8_t b = reader_u8(r);
        v |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
        if (!(b & 0x80)) {
            if (shift < 64 && (b & 0x40))
                v |= ~(uint64_t)0 << shift;
            return (int64_t)v;
        }
    }
    r->failed = true;
    return 0;
}

/* A NUL-terminated string inside the bytes; "" (and failed) when there is no NUL. */
static inline const char *reader_cstr(struct reader *r) {
    const uint8_t *nul = r->failed || r->pos == r->end ? NULL : memchr(r->pos, 0, reader_left(r));
    if (!nul) {
        r->failed = true;
        return "";
    }
    const char *s = (const char *)r->pos;
    r->pos = nul + 1;
    return s;
}
