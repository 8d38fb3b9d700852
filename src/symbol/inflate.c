/* Decompression: SHF_COMPRESSED sections (zlib, zstd) and xz. A header may claim any size: what it claims is
 * bounded before memory is taken. */
#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <string.h>
#include <zstd.h>

#include "symbol/internal.h"

enum {
    COMPRESS_ZSTD = 2,
    MAX_RATIO = 1100,   /* zlib cannot do better; nor does zstd on real sections */
    MAX_ZLIB = 1 << 30, /* bytes of a stream: what may become of it is no more */
};

/* ---- bit by bit ---- */

struct packed_stream {
    bool broken;        /* isa-l is not to be asked again then: it would read beyond its input */
    ZSTD_DStream *zstd; /* NULL: `zlib` it is */
    ZSTD_inBuffer in;
    size_t hint; /* zstd's: 0 = a frame has ended */
    struct inflate_state zlib;
};

int packed_stream_open(const struct packed *p, struct packed_stream **ret) {
    if (p->how != ELFCOMPRESS_ZLIB && p->how != COMPRESS_ZSTD)
        return -EBADMSG;
    struct packed_stream *s = mem_alloc(sizeof(*s)); /* of the 85 kB only the beginning need be zeros */
    if (!s)
        return -ENOMEM;
    s->zstd = p->how == COMPRESS_ZSTD ? ZSTD_createDStream() : NULL;
    if (p->how == COMPRESS_ZSTD && !s->zstd) {
        free(s);
        return -ENOMEM;
    }
    s->broken = false;
    s->in = (ZSTD_inBuffer){.src = p->bytes, .size = p->size};
    s->hint = 1;
    isal_inflate_init(&s->zlib);
    s->zlib.crc_flag = ISAL_ZLIB;
    s->zlib.next_in = (uint8_t *)(uintptr_t)p->bytes;
    s->zlib.avail_in = (uint32_t)MIN(p->size, (size_t)MAX_ZLIB); /* isa-l before 2.32.1 errs near 4 GB */
    *ret = s;
    return 0;
}

void packed_stream_close(struct packed_stream *s) {
    if (!s)
        return;
    ZSTD_freeDStream(s->zstd);
    free(s);
}

static bool read_zstd(struct packed_stream *s, void *to, size_t n) {
    ZSTD_outBuffer out = {.dst = to, .size = n};
    while (out.pos < n) {
        size_t in_before = s->in.pos, out_before = out.pos;
        s->hint = ZSTD_decompressStream(s->zstd, &out, &s->in);
        if (ZSTD_isError(s->hint) || (s->in.pos == in_before && out.pos == out_before))
            return false;
    }
    return true;
}

static bool run_zlib(struct packed_stream *s, void *to, size_t n) {
    s->zlib.next_out = to;
    s->zlib.avail_out = (uint32_t)n;
    return isal_inflate(&s->zlib) == ISAL_DECOMP_OK && s->zlib.avail_out == 0;
}

bool packed_stream_read(struct packed_stream *s, void *to, size_t n) {
    s->broken = s->broken || !(s->zstd ? read_zstd(s, to, n) : run_zlib(s, to, n));
    return !s->broken;
}

/* The end and the checksum come after the last byte. */
bool packed_stream_ended(struct packed_stream *s) {
    uint8_t beyond;
    if (s->broken)
        return false;
    if (s->zstd) {
        ZSTD_outBuffer none = {.dst = &beyond};
        if (s->hint)
            s->hint = ZSTD_decompressStream(s->zstd, &none, &s->in);
        return s->hint == 0 && s->in.pos == s->in.size;
    }
    return run_zlib(s, &beyond, 0) && s->zlib.block_state == ISAL_BLOCK_FINISH;
}

/* ---- as a whole ---- */

static bool inflate_whole(const struct packed *p, void *to) {
    struct packed_stream *s = NULL;
    bool good = packed_stream_open(p, &s) == 0 && packed_stream_read(s, to, p->plain) && packed_stream_ended(s);
    packed_stream_close(s);
    return good;
}

static int read_header(const uint8_t *bytes, size_t size, struct packed *ret) {
    Elf64_Chdr h;
    if (size < sizeof(h))
        return -EBADMSG;
    memcpy(&h, bytes, sizeof(h));
    *ret = (struct packed){h.ch_type, bytes + sizeof(h), size - sizeof(h), h.ch_size};
    return 0;
}

/* Before there was a flag: "ZLIB", the size in eight bytes, most significant first, and the stream. */
static int read_old_header(const uint8_t *bytes, size_t size, struct packed *ret) {
    size_t plain = 0;
    if (size < 12 || memcmp(bytes, "ZLIB", 4) != 0)
        return -EBADMSG;
    for (size_t i = 4; i < 12; i++)
        plain = plain << 8 | bytes[i];
    *ret = (struct packed){ELFCOMPRESS_ZLIB, bytes + 12, size - 12, plain};
    return 0;
}

int packed_of(const struct elf_image *e, const Elf64_Shdr *s, bool old, size_t limit, struct packed *ret) {
    size_t size;
    struct packed p = {0};
    const uint8_t *bytes = elf_image_bytes(e, s, &size);
    int rc = bytes ? (old ? read_old_header : read_header)(bytes, size, &p) : -EBADMSG;
    if (rc < 0)
        return rc;
    if (p.plain > limit)
        return -EFBIG;
    if (p.plain / MAX_RATIO > p.size)
        return -EBADMSG;
    *ret = p;
    return 0;
}

int inflate_section(const struct elf_image *e, const Elf64_Shdr *s, bool old, size_t limit, void **ret,
                    size_t *ret_size) {
    struct packed p = {0};
    int rc = packed_of(e, s, old, limit, &p);
    if (rc < 0)
        return rc;
    void *to = mem_alloc(p.plain);
    if (!to)
        return -ENOMEM;
    if (!inflate_whole(&p, to)) {
        free(to);
        return -EBADMSG;
    }
    *ret = to;
    *ret_size = p.plain;
    return 0;
}

/* The size is not known beforehand: the buffer doubles. */
static int xz_run(lzma_stream *z, size_t limit, void **to, size_t *ret_size) {
    size_t room = 0;
    for (;;) {
        if (z->avail_out == 0) {
            if (room >= limit)
                return -EFBIG;
            size_t more = room ? room : 1 << 18;
            void *grown = mem_realloc(*to, room + more);
            if (!grown)
                return -ENOMEM;
            *to = grown;
            z->next_out = (uint8_t *)grown + room;
            z->avail_out = more;
            room += more;
        }
        lzma_ret rc = lzma_code(z, LZMA_FINISH);
        *ret_size = room - z->avail_out;
        if (rc == LZMA_STREAM_END)
            return 0;
        if (rc != LZMA_OK)
            return rc == LZMA_MEM_ERROR ? -ENOMEM : -EBADMSG;
    }
}

int inflate_xz(const uint8_t *bytes, size_t size, size_t limit, void **ret, size_t *ret_size) {
    lzma_stream z = LZMA_STREAM_INIT;
    void *to = NULL;
    size_t n = 0;
    if (lzma_stream_decoder(&z, 256u << 20, 0) != LZMA_OK)
        return -ENOMEM;
    z.next_in = bytes;
    z.avail_in = size;
    int rc = xz_run(&z, limit, &to, &n);
    lzma_end(&z);
    if (rc < 0) {
        free(to);
        return rc;
    }
    *ret = to;
    *ret_size = n;
    return 0;
}
