/* The headers and notes of a core file.
 *
 * Layout: ELF-64 (gABI, ET_CORE) and the kernel's elfcore.h for x86-64. All notes used here are called
 * "CORE"; descriptions are aligned to 4 bytes.
 *   NT_PRSTATUS, 336 bytes, one per thread: pid at 32, general registers (user_regs_struct) at 112
 *   NT_PRPSINFO, 136 bytes: state letter at 1, uid at 16, pid at 24, ppid at 28, name at 40 (16 bytes),
 *                arguments at 56 (80 bytes)
 *   NT_AUXV:     pairs of words
 *   NT_FILE:     count, page size, count × (start, end, offset in pages), count × path
 * Cores that debuggers write (gcore) have the same notes. */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/user.h>

#include "base/reader.h"
#include "target/core.h"

#ifndef NT_FILE
#define NT_FILE 0x46494c45
#endif

enum { MAX_ADDRESS_BITS = 57 };

/* ---- program headers ---- */

static bool range_is_sane(uint64_t start, uint64_t size) {
    return size > 0 && start + size > start && (start + size) >> MAX_ADDRESS_BITS == 0;
}

static int add_segment(struct core_file *c, const Elf64_Phdr *p) {
    uint64_t size = MAX(p->p_memsz, p->p_filesz);
    if (!range_is_sane(p->p_vaddr, size) || p->p_offset + p->p_filesz < p->p_offset ||
        p->p_offset + p->p_filesz > INT64_MAX)
        return 0;
    if (mem_grow((void **)&c->segments, &c->cap_segments, c->n_segments + 1, sizeof(*c->segments)) < 0)
        return -ENOMEM;
    uint32_t f = p->p_flags;
    c->segments[c->n_segments++] = (struct core_segment){
        .start = p->p_vaddr,
        .end = p->p_vaddr + size,
        .offset = p->p_offset,
        .file_size = p->p_filesz,
        .protection = (f & PF_R ? PROT_READ : 0) | (f & PF_W ? PROT_WRITE : 0) | (f & PF_X ? PROT_EXEC : 0),
    };
    return 0;
}

int core_parse_headers(struct core_file *c, const void *headers, size_t size) {
    struct reader r = reader_of(headers, size);
    int rc = 0;
    while (rc == 0 && reader_left(&r) >= sizeof(Elf64_Phdr)) {
        Elf64_Phdr p;
        memcpy(&p, reader_bytes(&r, sizeof(p)), sizeof(p));
        if (p.p_type == PT_LOAD)
            rc = add_segment(c, &p);
        else if (p.p_type == PT_NOTE && c->n_notes < MAX_CORE_NOTE_SEGMENTS)
            c->notes[c->n_notes++] = (struct core_range){.offset = p.p_offset, .size = p.p_filesz};
    }
    return rc;
}

/* ---- notes ---- */

static int add_thread(struct core_file *c, struct reader note) {
    struct user_regs_struct regs;
    reader_bytes(&note, 32);
    pid_t tid = (pid_t)reader_u32(&note);
    reader_bytes(&note, 112 - 36);
    const uint8_t *bytes = reader_bytes(&note, sizeof(regs));
    if (!bytes || tid <= 0)
        return 0;
    if (mem_grow((void **)&c->threads, &c->cap_threads, c->n_threads + 1, sizeof(*c->threads)) < 0)
        return -ENOMEM;
    memcpy(&regs, bytes, sizeof(regs));
    struct core_thread *t = &c->threads[c->n_threads++];
    *t = (struct core_thread){.tid = tid};
    registers_from_user(&regs, &t->registers);
    return 0;
}

static int add_info(struct core_file *c, struct reader note, struct target_info *info) {
    reader_u8(&note);
    char state = (char)reader_u8(&note);
    reader_bytes(&note, 14);
    uint32_t uid = reader_u32(&note);
    reader_u32(&note); /* gid */
    pid_t pid = (pid_t)reader_u32(&note), parent = (pid_t)reader_u32(&note);
    reader_bytes(&note, 8);
    const char *name = (const char *)reader_bytes(&note, 16), *arguments = (const char *)reader_bytes(&note, 80);
    if (!arguments || pid <= 0 || info->command_line)
        return 0;
    char *line = mem_strndup(arguments, strnlen(arguments, 80));
    if (!line)
        return -ENOMEM;
    size_t n = strlen(line);
    while (n && line[n - 1] == ' ')
        line[--n] = '\0';
    make_printable(line, n);
    *info = (struct target_info){.pid = pid, .ns_pid = pid, .parent = parent, .uid = uid, .command_line = line};
    snprintf(info->comm, sizeof(info->comm), "%.16s", name);
    make_printable(info->comm, strlen(info->comm));
    if (c->n_threads && c->threads[0].tid == pid && state >= 'A' && state <= 'Z')
        c->threads[0].state = state;
    return 0;
}

static int add_names(struct core_file *c, struct reader note) {
    size_t size = reader_left(&note);
    c->names = mem_alloc(size + 1);
    if (!c->names)
        return -ENOMEM;
    if (size)
        memcpy(c->names, note.pos, size);
    c->names[size] = '\0';
    const char *p = c->names, *end = c->names + size;
    for (size_t i = 0; i < c->n_backings; i++) {
        c->backings[i].path = p < end ? p : "";
        p += p < end ? strlen(p) + 1 : 0;
    }
    return 0;
}

static int add_files(struct core_file *c, struct reader note) {
    uint64_t count = reader_u64(&note), page = reader_u64(&note);
    if (c->names || note.failed || count > reader_left(&note) / 24)
        return 0;
    if (mem_grow((void **)&c->backings, &c->cap_backings, count, sizeof(*c->backings)) < 0)
        return -ENOMEM;
    for (uint64_t i = 0; i < count; i++) {
        struct core_backing b = {.start = reader_u64(&note), .end = reader_u64(&note)};
        if (__builtin_mul_overflow(reader_u64(&note), page, &b.offset) || b.offset > INT64_MAX / 2)
            b.end = b.start; /* dropped later; the names count on its place */
        c->backings[c->n_backings++] = b;
    }
    return add_names(c, note);
}

static void read_auxv(struct core_file *c, struct reader note) {
    while (reader_left(&note) >= 16) {
        uint64_t type = reader_u64(&note), value = reader_u64(&note);
        if (type == AT_SYSINFO_EHDR)
            c->vdso = value;
        else if (type == AT_RANDOM)
            c->random = value;
    }
}

static int add_note(struct core_file *c, uint32_t type, struct reader note, struct target_info *info) {
    switch (type) {
    case NT_PRSTATUS:
        return add_thread(c, note);
    case NT_PRPSINFO:
        return add_info(c, note, info);
    case NT_FILE:
        return add_files(c, note);
    case NT_AUXV:
        read_auxv(c, note);
        return 0;
    default:
        return 0;
    }
}

int core_parse_notes(struct core_file *c, const void *notes, size_t size, struct target_info *info) {
    struct reader r = reader_of(notes, size);
    int rc = 0;
    while (rc == 0 && reader_left(&r) >= 12) {
        uint32_t name_size = reader_u32(&r), data_size = reader_u32(&r), type = reader_u32(&r);
        const uint8_t *name = reader_bytes(&r, (name_size + 3ull) & ~3ull);
        const uint8_t *data = reader_bytes(&r, data_size);
        if (!data)
            break; /* cut short: what came before is good */
        reader_bytes(&r, MIN((size_t)(-data_size & 3u), reader_left(&r)));
        if (name_size == 5 && memcmp(name, "CORE", 5) == 0)
            rc = add_note(c, type, reader_of(data, data_size), info);
    }
    return rc;
}

/* ---- order ---- */

#define COMPARE(a, b) ((a) < (b) ? -1 : (a) > (b))

static int segments_by_start(const void *a, const void *b) {
    const struct core_segment *x = a, *y = b;
    return COMPARE(x->start, y->start);
}

static int backings_by_start(const void *a, const void *b) {
    const struct core_backing *x = a, *y = b;
    return COMPARE(x->start, y->start);
}

static int threads_by_tid(const void *a, const void *b) {
    const struct core_thread *x = a, *y = b;
    return COMPARE(x->tid, y->tid);
}

static void finish_segments(struct core_file *c) {
    size_t n = 0;
    if (c->n_segments)
        qsort(c->segments, c->n_segments, sizeof(*c->segments), segments_by_start);
    for (size_t i = 0; i < c->n_segments; i++)
        if (n == 0 || c->segments[i].start >= c->segments[n - 1].end)
            c->segments[n++] = c->segments[i];
    c->n_segments = n;
}

static void finish_backings(struct core_file *c) {
    size_t n = 0;
    if (c->n_backings)
        qsort(c->backings, c->n_backings, sizeof(*c->backings), backings_by_start);
    for (size_t i = 0; i < c->n_backings; i++) {
        const struct core_backing *b = &c->backings[i];
        if (b->path[0] && b->end > b->start && range_is_sane(b->start, b->end - b->start) &&
            (n == 0 || b->start >= c->backings[n - 1].end))
            c->backings[n++] = *b;
    }
    c->n_backings = n;
}

static void finish_threads(struct core_file *c) {
    size_t n = 0;
    if (c->n_threads)
        qsort(c->threads, c->n_threads, sizeof(*c->threads), threads_by_tid);
    for (size_t i = 0; i < c->n_threads; i++)
        if (n == 0 || c->threads[i].tid != c->threads[n - 1].tid)
            c->threads[n++] = c->threads[i];
    c->n_threads = n;
}

void core_parse_finish(struct core_file *c) {
    finish_segments(c);
    finish_backings(c);
    finish_threads(c);
}
