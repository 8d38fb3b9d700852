/* Files of split debug information: their sections, the index of a package, and where they may lie. A path in a
 * program is anybody's: it is opened as the target sees it, or as we do, and only if it is a regular file. */
#include "symbol/dwo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/reader.h"

enum { MAX_INFLATED = 128 << 20, MAX_COLUMNS = 32 };

/* ---- sections ---- */

static const char *const names[DWO_SECTIONS] = {".debug_info.dwo",        ".debug_abbrev.dwo",   ".debug_str.dwo",
                                                ".debug_str_offsets.dwo", ".debug_rnglists.dwo", ".debug_cu_index"};

static int inflate(struct dwo_file *f, const Elf64_Shdr *s, bool old, size_t which) {
    size_t size;
    int rc = inflate_section(&f->image, s, old, MAX_INFLATED - f->inflated, &f->owned[which], &size);
    if (rc < 0)
        return rc;
    f->inflated += size;
    f->parts.all[which] = (struct dwo_bytes){f->owned[which], size};
    return 0;
}

/* With or without the "z" that names had of old when a section was compressed. */
static bool is_named(const struct elf_image *e, const Elf64_Shdr *s, const char *name, bool *ret_old) {
    const char *own = s->sh_name < e->section_names_size ? e->section_names + s->sh_name : "";
    *ret_old = strncmp(own, ".z", 2) == 0;
    return own[0] == '.' && strcmp(own + 1 + *ret_old, name + 1) == 0;
}

static int read_bytes(struct dwo_file *f, const Elf64_Shdr *s, bool old, size_t which) {
    struct dwo_bytes *part = &f->parts.all[which];
    if (old || (s->sh_flags & SHF_COMPRESSED))
        return inflate(f, s, old, which);
    part->bytes = elf_image_bytes(&f->image, s, &part->size);
    return part->bytes ? 0 : -EBADMSG;
}

/* GCC puts each unit of a type into a section of its own, of the same name, before that of the code; clang puts all
 * into one. */
static bool has_types_alone(const struct dwo_bytes *info) {
    enum { SPLIT_TYPE = 6 };
    struct reader units = reader_of(info->bytes, info->size);
    while (reader_left(&units)) {
        bool wide;
        uint64_t length = reader_dwarf_length(&units, &wide);
        const uint8_t *unit = reader_bytes(&units, length);
        struct reader r = reader_of(unit, unit ? length : 0);
        if (reader_u16(&r) < 5 || reader_u8(&r) != SPLIT_TYPE)
            return false;
    }
    return true;
}

/* That it was inflated still counts, or there would be no end of it. */
static void forget_bytes(struct dwo_file *f, size_t which) {
    free(f->owned[which]);
    f->owned[which] = NULL;
    f->parts.all[which] = (struct dwo_bytes){0};
}

/* A section that is not there is empty; the reader of it will say so. */
static int read_section(struct dwo_file *f, size_t which) {
    bool old;
    for (size_t i = 0; i < f->image.n_sections; i++) {
        const Elf64_Shdr *s = &f->image.sections[i];
        if (!is_named(&f->image, s, names[which], &old))
            continue;
        int rc = read_bytes(f, s, old, which);
        if (rc < 0 || which != DWO_INFO || !has_types_alone(&f->parts.all[which]))
            return rc;
        forget_bytes(f, which);
    }
    return 0;
}

static int read_file(struct dwo_file *f) {
    for (size_t i = 0; i < DWO_SECTIONS; i++) {
        int rc = read_section(f, i);
        if (rc < 0)
            return rc;
    }
    return f->parts.all[DWO_INFO].size && f->parts.all[DWO_ABBREV].size ? 0 : -ENOEXEC;
}

int dwo_open(int fd, struct dwo_file *ret) {
    _cleanup_(closep) int owned = fd;
    struct dwo_file f = {0};
    int rc = elf_image_map(owned, &f.image);
    if (rc == 0)
        rc = read_file(&f);
    if (rc < 0)
        dwo_close(&f);
    else
        *ret = f;
    return rc;
}

void dwo_close(struct dwo_file *f) {
    for (size_t i = 0; i < DWO_SECTIONS; i++)
        free(f->owned[i]);
    elf_image_close(&f->image);
    *f = (struct dwo_file){0};
}

bool dwo_is_package(const struct dwo_file *f) {
    return f->parts.all[DWO_INDEX].bytes;
}

/* ---- the index of a package (DWARF 5 §7.3.5; of GNU tools before that: version 2) ---- */

struct package_index {
    const uint8_t *ids, *rows, *columns, *offsets, *sizes;
    uint32_t n_columns, n_units, n_slots;
    bool version5;
};

static bool read_index(const struct dwo_bytes *bytes, struct package_index *ret) {
    struct reader r = reader_of(bytes->bytes, bytes->size);
    uint32_t version = reader_u32(&r); /* since version 5 its upper half is padding */
    struct package_index i = {.version5 = (version & 0xffff) == 5};
    i.n_columns = reader_u32(&r);
    i.n_units = reader_u32(&r);
    i.n_slots = reader_u32(&r);
    if (r.failed || (version != 2 && !i.version5) || i.n_columns > MAX_COLUMNS || i.n_slots == 0 ||
        (i.n_slots & (i.n_slots - 1)) != 0)
        return false;
    uint64_t row = (uint64_t)i.n_columns * 4;
    i.ids = reader_bytes(&r, (uint64_t)i.n_slots * 8);
    i.rows = reader_bytes(&r, (uint64_t)i.n_slots * 4);
    i.columns = reader_bytes(&r, row);
    i.offsets = reader_bytes(&r, i.n_units * row);
    i.sizes = reader_bytes(&r, i.n_units * row);
    *ret = i;
    return !r.failed;
}

static uint32_t u32_at(const uint8_t *table, uint64_t index) {
    uint32_t v;
    memcpy(&v, table + index * 4, 4);
    return v;
}

/* Which row a unit has, from 1 on; 0 = none. It is an open hash table, which may be full. */
static uint32_t find_row(const struct package_index *i, uint64_t id) {
    uint32_t mask = i->n_slots - 1, at = (uint32_t)id & mask, step = ((uint32_t)(id >> 32) & mask) | 1;
    for (uint32_t tries = 0; tries < i->n_slots; tries++, at = (at + step) & mask) {
        uint64_t found;
        uint32_t row = u32_at(i->rows, at);
        memcpy(&found, i->ids + (uint64_t)at * 8, 8);
        if (row == 0 || row > i->n_units)
            return 0;
        if (found == id)
            return row;
    }
    return 0;
}

/* Columns are numbered as DW_SECT_… says. */
static size_t section_of_column(const struct package_index *i, uint32_t column) {
    switch (column) {
    case 1:
        return DWO_INFO;
    case 3:
        return DWO_ABBREV;
    case 6:
        return DWO_STR_OFFSETS;
    case 8: /* it was of macros */
        return i->version5 ? DWO_RNGLISTS : DWO_SECTIONS;
    default:
        return DWO_SECTIONS;
    }
}

bool dwo_package_find(const struct dwo_file *package, uint64_t id, struct dwo_parts *ret) {
    struct package_index i;
    uint32_t row = read_index(&package->parts.all[DWO_INDEX], &i) ? find_row(&i, id) : 0;
    struct dwo_parts parts = {.all[DWO_STR] = package->parts.all[DWO_STR]}; /* of all together */
    for (uint32_t c = 0; row && c < i.n_columns; c++) {
        size_t which = section_of_column(&i, u32_at(i.columns, c));
        uint64_t cell = (uint64_t)(row - 1) * i.n_columns + c;
        uint32_t offset = u32_at(i.offsets, cell), size = u32_at(i.sizes, cell);
        if (which == DWO_SECTIONS || size == 0)
            continue;
        const struct dwo_bytes *whole = &package->parts.all[which];
        if (offset > whole->size || size > whole->size - offset)
            return false;
        parts.all[which] = (struct dwo_bytes){whole->bytes + offset, size};
    }
    if (!parts.all[DWO_INFO].size || !parts.all[DWO_ABBREV].size)
        return false;
    *ret = parts;
    return true;
}

/* ---- where they are ---- */

enum { MAX_PATH = 4096 };

struct finding {
    const struct dwo_search *search;
    dwo_found_fn *found;
    void *ctx;
};

static int open_in_ours(const char *path) {
    _cleanup_(closep) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? -errno : target_open_in_root(root, path);
}

/* In the target's root and in ours. Nothing of this may be open when it is offered: libdw may not come back. */
static bool offer(const struct finding *f, const char *path) {
    if (path[0] != '/')
        return false;
    int fd = f->search->root < 0 ? -ENOENT : target_open_in_root(f->search->root, path);
    if (fd >= 0 && f->found(f->ctx, fd))
        return true;
    fd = open_in_ours(path);
    return fd >= 0 && f->found(f->ctx, fd);
}

_printf_(2, 3) static bool offer_path(const struct finding *f, const char *format, ...) {
    char path[MAX_PATH];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    return n > 0 && (size_t)n < sizeof(path) && offer(f, path);
}

static int directory_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path) : 0;
}

/* Beside a file: the path as it was given, and its last part, when all was copied into one folder. */
static bool offer_beside(const struct finding *f, const char *path, const char *name) {
    const char *slash = strrchr(name, '/');
    int directory = directory_length(path);
    if (slash && name[0] != '/' && offer_path(f, "%.*s/%s", directory, path, name))
        return true;
    return offer_path(f, "%.*s/%s", directory, path, slash ? slash + 1 : name);
}

bool dwo_find(const struct dwo_search *s, const struct dwo_name *name, dwo_found_fn *found, void *ctx) {
    const struct finding f = {s, found, ctx};
    if (!name->name || !name->name[0])
        return false;
    if (name->name[0] == '/' ? offer(&f, name->name)
                             : name->directory && offer_path(&f, "%s/%s", name->directory, name->name))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(s->paths); i++)
        if (s->paths[i] && offer_beside(&f, s->paths[i], name->name))
            return true;
    return false;
}

/* "prog.dwp" belongs to "prog", and to its "prog.debug". */
static bool offer_package(const struct finding *f, const char *path) {
    static const char ending[] = ".debug";
    size_t n = strlen(path), e = sizeof(ending) - 1;
    return offer_path(f, "%s.dwp", path) ||
           (n > e && strcmp(path + n - e, ending) == 0 && offer_path(f, "%.*s.dwp", (int)(n - e), path));
}

bool dwo_find_package(const struct dwo_search *s, dwo_found_fn *found, void *ctx) {
    const struct finding f = {s, found, ctx};
    for (size_t i = 0; i < ARRAY_SIZE(s->paths); i++)
        if (s->paths[i] && offer_package(&f, s->paths[i]))
            return true;
    return false;
}
