/* Reading a symbol table of an image, entry by entry, and finding one by name.
 * May use: symbol/internal.h.
 * Must not: be included from other rooms. */
#pragma once

#include "symbol/internal.h"

struct symbol_table {
    const uint8_t *symbols; /* perhaps unaligned: read with memcpy */
    size_t count;
    const char *names; /* the last byte is a NUL */
    size_t names_size;
};

/* The symbol table of a type (SHT_SYMTAB or SHT_DYNSYM) with its strings. False when there is none. */
bool symbol_table_open(const struct elf_image *e, uint32_t type, struct symbol_table *ret);
/* False when there is no such entry or its name lies outside. The name is in the image. */
bool symbol_table_entry(const struct symbol_table *t, size_t i, Elf64_Sym *ret, const char **ret_name);
