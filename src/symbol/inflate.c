/* Decompression: SHF_COMPRESSED sections (zlib, zstd) and xz. A header may claim any size: what it claims is
 * bounded before memory is taken. */
#include <errno.h>
#include <libdeflate.h>
#include <lzma.h>
#include <string.h>
#include <zstd.h>

#include "symbol/internal.h"

enum { COMPRESS_ZSTD = 2, MAX_RATIO = 1100 }; /* zlib cannot do better; nor does zstd on real sections */

static bool inflate_zlib(const struct packed *p, void *to) {
    struct libdeflate_decompressor *z = libdeflate_alloc_decompressor();
    bool done = z && libdeflate_zlib_decompress(z, p->bytes, p->size, to, p->plain, NULL) == LIBDEFLATE_SUCCESS;
    libdeflate_free_decompressor(z);
    return done;
}

bool packed_inflate(const struct packed *p, void *to) {
    if (p->how == ELFCOMPRESS_ZLIB)
        return inflate_zlib(p, to);
    return p->how == COMPRESS_ZSTD && ZSTD_decompress(to, p->plain, p->bytes, p->size) == p->plain;
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
    if (!packed_inflate(&p, to)) {
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
