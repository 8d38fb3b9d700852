/* ELF images: headers, segments, sections, build id. Layout: ELF-64 gABI. Every offset is checked here, so
 * that the other files may follow pointers into an image. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "symbol/internal.h"

enum { MAX_SECTION_NAMES = 16 << 20, MAX_SECTIONS = 1 << 20 };

static bool inside(const struct elf_image *e, uint64_t offset, uint64_t size) {
    return offset <= e->size && size <= e->size - offset;
}

static void *copy(const struct elf_image *e, uint64_t offset, uint64_t size) {
    void *p = inside(e, offset, size) && size ? mem_alloc(size) : NULL;
    return p ? memcpy(p, e->data + offset, size) : NULL;
}

/* The table of section names, made to end as a string must. */
static void read_section_names(struct elf_image *e, uint64_t index) {
    if (index >= e->n_sections || e->sections[index].sh_type == SHT_NOBITS ||
        e->sections[index].sh_size > MAX_SECTION_NAMES)
        return;
    e->section_names = copy(e, e->sections[index].sh_offset, e->sections[index].sh_size);
    if (!e->section_names)
        return;
    e->section_names_size = e->sections[index].sh_size;
    e->section_names[e->section_names_size - 1] = '\0';
}

/* More sections than 16 bits can count are counted in the first section header. */
static void read_sections(struct elf_image *e, const Elf64_Ehdr *h) {
    uint64_t n = h->e_shnum, names = h->e_shstrndx;
    Elf64_Shdr first;
    if (h->e_shentsize != sizeof(first) || h->e_shoff == 0 || !inside(e, h->e_shoff, sizeof(first)))
        return;
    memcpy(&first, e->data + h->e_shoff, sizeof(first));
    if (n == 0)
        n = first.sh_size;
    if (names == SHN_XINDEX)
        names = first.sh_link;
    if (n > MAX_SECTIONS)
        return;
    e->sections = copy(e, h->e_shoff, n * sizeof(first));
    e->n_sections = e->sections ? n : 0;
    read_section_names(e, names);
}

static int read_headers(struct elf_image *e) {
    Elf64_Ehdr h;
    if (e->size < sizeof(h))
        return -ENOEXEC;
    memcpy(&h, e->data, sizeof(h));
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 ||
        h.e_ident[EI_DATA] != ELFDATA2LSB)
        return -ENOEXEC;
    e->type = h.e_type;
    e->entry = h.e_entry;
    if (h.e_phentsize == sizeof(Elf64_Phdr)) {
        e->segments = copy(e, h.e_phoff, h.e_phnum * sizeof(Elf64_Phdr));
        e->n_segments = e->segments ? h.e_phnum : 0;
    }
    read_sections(e, &h); /* none: segments are enough for most */
    return 0;
}

int elf_image_map(int fd, struct elf_image *ret) {
    *ret = (struct elf_image){0};
    int rc = mapping_open(fd, &ret->data, &ret->size, &ret->origin);
    if (rc == 0)
        rc = read_headers(ret);
    if (rc < 0)
        elf_image_close(ret);
    return rc;
}

int elf_image_of(void *bytes, size_t size, struct elf_image *ret) {
    *ret = (struct elf_image){.data = bytes, .size = size, .owned = true};
    int rc = read_headers(ret);
    if (rc < 0)
        elf_image_close(ret);
    return rc;
}

void elf_image_close(struct elf_image *e) {
    if (e->data && e->owned)
        free((void *)(uintptr_t)e->data);
    else if (e->data)
        mapping_close(e->data, e->size);
    free(e->segments);
    free(e->sections);
    free(e->section_names);
    *e = (struct elf_image){0};
}

void elf_image_release_pages(const struct elf_image *e) {
    if (e->data && !e->owned)
        madvise((void *)(uintptr_t)e->data, e->size, MADV_DONTNEED);
}

const uint8_t *elf_image_bytes(const struct elf_image *e, const Elf64_Shdr *s, size_t *ret_size) {
    if (s->sh_type == SHT_NOBITS || !inside(e, s->sh_offset, s->sh_size))
        return NULL;
    *ret_size = s->sh_size;
    return e->data + s->sh_offset;
}

const Elf64_Shdr *elf_image_section(const struct elf_image *e, const char *name) {
    for (size_t i = 0; i < e->n_sections; i++)
        if (e->sections[i].sh_name < e->section_names_size &&
            strcmp(e->section_names + e->sections[i].sh_name, name) == 0)
            return &e->sections[i];
    return NULL;
}

const Elf64_Shdr *elf_image_section_type(const struct elf_image *e, uint32_t type) {
    for (size_t i = 0; i < e->n_sections; i++)
        if (e->sections[i].sh_type == type)
            return &e->sections[i];
    return NULL;
}

/* ---- the build id: the descriptor of the note "GNU" of type 3 ---- */

static bool note_build_id(const uint8_t *at, size_t left, char ret[BUILD_ID_TEXT]) {
    Elf64_Nhdr n;
    while (left >= sizeof(n)) {
        memcpy(&n, at, sizeof(n));
        uint64_t name = (n.n_namesz + 3ull) & ~3ull, desc = (n.n_descsz + 3ull) & ~3ull;
        if (sizeof(n) + name + desc > left)
            return false;
        if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && memcmp(at + sizeof(n), "GNU", 4) == 0 && n.n_descsz > 0 &&
            n.n_descsz <= 64) {
            for (uint32_t k = 0; k < n.n_descsz; k++)
                snprintf(ret + 2 * k, 3, "%02x", at[sizeof(n) + name + k]);
            return true;
        }
        at += sizeof(n) + name + desc;
        left -= sizeof(n) + name + desc;
    }
    return false;
}

/* Sections first: the segments of a separate debug file point to where the notes were before. */
void elf_image_build_id(const struct elf_image *e, char ret[BUILD_ID_TEXT]) {
    ret[0] = '\0';
    for (size_t i = 0; i < e->n_sections; i++) {
        size_t size;
        const uint8_t *bytes = e->sections[i].sh_type == SHT_NOTE ? elf_image_bytes(e, &e->sections[i], &size) : NULL;
        if (bytes && note_build_id(bytes, size, ret))
            return;
    }
    for (size_t i = 0; i < e->n_segments; i++) {
        const Elf64_Phdr *p = &e->segments[i];
        if (p->p_type == PT_NOTE && inside(e, p->p_offset, p->p_filesz) &&
            note_build_id(e->data + p->p_offset, p->p_filesz, ret))
            return;
    }
}
