/* Split units (-gsplit-dwarf): what a skeleton in the program stands for lies in a file of its own.
 * May use: libdw, symbol/dwo.h.
 * Must not: be included by anything but symbol/dwarf*.c. */
#pragma once

#include <dwarf.h>
#include <elfutils/libdw.h>

#include "base/reader.h"
#include "symbol/dwo.h"

struct dwarf_file;
struct dwarf_unit;

/* What entries of a split unit refer to by numbers: tables in its own file, and in its skeleton's. */
struct dwarf_tables {
    struct dwo_bytes entries; /* where the entries themselves are */
    struct dwo_bytes addresses, ranges, strings, string_offsets;
    uint64_t base;       /* lists of ranges begin relative to this address: the skeleton's */
    bool version5, wide; /* 64-bit DWARF */
};

/* A split unit that is open. */
struct dwarf_split {
    struct dwarf_unit *unit; /* whose it is; NULL = this is free */
    uint64_t used;           /* when, by the clock */
    struct dwo_file file;    /* its own; none where it comes out of the package */
    struct elf_image image;  /* its entries, for libdw */
    Elf *elf;
    Dwarf *dwarf;
    Dwarf_Off root; /* in `dwarf` */
    struct dwarf_tables tables;
};

enum { DWARF_OPEN_SPLITS = 8 };
struct dwarf_splits {
    struct dwarf_split all[DWARF_OPEN_SPLITS];
    struct dwo_file package;
    bool package_tried;
    unsigned refused; /* files that were not what was asked for */
    uint64_t clock;
};

/* Has u->split open if the unit has one that can be had. `skeleton` is its root in the program. */
void dwarf_split_open(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *skeleton);
/* Closes those that are open; they are opened again when they are needed. */
void dwarf_splits_close(struct dwarf_file *d);
/* Bytes of memory that this would give back. */
size_t dwarf_splits_held(const struct dwarf_file *d);

/* ---- reading entries of split units ---- */

/* Where a walk through the ranges of an entry is; begins as zeros. */
struct dwarf_range_walk {
    ptrdiff_t at; /* libdw's; of a split unit 0 = not begun, < 0 = at the end */
    Dwarf_Addr base;
    struct reader list; /* of a split unit: what is left */
};
/* The next range; an empty one stands for a step that gave none. False at the end. */
bool dwarf_split_next_range(const struct dwarf_tables *t, Dwarf_Die *die, struct dwarf_range_walk *w, Dwarf_Addr *low,
                            Dwarf_Addr *high);
/* A string that is given by its number; NULL when it is not, or there is none of that number. */
const char *dwarf_split_string(const struct dwarf_tables *t, const Dwarf_Attribute *attribute);
