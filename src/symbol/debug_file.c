/* Where separate debug files are: by build id, then by debuglink, in the target's root, then in ours. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "symbol/internal.h"

static int open_in(struct target *t, const char *path) {
    if (t)
        return target_open_path(t, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* CRC-32 of the whole file, as .gnu_debuglink demands. */
static bool crc_matches(int fd, uint32_t expected) {
    unsigned char bytes[65536];
    uLong crc = crc32(0, NULL, 0);
    ssize_t n;
    off_t at = 0;
    while ((n = pread(fd, bytes, sizeof(bytes), at)) > 0) {
        crc = crc32(crc, bytes, (uInt)n);
        at += n;
    }
    return n == 0 && crc == expected;
}

static int find_by_build_id(struct target *t, const char *root, const char *build_id) {
    char path[4096];
    if (strlen(build_id) < 4)
        return -ENOENT;
    snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s.debug", root, build_id, build_id + 2);
    return open_in(t, path);
}

static int find_by_link(struct target *t, const char *root, const char *path, const char *link, uint32_t crc) {
    const char *slash = strrchr(path, '/');
    int directory = slash ? (int)(slash - path) : 0;
    char candidates[3][4096];
    snprintf(candidates[0], sizeof(candidates[0]), "%.*s/%s", directory, path, link);
    snprintf(candidates[1], sizeof(candidates[1]), "%.*s/.debug/%s", directory, path, link);
    snprintf(candidates[2], sizeof(candidates[2]), "%s%.*s/%s", root, directory, path, link);
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(candidates[i], path) == 0)
            continue;
        int fd = open_in(t, candidates[i]);
        if (fd >= 0 && crc_matches(fd, crc))
            return fd;
        if (fd >= 0)
            close(fd);
    }
    return -ENOENT;
}

int debug_file_find(const struct symbol_search *search, const char *path, const char *build_id, const char *link,
                    uint32_t link_crc) {
    const char *root = search && search->debug_root ? search->debug_root : "/usr/lib/debug";
    struct target *places[2] = {search ? search->target : NULL, NULL};
    for (size_t i = places[0] ? 0 : 1; i < 2; i++) {
        int fd = find_by_build_id(places[i], root, build_id);
        if (fd < 0 && link && !strchr(link, '/'))
            fd = find_by_link(places[i], root, path, link, link_crc);
        if (fd >= 0)
            return fd;
    }
    return -ENOENT;
}
