/* What the files that read DWARF share.
 * May use: libdw, symbol/internal.h.
 * Must not: be included by anything but symbol/dwarf*.c. */
#pragma once

#include <dwarf.h>
#include <elfutils/libdw.h>

#include "symbol/dwarf_ranges.h"
#include "symbol/dwarf_split.h"
#include "symbol/internal.h"

/* A namespace or class: the entries from `start` to `end` lie in it. Offsets count from the unit's root, of a split
 * unit from that in its own file. */
struct dwarf_scope {
    uint32_t start, end; /* UINT32_MAX: with what is around it */
    uint32_t parent;     /* index, UINT32_MAX = the unit */
};

enum { DWARF_HELD_PER_BYTE = 25 }; /* about that many times longer are the lines that libdw makes of a program */

/* The line program of a unit, run. libdw's own result is six times as long, and is forgotten only with the whole
 * file; this is kept in its stead. */
struct dwarf_lines {
    struct dwarf_line_row *rows; /* by address, one for each */
    size_t n_rows;
    const char **files; /* paths by their numbers; NULL = not yet asked for */
    size_t n_files;
};

struct dwarf_unit {
    Dwarf_Off header;              /* where it begins */
    Dwarf_Off die;                 /* its root; 0 = not looked for yet */
    bool read, read_inside;        /* its functions; those inside functions */
    struct dwarf_lines *lines;     /* NULL until they are asked for */
    struct dwarf_ranges functions; /* what = offset of the function's entry */
    struct dwarf_scope *scopes;    /* in order of their starts; none in languages that have none */
    size_t n_scopes, cap_scopes;
    bool split_tried, in_split; /* its functions and scopes are those of its split unit, */
    struct dwarf_split *split;  /* … which is open; NULL = it is not, or there is none */
};

struct dwarf_file {
    Elf *elf, *alt_elf;
    Dwarf *dwarf, *alt;
    const struct elf_image *image;
    struct elf_image no_alt;        /* stands for `alt` where there is none */
    const struct dwo_search *split; /* where split units may be */
    struct dwarf_splits *splits;    /* NULL until there is one */
    struct dwarf_ranges ranges;     /* what = index into units */
    struct dwarf_unit *units;       /* in their order */
    size_t n_units, cap_units;
    bool listed;      /* units are those that .debug_aranges lists … */
    bool wants_all;   /* … and that is not enough */
    long work;        /* steps left */
    size_t held;      /* about how many bytes libdw holds of lines */
    size_t kept;      /* bytes of units' lines */
    bool rests;       /* libdw is closed until the next look-up */
    uint64_t touched; /* bytes of units read since pages were given back */
};

enum { DWARF_RELEASE_EVERY = 4 << 20 }; /* bytes of units between giving pages back */

/* Finds units that have code, and where it is: d->units and d->ranges. Those that are listed, first: to find the others
 * means to touch every unit. 0, -ENOENT when none has, -EBADMSG, -ENOMEM. */
int dwarf_units_open(struct dwarf_file *d);
/* All of them. What was read of units before is forgotten. */
int dwarf_units_read(struct dwarf_file *d);
void dwarf_units_forget(struct dwarf_file *d);
/* The root of a unit. */
bool dwarf_unit_root(const struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *ret);
/* Where a unit is in .debug_info: offsets of its header, of its root, and of what follows. */
struct dwarf_unit_place {
    uint64_t header, root, end;
    uint64_t id; /* of skeletons and split units since version 5 */
    unsigned version, type, address_bytes;
    bool wide; /* 64-bit DWARF */
};
/* Reads the header of the next one. False at the end, or where it is not one. */
bool dwarf_read_unit_place(struct reader *r, const uint8_t *section, struct dwarf_unit_place *ret);

/* The next range of an entry of a unit, or of its split unit's if that is open. False at the end. */
static inline bool dwarf_next_range(const struct dwarf_split *split, Dwarf_Die *die, struct dwarf_range_walk *w,
                                    Dwarf_Addr *low, Dwarf_Addr *high) {
    if (split)
        return dwarf_split_next_range(&split->tables, die, w, low, high);
    return (w->at = dwarf_ranges(die, w->at, &w->base, low, high)) > 0;
}
/* Adds the ranges of an entry, which is of a split unit where that is not NULL. -ENOMEM, or -EBADMSG when that is too
 * much work. */
int dwarf_add_ranges(struct dwarf_file *d, const struct dwarf_split *split, Dwarf_Die *die, uint32_t what,
                     struct dwarf_ranges *list);

/* What offsets in a unit count from: its root, or its split unit's. */
static inline Dwarf_Off dwarf_unit_base(const struct dwarf_unit *u) {
    return u->split ? u->split->root : u->die;
}
/* The entry at an offset from there. */
static inline bool dwarf_unit_entry(const struct dwarf_file *d, const struct dwarf_unit *u, uint64_t offset,
                                    Dwarf_Die *ret) {
    return dwarf_offdie(u->split ? u->split->dwarf : d->dwarf, dwarf_unit_base(u) + offset, ret);
}
/* Functions and scopes: they are read anew. */
void dwarf_unit_forget(struct dwarf_unit *u);

/* libdw over an image; NULL when it is none, or memory is out. Both are to be closed. */
Dwarf *dwarf_open_image(const struct elf_image *image, Elf **ret_elf);

/* Reads functions that lie inside others as well, once: outlined parallel regions, lambdas, nested functions. Few units
 * have code there, and to look takes as long as the unit is. */
void dwarf_unit_read_inside(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *root);

/* Reads what a unit's functions and scopes are, once. `program` is how long a line program will be read as
 * well. */
void dwarf_unit_read(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *root, size_t program);

/* The name of a function: its linkage name demangled or, without one that can be, its name behind those of the
 * namespaces and classes around it. */
struct dwarf_place;
struct symbol_name dwarf_function_name(const struct dwarf_place *p, const Dwarf_Die *die);
uint32_t dwarf_number(Dwarf_Die *die, unsigned attribute); /* 0 when absent */

/* How long the unit's line program is; 0 when there is none, or none of a size that a program has. */
size_t dwarf_line_program(struct dwarf_file *d, Dwarf_Die *unit);
/* What names a line: the file, its names, and a unit of it with its root (the skeleton's where it is split, for lines
 * and the table of files are there: compilers give the files of a split unit the same numbers). */
struct dwarf_place {
    struct dwarf_file *file;
    struct symbol_names *names;
    struct dwarf_unit *unit;
    Dwarf_Die *root;
};
/* Fills file, line and column of an address. */
void dwarf_fill_line(const struct dwarf_place *p, uint64_t address, struct symbol_location *ret);
/* Fills file, line and column of the call that was inlined. */
void dwarf_fill_call(const struct dwarf_place *p, const Dwarf_Die *inlined, struct symbol_location *ret);
void dwarf_lines_free(struct dwarf_lines *l);
