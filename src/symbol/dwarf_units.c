/* The units of a file and the addresses they cover. Compilers list those in .debug_aranges, most of them, in
 * the order of the units: of what is listed there only the header is read, of other units the root. */
#include <errno.h>

#include "base/reader.h"
#include "symbol/dwarf_internal.h"

enum {
    MAX_UNITS = 4 << 20,
    WORK_OPEN = 64 << 20, /* steps: ranges read */
};

int dwarf_add_ranges(struct dwarf_file *d, Dwarf_Die *die, uint32_t what, struct dwarf_ranges *list) {
    Dwarf_Addr base = 0, low, high;
    ptrdiff_t at = 0;
    while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
        if (--d->work < 0)
            return -EBADMSG;
        if (low == 0) /* discarded by the linker */
            continue;
        if (dwarf_ranges_add(list, low, high, what) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- .debug_aranges (DWARF 5 §6.1.2) ---- */

/* The ranges of one unit, and where the next one's are. */
struct listed {
    struct reader rest;
    uint64_t unit; /* offset of its header; UINT64_MAX = there are no more */
    struct reader ranges;
};

/* Skips what is not of our kind. */
static void next_listed(struct listed *l) {
    while (!l->rest.failed && reader_left(&l->rest)) {
        uint64_t length = reader_u32(&l->rest);
        bool wide = length == UINT32_MAX;
        if (wide)
            length = reader_u64(&l->rest);
        const uint8_t *body = reader_bytes(&l->rest, length);
        struct reader r = reader_of(body, body ? length : 0);
        unsigned version = reader_u16(&r);
        uint64_t unit = wide ? reader_u64(&r) : reader_u32(&r);
        unsigned address = reader_u8(&r), segment = reader_u8(&r);
        reader_bytes(&r, wide ? 8 : 4); /* pairs are aligned to their size, from the length on */
        if (r.failed || version != 2 || address != 8 || segment != 0)
            continue;
        l->unit = unit;
        l->ranges = r;
        return;
    }
    l->unit = UINT64_MAX;
}

static struct listed open_listed(const struct elf_image *e) {
    const Elf64_Shdr *s = elf_image_section(e, ".debug_aranges");
    size_t size = 0;
    const uint8_t *bytes = s ? elf_image_bytes(e, s, &size) : NULL;
    struct listed l = {.rest = reader_of(bytes, bytes ? size : 0)};
    next_listed(&l);
    return l;
}

/* Adds the ranges of the unit at an offset, if they are listed. *ret tells whether any were. */
static int add_listed(struct dwarf_file *d, struct listed *l, uint64_t unit, bool *ret) {
    *ret = false;
    while (l->unit < unit)
        next_listed(l);
    for (; l->unit == unit; next_listed(l))
        while (reader_left(&l->ranges) >= 16) {
            uint64_t low = reader_u64(&l->ranges), size = reader_u64(&l->ranges);
            if (low == 0) /* discarded by the linker, or the end */
                continue;
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

/* `die` is the offset of its root. */
static int add_unit(struct dwarf_file *d, struct listed *l, Dwarf_Off unit, Dwarf_Off die) {
    Dwarf_Die root;
    bool listed;
    int rc = add_listed(d, l, unit, &listed);
    if (rc < 0 || (!listed && (!dwarf_offdie(d->dwarf, die, &root) || !has_code(&root))))
        return rc;
    if (mem_grow((void **)&d->units, &d->cap_units, d->n_units + 1, sizeof(*d->units)) < 0)
        return -ENOMEM;
    d->units[d->n_units++] = (struct dwarf_unit){.die = die};
    return listed ? 0 : dwarf_add_ranges(d, &root, (uint32_t)d->n_units - 1, &d->ranges);
}

int dwarf_units_read(struct dwarf_file *d) {
    struct listed l = open_listed(d->image);
    Dwarf_Off unit = 0, next, released = 0;
    size_t header;
    int rc = 0;
    d->work = WORK_OPEN;
    while (rc == 0 && d->n_units < MAX_UNITS && dwarf_nextcu(d->dwarf, unit, &next, &header, NULL, NULL, NULL) == 0) {
        rc = add_unit(d, &l, unit, unit + header);
        if (next <= unit)
            break;
        unit = next;
        if (unit - released > DWARF_RELEASE_EVERY) {
            released = unit;
            elf_image_release_pages(d->image);
        }
    }
    elf_image_release_pages(d->image);
    if (rc < 0)
        return rc;
    return d->ranges.count ? dwarf_ranges_finish(&d->ranges) : -ENOENT;
}
