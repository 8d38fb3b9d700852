/* What the files of symbol/ share.
 * May use: base/, symbol/symbol.h, libelf's <elf.h>.
 * Must not: be included from other rooms. */
#pragma once

#include <elf.h>

#include "base/arena.h"
#include "base/hash.h"
#include "symbol/symbol.h"

/* An ELF-64 little-endian image in memory, headers checked. */
struct elf_image {
    const uint8_t *data; /* mapped or owned */
    size_t size;
    bool owned;          /* malloc'ed, else mmap'ed */
    const Elf64_Phdr *segments;
    size_t n_segments;
    const Elf64_Shdr *sections;
    size_t n_sections;
    const char *section_names;
    size_t section_names_size;
};

/* Maps a file. -ENOEXEC when it is not such an ELF file. The image must be closed. */
int elf_image_map(int fd, struct elf_image *ret);
/* Takes over malloc'ed bytes, also on failure. */
int elf_image_of(void *bytes, size_t size, struct elf_image *ret);
void elf_image_close(struct elf_image *e);
void elf_image_release_pages(const struct elf_image *e);
/* NULL when there is none of that name. */
const Elf64_Shdr *elf_image_section(const struct elf_image *e, const char *name);
const Elf64_Shdr *elf_image_section_type(const struct elf_image *e, uint32_t type);
/* The bytes of a section; NULL when it has none or lies outside the file. */
const uint8_t *elf_image_bytes(const struct elf_image *e, const Elf64_Shdr *s, size_t *ret_size);

/* ---- symbols of one or more images, sorted by address ---- */

struct symbol_entry {
    uint64_t address;
    uint32_t size;
    uint32_t rank; /* preference among symbols at one address; higher wins */
    const char *name;
};

struct symbol_list {
    struct symbol_entry *all;
    size_t count, capacity;
};

/* Adds the functions of .symtab or, without it, .dynsym. 0 or -ENOMEM. */
int symbol_list_add(struct symbol_list *list, const struct elf_image *e);
/* Adds "name@plt" for linkage stubs. Names live in `arena`. */
int symbol_list_add_stubs(struct symbol_list *list, const struct elf_image *e, struct arena *arena);
void symbol_list_sort(struct symbol_list *list);
const struct symbol_entry *symbol_list_find(const struct symbol_list *list, uint64_t address);
/* Exact name in the hash table of .dynsym, else in .symtab. */
int elf_image_find(const struct elf_image *e, const char *name, Elf64_Sym *ret);
int elf_image_find_exported(const struct elf_image *e, const char *name, Elf64_Sym *ret);

/* ---- DWARF ---- */

struct dwarf_file;
/* -ENOENT when the file has no debug information. Takes over `fd`, also on failure. */
int dwarf_file_open(int fd, struct dwarf_file **ret);
void dwarf_file_close(struct dwarf_file *d);
/* Like symbol_file_lookup(); strings live in `arena`, interned by `names`. */
struct symbol_names;
size_t dwarf_file_lookup(struct dwarf_file *d, struct symbol_names *names, uint64_t address,
                         struct symbol_location *ret, size_t max);

/* ---- names, each kept and demangled once ---- */

struct symbol_name {
    const char *plain, *demangled;
};
struct symbol_names {
    struct arena arena;
    struct hash_index index;
    struct symbol_name *all;
    size_t count, capacity;
};
/* Never NULL members; "" when memory is out. */
struct symbol_name symbol_names_get(struct symbol_names *n, const char *name);
void symbol_names_free(struct symbol_names *n);

/* A separate debug file for a build id or a debuglink. A descriptor, or -ENOENT. */
int debug_file_find(const struct symbol_search *search, const char *path, const char *build_id, const char *link,
                    uint32_t link_crc);

/* Looks for the separate debug file of a file that has no DWARF; done at most once with success. */
void symbol_file_find_debug(struct symbol_file *f, const struct symbol_search *search);
