/* Symbol tables: functions sorted by address, and single symbols by name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "symbol/internal.h"

struct symbol_table {
    const uint8_t *symbols; /* perhaps unaligned: read with memcpy */
    size_t count;
    const char *names;
    size_t names_size;
};

/* The symbol table of a type (SHT_SYMTAB or SHT_DYNSYM) with its strings, NUL-terminated. */
static bool open_table(const struct elf_image *e, uint32_t type, struct symbol_table *ret) {
    const Elf64_Shdr *s = elf_image_section_type(e, type);
    size_t size, names_size;
    if (!s || s->sh_entsize != sizeof(Elf64_Sym) || s->sh_link >= e->n_sections)
        return false;
    const uint8_t *symbols = elf_image_bytes(e, s, &size);
    const uint8_t *names = elf_image_bytes(e, &e->sections[s->sh_link], &names_size);
    if (!symbols || !names || names_size == 0 || names[names_size - 1] != '\0')
        return false;
    *ret = (struct symbol_table){symbols, size / sizeof(Elf64_Sym), (const char *)names, names_size};
    return true;
}

static bool table_entry(const struct symbol_table *t, size_t i, Elf64_Sym *ret, const char **ret_name) {
    memcpy(ret, t->symbols + i * sizeof(*ret), sizeof(*ret));
    if (ret->st_name >= t->names_size)
        return false;
    *ret_name = t->names + ret->st_name;
    return true;
}

static bool in_code(const struct elf_image *e, const Elf64_Sym *s) {
    return s->st_shndx >= e->n_sections || (e->sections[s->st_shndx].sh_flags & SHF_EXECINSTR);
}

/* Functions, and the untyped labels of assembly code. */
static bool is_function(const struct elf_image *e, const Elf64_Sym *s, const char *name) {
    unsigned type = ELF64_ST_TYPE(s->st_info);
    if (s->st_shndx == SHN_UNDEF || s->st_shndx == SHN_ABS || !name[0] || !in_code(e, s))
        return false;
    if (type == STT_NOTYPE)
        return name[0] != '$' && strncmp(name, ".L", 2) != 0;
    return type == STT_FUNC || type == STT_GNU_IFUNC;
}

/* Which of several names at one address people know: typed before labels, global before weak before
 * local, without leading underscores. */
static uint32_t rank_of(const Elf64_Sym *s, const char *name) {
    unsigned bind = ELF64_ST_BIND(s->st_info);
    uint32_t underscores = (uint32_t)strspn(name, "_");
    return (ELF64_ST_TYPE(s->st_info) != STT_NOTYPE ? 64 : 0) + (s->st_size ? 32 : 0) +
           (bind == STB_GLOBAL ? 16 : bind == STB_WEAK ? 8 : 0) + (7 - MIN(underscores, 7u));
}

int symbol_list_add(struct symbol_list *list, const struct elf_image *e) {
    struct symbol_table t;
    if (!open_table(e, SHT_SYMTAB, &t) && !open_table(e, SHT_DYNSYM, &t))
        return 0;
    for (size_t i = 1; i < t.count; i++) {
        Elf64_Sym s;
        const char *name;
        if (!table_entry(&t, i, &s, &name) || !is_function(e, &s, name))
            continue;
        if (mem_grow((void **)&list->all, &list->capacity, list->count + 1, sizeof(*list->all)) < 0)
            return -ENOMEM;
        list->all[list->count++] = (struct symbol_entry){.address = s.st_value,
                                                         .size = (uint32_t)MIN(s.st_size, (uint64_t)UINT32_MAX),
                                                         .rank = rank_of(&s, name),
                                                         .name = name};
    }
    return 0;
}

/* Stub i of .plt.sec, or stub i + 1 of .plt, belongs to relocation i of .rela.plt. */
int symbol_list_add_stubs(struct symbol_list *list, const struct elf_image *e, struct arena *arena) {
    const Elf64_Shdr *stubs = elf_image_section(e, ".plt.sec"), *relocations = elf_image_section(e, ".rela.plt");
    uint64_t skip = 0;
    size_t size;
    if (!stubs) {
        stubs = elf_image_section(e, ".plt");
        skip = 16;
    }
    struct symbol_table t;
    const uint8_t *bytes = relocations ? elf_image_bytes(e, relocations, &size) : NULL;
    if (!stubs || !bytes || !open_table(e, SHT_DYNSYM, &t))
        return 0;
    for (size_t i = 0; i < size / sizeof(Elf64_Rela) && skip + (i + 1) * 16 <= stubs->sh_size; i++) {
        Elf64_Rela r;
        Elf64_Sym s;
        const char *name;
        char text[512];
        memcpy(&r, bytes + i * sizeof(r), sizeof(r));
        if (ELF64_R_SYM(r.r_info) >= t.count || !table_entry(&t, ELF64_R_SYM(r.r_info), &s, &name) || !name[0])
            continue;
        snprintf(text, sizeof(text), "%s@plt", name);
        char *copy = arena_strndup(arena, text, strlen(text));
        if (!copy || mem_grow((void **)&list->all, &list->capacity, list->count + 1, sizeof(*list->all)) < 0)
            return -ENOMEM;
        list->all[list->count++] =
            (struct symbol_entry){.address = stubs->sh_addr + skip + i * 16, .size = 16, .rank = 1, .name = copy};
    }
    return 0;
}

static int by_address(const void *a, const void *b) {
    const struct symbol_entry *x = a, *y = b;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank > y->rank ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sorts and keeps the best name of each address. */
void symbol_list_sort(struct symbol_list *list) {
    if (list->count == 0)
        return;
    qsort(list->all, list->count, sizeof(*list->all), by_address);
    size_t n = 1;
    for (size_t i = 1; i < list->count; i++)
        if (list->all[i].address != list->all[n - 1].address)
            list->all[n++] = list->all[i];
        else
            list->all[n - 1].size = MAX(list->all[n - 1].size, list->all[i].size);
    list->count = n;
}

/* The symbol that covers an address; one without a size reaches to the next symbol. Labels inside a
 * function do not hide it: the last few symbols before the address are asked as well. */
const struct symbol_entry *symbol_list_find(const struct symbol_list *list, uint64_t address) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (list->all[mid].address <= address)
            low = mid + 1;
        else
            high = mid;
    }
    for (size_t back = 1; back <= 16 && back <= low; back++) {
        const struct symbol_entry *s = &list->all[low - back];
        if (s->size ? address - s->address < s->size : back == 1)
            return s;
    }
    return NULL;
}

/* ---- by name ---- */

static uint32_t gnu_hash(const char *name) {
    uint32_t h = 5381;
    for (const unsigned char *p = (const void *)name; *p; p++)
        h = h * 33 + *p;
    return h;
}

static uint32_t word_at(const uint8_t *bytes, size_t size, uint64_t index) {
    uint32_t v = 0;
    if ((index + 1) * 4 <= size)
        memcpy(&v, bytes + index * 4, 4);
    return v;
}

/* .gnu.hash: nbuckets, symoffset, bloom words, shift; bloom; buckets; chain. Instant, unlike a scan. */
static bool find_hashed(const struct elf_image *e, const struct symbol_table *t, const char *name, Elf64_Sym *ret) {
    const Elf64_Shdr *section = elf_image_section_type(e, SHT_GNU_HASH);
    size_t size;
    const uint8_t *b = section ? elf_image_bytes(e, section, &size) : NULL;
    if (!b || size < 16)
        return false;
    uint32_t buckets = word_at(b, size, 0), offset = word_at(b, size, 1), bloom = word_at(b, size, 2);
    uint64_t bucket_at = 4 + (uint64_t)bloom * 2, chain_at = bucket_at + buckets;
    uint32_t hash = gnu_hash(name);
    if (buckets == 0)
        return false;
    uint64_t i = word_at(b, size, bucket_at + hash % buckets);
    for (; i >= offset && i < t->count; i++) {
        uint32_t h = word_at(b, size, chain_at + (i - offset));
        const char *found;
        if ((h | 1) == (hash | 1) && table_entry(t, i, ret, &found) && strcmp(found, name) == 0)
            return ret->st_shndx != SHN_UNDEF;
        if (h & 1)
            return false;
    }
    return false;
}

static bool find_scanning(const struct symbol_table *t, const char *name, Elf64_Sym *ret) {
    for (size_t i = 1; i < t->count; i++) {
        const char *found;
        if (table_entry(t, i, ret, &found) && ret->st_shndx != SHN_UNDEF && strcmp(found, name) == 0)
            return true;
    }
    return false;
}

int elf_image_find(const struct elf_image *e, const char *name, Elf64_Sym *ret) {
    struct symbol_table t;
    if (open_table(e, SHT_DYNSYM, &t) && find_hashed(e, &t, name, ret))
        return 0;
    if (open_table(e, SHT_SYMTAB, &t))
        return find_scanning(&t, name, ret) ? 0 : -ENOENT;
    return open_table(e, SHT_DYNSYM, &t) && find_scanning(&t, name, ret) ? 0 : -ENOENT;
}

int elf_image_find_exported(const struct elf_image *e, const char *name, Elf64_Sym *ret) {
    struct symbol_table t;
    return open_table(e, SHT_DYNSYM, &t) && find_hashed(e, &t, name, ret) ? 0 : -ENOENT;
}
