/* Images of debug sections for libdw, which reads no other. */
#include "symbol/dwarf_image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MAX_BYTES = 1 << 30 };

const Elf64_Shdr *elf_image_debug_section(const struct elf_image *e, const char *name, bool *ret_old) {
    char old[32];
    const Elf64_Shdr *s = elf_image_section(e, name);
    snprintf(old, sizeof(old), ".z%s", name + 1);
    *ret_old = !s;
    return s ? s : elf_image_section(e, old);
}

bool elf_image_has_dwarf(const struct elf_image *e) {
    bool old;
    const Elf64_Shdr *s = elf_image_debug_section(e, ".debug_info", &old);
    return s && s->sh_type != SHT_NOBITS && s->sh_size > 0;
}

void dwarf_layout_begin(struct dwarf_layout *l) {
    *l = (struct dwarf_layout){.n_sections = 1, .names_size = 1};
}

static void enter(struct dwarf_layout *l, const char *name, uint32_t type, size_t at, size_t size) {
    l->sections[l->n_sections++] = (Elf64_Shdr){
        .sh_name = (Elf64_Word)l->names_size, .sh_type = type, .sh_offset = at, .sh_size = size, .sh_addralign = 1};
    size_t n = strlen(name) + 1;
    memcpy(l->names + l->names_size, name, n);
    l->names_size += n;
}

void dwarf_layout_enter(struct dwarf_layout *l, const char *name, size_t at, size_t size) {
    enter(l, name, SHT_PROGBITS, at, size);
}

static Elf64_Ehdr header_of(const struct elf_image *e, size_t sections_at, size_t n_sections) {
    Elf64_Ehdr h;
    memcpy(&h, e->data, sizeof(h));
    h.e_type = ET_DYN;
    h.e_phoff = 0;
    h.e_phnum = 0;
    h.e_shoff = sections_at;
    h.e_shentsize = sizeof(Elf64_Shdr);
    h.e_shnum = (Elf64_Half)n_sections;
    h.e_shstrndx = (Elf64_Half)(n_sections - 1);
    return h;
}

size_t dwarf_layout_end(struct dwarf_layout *l, const struct elf_image *e, size_t at, Elf64_Ehdr *ret_header,
                        uint8_t ret_tail[DWARF_IMAGE_TAIL]) {
    static const char names_name[] = ".shstrtab";
    enter(l, names_name, SHT_STRTAB, at, l->names_size + sizeof(names_name));
    size_t headers_at = (at + l->names_size + 7) & ~(size_t)7, size = l->n_sections * sizeof(l->sections[0]);
    memset(ret_tail, 0, DWARF_IMAGE_TAIL);
    memcpy(ret_tail, l->names, l->names_size);
    memcpy(ret_tail + (headers_at - at), l->sections, size);
    *ret_header = header_of(e, headers_at, l->n_sections);
    return headers_at - at + size;
}

int dwarf_image_of(const struct elf_image *e, const struct dwarf_image_part *parts, size_t n, struct elf_image *ret) {
    struct dwarf_layout l;
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == DWARF_IMAGE_SECTIONS || parts[i].size > MAX_BYTES - total)
            return -EFBIG;
        total += parts[i].size;
    }
    uint8_t *to = mem_alloc_large(DWARF_IMAGE_BEGIN + total + DWARF_IMAGE_TAIL);
    if (!to)
        return -ENOMEM;
    dwarf_layout_begin(&l);
    size_t at = DWARF_IMAGE_BEGIN;
    for (size_t i = 0; i < n; at += parts[i++].size) {
        dwarf_layout_enter(&l, parts[i].name, at, parts[i].size);
        memcpy(to + at, parts[i].bytes, parts[i].size);
    }
    Elf64_Ehdr header;
    size_t end = at + dwarf_layout_end(&l, e, at, &header, to + at);
    memcpy(to, &header, sizeof(header));
    return elf_image_of(to, end, ret);
}
