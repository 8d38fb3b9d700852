/* What -gsplit-dwarf leaves beside a program: .dwo files, each of one unit or a few, and .dwp packages of many.
 * May use: symbol/internal.h.
 * Must not: read entries; be included from other rooms. */
#pragma once

#include "symbol/internal.h"

/* The sections that a look-up reads; only packages have an index. */
enum dwo_section { DWO_INFO, DWO_ABBREV, DWO_STR, DWO_STR_OFFSETS, DWO_RNGLISTS, DWO_INDEX, DWO_SECTIONS };

/* Bytes of a file; NULL = there are none. */
struct dwo_bytes {
    const uint8_t *bytes;
    size_t size;
};

struct dwo_parts {
    struct dwo_bytes all[DWO_SECTIONS];
};

/* Zeros = none is open. */
struct dwo_file {
    struct elf_image image;
    struct dwo_parts parts;    /* of the whole file */
    void *owned[DWO_SECTIONS]; /* those that were compressed */
    size_t inflated;           /* bytes of `owned` */
};

/* Reads a file's sections. Takes over `fd`. -ENOEXEC when it holds no units, -EFBIG when it would take too much
 * memory, -EBADMSG, -ENOMEM, or what opening it met. */
int dwo_open(int fd, struct dwo_file *ret);
void dwo_close(struct dwo_file *f);
bool dwo_is_package(const struct dwo_file *f);

/* The parts of a package that belong to the unit of that id; false when it has none of it, or they lie outside. */
bool dwo_package_find(const struct dwo_file *package, uint64_t id, struct dwo_parts *ret);

/* ---- where they are ---- */

/* A folder that paths begin in, and the paths of the program itself and of its separate debug file. */
struct dwo_search {
    int root;             /* the target's root, which is looked into before ours; -1 = there is none */
    const char *paths[2]; /* NULL where there is none */
};

/* What a skeleton says of its file. */
struct dwo_name {
    const char *name, *directory; /* "" or NULL when it says nothing */
};

/* Says of an open file, which it takes over, whether it is the one. */
typedef bool dwo_found_fn(void *ctx, int fd);
/* Offers the regular files that a unit's may be, until one is taken; false when none was. */
bool dwo_find(const struct dwo_search *s, const struct dwo_name *name, dwo_found_fn *found, void *ctx);
/* The same for the package of a program. */
bool dwo_find_package(const struct dwo_search *s, dwo_found_fn *found, void *ctx);
