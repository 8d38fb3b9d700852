/* The units of a file and the addresses they cover. Compilers list those in .debug_aranges, most of them, in
 * the order of the units: nothing of what is listed there is read before it is looked at. Only for an address that is
 * not listed all units are: of those that are listed the header, of others the root. */
#include <errno.h>

#include "base/reader.h"
#include "symbol/dwarf_aranges.h"
#include "symbol/dwarf_internal.h"

enum {
    MAX_UNITS = 4 << 20,
    WORK_OPEN = 64 << 20, /* steps: ranges read */
};

int dwarf_add_ranges(struct dwarf_file *d, const struct dwarf_split *split, Dwarf_Die *die, uint32_t what,
                     struct dwarf_ranges *list) {
    struct dwarf_range_walk walk = {0};
    Dwarf_Addr low, high;
    while (dwarf_next_range(split, die, &walk, &low, &high)) {
        if (--d->work < 0)
            return -EBADMSG;
        if (low == 0) /* discarded by the linker */
            continue;
        if (dwarf_ranges_add(list, low, high, what) < 0)
            return -ENOMEM;
    }
    return 0;
}

static struct dwarf_aranges open_listed(const struct elf_image *e) {
    const Elf64_Shdr *s = elf_image_section(e, ".debug_aranges");
    size_t size = 0;
    const uint8_t *bytes = s ? elf_image_bytes(e, s, &size) : NULL;
    return dwarf_aranges_open(bytes, size);
}

/* Adds the ranges of the unit at an offset, if they are listed. *ret tells whether any were. */
static int add_listed(struct dwarf_file *d, struct dwarf_aranges *l, uint64_t unit, bool *ret) {
    uint64_t low, size;
    *ret = false;
    while (l->unit < unit)
        dwarf_aranges_next(l);
    for (; l->unit == unit; dwarf_aranges_next(l))
        while (dwarf_aranges_range(l, &low, &size)) {
            if (dwarf_ranges_add(&d->ranges, low, low + size, (uint32_t)d->n_units) < 0)
                return -ENOMEM;
            *ret = true;
        }
    return 0;
}

/* ---- units ---- */

static bool has_code(const Dwarf_Die *root) {
    uint8_t type;
    return dwarf_cu_info(root->cu, NULL, &type, NULL, NULL, NULL, NULL, NULL) == 0 &&
           (type == DW_UT_compile || type == DW_UT_skeleton || type == DW_UT_partial);
}

/* libdw would make an object of every unit that it is asked about, and keep it. (DWARF 5 §7.5.1; those before had no
 * type, and the size of an address last.) */
bool dwarf_read_unit_place(struct reader *r, const uint8_t *section, struct dwarf_unit_place *ret) {
    struct dwarf_unit_place p = {.header = (uint64_t)(r->pos - section), .type = DW_UT_compile};
    uint64_t length = reader_dwarf_length(r, &p.wide);
    const uint8_t *body = reader_bytes(r, length);
    struct reader h = reader_of(body, body ? length : 0);
    size_t offset = p.wide ? 8 : 4;
    p.version = reader_u16(&h);
    if (p.version >= 5) {
        p.type = reader_u8(&h);
        p.address_bytes = reader_u8(&h);
    }
    reader_bytes(&h, offset); /* of the abbreviations */
    if (p.version < 5)
        p.address_bytes = reader_u8(&h);
    if (p.type == DW_UT_skeleton || p.type == DW_UT_split_compile)
        p.id = reader_u64(&h);
    else if (p.type == DW_UT_type || p.type == DW_UT_split_type)
        reader_bytes(&h, 8 + offset);
    if (r->failed || h.failed || p.version < 2 || p.version > 5)
        return false;
    p.root = (uint64_t)(h.pos - section);
    p.end = (uint64_t)(r->pos - section);
    *ret = p;
    return true;
}

static int append_unit(struct dwarf_file *d, Dwarf_Off header, Dwarf_Off root) {
    if (mem_grow((void **)&d->units, &d->cap_units, d->n_units + 1, sizeof(*d->units)) < 0)
        return -ENOMEM;
    d->units[d->n_units++] = (struct dwarf_unit){.header = header, .die = root};
    return 0;
}

static int add_unit(struct dwarf_file *d, struct dwarf_aranges *l, const struct dwarf_unit_place *place) {
    Dwarf_Die root;
    bool listed;
    int rc = add_listed(d, l, place->header, &listed);
    if (rc < 0 || (!listed && (!dwarf_offdie(d->dwarf, place->root, &root) || !has_code(&root))))
        return rc;
    if (append_unit(d, place->header, place->root) < 0)
        return -ENOMEM;
    return listed ? 0 : dwarf_add_ranges(d, NULL, &root, (uint32_t)d->n_units - 1, &d->ranges);
}

static const uint8_t *info_of(const struct dwarf_file *d, size_t *ret_size) {
    const Elf64_Shdr *s = elf_image_section(d->image, ".debug_info");
    *ret_size = 0;
    return s ? elf_image_bytes(d->image, s, ret_size) : NULL;
}

/* libdw must see the unit in the same place: what is listed may be anything. */
bool dwarf_unit_root(const struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *ret) {
    if (!u->die) {
        size_t size;
        struct dwarf_unit_place place;
        const uint8_t *section = info_of(d, &size);
        if (!section || u->header >= size)
            return false;
        struct reader r = reader_of(section, size);
        reader_bytes(&r, u->header);
        if (!dwarf_read_unit_place(&r, section, &place) || !dwarf_offdie(d->dwarf, place.root, ret) ||
            dwarf_dieoffset(ret) - dwarf_cuoffset(ret) != u->header)
            return false;
        u->die = place.root;
    }
    return dwarf_offdie(d->dwarf, u->die, ret);
}

void dwarf_units_forget(struct dwarf_file *d) {
    dwarf_splits_close(d); /* which point to them */
    for (size_t i = 0; i < d->n_units; i++) {
        dwarf_unit_forget(&d->units[i]);
        dwarf_lines_free(d->units[i].lines);
    }
    d->n_units = 0;
    d->kept = 0;
    dwarf_ranges_free(&d->ranges);
}

/* Those that are listed, in order. -ENOENT when none is, or they are in another one. */
static int list_units(struct dwarf_file *d) {
    struct dwarf_aranges l = open_listed(d->image);
    while (l.unit != UINT64_MAX) {
        bool ranges;
        uint64_t unit = l.unit;
        if (d->n_units == MAX_UNITS || (d->n_units && unit <= d->units[d->n_units - 1].header))
            return -ENOENT;
        if (add_listed(d, &l, unit, &ranges) < 0 || append_unit(d, unit, 0) < 0)
            return -ENOMEM;
    }
    return d->ranges.count ? dwarf_ranges_finish(&d->ranges) : -ENOENT;
}

int dwarf_units_open(struct dwarf_file *d) {
    int rc = list_units(d);
    d->listed = rc == 0;
    return rc == -ENOENT ? dwarf_units_read(d) : rc;
}

int dwarf_units_read(struct dwarf_file *d) {
    struct dwarf_aranges l = open_listed(d->image);
    struct dwarf_unit_place place;
    size_t size;
    const uint8_t *section = info_of(d, &size);
    struct reader r = reader_of(section, section ? size : 0);
    uint64_t released = 0;
    int rc = 0;
    dwarf_units_forget(d);
    d->listed = d->wants_all = false;
    d->work = WORK_OPEN;
    while (rc == 0 && d->n_units < MAX_UNITS && reader_left(&r) && dwarf_read_unit_place(&r, section, &place)) {
        rc = add_unit(d, &l, &place);
        if (place.end - released > DWARF_RELEASE_EVERY) {
            released = place.end;
            elf_image_release_pages(d->image);
        }
    }
    elf_image_release_pages(d->image);
    if (rc < 0)
        return rc;
    return d->ranges.count ? dwarf_ranges_finish(&d->ranges) : -ENOENT;
}
