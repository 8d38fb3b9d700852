/* Where separate debug files are: by build id, then by .gnu_debuglink, in the target's root or in ours; and
 * the file that dwz moved what several have in common to (.gnu_debugaltlink). A candidate found by name is
 * believed when its build id is the same, or its checksum is the one that the link gives. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "symbol/internal.h"

enum { MAX_CHECKED_BYTES = 1 << 30 }; /* nobody waits for the checksum of more */

struct place {
    const char *root; /* of debug files: /usr/lib/debug */
    struct target *target;
};

static int open_in(struct target *t, const char *path) {
    if (t)
        return target_open_path(t, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

static void add(struct debug_candidates *c, const struct place *place, const char *path, bool by_link) {
    if (c->count == DEBUG_CANDIDATES)
        return;
    _cleanup_(closep) int fd = open_in(place->target, path);
    struct debug_candidate new = {.by_link = by_link};
    if (fd < 0 || elf_image_map(fd, &new.image) < 0)
        return;
    new.path = mem_strdup(path);
    if (!new.path) {
        elf_image_close(&new.image);
        return;
    }
    c->all[c->count++] = new;
}

static void add_by_build_id(struct debug_candidates *c, const struct place *place, const char *build_id) {
    char path[4096];
    if (strlen(build_id) < 4)
        return;
    snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s.debug", place->root, build_id, build_id + 2);
    add(c, place, path, false);
}

/* The name in a link section: a string and, after it, something else. Copied; "" when broken. */
static const uint8_t *read_link(const struct elf_image *e, const char *section, size_t *ret_size, char name[1024]) {
    const Elf64_Shdr *s = elf_image_section(e, section);
    const uint8_t *bytes = s ? elf_image_bytes(e, s, ret_size) : NULL;
    name[0] = '\0';
    if (!bytes || *ret_size < 2)
        return NULL;
    size_t n = strnlen((const char *)bytes, MIN(*ret_size - 1, (size_t)1023));
    memcpy(name, bytes, n);
    name[n] = '\0';
    return bytes;
}

static int directory_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path) : 0;
}

static void add_by_link(struct debug_candidates *c, const struct place *place, const struct elf_image *e,
                        const char *path) {
    char name[1024], at[3][8192];
    size_t size;
    if (!read_link(e, ".gnu_debuglink", &size, name) || !name[0] || strchr(name, '/'))
        return;
    int directory = directory_length(path);
    const char *lead = directory || path[0] == '/' ? "" : ".";
    snprintf(at[0], sizeof(at[0]), "%s%.*s/%s", lead, directory, path, name);
    snprintf(at[1], sizeof(at[1]), "%s%.*s/.debug/%s", lead, directory, path, name);
    snprintf(at[2], sizeof(at[2]), "%s%.*s/%s", place->root, directory, path, name);
    for (size_t i = 0; i < 3; i++)
        if (strcmp(at[i], path) != 0)
            add(c, place, at[i], true);
}

static struct place place_of(const char *debug_root, struct target *t) {
    return (struct place){debug_root ? debug_root : "/usr/lib/debug", t};
}

void debug_candidates_add(struct debug_candidates *c, const char *debug_root, struct target *t,
                          const struct elf_image *e, const char *path) {
    struct place place = place_of(debug_root, t);
    char build_id[BUILD_ID_TEXT];
    elf_image_build_id(e, build_id);
    add_by_build_id(c, &place, build_id);
    add_by_link(c, &place, e, path);
}

/* ---- dwz ---- */

/* The build id that follows the name in .gnu_debugaltlink. */
static void alt_build_id(const struct elf_image *e, char ret[BUILD_ID_TEXT]) {
    char name[1024];
    size_t size;
    const uint8_t *bytes = read_link(e, ".gnu_debugaltlink", &size, name);
    ret[0] = '\0';
    if (!bytes)
        return;
    size_t at = strlen(name) + 1;
    if (at >= size || size - at > 64)
        return;
    for (size_t i = at; i < size; i++)
        snprintf(ret + 2 * (i - at), 3, "%02x", bytes[i]);
}

void debug_candidates_add_alt(struct debug_candidates *c, const char *debug_root, struct target *t,
                              const struct elf_image *e, const char *path) {
    struct place place = place_of(debug_root, t);
    char build_id[BUILD_ID_TEXT], name[1024], at[8192];
    size_t size;
    alt_build_id(e, build_id);
    if (!read_link(e, ".gnu_debugaltlink", &size, name) || !name[0] || !build_id[0])
        return;
    add_by_build_id(c, &place, build_id);
    int directory = name[0] == '/' ? 0 : directory_length(path);
    snprintf(at, sizeof(at), "%.*s%s%s", directory, path, directory ? "/" : "", name);
    add(c, &place, at, false);
}

/* ---- choosing ---- */

/* CRC-32 of the whole file: the last four bytes of .gnu_debuglink. */
static bool crc_matches(const struct elf_image *e, const struct elf_image *candidate) {
    char name[1024];
    size_t size;
    uint32_t expected;
    const uint8_t *bytes = read_link(e, ".gnu_debuglink", &size, name);
    if (!bytes || size < 8 || candidate->size > MAX_CHECKED_BYTES)
        return false;
    memcpy(&expected, bytes + size - 4, 4);
    uLong crc = crc32(0, NULL, 0);
    for (size_t at = 0; at < candidate->size;) {
        size_t n = MIN(candidate->size - at, (size_t)1 << 24);
        crc = crc32(crc, candidate->data + at, (uInt)n);
        at += n;
    }
    elf_image_release_pages(candidate);
    return crc == expected;
}

static bool is_right(const struct elf_image *e, const struct debug_candidate *c) {
    char expected[BUILD_ID_TEXT], alt[BUILD_ID_TEXT], found[BUILD_ID_TEXT];
    elf_image_build_id(e, expected);
    elf_image_build_id(&c->image, found);
    alt_build_id(e, alt);
    if (!c->by_link)
        return found[0] && (strcmp(found, expected) == 0 || strcmp(found, alt) == 0);
    if (expected[0] && found[0])
        return strcmp(expected, found) == 0;
    return crc_matches(e, &c->image);
}

int debug_candidates_choose(struct debug_candidates *c, const struct elf_image *e, struct debug_candidate *ret) {
    int rc = -ENOENT;
    for (size_t i = 0; i < c->count && rc < 0; i++)
        if (is_right(e, &c->all[i])) {
            *ret = c->all[i];
            c->all[i] = (struct debug_candidate){0};
            rc = 0;
        }
    debug_candidates_close(c);
    return rc;
}

void debug_candidate_close(struct debug_candidate *c) {
    elf_image_close(&c->image);
    free(c->path);
    *c = (struct debug_candidate){0};
}

void debug_candidates_close(struct debug_candidates *c) {
    for (size_t i = 0; i < c->count; i++)
        debug_candidate_close(&c->all[i]);
    c->count = 0;
}
