/* Addresses, ranges and strings of split units. libdw has the tables that these are numbered in only where it opens
 * files by itself, and that it must not. */
#include "symbol/dwarf_split.h"

static const struct reader nothing = {.failed = true};

/* The bytes of a table from one place on; the reader has failed when that lies outside. */
static struct reader table_at(const struct dwo_bytes *table, uint64_t offset) {
    if (!table->bytes || offset >= table->size)
        return nothing;
    return reader_of(table->bytes + offset, table->size - offset);
}

static struct reader value_of(const struct dwarf_tables *t, const Dwarf_Attribute *a) {
    uintptr_t at = (uintptr_t)a->valp - (uintptr_t)t->entries.bytes;
    return table_at(&t->entries, at);
}

static uint64_t read_offset(struct reader *r, bool wide) {
    return wide ? reader_u64(r) : reader_u32(r);
}

/* How long the number is that a form gives in place of a value (DWARF 5 §7.5.6); 0 = LEB128, -1 = it gives none. */
static int number_bytes(unsigned form) {
    switch (form) {
    case DW_FORM_addrx:
    case DW_FORM_strx:
    case DW_FORM_rnglistx:
    case DW_FORM_GNU_addr_index:
    case DW_FORM_GNU_str_index:
        return 0;
    case DW_FORM_addrx1:
    case DW_FORM_strx1:
        return 1;
    case DW_FORM_addrx2:
    case DW_FORM_strx2:
        return 2;
    case DW_FORM_addrx3:
    case DW_FORM_strx3:
        return 3;
    case DW_FORM_addrx4:
    case DW_FORM_strx4:
        return 4;
    default:
        return -1;
    }
}

static bool read_number(const struct dwarf_tables *t, const Dwarf_Attribute *a, uint64_t *ret) {
    struct reader r = value_of(t, a);
    uint64_t number = 0;
    int n = number_bytes(a->form);
    const uint8_t *bytes = n > 0 ? reader_bytes(&r, (size_t)n) : NULL;
    if (n == 0)
        number = reader_uleb(&r);
    else if (bytes)
        memcpy(&number, bytes, (size_t)n);
    *ret = number;
    return n >= 0 && !r.failed;
}

const char *dwarf_split_string(const struct dwarf_tables *t, const Dwarf_Attribute *a) {
    uint64_t number;
    if (!read_number(t, a, &number) || number >= t->string_offsets.size)
        return NULL;
    struct reader offsets = table_at(&t->string_offsets, number * (t->wide ? 8 : 4));
    uint64_t offset = read_offset(&offsets, t->wide);
    struct reader text = table_at(&t->strings, offset);
    const char *string = offsets.failed ? "" : reader_cstr(&text);
    return offsets.failed || text.failed ? NULL : string;
}

/* ---- addresses ---- */

static bool numbered_address(const struct dwarf_tables *t, uint64_t number, Dwarf_Addr *ret) {
    if (number >= t->addresses.size)
        return false;
    struct reader r = table_at(&t->addresses, number * 8);
    *ret = reader_u64(&r);
    return !r.failed;
}

static bool is_address(const struct dwarf_tables *t, const Dwarf_Attribute *a, Dwarf_Addr *ret) {
    uint64_t number;
    if (a->form != DW_FORM_addr)
        return read_number(t, a, &number) && numbered_address(t, number, ret);
    struct reader r = value_of(t, a);
    *ret = reader_u64(&r);
    return !r.failed;
}

/* An end is an address, or how far it is from the start. */
static bool one_range(const struct dwarf_tables *t, Dwarf_Die *die, Dwarf_Addr *low, Dwarf_Addr *high) {
    Dwarf_Attribute a;
    Dwarf_Word size;
    if (!dwarf_attr(die, DW_AT_low_pc, &a) || !is_address(t, &a, low) || !dwarf_attr(die, DW_AT_high_pc, &a))
        return false;
    if (is_address(t, &a, high))
        return true;
    if (dwarf_formudata(&a, &size) != 0)
        return false;
    *high = *low + size;
    return true;
}

/* ---- lists of ranges ---- */

/* Before version 5 (DWARF 4 §2.17.3): pairs, relative to a base. */
static bool next_pair(struct dwarf_range_walk *w, Dwarf_Addr *low, Dwarf_Addr *high) {
    uint64_t from = reader_u64(&w->list), to = reader_u64(&w->list);
    if (w->list.failed || (from == 0 && to == 0))
        return false;
    *low = *high = 0;
    if (from == UINT64_MAX) {
        w->base = to;
        return true;
    }
    *low = w->base + from;
    *high = w->base + to;
    return true;
}

static Dwarf_Addr read_numbered(const struct dwarf_tables *t, struct reader *r) {
    Dwarf_Addr address = 0;
    if (!numbered_address(t, reader_uleb(r), &address))
        r->failed = true;
    return address;
}

/* Since then (DWARF 5 §7.25). */
static bool next_entry(const struct dwarf_tables *t, struct dwarf_range_walk *w, Dwarf_Addr *low, Dwarf_Addr *high) {
    struct reader *r = &w->list;
    *low = *high = 0;
    switch (reader_u8(r)) {
    case DW_RLE_base_addressx:
        w->base = read_numbered(t, r);
        break;
    case DW_RLE_base_address:
        w->base = reader_u64(r);
        break;
    case DW_RLE_startx_endx:
        *low = read_numbered(t, r);
        *high = read_numbered(t, r);
        break;
    case DW_RLE_startx_length:
        *low = read_numbered(t, r);
        *high = *low + reader_uleb(r);
        break;
    case DW_RLE_offset_pair:
        *low = w->base + reader_uleb(r);
        *high = w->base + reader_uleb(r);
        break;
    case DW_RLE_start_end:
        *low = reader_u64(r);
        *high = reader_u64(r);
        break;
    case DW_RLE_start_length:
        *low = reader_u64(r);
        *high = *low + reader_uleb(r);
        break;
    default: /* the end, or nothing that is known */
        return false;
    }
    return !r->failed;
}

/* A list is given by its offset, or by the number of it in a table that follows the header of all of them. */
static struct reader list_of(const struct dwarf_tables *t, Dwarf_Die *die) {
    Dwarf_Attribute a;
    uint64_t number, header = t->wide ? 20 : 12;
    if (!dwarf_attr(die, DW_AT_ranges, &a))
        return nothing;
    struct reader given = value_of(t, &a);
    if (a.form != DW_FORM_rnglistx)
        return table_at(&t->ranges, a.form == DW_FORM_sec_offset ? read_offset(&given, t->wide) : UINT64_MAX);
    if (!read_number(t, &a, &number) || number >= t->ranges.size)
        return nothing;
    struct reader offsets = table_at(&t->ranges, header + number * (t->wide ? 8 : 4));
    uint64_t offset = read_offset(&offsets, t->wide);
    return table_at(&t->ranges, offsets.failed || offset > t->ranges.size ? UINT64_MAX : header + offset);
}

bool dwarf_split_next_range(const struct dwarf_tables *t, Dwarf_Die *die, struct dwarf_range_walk *w, Dwarf_Addr *low,
                            Dwarf_Addr *high) {
    if (w->at < 0)
        return false;
    if (w->at == 0) {
        w->at = -1;
        if (one_range(t, die, low, high))
            return true;
        w->at = 1;
        w->base = t->base;
        w->list = list_of(t, die);
    }
    return !w->list.failed && (t->version5 ? next_entry(t, w, low, high) : next_pair(w, low, high));
}
