/* Functions of symbol tables, sorted by address: .symtab or, without it, .dynsym, of the file, its debug file
 * and its MiniDebugInfo; and linkage stubs. An entry is 16 bytes; names stay in the images until asked for. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bisect.h"
#include "symbol/dwarf_ranges.h"
#include "symbol/symtab.h"

enum { MAX_SYMBOLS = 64 << 20 };
#define NAME_OFFSET_MASK ((1u << SYMBOL_SOURCE_SHIFT) - 1)

int symbol_builder_add(struct symbol_builder *b, const struct symbol_candidate *c) {
    if (b->count >= MAX_SYMBOLS)
        return 0;
    if (mem_grow((void **)&b->all, &b->capacity, b->count + 1, sizeof(*b->all)) < 0)
        return -ENOMEM;
    b->all[b->count++] = *c;
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
        if (!symbol_table_entry(&t, i, &s, &name) || s.st_name > NAME_OFFSET_MASK || !is_function(e, &s, name))
            continue;
        struct symbol_candidate c = {.address = s.st_value,
                                     .size = (uint32_t)MIN(s.st_size, (uint64_t)UINT32_MAX),
                                     .name = source << SYMBOL_SOURCE_SHIFT | s.st_name,
                                     .rank = rank_of(&s, name)};
        if (symbol_builder_add(b, &c) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* ---- putting it together ---- */

static int by_address(const void *a, const void *b) {
    const struct symbol_candidate *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    return x->name < y->name ? -1 : x->name > y->name;
}

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

/* Keeps the best name of each address; a missing size becomes the way to the next symbol. */
static void keep_best(struct symbol_builder *b, const struct dwarf_ranges *code) {
    size_t n = 0;
    for (size_t i = 0; i < b->count; i++)
        if (n == 0 || b->all[i].address != b->all[n - 1].address)
            b->all[n++] = b->all[i];
        else
            b->all[n - 1].size = MAX(b->all[n - 1].size, b->all[i].size);
    b->count = n;
    for (size_t i = 0; i < n; i++) {
        struct symbol_candidate *c = &b->all[i];
        if (c->size)
            continue;
        uint64_t end = code_end(code, c->address);
        if (i + 1 < n)
            end = MIN(end, b->all[i + 1].address);
        c->size = end > c->address ? (uint32_t)MIN(end - c->address, (uint64_t)UINT32_MAX) : 0;
    }
}

static int finish(struct symbol_list *list, struct symbol_builder *b, const struct elf_image *e) {
    if (b->count == 0)
        return 0;
    qsort(b->all, b->count, sizeof(*b->all), by_address);
    struct dwarf_ranges code = {0};
    int rc = collect_code(e, &code);
    if (rc == 0)
        keep_best(b, &code);
    dwarf_ranges_free(&code);
    if (rc < 0)
        return rc;
    list->all = mem_alloc(b->count * sizeof(*list->all));
    if (!list->all)
        return -ENOMEM;
    list->count = b->count;
    for (size_t i = 0; i < b->count; i++)
        list->all[i] = (struct symbol_entry){b->all[i].address, b->all[i].size, b->all[i].name};
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

/* The symbol that covers an address. Labels inside a function do not hide it: the last few symbols before
 * the address are asked as well. */
const struct symbol_entry *symbol_list_find(const struct symbol_list *list, uint64_t address) {
    size_t low = bisect(i, list->count, list->all[i].address <= address);
    for (size_t back = 1; back <= 16 && back <= low; back++) {
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
