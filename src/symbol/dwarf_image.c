/* Compressed debug sections (SHF_COMPRESSED, or of old ".zdebug_"), made plain: libdw would inflate every one of them when it opens a file, and
 * knows zstd only since 0.189. Here only the sections that a look-up reads are inflated, into an ELF image
 * of our own: a header, the sections one after the other, their names, their headers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "symbol/internal.h"

enum { MAX_INFLATED = 1 << 30, MAX_WANTED = 16 };

static const char *const wanted[] = {".debug_info",     ".debug_abbrev",     ".debug_line",     ".debug_str",
                                     ".debug_line_str", ".debug_ranges",     ".debug_rnglists", ".debug_addr",
                                     ".debug_aranges",  ".debug_str_offsets"};

static const Elf64_Shdr *section_either(const struct elf_image *e, const char *name, bool *ret_old) {
    char old[32];
    const Elf64_Shdr *s = elf_image_section(e, name);
    snprintf(old, sizeof(old), ".z%s", name + 1);
    *ret_old = !s;
    return s ? s : elf_image_section(e, old);
}

bool elf_image_has_dwarf(const struct elf_image *e) {
    bool old;
    const Elf64_Shdr *s = section_either(e, ".debug_info", &old);
    return s && s->sh_type != SHT_NOBITS && s->sh_size > 0;
}

struct part {
    const char *name;
    const uint8_t *bytes;
    void *inflated; /* owned, or NULL when `bytes` are in the image */
    size_t size;
};

struct parts {
    struct part all[MAX_WANTED];
    size_t count, total;
};

static void parts_free(struct parts *p) {
    for (size_t i = 0; i < p->count; i++)
        free(p->all[i].inflated);
}

/* Sets what is in the section: bytes of the image, or inflated ones. */
static int read_part(const struct elf_image *e, const char *name, size_t limit, struct part *part) {
    bool old;
    const Elf64_Shdr *s = section_either(e, name, &old);
    *part = (struct part){.name = name};
    if (!s)
        return -ENOENT;
    if (old)
        return inflate_old_section(e, s, limit, &part->inflated, &part->size);
    if (s->sh_flags & SHF_COMPRESSED)
        return inflate_section(e, s, limit, &part->inflated, &part->size);
    part->bytes = elf_image_bytes(e, s, &part->size);
    if (!part->bytes)
        return -EBADMSG;
    return part->size > limit ? -EFBIG : 0;
}

/* A section that is broken is left out: the rest may do. */
static int add_part(const struct elf_image *e, const char *name, struct parts *parts) {
    struct part *part = &parts->all[parts->count];
    int rc = read_part(e, name, MAX_INFLATED - parts->total, part);
    if (rc < 0)
        return rc == -EBADMSG || rc == -ENOENT ? 0 : rc;
    if (part->inflated)
        part->bytes = part->inflated;
    parts->total += part->size;
    parts->count++;
    return 0;
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

/* Section 0 is nothing, the last one holds the names. */
static void lay_out(const struct elf_image *e, struct parts *parts, struct buf *b) {
    Elf64_Shdr sections[MAX_WANTED + 2] = {0};
    size_t n = parts->count + 2;
    _cleanup_(buf_free) struct buf names = {0};
    buf_addc(&names, '\0');
    buf_add(b, &(Elf64_Ehdr){0}, sizeof(Elf64_Ehdr));
    for (size_t i = 0; i < parts->count; i++) {
        struct part *p = &parts->all[i];
        sections[i + 1] = (Elf64_Shdr){.sh_name = (Elf64_Word)names.len,
                                       .sh_type = SHT_PROGBITS,
                                       .sh_offset = b->len,
                                       .sh_size = p->size,
                                       .sh_addralign = 1};
        buf_add(&names, p->name, strlen(p->name) + 1);
        buf_add(b, p->bytes, p->size);
        free(TAKE_PTR(p->inflated)); /* at once, so that there are never two of all */
    }
    sections[n - 1] =
        (Elf64_Shdr){.sh_name = (Elf64_Word)names.len, .sh_type = SHT_STRTAB, .sh_offset = b->len, .sh_addralign = 1};
    buf_add(&names, ".shstrtab", sizeof(".shstrtab"));
    sections[n - 1].sh_size = names.len;
    buf_add(b, names.data, names.len);
    buf_add(b, "\0\0\0\0\0\0\0", -b->len & 7);
    Elf64_Ehdr h = header_of(e, b->len, n);
    buf_add(b, sections, n * sizeof(sections[0]));
    b->failed |= names.failed;
    if (!b->failed)
        memcpy(b->data, &h, sizeof(h));
}

/* Any at all: libdw would inflate all of them, and change headers in the image, which is read-only. */
static bool is_compressed(const struct elf_image *e) {
    for (size_t i = 0; i < e->n_sections; i++) {
        const Elf64_Shdr *s = &e->sections[i];
        const char *name = s->sh_name < e->section_names_size ? e->section_names + s->sh_name : "";
        if ((s->sh_flags & SHF_COMPRESSED) || strncmp(name, ".zdebug", 7) == 0)
            return true;
    }
    return false;
}

int dwarf_image_inflate(const struct elf_image *e, struct elf_image *ret) {
    _cleanup_(parts_free) struct parts parts = {0};
    if (!is_compressed(e))
        return -ENOENT;
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        int rc = add_part(e, wanted[i], &parts);
        if (rc < 0)
            return rc;
    }
    struct buf b = {0};
    if (!buf_reserve(&b, parts.total + (64 << 10)))
        return -ENOMEM;
    lay_out(e, &parts, &b);
    if (b.failed) {
        buf_free(&b);
        return -ENOMEM;
    }
    return elf_image_of(b.data, b.len, ret);
}
