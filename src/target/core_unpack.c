/* Compressed cores, as crash handlers store them: unpacked to a memory file, within bounds.
 * Formats: gzip (RFC 1952), Zstandard (RFC 8878). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/file.h"
#include "target/core.h"

enum { CHUNK = 256 << 10 };
static const uint64_t max_unpacked = 64ull << 30; /* most of it usually zeros, which take no memory */

/* Where unpacked bytes go. Pages of zeros stay holes. */
struct unpacked {
    int fd;
    uint64_t at, stored, may_store;
};

static uint64_t available_memory(void) {
    char text[4096];
    int n = proc_read_text(AT_FDCWD, "/proc/meminfo", text, sizeof(text));
    unsigned long long kib = n > 0 ? strtoull(proc_field(text, "MemAvailable"), NULL, 10) : 0;
    return kib ? (uint64_t)kib << 10 : 1ull << 30;
}

static bool is_zero(const uint8_t *p, size_t n) {
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int put(struct unpacked *u, const uint8_t *p, size_t n) {
    if (u->at + n > max_unpacked)
        return -EFBIG;
    for (size_t k; n > 0; p += k, n -= k, u->at += k) {
        k = MIN(n, PAGE_BYTES - (size_t)(u->at % PAGE_BYTES));
        if (is_zero(p, k))
            continue;
        u->stored += k;
        if (u->stored > u->may_store)
            return -EFBIG;
        int rc = file_write_at(u->fd, p, k, u->at);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the two formats ---- */

static int unpack_gzip(int fd, struct unpacked *u, uint8_t *in, uint8_t *out) {
    z_stream z = {0};
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return -ENOMEM;
    int rc = 0, status = Z_OK;
    ssize_t n = 0;
    while (rc == 0 && (n = read(fd, in, CHUNK)) > 0) {
        z.next_in = in;
        z.avail_in = (unsigned)n;
        while (rc == 0 && z.avail_in) {
            if (status == Z_STREAM_END && inflateReset(&z) != Z_OK) /* several members, one after the other */
                rc = -EBADMSG;
            z.next_out = out;
            z.avail_out = CHUNK;
            status = inflate(&z, Z_NO_FLUSH);
            if (status != Z_OK && status != Z_STREAM_END)
                rc = -EBADMSG;
            int stored = put(u, out, CHUNK - z.avail_out);
            rc = rc < 0 ? rc : stored;
        }
    }
    inflateEnd(&z);
    return rc < 0 ? rc : n < 0 ? -errno : status == Z_STREAM_END ? 0 : -EBADMSG;
}

static int unpack_zstd(int fd, struct unpacked *u, uint8_t *in, uint8_t *out) {
    ZSTD_DStream *z = ZSTD_createDStream();
    if (!z)
        return -ENOMEM;
    int rc = 0;
    size_t left = 1;
    ssize_t n = 0;
    while (rc == 0 && (n = read(fd, in, CHUNK)) > 0) {
        ZSTD_inBuffer from = {.src = in, .size = (size_t)n};
        bool full = true; /* a full output buffer may have left more behind */
        while (rc == 0 && (from.pos < from.size || (full && left))) {
            ZSTD_outBuffer to = {.dst = out, .size = CHUNK};
            left = ZSTD_decompressStream(z, &to, &from);
            rc = ZSTD_isError(left) ? -EBADMSG : put(u, out, to.pos);
            full = to.pos == to.size;
        }
    }
    ZSTD_freeDStream(z);
    return rc < 0 ? rc : n < 0 ? -errno : left == 0 ? 0 : -EBADMSG;
}

/* ---- which one ---- */

typedef int unpack_fn(int fd, struct unpacked *u, uint8_t *in, uint8_t *out);

static unpack_fn *format_of(const uint8_t magic[6], const char **ret_foreign) {
    *ret_foreign = NULL;
    if (memcmp(magic, "\x1f\x8b", 2) == 0)
        return unpack_gzip;
    if (memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0)
        return unpack_zstd;
    if (memcmp(magic,
               "\xfd"
               "7zXZ",
               5) == 0)
        *ret_foreign = "xz -dk";
    else if (memcmp(magic, "\x04\x22\x4d\x18", 4) == 0)
        *ret_foreign = "lz4 -dk";
    else if (memcmp(magic, "BZh", 3) == 0)
        *ret_foreign = "bzip2 -dk";
    return NULL;
}

static int refuse(const char *path, int rc, struct err *err) {
    if (rc == -EFBIG)
        return err_set(err, rc, "Unpack it to disk and name the unpacked file",
                       "%s unpacks to more than half of the memory that is free", path);
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc == -EBADMSG)
        return err_set(err, rc, "Copy it again from where it came", "%s is compressed, and damaged or cut short", path);
    return err_set(err, rc, NULL, "Cannot unpack %s: %s", path, strerror(-rc));
}

int core_unpack(int *fd, const char *path, struct err *err) {
    uint8_t magic[6] = {0};
    const char *foreign;
    if (pread(*fd, magic, sizeof(magic), 0) < 0)
        return err_set(err, -errno, NULL, "Cannot read %s: %s", path, strerror(errno));
    unpack_fn *unpack = format_of(magic, &foreign);
    if (foreign)
        return err_set(err, -EBADMSG, "scry reads cores that are plain, or compressed by gzip or zstd",
                       "%s is compressed: unpack it first with %s", path, foreign);
    if (!unpack)
        return 0;
    _cleanup_(freep) uint8_t *buffers = mem_alloc(2 * CHUNK);
    _cleanup_(closep) int memory = memfd_create("core", MFD_CLOEXEC);
    if (!buffers || memory < 0)
        return err_nomem(err);
    struct unpacked u = {.fd = memory, .may_store = available_memory() / 2};
    int rc = unpack(*fd, &u, buffers, buffers + CHUNK);
    if (rc == 0 && ftruncate(memory, (off_t)u.at) < 0)
        rc = -errno;
    if (rc < 0)
        return refuse(path, rc, err);
    close(*fd);
    *fd = TAKE_FD(memory);
    return 0;
}
