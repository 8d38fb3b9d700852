/* Single symbols by name: .gnu.hash or .hash where there is one, so that asking every file for one name
 * reads a few of its bytes. */
#include <errno.h>
#include <string.h>

#include "symbol/symtab.h"

bool symbol_table_open(const struct elf_image *e, uint32_t type, struct symbol_table *ret) {
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

bool symbol_table_entry(const struct symbol_table *t, size_t i, Elf64_Sym *ret, const char **ret_name) {
    if (i >= t->count)
        return false;
    memcpy(ret, t->symbols + i * sizeof(*ret), sizeof(*ret));
    if (ret->st_name >= t->names_size)
        return false;
    *ret_name = t->names + ret->st_name;
    return true;
}

/* Compares no further than the table reaches, whatever becomes of its final NUL. */
static bool is_named(const struct symbol_table *t, size_t i, const char *name, size_t length, Elf64_Sym *ret) {
    const char *found;
    return symbol_table_entry(t, i, ret, &found) && ret->st_shndx != SHN_UNDEF &&
           length < t->names_size - ret->st_name && memcmp(found, name, length + 1) == 0;
}

static uint32_t gnu_hash(const char *name) {
    uint32_t h = 5381;
    for (const unsigned char *p = (const void *)name; *p; p++)
        h = h * 33 + *p;
    return h;
}

static uint32_t word_at(const uint8_t *bytes, size_t size, uint64_t index) {
    uint32_t v = 0;
    if (index < size / 4)
        memcpy(&v, bytes + index * 4, 4);
    return v;
}

/* .gnu.hash: nbuckets, symoffset, bloom words, shift; bloom; buckets; chain. */
static bool find_hashed(const struct elf_image *e, const struct symbol_table *t, const char *name, Elf64_Sym *ret) {
    const Elf64_Shdr *section = elf_image_section_type(e, SHT_GNU_HASH);
    size_t size, length = strlen(name);
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
        if ((h | 1) == (hash | 1) && is_named(t, i, name, length, ret))
            return true;
        if (h & 1)
            return false;
    }
    return false;
}

static bool find_scanning(const struct symbol_table *t, const char *name, Elf64_Sym *ret) {
    size_t length = strlen(name);
    for (size_t i = 1; i < t->count; i++)
        if (is_named(t, i, name, length, ret))
            return true;
    return false;
}

int elf_image_find_exported(const struct elf_image *e, const char *name, Elf64_Sym *ret) {
    struct symbol_table t;
    if (!name[0] || !symbol_table_open(e, SHT_DYNSYM, &t))
        return -ENOENT;
    if (elf_image_section_type(e, SHT_GNU_HASH))
        return find_hashed(e, &t, name, ret) ? 0 : -ENOENT;
    return find_scanning(&t, name, ret) ? 0 : -ENOENT;
}

int elf_image_find(const struct elf_image *e, const char *name, Elf64_Sym *ret) {
    struct symbol_table t;
    if (!name[0])
        return -ENOENT;
    if (elf_image_find_exported(e, name, ret) == 0)
        return 0;
    return symbol_table_open(e, SHT_SYMTAB, &t) && find_scanning(&t, name, ret) ? 0 : -ENOENT;
}
