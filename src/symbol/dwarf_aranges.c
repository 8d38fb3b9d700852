#include "symbol/dwarf_aranges.h"

#include "base/bisect.h"

/* Skips what is not of our kind. */
void dwarf_aranges_next(struct dwarf_aranges *a) {
    while (!a->rest.failed && reader_left(&a->rest)) {
        bool wide;
        uint64_t length = reader_dwarf_length(&a->rest, &wide);
        const uint8_t *body = reader_bytes(&a->rest, length);
        struct reader r = reader_of(body, body ? length : 0);
        unsigned version = reader_u16(&r);
        uint64_t unit = wide ? reader_u64(&r) : reader_u32(&r);
        unsigned address = reader_u8(&r), segment = reader_u8(&r);
        reader_bytes(&r, wide ? 8 : 4); /* pairs are aligned to their size, from the length on */
        if (r.failed || version != 2 || address != 8 || segment != 0)
            continue;
        a->unit = unit;
        a->ranges = r;
        return;
    }
    a->unit = UINT64_MAX;
}

struct dwarf_aranges dwarf_aranges_open(const uint8_t *section, size_t size) {
    struct dwarf_aranges a = {.rest = reader_of(section, section ? size : 0)};
    dwarf_aranges_next(&a);
    return a;
}

bool dwarf_aranges_range(struct dwarf_aranges *a, uint64_t *low, uint64_t *size) {
    while (reader_left(&a->ranges) >= 16) {
        *low = reader_u64(&a->ranges);
        *size = reader_u64(&a->ranges);
        if (*low != 0) /* else discarded by the linker, or the end */
            return true;
    }
    return false;
}

/* ---- how far ---- */

struct reach {
    const uint64_t *addresses;
    size_t n, n_covered;
    bool covered[DWARF_MAX_REACH];
    uint64_t last; /* the unit that lies furthest behind of those that cover one */
    long work;     /* steps left: of a hostile file every range may cover every address */
};

static void mark_covered(struct reach *r, uint64_t unit, uint64_t low, uint64_t size) {
    size_t first = bisect(i, r->n, r->addresses[i] < low);
    r->work--;
    for (size_t i = first; i < r->n && r->addresses[i] - low < size && --r->work > 0; i++) {
        r->n_covered += !r->covered[i];
        r->covered[i] = true;
        r->last = unit > r->last ? unit : r->last;
    }
}

/* A unit ends at the latest where the next one that is listed begins. */
static uint64_t next_unit(const uint8_t *section, size_t size, uint64_t unit) {
    uint64_t next = UINT64_MAX;
    for (struct dwarf_aranges a = dwarf_aranges_open(section, size); a.unit != UINT64_MAX; dwarf_aranges_next(&a))
        if (a.unit > unit && a.unit < next)
            next = a.unit;
    return next;
}

uint64_t dwarf_aranges_reach(const uint8_t *section, size_t size, const uint64_t *addresses, size_t n) {
    struct reach r = {.addresses = addresses, .n = n, .work = 1 << 20};
    uint64_t low, bytes;
    if (n > DWARF_MAX_REACH)
        return UINT64_MAX;
    for (struct dwarf_aranges a = dwarf_aranges_open(section, size); a.unit != UINT64_MAX; dwarf_aranges_next(&a))
        while (r.work > 0 && dwarf_aranges_range(&a, &low, &bytes))
            mark_covered(&r, a.unit, low, bytes);
    if (r.work <= 0 || r.n_covered < n)
        return UINT64_MAX;
    return n ? next_unit(section, size, r.last) : 0;
}
