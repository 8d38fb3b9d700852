/* What the files that read DWARF share.
 * May use: libdw, symbol/internal.h.
 * Must not: be included by anything but symbol/dwarf*.c. */
#pragma once

#include <dwarf.h>
#include <elfutils/libdw.h>

#include "symbol/dwarf_ranges.h"
#include "symbol/internal.h"

/* A namespace or class: the entries from `start` to `end` lie in it. Offsets count from the unit's root. */
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
    Dwarf_Off die;                 /* its root */
    bool read, read_inside;        /* its functions; those inside functions */
    struct dwarf_lines *lines;     /* NULL until they are asked for */
    struct dwarf_ranges functions; /* what = offset of the function's entry */
    struct dwarf_scope *scopes;    /* in order of their starts; none in languages that have none */
    size_t n_scopes, cap_scopes;
};

struct dwarf_file {
    Elf *elf, *alt_elf;
    Dwarf *dwarf, *alt;
    const struct elf_image *image;
    struct dwarf_ranges ranges; /* what = index into units */
    struct dwarf_unit *units;   /* in order of their roots */
    size_t n_units, cap_units;
    long work;        /* steps left */
    size_t held;      /* about how many bytes libdw holds of lines */
    size_t kept;      /* bytes of units' lines */
    bool rests;       /* libdw is closed until the next look-up */
    uint64_t touched; /* bytes of units read since pages were given back */
};

enum { DWARF_RELEASE_EVERY = 4 << 20 }; /* bytes of units between giving pages back */

/* Finds the units that have code, and where it is: d->units and d->ranges. 0, -ENOENT when none has, -EBADMSG,
 * -ENOMEM. */
int dwarf_units_read(struct dwarf_file *d);
/* Adds the ranges of an entry. -ENOMEM, or -EBADMSG when that is too much work. */
int dwarf_add_ranges(struct dwarf_file *d, Dwarf_Die *die, uint32_t what, struct dwarf_ranges *list);

/* Reads functions that lie inside others as well, once: outlined parallel regions, lambdas, nested functions. Few units
 * have code there, and to look takes as long as the unit is. */
void dwarf_unit_read_inside(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *root);

/* Reads what a unit's functions and scopes are, once. `program` is how long a line program will be read as well. */
void dwarf_unit_read(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *root, size_t program);

/* The name of a function: its linkage name demangled or, without one that can be, its name behind those of the
 * namespaces and classes around it. */
struct symbol_name dwarf_function_name(struct dwarf_file *d, struct symbol_names *names, const Dwarf_Die *die);
uint32_t dwarf_number(Dwarf_Die *die, unsigned attribute); /* 0 when absent */

/* How long the unit's line program is; 0 when there is none, or none of a size that a program has. */
size_t dwarf_line_program(struct dwarf_file *d, Dwarf_Die *unit);
/* What names a line: the file, its names, and a unit of it with its root. */
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
