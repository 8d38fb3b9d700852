/* Compressed debug sections (SHF_COMPRESSED, or of old ".zdebug_"), made plain: libdw would inflate every one of them
 * when it opens a file, and knows zstd only since 0.189. Here only the sections that a look-up reads are inflated, into
 * an ELF image of our own, which is kept.
 *
 * .debug_info takes most of the time, so it is inflated beside the others, and no further than it is wanted: units are
 * found by .debug_aranges, and need nothing of those behind them, unless an entry refers to one of another unit. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <zlib.h>

#include "symbol/dwarf_aranges.h"
#include "symbol/dwarf_image.h"
#include "symbol/unpacked.h"

enum {
    MAX_INFLATED = 1 << 30,
    CHUNK = 128 << 10,
    WORTH_A_THREAD = 1 << 20,
    QUARTERS = 4, /* of .debug_info, whole ones: what is kept is to serve other look-ups, too */
};

/* .debug_info is last: what follows it has its place where it ends. */
static const char *const wanted_sections[] = {".debug_abbrev",  ".debug_line",     ".debug_str",  ".debug_line_str",
                                              ".debug_ranges",  ".debug_rnglists", ".debug_addr", ".debug_str_offsets",
                                              ".debug_aranges", ".debug_info"};

struct part {
    const char *name;
    const uint8_t *bytes; /* in the image, when it is not compressed */
    struct packed packed; /* else */
    size_t size;          /* when it is plain */
    size_t at;            /* where it goes */
    uint32_t checksum;
    bool there; /* a broken one is not */
};

/* Whether entries refer to entries of other units. */
enum { REFERS_UNKNOWN, REFERS_INSIDE, REFERS_OUTSIDE };

struct inflation {
    const struct elf_image *e;
    const struct dwarf_wanted *wanted;
    struct part parts[DWARF_IMAGE_SECTIONS];
    size_t count, total;
    struct unpacked *to;
    atomic_int refers;
    uint64_t reach; /* how much of .debug_info is wanted; UINT64_MAX = all, or not known yet */
    bool reach_known;
    int others; /* how the thread for the others ended */
};

/* ---- what there is ---- */

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
static int add_part(struct inflation *in, const char *name) {
    struct part *part = &in->parts[in->count];
    int rc = read_part(in->e, name, MAX_INFLATED - in->total, part);
    if (rc < 0)
        return rc == -EBADMSG || rc == -ENOENT ? 0 : rc;
    part->at = DWARF_IMAGE_BEGIN + in->total;
    in->total += part->size;
    in->count++;
    return 0;
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

static bool is_part(const struct part *p, const char *name) {
    return strcmp(p->name, name) == 0;
}

/* ---- how far ---- */

/* Whether an attribute that a name may be found by (DW_AT_abstract_origin, DW_AT_specification) has a form that leads
 * to another unit (DW_FORM_ref_addr, DW_FORM_ref_sig8). Other bytes may look so, which costs time and nothing else. */
static bool refers_outside(const uint8_t *bytes, size_t n) {
    static const uint8_t attributes[] = {0x31, 0x47};
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        for (const uint8_t *at = bytes; n && (at = memchr(at, attributes[i], (size_t)(bytes + n - 1 - at))); at++)
            if (at[1] == 0x10 || at[1] == 0x20)
                return true;
    return false;
}

/* How far `wanted` reaches, in bytes. */
static uint64_t reach_of(const struct inflation *in) {
    bool old;
    void *inflated = NULL;
    const Elf64_Shdr *s = elf_image_debug_section(in->e, ".debug_aranges", &old);
    if (!s || atomic_load(&in->refers) == REFERS_OUTSIDE)
        return UINT64_MAX;
    size_t size = 0;
    const uint8_t *bytes = elf_image_bytes(in->e, s, &size);
    if (old || (s->sh_flags & SHF_COMPRESSED)) {
        if (inflate_section(in->e, s, old, MAX_INFLATED, &inflated, &size) < 0)
            return UINT64_MAX;
        bytes = inflated;
    }
    uint64_t reach = dwarf_aranges_reach(bytes, size, in->wanted->addresses, in->wanted->count);
    free(inflated);
    return reach;
}

static bool is_enough(struct inflation *in, const struct part *p, size_t at) {
    if (!in->wanted || !is_part(p, ".debug_info"))
        return false;
    if (!in->reach_known && atomic_load(&in->wanted->known) && atomic_load(&in->refers) != REFERS_UNKNOWN) {
        uint64_t reach = reach_of(in), step = p->size / QUARTERS + 1;
        in->reach = reach < p->size ? (reach + step - 1) / step * step : UINT64_MAX;
        in->reach_known = true;
    }
    return at >= in->reach;
}

/* ---- writing ---- */

static int write_bytes(struct inflation *in, struct part *p, const uint8_t *bytes, size_t n, size_t at) {
    p->checksum = unpacked_checksum(p->checksum, bytes, n);
    return unpacked_write(in->to, bytes, n, p->at + at);
}

/* `chunk` has room for the byte before it, which a pair may begin with. */
static int inflate_chunks(struct inflation *in, struct part *p, struct packed_stream *s, uint8_t *chunk) {
    int refers = REFERS_INSIDE, rc = 0;
    size_t at = 0;
    chunk[0] = 0;
    while (rc == 0 && at < p->size && !is_enough(in, p, at)) {
        size_t n = MIN(p->size - at, (size_t)CHUNK);
        if (!packed_stream_read(s, chunk + 1, n))
            return -EBADMSG;
        if (is_part(p, ".debug_abbrev") && refers_outside(chunk, n + 1))
            refers = REFERS_OUTSIDE;
        rc = write_bytes(in, p, chunk + 1, n, at);
        chunk[0] = chunk[n];
        at += n;
    }
    if (rc == 0 && at == p->size && !packed_stream_ended(s))
        return -EBADMSG;
    p->size = at;
    if (is_part(p, ".debug_abbrev"))
        atomic_store(&in->refers, refers);
    return rc;
}

static int inflate_part(struct inflation *in, struct part *p) {
    _cleanup_(freep) uint8_t *chunk = mem_alloc(1 + CHUNK);
    struct packed_stream *s = NULL;
    int rc = chunk ? packed_stream_open(&p->packed, &s) : -ENOMEM;
    if (rc == 0)
        rc = inflate_chunks(in, p, s, chunk);
    packed_stream_close(s);
    return rc;
}

static int write_part(struct inflation *in, struct part *p) {
    if (p->bytes && is_part(p, ".debug_abbrev"))
        atomic_store(&in->refers, refers_outside(p->bytes, p->size) ? REFERS_OUTSIDE : REFERS_INSIDE);
    int rc = p->bytes ? write_bytes(in, p, p->bytes, p->size, 0) : inflate_part(in, p);
    p->there = rc == 0;
    return rc == -EBADMSG ? 0 : rc;
}

static void *write_others(void *inflation) {
    struct inflation *in = inflation;
    for (size_t i = 0; i + 1 < in->count && in->others == 0; i++)
        in->others = write_part(in, &in->parts[i]);
    return NULL;
}

static int write_parts(struct inflation *in) {
    pthread_t other;
    struct part *last = &in->parts[in->count - 1];
    bool alone = in->total - last->size < WORTH_A_THREAD || pthread_create(&other, NULL, write_others, in) != 0;
    if (alone)
        write_others(in);
    int rc = write_part(in, last);
    if (!alone)
        pthread_join(other, NULL);
    return rc < 0 ? rc : in->others;
}

/* ---- the image ---- */

/* What frames the parts; then it is whole, and is summed up if every part is. */
static int write_frame(struct inflation *in, size_t *ret_size, uint32_t *ret_checksum, bool *ret_sound) {
    struct dwarf_layout l;
    Elf64_Ehdr header;
    uint8_t tail[DWARF_IMAGE_TAIL];
    const struct part *last = &in->parts[in->count - 1];
    size_t end = last->at + last->size;
    dwarf_layout_begin(&l);
    *ret_sound = true;
    for (size_t i = 0; i < in->count; i++) {
        const struct part *p = &in->parts[i];
        if (p->there)
            dwarf_layout_enter(&l, p->name, p->at, p->size);
        *ret_sound &= p->there;
    }
    size_t n = dwarf_layout_end(&l, in->e, end, &header, tail);
    uint32_t sum = unpacked_checksum(0, &header, sizeof(header));
    for (size_t i = 0; i < in->count; i++)
        sum = (uint32_t)crc32_combine(sum, in->parts[i].checksum, (z_off_t)in->parts[i].size);
    *ret_checksum = unpacked_checksum(sum, tail, n);
    *ret_size = end + n;
    int rc = unpacked_write(in->to, &header, sizeof(header), 0);
    return rc < 0 ? rc : unpacked_write(in->to, tail, n, end);
}

static int make_image(struct inflation *in, struct elf_image *ret) {
    size_t size;
    uint32_t checksum;
    bool sound;
    int rc = write_parts(in);
    if (rc == 0)
        rc = write_frame(in, &size, &checksum, &sound);
    if (rc == 0)
        rc = unpacked_finish(in->to, size, sound ? &checksum : NULL, ret);
    if (rc < 0 || elf_image_section(ret, ".shstrtab"))
        return rc;
    elf_image_close(ret); /* no memory for the headers */
    return -ENOMEM;
}

static int inflate_all(const struct elf_image *e, const struct dwarf_wanted *wanted, bool in_memory,
                       struct elf_image *ret) {
    struct inflation in = {.e = e, .wanted = wanted, .reach = UINT64_MAX};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_SIZE(wanted_sections) && rc == 0; i++)
        rc = add_part(&in, wanted_sections[i]);
    if (rc == 0 && in.count == 0)
        return -EBADMSG;
    if (rc == 0)
        rc = unpacked_new(e, DWARF_IMAGE_BEGIN + in.total + DWARF_IMAGE_TAIL, in_memory, &in.to);
    if (rc == 0)
        rc = make_image(&in, ret);
    unpacked_close(in.to);
    return rc;
}

/* Whether the image has less of .debug_info than there is. */
static bool is_partial(const struct elf_image *e, const struct elf_image *plain) {
    struct part whole;
    const Elf64_Shdr *s = elf_image_section(plain, ".debug_info");
    return s && read_part(e, ".debug_info", MAX_INFLATED, &whole) == 0 && s->sh_size < whole.size;
}

int dwarf_inflate(const struct elf_image *e, const struct dwarf_wanted *wanted, bool whole, struct dwarf_plain *ret) {
    if (!is_compressed(e))
        return -ENOENT;
    *ret = (struct dwarf_plain){0};
    if (unpacked_find(e, &ret->image) == 0) {
        ret->partial = is_partial(e, &ret->image);
        if (!ret->partial || !whole)
            return 0;
        elf_image_close(&ret->image);
    }
    int rc = inflate_all(e, whole ? NULL : wanted, false, &ret->image);
    if (rc < 0 && rc != -ENOMEM) /* the disk may be full, or broken */
        rc = inflate_all(e, whole ? NULL : wanted, true, &ret->image);
    ret->partial = rc == 0 && is_partial(e, &ret->image);
    return rc;
}
