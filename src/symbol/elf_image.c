/* ELF images: headers, segments, sections. Layout: ELF-64 gABI. Every offset is checked here, so that
 * the other files may follow pointers into an image. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "symbol/internal.h"

static bool inside(const struct elf_image *e, uint64_t offset, uint64_t size) {
    return offset <= e->size && size <= e->size - offset;
}

/* The table of section names, when it is there and ends as a string must. */
static void read_section_names(struct elf_image *e, unsigned index) {
    size_t size;
    if (index >= e->n_sections)
        return;
    const uint8_t *names = elf_image_bytes(e, &e->sections[index], &size);
    if (!names || !size || names[size - 1] != '\0')
        return;
    e->section_names = (const char *)names;
    e->section_names_size = size;
}

static int read_headers(struct elf_image *e) {
    if (e->size < sizeof(Elf64_Ehdr))
        return -ENOEXEC;
    const Elf64_Ehdr *h = (const void *)e->data;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB)
        return -ENOEXEC;
    if (h->e_phentsize == sizeof(Elf64_Phdr) && h->e_phoff % 8 == 0 &&
        inside(e, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr))) {
        e->segments = (const void *)(e->data + h->e_phoff);
        e->n_segments = h->e_phnum;
    }
    if (h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shoff % 8 != 0 || h->e_shoff == 0 ||
        !inside(e, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)))
        return 0; /* stripped of sections: segments are enough for most */
    e->sections = (const void *)(e->data + h->e_shoff);
    e->n_sections = h->e_shnum;
    read_section_names(e, h->e_shstrndx);
    return 0;
}

int elf_image_map(int fd, struct elf_image *ret) {
    struct stat st;
    *ret = (struct elf_image){0};
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(Elf64_Ehdr))
        return -ENOEXEC;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    ret->data = p;
    ret->size = (size_t)st.st_size;
    int rc = read_headers(ret);
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
        munmap((void *)(uintptr_t)e->data, e->size);
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
