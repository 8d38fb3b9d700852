/* Opening split units, when an address in one is looked up: out of the package of the program, else each out of its
 * file. One is believed that has the id which the skeleton gives. libdw sees an image of ours, with the entries of
 * the unit and what abbreviates them, under the names that they would have in a program: it knows no packages before
 * 0.191, and would open files where a hostile program says. */
#include "symbol/dwarf_internal.h"

enum {
    MAX_HELD = 64 << 20,       /* bytes of units that are open */
    MAX_UNIT_BYTES = 96 << 20, /* of the entries in one file, and of what abbreviates them */
    MAX_UNITS_IN_FILE = 4096,  /* link-time optimisation puts a few into one */
    MAX_REFUSED = 256,         /* then there is nothing to be had for this program */
};

/* ---- what a skeleton says ---- */

struct skeleton {
    uint64_t id, low, addresses, ranges; /* where tables begin */
    struct dwo_name where;
    bool version5;
};

static const char *string_either(Dwarf_Die *die, unsigned what, unsigned old) {
    Dwarf_Attribute a;
    return dwarf_attr(die, what, &a) || dwarf_attr(die, old, &a) ? dwarf_formstring(&a) : NULL;
}

static bool number_of(Dwarf_Die *die, unsigned what, uint64_t *ret) {
    Dwarf_Attribute a;
    Dwarf_Word value;
    if (!dwarf_attr(die, what, &a) || dwarf_formudata(&a, &value) != 0)
        return false;
    *ret = value;
    return true;
}

/* False when it is none. */
static bool read_skeleton(Dwarf_Die *root, struct skeleton *ret) {
    struct skeleton s = {.where.name = string_either(root, DW_AT_dwo_name, DW_AT_GNU_dwo_name)};
    Dwarf_Half version;
    uint8_t address_bytes;
    if (!s.where.name || dwarf_cu_info(root->cu, &version, NULL, NULL, NULL, &s.id, &address_bytes, NULL) != 0 ||
        address_bytes != 8)
        return false;
    s.version5 = version >= 5;
    if (!s.version5 && !number_of(root, DW_AT_GNU_dwo_id, &s.id))
        return false;
    s.where.directory = string_either(root, DW_AT_comp_dir, DW_AT_comp_dir);
    (void)dwarf_lowpc(root, &s.low); /* else 0, as its tables begin at 0 where it does not say */
    (void)(number_of(root, DW_AT_addr_base, &s.addresses) || number_of(root, DW_AT_GNU_addr_base, &s.addresses));
    (void)number_of(root, DW_AT_GNU_ranges_base, &s.ranges);
    *ret = s;
    return true;
}

/* ---- one unit ---- */

static void close_split(struct dwarf_split *s) {
    if (s->unit)
        s->unit->split = NULL;
    dwarf_end(s->dwarf); /* NULL does nothing, here and below */
    elf_end(s->elf);
    elf_image_close(&s->image);
    dwo_close(&s->file);
    *s = (struct dwarf_split){0};
}

static bool has_id(struct dwarf_split *s, const struct dwarf_unit_place *place, const struct skeleton *k) {
    Dwarf_Die root;
    uint64_t id;
    if (place->version >= 5)
        return k->version5 && place->type == DW_UT_split_compile && place->id == k->id;
    return !k->version5 && dwarf_offdie(s->dwarf, place->root, &root) && number_of(&root, DW_AT_GNU_dwo_id, &id) &&
           id == k->id;
}

static bool find_unit(struct dwarf_split *s, const struct dwo_bytes *info, const struct skeleton *k) {
    struct dwarf_unit_place place;
    struct reader r = reader_of(info->bytes, info->size);
    for (unsigned i = 0; i < MAX_UNITS_IN_FILE && reader_left(&r) && dwarf_read_unit_place(&r, info->bytes, &place);
         i++)
        if (place.address_bytes == 8 && has_id(s, &place, k)) {
            s->root = place.root;
            s->tables.wide = place.wide;
            return true;
        }
    return false;
}

static struct dwo_bytes section_from(const struct elf_image *e, const char *name, uint64_t offset) {
    const Elf64_Shdr *section = elf_image_section(e, name);
    struct dwo_bytes all = {0};
    if (section)
        all.bytes = elf_image_bytes(e, section, &all.size);
    return all.bytes && offset <= all.size ? (struct dwo_bytes){all.bytes + offset, all.size - offset}
                                           : (struct dwo_bytes){0};
}

/* Since version 5 offsets of strings have a header. */
static struct dwo_bytes without_header(const struct dwo_bytes *b, size_t size) {
    return b->bytes && b->size >= size ? (struct dwo_bytes){b->bytes + size, b->size - size} : (struct dwo_bytes){0};
}

static void fill_tables(const struct dwarf_file *d, struct dwarf_split *s, const struct dwo_parts *parts,
                        const struct skeleton *k) {
    struct dwarf_tables *t = &s->tables;
    size_t header = !k->version5 ? 0 : t->wide ? 16 : 8;
    t->version5 = k->version5;
    t->base = k->low;
    t->entries = (struct dwo_bytes){s->image.data, s->image.size};
    t->addresses = section_from(d->image, ".debug_addr", k->addresses);
    t->ranges = k->version5 ? parts->all[DWO_RNGLISTS] : section_from(d->image, ".debug_ranges", k->ranges);
    t->strings = parts->all[DWO_STR];
    t->string_offsets = without_header(&parts->all[DWO_STR_OFFSETS], header);
}

/* Whether the unit of that skeleton is among these parts of a file. Then it is open. */
static bool open_parts(struct dwarf_file *d, struct dwarf_split *s, const struct dwo_file *file,
                       const struct dwo_parts *parts, const struct skeleton *k) {
    const struct dwo_bytes *info = &parts->all[DWO_INFO], *abbreviations = &parts->all[DWO_ABBREV];
    const struct dwarf_image_part sections[] = {{".debug_info", info->bytes, info->size},
                                                {".debug_abbrev", abbreviations->bytes, abbreviations->size}};
    if (info->size > MAX_UNIT_BYTES || abbreviations->size > MAX_UNIT_BYTES - info->size ||
        dwarf_image_of(&file->image, sections, ARRAY_SIZE(sections), &s->image) < 0)
        return false;
    elf_image_release_pages(&file->image);
    s->dwarf = dwarf_open_image(&s->image, &s->elf);
    const struct dwo_bytes copy = section_from(&s->image, ".debug_info", 0);
    if (!s->dwarf || !find_unit(s, &copy, k))
        return false;
    fill_tables(d, s, parts, k);
    return true;
}

/* ---- finding it ---- */

struct attempt {
    struct dwarf_file *d;
    struct dwarf_split *split;
    const struct skeleton *skeleton;
};

/* What is half open when libdw leaves us is closed with all others. */
static bool try_file(void *ctx, int fd) {
    struct attempt *a = ctx;
    struct dwarf_split *s = a->split;
    if (a->d->splits->refused >= MAX_REFUSED) {
        close(fd);
        return false;
    }
    if (dwo_open(fd, &s->file) == 0 && open_parts(a->d, s, &s->file, &s->file.parts, a->skeleton))
        return true;
    close_split(s);
    a->d->splits->refused++;
    return false;
}

static bool try_package(void *ctx, int fd) {
    struct dwo_file *package = ctx;
    if (dwo_open(fd, package) < 0)
        return false;
    if (dwo_is_package(package))
        return true;
    dwo_close(package);
    return false;
}

static bool find_in_package(const struct attempt *a) {
    struct dwarf_splits *all = a->d->splits;
    struct dwo_parts parts;
    if (!all->package_tried)
        (void)dwo_find_package(a->d->split, try_package, &all->package); /* there need not be one */
    all->package_tried = true;
    if (!dwo_is_package(&all->package) || !dwo_package_find(&all->package, a->skeleton->id, &parts))
        return false;
    if (open_parts(a->d, a->split, &all->package, &parts, a->skeleton))
        return true;
    close_split(a->split);
    return false;
}

/* ---- those that are open ---- */

static size_t held_by(const struct dwarf_split *s) {
    return s->image.size + s->file.inflated;
}

static struct dwarf_split *least_used(struct dwarf_splits *all, const struct dwarf_split *but) {
    struct dwarf_split *found = NULL;
    for (size_t i = 0; i < DWARF_OPEN_SPLITS; i++)
        if (all->all[i].unit && &all->all[i] != but && (!found || all->all[i].used < found->used))
            found = &all->all[i];
    return found;
}

static struct dwarf_split *free_place(struct dwarf_splits *all) {
    struct dwarf_split *place = NULL;
    for (size_t i = 0; i < DWARF_OPEN_SPLITS && !place; i++)
        if (!all->all[i].unit)
            place = &all->all[i];
    if (!place)
        place = least_used(all, NULL);
    close_split(place);
    return place;
}

size_t dwarf_splits_held(const struct dwarf_file *d) {
    size_t sum = d->splits ? d->splits->package.inflated : 0;
    for (size_t i = 0; d->splits && i < DWARF_OPEN_SPLITS; i++)
        sum += held_by(&d->splits->all[i]);
    return sum;
}

void dwarf_splits_close(struct dwarf_file *d) {
    if (!d->splits)
        return;
    for (size_t i = 0; i < DWARF_OPEN_SPLITS; i++)
        close_split(&d->splits->all[i]);
    dwo_close(&d->splits->package);
    d->splits->package_tried = false;
}

/* Many that are small, or one that is large. */
static void make_room(struct dwarf_file *d, const struct dwarf_split *newest) {
    struct dwarf_split *s;
    while (dwarf_splits_held(d) > MAX_HELD && (s = least_used(d->splits, newest)))
        close_split(s);
}

static bool open_anew(struct dwarf_file *d, struct dwarf_unit *u, const struct skeleton *k) {
    if (!d->splits && !(d->splits = mem_zalloc(1, sizeof(*d->splits))))
        return false;
    struct attempt a = {d, free_place(d->splits), k};
    if (!find_in_package(&a) && !dwo_find(d->split, &k->where, try_file, &a))
        return false;
    a.split->unit = u;
    u->split = a.split;
    make_room(d, a.split);
    return true;
}

/* What was read of a unit before, or of another file, is not read of this one. */
void dwarf_split_open(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *root) {
    struct skeleton k;
    bool before = u->in_split;
    if (u->split_tried && !u->in_split)
        return;
    u->split_tried = true;
    if (!u->split)
        u->in_split = read_skeleton(root, &k) && open_anew(d, u, &k);
    if (u->in_split != before)
        dwarf_unit_forget(u);
    if (u->split)
        u->split->used = ++d->splits->clock;
}
