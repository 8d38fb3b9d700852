/* Decompression: SHF_COMPRESSED sections (zlib, zstd) and xz. A header may claim any size: what it claims is
 * bounded before memory is taken. */
#include <errno.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "symbol/internal.h"

enum { COMPRESS_ZSTD = 2, MAX_RATIO = 1100 }; /* zlib cannot do better; nor does zstd on real sections */

/* A stretch of compressed bytes. */
struct packed {
    uint32_t how;
    const uint8_t *bytes;
    size_t size, plain; /* as it is, and as it claims to become */
};

static bool inflate_known(const struct packed *p, void *to) {
    if (p->how == ELFCOMPRESS_ZLIB) {
        uLongf n = p->plain;
        return uncompress(to, &n, p->bytes, p->size) == Z_OK && n == p->plain;
    }
    return p->how == COMPRESS_ZSTD && ZSTD_decompress(to, p->plain, p->bytes, p->size) == p->plain;
}

static int inflate_to(const struct packed *p, size_t limit, void **ret, size_t *ret_size) {
    if (p->plain > limit)
        return -EFBIG;
    if (p->plain / MAX_RATIO > p->size)
        return -EBADMSG;
    void *to = mem_alloc(p->plain);
    if (!to)
        return -ENOMEM;
    if (!inflate_known(p, to)) {
        free(to);
        return -EBADMSG;
    }
    *ret = to;
    *ret_size = p->plain;
    return 0;
}

int inflate_section(const struct elf_image *e, const Elf64_Shdr *s, size_t limit, void **ret, size_t *ret_size) {
    Elf64_Chdr h;
    size_t size;
    const uint8_t *bytes = elf_image_bytes(e, s, &size);
    if (!bytes || size < sizeof(h))
        return -EBADMSG;
    memcpy(&h, bytes, sizeof(h));
    struct packed p = {h.ch_type, bytes + sizeof(h), size - sizeof(h), h.ch_size};
    return inflate_to(&p, limit, ret, ret_size);
}

/* Before there was a flag: "ZLIB", the size in eight bytes, most significant first, and the stream. */
int inflate_old_section(const struct elf_image *e, const Elf64_Shdr *s, size_t limit, void **ret, size_t *ret_size) {
    size_t size, plain = 0;
    const uint8_t *bytes = elf_image_bytes(e, s, &size);
    if (!bytes || size < 12 || memcmp(bytes, "ZLIB", 4) != 0)
        return -EBADMSG;
    for (size_t i = 4; i < 12; i++)
        plain = plain << 8 | bytes[i];
    struct packed p = {ELFCOMPRESS_ZLIB, bytes + 12, size - 12, plain};
    return inflate_to(&p, limit, ret, ret_size);
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
