/* Reading a symbol table of an image, entry by entry, and building the list of functions.
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

/* While a list is built, the low byte of an entry's address is how well its name is known: what sorts first is
 * the best name of its address. Code lies below 2^56. */
enum { SYMBOL_RANK_BITS = 8, SYMBOL_MAX_RANK = (1 << SYMBOL_RANK_BITS) - 1 };

struct symbol_builder {
    struct symbol_entry *all;
    size_t count, capacity;
};

/* A higher rank is better. 0 or -ENOMEM. */
int symbol_builder_add(struct symbol_builder *b, const struct symbol_entry *s, unsigned rank);
/* Adds "name@plt" for linkage stubs; the names become a source of the list. 0 or -ENOMEM. */
int symbol_builder_add_stubs(struct symbol_list *list, struct symbol_builder *b, const struct elf_image *e);
