/* Compressed debug sections (SHF_COMPRESSED, or of old ".zdebug_"), made plain: libdw would inflate every one of them when it opens a file, and
 * knows zstd only since 0.189. Here only the sections that a look-up reads are inflated, into an ELF image
 * of our own: a header, the sections one after the other, their names, their headers. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "symbol/unpacked.h"

enum { MAX_INFLATED = 1 << 30, MAX_WANTED = 16 };

static const char *const wanted[] = {".debug_info",        ".debug_abbrev", ".debug_line",     ".debug_str",
                                     ".debug_line_str",    ".debug_ranges", ".debug_rnglists", ".debug_addr",
                                     ".debug_str_offsets", ".debug_aranges"};

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

struct part {
    const char *name;
    const uint8_t *bytes; /* in the image, when it is not compressed */
    struct packed packed; /* else */
    size_t size;          /* when it is plain */
};

struct parts {
    struct part all[MAX_WANTED];
    size_t count, total;
};

/* Finds out what is in the section, and how long it will be. */
static int read_part(const struct elf_image *e, const char *name, size_t limit, struct part *part) {
    bool old;
    const Elf64_Shdr *s = elf_image_debug_section(e, name, &old);
    *part = (struct part){.name = name};
    if (!s)
        return -ENOENT;
    if (old || (s->sh_flags & SHF_COMPRESSED)) {
        int rc = packed_of(e, s, old, limit, &part->packed);
        part->size = part->packed.plain;
        return rc;
    }
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

/* An image under construction. */
struct layout {
    size_t at;                           /* how long it is so far */
    Elf64_Shdr sections[MAX_WANTED + 2]; /* section 0 is nothing, the last one holds the names */
    size_t n_sections;
    char names[512]; /* of what is wanted: they fit */
    size_t names_size;
};

/* Enters a section. */
static void enter(struct layout *l, const char *name, uint32_t type, size_t at, size_t size) {
    l->sections[l->n_sections++] = (Elf64_Shdr){
        .sh_name = (Elf64_Word)l->names_size, .sh_type = type, .sh_offset = at, .sh_size = size, .sh_addralign = 1};
    size_t n = strlen(name) + 1;
    memcpy(l->names + l->names_size, name, n);
    l->names_size += n;
}

/* ---- filling it, by two ---- */

enum { WORTH_A_THREAD = 1 << 20 };

struct filling {
    const struct parts *parts;
    uint8_t *to;
    size_t at[MAX_WANTED];   /* where each part goes */
    bool filled[MAX_WANTED]; /* a broken one is not */
    size_t longest;
};

static void fill(struct filling *f, size_t i) {
    const struct part *p = &f->parts->all[i];
    f->filled[i] = p->bytes || packed_inflate(&p->packed, f->to + f->at[i]);
    if (p->bytes)
        memcpy(f->to + f->at[i], p->bytes, p->size);
}

static void *fill_others(void *filling) {
    struct filling *f = filling;
    for (size_t i = 0; i < f->parts->count; i++)
        if (i != f->longest)
            fill(f, i);
    return NULL;
}

/* The longest section takes most of the time: the others are filled beside it. */
static void fill_all(struct filling *f) {
    pthread_t other;
    if (f->parts->count == 0)
        return;
    for (size_t i = 1; i < f->parts->count; i++)
        if (f->parts->all[i].size > f->parts->all[f->longest].size)
            f->longest = i;
    bool alone = f->parts->total - f->parts->all[f->longest].size < WORTH_A_THREAD ||
                 pthread_create(&other, NULL, fill_others, f) != 0;
    fill(f, f->longest);
    if (alone)
        fill_others(f);
    else
        pthread_join(other, NULL);
}

/* Returns how long the image is. */
static size_t lay_out(const struct elf_image *e, const struct parts *parts, uint8_t *to) {
    static const char names_name[] = ".shstrtab";
    struct layout l = {.at = sizeof(Elf64_Ehdr), .n_sections = 1, .names_size = 1};
    struct filling f = {.parts = parts, .to = to};
    for (size_t i = 0; i < parts->count; i++) {
        f.at[i] = l.at;
        l.at += parts->all[i].size;
    }
    fill_all(&f);
    for (size_t i = 0; i < parts->count; i++)
        if (f.filled[i])
            enter(&l, parts->all[i].name, SHT_PROGBITS, f.at[i], parts->all[i].size);
    size_t names_at = l.at;
    enter(&l, names_name, SHT_STRTAB, names_at, l.names_size + sizeof(names_name));
    memcpy(to + names_at, l.names, l.names_size);
    l.at += l.names_size;
    memset(to + l.at, 0, 8);
    l.at = (l.at + 7) & ~(size_t)7;
    Elf64_Ehdr h = header_of(e, l.at, l.n_sections);
    memcpy(to, &h, sizeof(h));
    memcpy(to + l.at, l.sections, l.n_sections * sizeof(l.sections[0]));
    return l.at + l.n_sections * sizeof(l.sections[0]);
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

static int make_image(const struct elf_image *e, const struct parts *parts, struct elf_image *ret) {
    enum { SLACK = sizeof(Elf64_Ehdr) + (MAX_WANTED + 2) * sizeof(Elf64_Shdr) + 1024 };
    uint8_t *to = mem_alloc_large(parts->total + SLACK);
    return to ? elf_image_of(to, lay_out(e, parts, to), ret) : -ENOMEM;
}

int dwarf_image_of(const struct elf_image *e, const struct dwarf_image_part *from, size_t n, struct elf_image *ret) {
    struct parts parts = {0};
    for (size_t i = 0; i < n && i < MAX_WANTED; i++) {
        if (from[i].size > MAX_INFLATED - parts.total)
            return -EFBIG;
        parts.all[parts.count++] = (struct part){.name = from[i].name, .bytes = from[i].bytes, .size = from[i].size};
        parts.total += from[i].size;
    }
    return make_image(e, &parts, ret);
}

static int inflate(const struct elf_image *e, struct elf_image *ret) {
    struct parts parts = {0};
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        int rc = add_part(e, wanted[i], &parts);
        if (rc < 0)
            return rc;
    }
    return make_image(e, &parts, ret);
}

int dwarf_image_inflate(const struct elf_image *e, struct elf_image *ret, struct unpacked_keeper **ret_keeper) {
    if (!is_compressed(e))
        return -ENOENT;
    if (unpacked_find(e, ret) == 0)
        return 0;
    int rc = inflate(e, ret);
    if (rc == 0)
        *ret_keeper = unpacked_keep_begin(e, ret);
    return rc;
}
