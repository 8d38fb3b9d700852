/* Compressed debug sections, made plain: libdw would inflate every one of them when it opens a file, and
 * knows zstd only since 0.189. Here only the sections that a look-up reads are inflated, into an ELF image
 * of our own: a header, the sections one after the other, their names, their headers. */
#include <errno.h>
#include <string.h>

#include "symbol/internal.h"

enum { MAX_INFLATED = 1 << 30, MAX_WANTED = 16 };

static const char *const wanted[] = {".debug_info",     ".debug_abbrev",   ".debug_line",        ".debug_str",
                                     ".debug_line_str", ".debug_ranges",   ".debug_rnglists",    ".debug_addr",
                                     ".debug_aranges",  ".debug_str_offsets"};

bool elf_image_has_dwarf(const struct elf_image *e) {
    const Elf64_Shdr *s = elf_image_section(e, ".debug_info");
    if (!s)
        s = elf_image_section(e, ".zdebug_info");
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

/* A section that is broken is left out: the rest may do. */
static int add_part(const struct elf_image *e, const char *name, struct parts *parts) {
    const Elf64_Shdr *s = elf_image_section(e, name);
    struct part *part = &parts->all[parts->count];
    *part = (struct part){.name = name};
    if (!s)
        return 0;
    if (s->sh_flags & SHF_COMPRESSED) {
        int rc = inflate_section(e, s, MAX_INFLATED - parts->total, &part->inflated, &part->size);
        if (rc < 0)
            return rc == -EBADMSG ? 0 : rc;
        part->bytes = part->inflated;
    } else {
        part->bytes = elf_image_bytes(e, s, &part->size);
        if (!part->bytes || part->size > MAX_INFLATED - parts->total)
            return part->bytes ? -EFBIG : 0;
    }
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
    sections[n - 1] = (Elf64_Shdr){
        .sh_name = (Elf64_Word)names.len, .sh_type = SHT_STRTAB, .sh_offset = b->len, .sh_addralign = 1};
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

int dwarf_image_inflate(const struct elf_image *e, struct elf_image *ret) {
    const Elf64_Shdr *info = elf_image_section(e, ".debug_info");
    _cleanup_(parts_free) struct parts parts = {0};
    if (!info || !(info->sh_flags & SHF_COMPRESSED))
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
