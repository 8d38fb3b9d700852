/* Functions, lines and inlined calls from DWARF 2 to 5, through libdw. Opening reads the root of each unit
 * for the addresses it covers; the first look into a unit makes a table of its functions; the tree below a
 * function is walked only where the address lies.
 *
 * libdw checks bounds but not effort: siblings may form rings, and one list of ranges may belong to a
 * million entries. So each look-up has a budget, and a file that exceeds it is done with. */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <string.h>

#include "symbol/dwarf_ranges.h"
#include "symbol/internal.h"

enum {
    MAX_UNITS = 4 << 20,
    MAX_DEPTH = 256,
    MAX_LINE_PROGRAM = 64 << 20, /* of one unit */
    WORK_OPEN = 64 << 20,        /* steps: entries looked at, ranges read */
    WORK_LOOKUP = 8 << 20,
    RELEASE_EVERY = 32 << 20, /* bytes of .debug_info between giving pages back */
};

struct dwarf_unit {
    Dwarf_Off die;
    bool read;
    struct dwarf_ranges functions; /* what = offset of the function's entry from that of the unit */
};

struct dwarf_file {
    Elf *elf, *alt_elf;
    Dwarf *dwarf, *alt;
    const struct elf_image *image;
    struct dwarf_ranges ranges; /* what = index into units */
    struct dwarf_unit *units;
    size_t n_units, cap_units;
    long work; /* steps left */
};

/* ---- opening ---- */

static int add_ranges(struct dwarf_file *d, Dwarf_Die *die, uint32_t what, struct dwarf_ranges *list) {
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

static bool has_code(uint8_t type) {
    return type == DW_UT_compile || type == DW_UT_skeleton || type == DW_UT_partial;
}

/* Only the root of each unit is read. */
static int read_units(struct dwarf_file *d) {
    Dwarf_CU *cu = NULL;
    Dwarf_Die die;
    Dwarf_Off released = 0;
    uint8_t type;
    d->work = WORK_OPEN;
    while (dwarf_get_units(d->dwarf, cu, &cu, NULL, &type, &die, NULL) == 0 && d->n_units < MAX_UNITS) {
        if (!has_code(type))
            continue;
        if (mem_grow((void **)&d->units, &d->cap_units, d->n_units + 1, sizeof(*d->units)) < 0)
            return -ENOMEM;
        d->units[d->n_units] = (struct dwarf_unit){.die = dwarf_dieoffset(&die)};
        int rc = add_ranges(d, &die, (uint32_t)d->n_units, &d->ranges);
        if (rc < 0)
            return rc;
        if (d->units[d->n_units++].die - released > RELEASE_EVERY) {
            released = d->units[d->n_units - 1].die;
            elf_image_release_pages(d->image);
        }
    }
    elf_image_release_pages(d->image);
    return d->ranges.count ? dwarf_ranges_finish(&d->ranges) : -ENOENT;
}

static Dwarf *open_image(const struct elf_image *image, Elf **ret_elf) {
    elf_version(EV_CURRENT);
    *ret_elf = elf_memory((char *)(uintptr_t)image->data, image->size);
    return *ret_elf ? dwarf_begin_elf(*ret_elf, DWARF_C_READ, NULL) : NULL;
}

int dwarf_file_open(const struct elf_image *image, const struct elf_image *alt, struct dwarf_file **ret) {
    struct dwarf_file *d = mem_zalloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->image = image;
    d->dwarf = open_image(image, &d->elf);
    if (d->dwarf && alt)
        d->alt = open_image(alt, &d->alt_elf);
    if (d->alt)
        dwarf_setalt(d->dwarf, d->alt);
    int rc = d->dwarf ? read_units(d) : -EBADMSG;
    if (rc < 0) {
        dwarf_file_close(d);
        return rc;
    }
    *ret = d;
    return 0;
}

void dwarf_file_close(struct dwarf_file *d) {
    if (!d)
        return;
    for (size_t i = 0; i < d->n_units; i++)
        dwarf_ranges_free(&d->units[i].functions);
    free(d->units);
    dwarf_ranges_free(&d->ranges);
    dwarf_end(d->dwarf); /* NULL does nothing, here and below */
    dwarf_end(d->alt);
    elf_end(d->elf);
    elf_end(d->alt_elf);
    free(d);
}

/* ---- functions of a unit ---- */

/* The next entry; siblings only ever lie further on, whatever a file says. */
static bool next_sibling(struct dwarf_file *d, Dwarf_Die *die) {
    Dwarf_Die next;
    if (--d->work < 0 || dwarf_siblingof(die, &next) != 0 || next.addr <= die->addr)
        return false;
    *die = next;
    return true;
}

/* Functions lie below the unit, namespaces and classes. Those inside functions are found by descend(). */
static bool may_hold_functions(int tag) {
    return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
           tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type || tag == DW_TAG_module;
}

static int collect_functions(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *parent, unsigned depth) {
    Dwarf_Die die;
    if (depth > 32 || dwarf_child(parent, &die) != 0)
        return 0;
    do {
        int tag = dwarf_tag(&die), rc = 0;
        if (tag == DW_TAG_subprogram && dwarf_dieoffset(&die) - u->die <= UINT32_MAX)
            rc = add_ranges(d, &die, (uint32_t)(dwarf_dieoffset(&die) - u->die), &u->functions);
        if (may_hold_functions(tag))
            rc = collect_functions(d, u, &die, depth + 1);
        if (rc < 0)
            return rc;
    } while (next_sibling(d, &die));
    return 0;
}

static const struct dwarf_range *find_function(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *unit_die,
                                               uint64_t address) {
    if (!u->read) {
        u->read = true;
        if (collect_functions(d, u, unit_die, 0) < 0 || dwarf_ranges_finish(&u->functions) < 0)
            dwarf_ranges_free(&u->functions);
    }
    return dwarf_ranges_find(&u->functions, address);
}

/* ---- the chain of inlined calls ---- */

static bool covers(struct dwarf_file *d, Dwarf_Die *die, uint64_t address) {
    Dwarf_Addr base = 0, low, high;
    ptrdiff_t at = 0;
    while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0 && --d->work >= 0)
        if (address >= low && address < high)
            return true;
    return false;
}

static bool may_cover(int tag) {
    return tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_subprogram;
}

/* The child that holds the address. */
static bool find_child(struct dwarf_file *d, Dwarf_Die *parent, uint64_t address, Dwarf_Die *ret) {
    if (dwarf_child(parent, ret) != 0)
        return false;
    do
        if (may_cover(dwarf_tag(ret)) && covers(d, ret, address))
            return true;
    while (next_sibling(d, ret));
    return false;
}

/* Follows the blocks and inlined calls that hold the address; chain[0] is the function. */
static size_t descend(struct dwarf_file *d, Dwarf_Die *function, uint64_t address, Dwarf_Die *chain, size_t max) {
    Dwarf_Die at = *function, child;
    size_t n = 0;
    chain[n++] = *function;
    for (unsigned depth = 0; depth < MAX_DEPTH && find_child(d, &at, address, &child); depth++) {
        int tag = dwarf_tag(&child);
        if (tag == DW_TAG_subprogram)
            n = 0; /* a function inside a function is not inlined into it */
        if (tag != DW_TAG_lexical_block) {
            if (n == max)
                break;
            chain[n++] = child;
        }
        at = child;
    }
    return n;
}

static const char *name_of(Dwarf_Die *die) {
    Dwarf_Attribute attribute;
    const char *name = NULL;
    if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
        dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
        name = dwarf_formstring(&attribute);
    if (!name && dwarf_attr_integrate(die, DW_AT_name, &attribute))
        name = dwarf_formstring(&attribute);
    return name;
}

static uint32_t number_of(Dwarf_Die *die, unsigned what) {
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    if (!dwarf_attr_integrate(die, what, &attribute) || dwarf_formudata(&attribute, &value) != 0)
        return 0;
    return value <= UINT32_MAX ? (uint32_t)value : 0;
}

/* ---- files and lines ---- */

/* Whether the unit's line program is of a size that a program has. */
static bool has_sane_lines(struct dwarf_file *d, Dwarf_Die *unit) {
    Dwarf_Attribute attribute;
    Dwarf_Word offset;
    uint32_t length;
    size_t size;
    const Elf64_Shdr *s = elf_image_section(d->image, ".debug_line");
    const uint8_t *bytes = s ? elf_image_bytes(d->image, s, &size) : NULL;
    if (!bytes) /* of an old compressed kind (.zdebug_line): libdw's own */
        return elf_image_section(d->image, ".zdebug_line") != NULL;
    if (!dwarf_attr(unit, DW_AT_stmt_list, &attribute) || dwarf_formudata(&attribute, &offset) != 0 || size < 4 ||
        offset > size - 4)
        return false;
    memcpy(&length, bytes + offset, 4);
    return length == UINT32_MAX ? size - offset <= MAX_LINE_PROGRAM : length <= MAX_LINE_PROGRAM;
}

/* The file of an inlined call, as its caller's unit numbers it. */
static const char *call_file(Dwarf_Die *unit, Dwarf_Die *inlined) {
    Dwarf_Files *files;
    size_t n;
    uint32_t index = number_of(inlined, DW_AT_call_file);
    if (dwarf_getsrcfiles(unit, &files, &n) != 0 || index >= n)
        return "";
    const char *name = dwarf_filesrc(files, index, NULL, NULL);
    return name ? name : "";
}

/* "/a/build/../src/./x.c" is /a/src/x.c. Compilers write paths as they were given; where a directory was a link
 * this may name another file, but it is what everybody who reads it takes it for. */
static void simplify_path(char *path) {
    char *to = path;
    for (const char *from = path; *from;) {
        size_t n = strcspn(from + 1, "/") + 1; /* a component with the slash before it */
        if (n == 3 && memcmp(from, "/..", 3) == 0 && to > path) {
            while (to > path && *--to != '/')
                ;
        } else if (!(n == 2 && from[1] == '.') && n > 1) {
            memmove(to, from, n);
            to += n;
        }
        from += n;
    }
    *to = '\0';
}

/* Paths may be relative to the unit's directory. */
static const char *full_path(struct symbol_names *names, Dwarf_Die *unit, const char *file) {
    if (!file || !file[0])
        return symbol_names_text(names, file);
    Dwarf_Attribute attribute;
    const char *directory = "";
    if (file[0] != '/' && dwarf_attr(unit, DW_AT_comp_dir, &attribute))
        directory = dwarf_formstring(&attribute);
    if (file[0] != '/' && (!directory || directory[0] != '/'))
        return symbol_names_text(names, file);
    _cleanup_(freep) char *path = file[0] == '/' ? mem_strdup(file) : mem_printf("%s/%s", directory, file);
    if (path)
        simplify_path(path);
    return symbol_names_text(names, path);
}

static void fill_line(Dwarf_Die *unit, struct symbol_names *names, uint64_t address, struct symbol_location *ret) {
    Dwarf_Line *line = dwarf_getsrc_die(unit, address);
    int number = 0, column = 0;
    if (!line)
        return;
    ret->file = full_path(names, unit, dwarf_linesrc(line, NULL, NULL));
    if (dwarf_lineno(line, &number) == 0 && number > 0)
        ret->line = (uint32_t)number;
    if (dwarf_linecol(line, &column) == 0 && column > 0)
        ret->column = (uint32_t)column;
}

/* chain is outermost first; ret is innermost first. The line in an outer function is that of the call
 * that was inlined into it. */
static size_t fill_chain(Dwarf_Die *unit, struct symbol_names *names, const Dwarf_Die *chain, size_t n,
                         struct symbol_location *ret) {
    for (size_t i = 0; i < n; i++) {
        Dwarf_Die die = chain[n - 1 - i];
        struct symbol_name name = symbol_names_get(names, name_of(&die));
        ret[i] = (struct symbol_location){.name = name.demangled,
                                          .system_name = name.plain,
                                          .file = "",
                                          .start_line = number_of(&die, DW_AT_decl_line),
                                          .inlined = i + 1 < n};
        if (i == 0 || !unit)
            continue;
        Dwarf_Die inner = chain[n - i];
        ret[i].file = full_path(names, unit, call_file(unit, &inner));
        ret[i].line = number_of(&inner, DW_AT_call_line);
        ret[i].column = number_of(&inner, DW_AT_call_column);
    }
    return n;
}

static size_t lookup(struct dwarf_file *d, struct symbol_names *names, uint64_t address, struct symbol_location *ret,
                     size_t max) {
    const struct dwarf_range *range = dwarf_ranges_find(&d->ranges, address);
    Dwarf_Die unit, function, chain[SYMBOL_MAX_INLINES];
    if (!range || !dwarf_offdie(d->dwarf, d->units[range->what].die, &unit))
        return 0;
    struct dwarf_unit *u = &d->units[range->what];
    bool lines = has_sane_lines(d, &unit);
    const struct dwarf_range *f = find_function(d, u, &unit, address);
    size_t n = 1;
    ret[0] = (struct symbol_location){.name = "", .system_name = "", .file = ""};
    if (f && dwarf_offdie(d->dwarf, u->die + f->what, &function)) {
        n = descend(d, &function, address, chain, MIN(max, (size_t)SYMBOL_MAX_INLINES));
        fill_chain(lines ? &unit : NULL, names, chain, n, ret);
    }
    if (lines)
        fill_line(&unit, names, address, &ret[0]);
    return ret[0].line || ret[0].name[0] ? n : 0;
}

size_t dwarf_file_lookup(struct dwarf_file *d, struct symbol_names *names, uint64_t address,
                         struct symbol_location *ret, size_t max) {
    if (d->work < 0)
        return 0;
    d->work = WORK_LOOKUP;
    size_t n = lookup(d, names, address, ret, max);
    return d->work < 0 ? 0 : n;
}
