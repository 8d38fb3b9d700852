/* Lines and inlined calls from DWARF, through libdw. Per compilation unit a table of its functions is
 * made at the first look into it; the tree below a function is walked only where the address lies. */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <string.h>

#include "symbol/internal.h"

enum { MAX_UNITS = 1 << 20, MAX_FUNCTIONS = 1 << 20, MAX_DEPTH = 256 };

struct dwarf_range {
    uint64_t low, high;
    Dwarf_Off die;  /* of the unit, or of the function in it */
    uint32_t unit;  /* index into units */
};

struct dwarf_unit {
    bool read;
    struct dwarf_range *functions;
    size_t n_functions, cap_functions;
};

struct dwarf_file {
    int fd;
    Dwarf *dwarf;
    struct dwarf_range *ranges; /* of units, sorted */
    size_t n_ranges, cap_ranges;
    struct dwarf_unit *units;
    size_t n_units, cap_units;
};

static int by_low(const void *a, const void *b) {
    const struct dwarf_range *x = a, *y = b;
    return x->low < y->low ? -1 : x->low > y->low;
}

static int add_ranges(Dwarf_Die *die, uint32_t unit, struct dwarf_range **list, size_t *n, size_t *cap) {
    Dwarf_Addr base = 0, low, high;
    ptrdiff_t at = 0;
    while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
        if (high <= low || low == 0 || *n >= MAX_FUNCTIONS) /* at 0: discarded by the linker */
            continue;
        if (mem_grow((void **)list, cap, *n + 1, sizeof(**list)) < 0)
            return -ENOMEM;
        (*list)[(*n)++] = (struct dwarf_range){.low = low, .high = high, .die = dwarf_dieoffset(die), .unit = unit};
    }
    return 0;
}

static const struct dwarf_range *find_range(const struct dwarf_range *list, size_t n, uint64_t address) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (list[mid].low <= address)
            low = mid + 1;
        else
            high = mid;
    }
    /* Ranges hardly ever nest; look a little further back for those that do. */
    for (size_t back = 1; back <= 8 && back <= low; back++)
        if (address < list[low - back].high)
            return &list[low - back];
    return NULL;
}

/* Only the root of each unit is read. */
static int read_units(struct dwarf_file *d) {
    Dwarf_CU *cu = NULL;
    Dwarf_Die die;
    uint8_t type;
    while (dwarf_get_units(d->dwarf, cu, &cu, NULL, &type, &die, NULL) == 0 && d->n_units < MAX_UNITS) {
        if (type != DW_UT_compile && type != DW_UT_skeleton && type != DW_UT_partial)
            continue;
        if (mem_grow((void **)&d->units, &d->cap_units, d->n_units + 1, sizeof(*d->units)) < 0 ||
            add_ranges(&die, (uint32_t)d->n_units, &d->ranges, &d->n_ranges, &d->cap_ranges) < 0)
            return -ENOMEM;
        d->units[d->n_units++] = (struct dwarf_unit){0};
    }
    if (d->n_ranges)
        qsort(d->ranges, d->n_ranges, sizeof(*d->ranges), by_low);
    return d->n_ranges ? 0 : -ENOENT;
}

int dwarf_file_open(int fd, struct dwarf_file **ret) {
    struct dwarf_file *d = mem_zalloc(1, sizeof(*d));
    if (!d) {
        close(fd);
        return -ENOMEM;
    }
    d->fd = fd;
    d->dwarf = dwarf_begin(fd, DWARF_C_READ);
    int rc = d->dwarf ? read_units(d) : -ENOENT;
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
        free(d->units[i].functions);
    free(d->units);
    free(d->ranges);
    if (d->dwarf)
        dwarf_end(d->dwarf);
    close(d->fd);
    free(d);
}

/* ---- functions of a unit ---- */

/* Functions lie below the unit, namespaces, classes and other functions. */
static bool may_hold_functions(int tag) {
    return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type || tag == DW_TAG_module ||
           tag == DW_TAG_subprogram;
}

static int collect_functions(struct dwarf_unit *u, Dwarf_Die *parent, unsigned depth) {
    Dwarf_Die die;
    if (depth > 32 || dwarf_child(parent, &die) != 0)
        return 0;
    do {
        int tag = dwarf_tag(&die);
        if (tag == DW_TAG_subprogram &&
            add_ranges(&die, 0, &u->functions, &u->n_functions, &u->cap_functions) < 0)
            return -ENOMEM;
        if (may_hold_functions(tag) && tag != DW_TAG_subprogram && collect_functions(u, &die, depth + 1) < 0)
            return -ENOMEM;
    } while (dwarf_siblingof(&die, &die) == 0);
    return 0;
}

static const struct dwarf_range *find_function(struct dwarf_file *d, uint32_t unit, Dwarf_Die *unit_die,
                                               uint64_t address) {
    struct dwarf_unit *u = &d->units[unit];
    if (!u->read) {
        u->read = true;
        if (collect_functions(u, unit_die, 0) < 0)
            return NULL;
        if (u->n_functions)
            qsort(u->functions, u->n_functions, sizeof(*u->functions), by_low);
    }
    return find_range(u->functions, u->n_functions, address);
}

/* ---- the chain of inlined calls ---- */

/* Follows the blocks and inlined calls that hold the address; chain[0] is the function. */
static size_t descend(Dwarf_Die *function, uint64_t address, Dwarf_Die *chain, size_t max) {
    Dwarf_Die at = *function, child;
    size_t n = 0;
    chain[n++] = *function;
    for (unsigned depth = 0; depth < MAX_DEPTH && dwarf_child(&at, &child) == 0; depth++) {
        bool found = false;
        do {
            int tag = dwarf_tag(&child);
            if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block) && dwarf_haspc(&child, address) == 1) {
                found = true;
                break;
            }
        } while (dwarf_siblingof(&child, &child) == 0);
        if (!found)
            break;
        if (dwarf_tag(&child) == DW_TAG_inlined_subroutine) {
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
        return symbol_names_get(names, file).plain;
    Dwarf_Attribute attribute;
    const char *directory = "";
    if (file[0] != '/' && dwarf_attr(unit, DW_AT_comp_dir, &attribute))
        directory = dwarf_formstring(&attribute);
    if (file[0] != '/' && (!directory || directory[0] != '/'))
        return symbol_names_get(names, file).plain;
    _cleanup_(freep) char *path = file[0] == '/' ? mem_strdup(file) : mem_printf("%s/%s", directory, file);
    if (path)
        simplify_path(path);
    return symbol_names_get(names, path).plain;
}

static void fill_line(Dwarf_Die *unit, struct symbol_names *names, uint64_t address, struct symbol_location *ret) {
    Dwarf_Line *line = dwarf_getsrc_die(unit, address);
    int number = 0, column = 0;
    ret->file = "";
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
static size_t fill_chain(Dwarf_Die *unit, struct symbol_names *names, uint64_t address, Dwarf_Die *chain, size_t n,
                         struct symbol_location *ret) {
    for (size_t i = 0; i < n; i++) {
        Dwarf_Die *die = &chain[n - 1 - i];
        struct symbol_name name = symbol_names_get(names, name_of(die));
        ret[i] = (struct symbol_location){.name = name.demangled,
                                          .system_name = name.plain,
                                          .file = "",
                                          .start_line = number_of(die, DW_AT_decl_line),
                                          .inlined = i + 1 < n};
        if (i == 0) {
            fill_line(unit, names, address, &ret[0]);
            continue;
        }
        Dwarf_Die *inner = &chain[n - i];
        ret[i].file = full_path(names, unit, call_file(unit, inner));
        ret[i].line = number_of(inner, DW_AT_call_line);
        ret[i].column = number_of(inner, DW_AT_call_column);
    }
    return n;
}

size_t dwarf_file_lookup(struct dwarf_file *d, struct symbol_names *names, uint64_t address,
                         struct symbol_location *ret, size_t max) {
    const struct dwarf_range *range = find_range(d->ranges, d->n_ranges, address);
    Dwarf_Die unit, function, chain[SYMBOL_MAX_INLINES];
    if (!range || !dwarf_offdie(d->dwarf, range->die, &unit))
        return 0;
    const struct dwarf_range *f = find_function(d, range->unit, &unit, address);
    if (!f || !dwarf_offdie(d->dwarf, f->die, &function)) {
        ret[0] = (struct symbol_location){.name = "", .system_name = "", .file = ""};
        fill_line(&unit, names, address, &ret[0]);
        return ret[0].line ? 1 : 0;
    }
    size_t n = descend(&function, address, chain, MIN(max, (size_t)SYMBOL_MAX_INLINES));
    return fill_chain(&unit, names, address, chain, n, ret);
}
