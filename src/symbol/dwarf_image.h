/* ELF images that hold nothing but debug sections: a header, the sections one after the other, and what tells where
 * they are.
 * May use: symbol/internal.h.
 * Must not: be included by anything but symbol/dwarf_*.c. */
#pragma once

#include "symbol/internal.h"

enum { DWARF_IMAGE_SECTIONS = 16, DWARF_IMAGE_TAIL = 2048 /* bytes; all that is wanted fits */ };

/* An image under construction. */
struct dwarf_layout {
    Elf64_Shdr sections[DWARF_IMAGE_SECTIONS + 2]; /* section 0 is nothing, the last one holds the names */
    size_t n_sections;
    char names[512];
    size_t names_size;
};

/* The first section begins behind the header. */
enum { DWARF_IMAGE_BEGIN = sizeof(Elf64_Ehdr) };

void dwarf_layout_begin(struct dwarf_layout *l);
/* Enters a section that is `size` bytes long, at an offset. */
void dwarf_layout_enter(struct dwarf_layout *l, const char *name, size_t at, size_t size);
/* Makes the header, which is like that of `e`, and what goes behind the last section, at `at`. Returns how long that
 * is. */
size_t dwarf_layout_end(struct dwarf_layout *l, const struct elf_image *e, size_t at, Elf64_Ehdr *ret_header,
                        uint8_t ret_tail[DWARF_IMAGE_TAIL]);
