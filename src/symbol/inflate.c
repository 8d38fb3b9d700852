/* Decompression: SHF_COMPRESSED sections (zlib, zstd) and xz. A header may claim any size: what it claims is
 * bounded before memory is taken. */
#include <errno.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "symbol/internal.h"

enum { COMPRESS_ZSTD = 2, MAX_RATIO = 1100 }; /* zlib cannot do better; nor does zstd on real sections */

static bool inflate_known(uint32_t how, const uint8_t *bytes, size_t size, void *to, size_t expected) {
    if (how == ELFCOMPRESS_ZLIB) {
        uLongf n = expected;
        return uncompress(to, &n, bytes, size) == Z_OK && n == expected;
    }
    return how == COMPRESS_ZSTD && ZSTD_decompress(to, expected, bytes, size) == expected;
}

int inflate_section(const struct elf_image *e, const Elf64_Shdr *s, size_t limit, void **ret, size_t *ret_size) {
    Elf64_Chdr h;
    size_t size;
    const uint8_t *bytes = elf_image_bytes(e, s, &size);
    if (!bytes || size < sizeof(h))
        return -EBADMSG;
    memcpy(&h, bytes, sizeof(h));
    if (h.ch_size > limit)
        return -EFBIG;
    if (h.ch_size / MAX_RATIO > size)
        return -EBADMSG;
    void *to = mem_alloc(h.ch_size);
    if (!to)
        return -ENOMEM;
    if (!inflate_known(h.ch_type, bytes + sizeof(h), size - sizeof(h), to, h.ch_size)) {
        free(to);
        return -EBADMSG;
    }
    *ret = to;
    *ret_size = h.ch_size;
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
