/* Functions of symbol tables, sorted by address: .symtab or, without it, .dynsym, of the file, its debug file
 * and its MiniDebugInfo; and linkage stubs. An entry is 16 bytes; names stay in the images until asked for. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bisect.h"
#include "base/sort.h"
#include "symbol/dwarf_ranges.h"
#include "symbol/symtab.h"

enum { LOOK_BACK = 64, MAX_SYMBOLS = 64 << 20, RELEASE_EVERY = 8 << 10 /* symbols: some megabytes with their names */ };
#define NAME_OFFSET_MASK ((1u << SYMBOL_SOURCE_SHIFT) - 1)

int symbol_builder_add(struct symbol_builder *b, const struct symbol_entry *s, unsigned rank) {
    if (b->count >= MAX_SYMBOLS || s->address >> (64 - SYMBOL_RANK_BITS))
        return 0;
    if (mem_grow((void **)&b->all, &b->capacity, b->count + 1, sizeof(*b->all)) < 0)
        return -ENOMEM;
    b->all[b->count] = *s;
    b->all[b->count++].address = s->address << SYMBOL_RANK_BITS | (SYMBOL_MAX_RANK - rank);
    return 0;
}

static bool in_code(const struct elf_image *e, const Elf64_Sym *s) {
    return s->st_shndx >= e->n_sections || (e->sections[s->st_shndx].sh_flags & SHF_EXECINSTR);
}

/* Functions, and the untyped labels of assembly code; not the marks that assemblers leave ("$x", ".L1"). */
static bool is_function(const struct elf_image *e, const Elf64_Sym *s, const char *name) {
    unsigned type = ELF64_ST_TYPE(s->st_info);
    if (s->st_shndx == SHN_UNDEF || s->st_shndx == SHN_ABS || !name[0] || !in_code(e, s))
        return false;
    if (type == STT_NOTYPE)
        return name[0] != '$' && strncmp(name, ".L", 2) != 0 && strncmp(name, ".annobin", 8) != 0;
    return type == STT_FUNC || type == STT_GNU_IFUNC;
}

/* Which of several names at one address people know: typed before labels, global before weak before
 * local, without leading underscores. */
static uint32_t rank_of(const Elf64_Sym *s, const char *name) {
    unsigned bind = ELF64_ST_BIND(s->st_info);
    uint32_t underscores = (uint32_t)strspn(name, "_");
    return (ELF64_ST_TYPE(s->st_info) != STT_NOTYPE ? 64 : 0) + (s->st_size ? 32 : 0) +
           (bind == STB_GLOBAL ? 16
            : bind == STB_WEAK ? 8
                               : 0) +
           (7 - MIN(underscores, 7u));
}

/* Offsets beyond what an entry can hold are left out: a gigabyte of names. */
static int add_table(struct symbol_list *list, struct symbol_builder *b, const struct elf_image *e) {
    struct symbol_table t;
    if (!symbol_table_open(e, SHT_SYMTAB, &t) && !symbol_table_open(e, SHT_DYNSYM, &t))
        return 0;
    uint32_t source = list->n_sources++;
    list->sources[source].bytes = t.names;
    list->sources[source].size = t.names_size;
    for (size_t i = 1; i < t.count; i++) {
        Elf64_Sym s;
        const char *name;
        if (i % RELEASE_EVERY == 0)
            elf_image_release_pages(e);
        if (!symbol_table_entry(&t, i, &s, &name) || s.st_name > NAME_OFFSET_MASK || !is_function(e, &s, name))
            continue;
        struct symbol_entry entry = {.address = s.st_value,
                                     .size = (uint32_t)MIN(s.st_size, (uint64_t)UINT32_MAX),
                                     .name = source << SYMBOL_SOURCE_SHIFT | s.st_name};
        if (symbol_builder_add(b, &entry, rank_of(&s, name)) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- putting it together ---- */

/* Where code is, to know where it ends: a symbol without a size does not reach into the next section. Sections
 * lie inside segments, so they win. 0 or -ENOMEM. */
static int collect_code(const struct elf_image *e, struct dwarf_ranges *ret) {
    uint32_t what = 0;
    int rc = 0;
    for (size_t i = 0; i < e->n_segments && rc == 0; i++) {
        const Elf64_Phdr *p = &e->segments[i];
        if (p->p_type == PT_LOAD)
            rc = dwarf_ranges_add(ret, p->p_vaddr, p->p_vaddr + p->p_memsz, what++);
    }
    for (size_t i = 0; i < e->n_sections && rc == 0; i++) {
        const Elf64_Shdr *s = &e->sections[i];
        if (s->sh_flags & SHF_EXECINSTR)
            rc = dwarf_ranges_add(ret, s->sh_addr, s->sh_addr + s->sh_size, what++);
    }
    return rc < 0 ? rc : dwarf_ranges_finish(ret);
}

static uint64_t code_end(const struct dwarf_ranges *code, uint64_t address) {
    const struct dwarf_range *r = dwarf_ranges_find(code, address);
    return r ? r->low + r->size : address;
}

/* Keeps the best name of each address, of equally good ones the first of the strings; the rank goes. */
static void keep_best(struct symbol_builder *b) {
    struct symbol_entry *best = NULL;
    uint64_t key = 0; /* of the best, with its rank */
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct symbol_entry s = b->all[i];
        if (!best || s.address >> SYMBOL_RANK_BITS != best->address) {
            key = s.address;
            best = &b->all[n++];
            *best = s;
            best->address >>= SYMBOL_RANK_BITS;
            continue;
        }
        best->size = MAX(best->size, s.size);
        if (s.address == key)
            best->name = MIN(best->name, s.name);
    }
    b->count = n;
}

/* Labels without a size inside a function that has one are no functions. */
static void drop_labels_inside(struct symbol_builder *b) {
    uint64_t end = 0;
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++) {
        const struct symbol_entry s = b->all[i];
        if (s.size == 0 && s.address < end)
            continue;
        end = MAX(end, s.address + s.size);
        b->all[n++] = s;
    }
    b->count = n;
}

/* A missing size becomes the way to the next symbol. */
static void fill_sizes(struct symbol_builder *b, const struct dwarf_ranges *code) {
    for (size_t i = 0; i < b->count; i++) {
        struct symbol_entry *s = &b->all[i];
        if (s->size)
            continue;
        uint64_t end = code_end(code, s->address);
        if (i + 1 < b->count)
            end = MIN(end, b->all[i + 1].address);
        s->size = end > s->address ? (uint32_t)MIN(end - s->address, (uint64_t)UINT32_MAX) : 0;
    }
}

/* Hands the entries over to the list. */
static int finish(struct symbol_list *list, struct symbol_builder *b, const struct elf_image *e) {
    struct dwarf_ranges code = {0};
    if (b->count == 0)
        return 0;
    if (sort_by_key(b->all, b->count, sizeof(*b->all)) < 0 || collect_code(e, &code) < 0) {
        dwarf_ranges_free(&code);
        return -ENOMEM;
    }
    keep_best(b);
    drop_labels_inside(b);
    fill_sizes(b, &code);
    dwarf_ranges_free(&code);
    mem_fit((void **)&b->all, NULL, b->count, sizeof(*b->all));
    list->all = b->all;
    list->count = b->count;
    b->all = NULL;
    return 0;
}

int symbol_list_build(struct symbol_list *list, const struct elf_image *const *images, size_t n) {
    struct symbol_builder b = {0};
    int rc = 0;
    for (size_t i = 0; i < n && i < SYMBOL_SOURCES - 1 && rc == 0; i++)
        rc = add_table(list, &b, images[i]);
    if (rc == 0)
        rc = symbol_builder_add_stubs(list, &b, images[0]);
    if (rc == 0)
        rc = finish(list, &b, images[0]);
    free(b.all);
    return rc;
}

void symbol_list_free(struct symbol_list *list) {
    free(list->all);
    free(list->stub_names);
    *list = (struct symbol_list){0};
}

/* The symbol that covers an address. Parts of a function that have sizes of their own do not hide what comes after them:
 * the last few symbols before the address are asked as well. */
const struct symbol_entry *symbol_list_find(const struct symbol_list *list, uint64_t address) {
    size_t low = bisect(i, list->count, list->all[i].address <= address);
    for (size_t back = 1; back <= LOOK_BACK && back <= low; back++) {
        const struct symbol_entry *s = &list->all[low - back];
        if (address - s->address < s->size)
            return s;
    }
    return NULL;
}

void symbol_list_name(const struct symbol_list *list, const struct symbol_entry *s, char *ret, size_t size) {
    uint32_t source = s->name >> SYMBOL_SOURCE_SHIFT, offset = s->name & NAME_OFFSET_MASK;
    size_t room = offset < list->sources[source].size ? list->sources[source].size - offset : 0, n = 0;
    const char *from = list->sources[source].bytes + offset;
    for (; n < room && n + 1 < size && from[n]; n++)
        ret[n] = from[n];
    ret[n] = '\0';
}
