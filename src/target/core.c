/* A core file as a target: memory from its segments and the files it names, registers from its notes.
 * Layout: ELF-64 gABI (ET_CORE), Linux elfcore (struct elf_prstatus, NT_FILE). x86-64. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/user.h>

#include "base/mem.h"
#include "base/reader.h"
#include "target/internal.h"

enum { MAX_CORE_THREADS = 65536, MAX_CORE_FILES = 65536 };

struct core_segment {
    uint64_t start, file_size, memory_size, offset;
    uint32_t flags;
};

struct core_thread {
    pid_t tid;
    struct target_registers registers;
};

struct core_backing { /* a mapped file, for memory that the core leaves out */
    uint64_t start, end, offset;
    char *path;
    int fd; /* -1 not tried, -2 cannot be had */
};

struct core_file {
    int fd;
    char *sysroot;
    struct core_segment *segments;
    size_t n_segments, cap_segments;
    struct core_thread *threads;
    size_t n_threads, cap_threads;
    struct core_backing *files;
    size_t n_files, cap_files;
    uint64_t vdso; /* address of the vDSO, 0 when unknown */
};

void core_close(struct core_file *c) {
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    for (size_t i = 0; i < c->n_files; i++) {
        if (c->files[i].fd >= 0)
            close(c->files[i].fd);
        free(c->files[i].path);
    }
    free(c->sysroot);
    free(c->segments);
    free(c->threads);
    free(c->files);
    free(c);
}

/* ---- memory ---- */

static int backing_fd(struct core_file *c, struct core_backing *b) {
    if (b->fd == -1) {
        char path[4352];
        snprintf(path, sizeof(path), "%s%s", c->sysroot, b->path);
        b->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (b->fd < 0)
            b->fd = -2;
    }
    return b->fd;
}

/* Reads as much as one segment or file gives; returns the number of bytes, 0 when there is none. */
static size_t read_piece(struct core_file *c, uint64_t address, void *dst, size_t size) {
    for (size_t i = 0; i < c->n_segments; i++) {
        const struct core_segment *s = &c->segments[i];
        if (address < s->start || address - s->start >= s->file_size)
            continue;
        uint64_t at = address - s->start;
        ssize_t n = pread(c->fd, dst, MIN(size, s->file_size - at), (off_t)(s->offset + at));
        return n > 0 ? (size_t)n : 0;
    }
    for (size_t i = 0; i < c->n_files; i++) {
        struct core_backing *b = &c->files[i];
        if (address < b->start || address >= b->end || backing_fd(c, b) < 0)
            continue;
        uint64_t at = address - b->start;
        ssize_t n = pread(b->fd, dst, MIN(size, b->end - address), (off_t)(b->offset + at));
        return n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int core_read(struct target *t, uint64_t address, void *dst, size_t size) {
    for (size_t done = 0; done < size;) {
        size_t n = read_piece(t->core, address + done, (char *)dst + done, size - done);
        if (n == 0)
            return -EFAULT;
        done += n;
    }
    return 0;
}

/* ---- notes ---- */

static int add_thread(struct core_file *c, struct reader *note) {
    struct elf_prstatus status;
    const uint8_t *bytes = reader_bytes(note, sizeof(status));
    if (!bytes || c->n_threads >= MAX_CORE_THREADS)
        return 0;
    memcpy(&status, bytes, sizeof(status));
    if (mem_grow((void **)&c->threads, &c->cap_threads, c->n_threads + 1, sizeof(struct core_thread)) < 0)
        return -ENOMEM;
    struct user_regs_struct regs;
    _Static_assert(sizeof(regs) == sizeof(status.pr_reg), "elf_gregset_t is user_regs_struct");
    memcpy(&regs, &status.pr_reg, sizeof(regs));
    struct core_thread *thread = &c->threads[c->n_threads++];
    thread->tid = status.pr_pid;
    target_registers_from_user(&regs, &thread->registers);
    return 0;
}

/* NT_FILE: count, page size, count × (start, end, offset in pages), count × name. */
static int add_files(struct core_file *c, struct reader *note) {
    uint64_t count = reader_u64(note), page = reader_u64(note);
    if (count > MAX_CORE_FILES || mem_grow((void **)&c->files, &c->cap_files, count, sizeof(struct core_backing)) < 0)
        return count > MAX_CORE_FILES ? 0 : -ENOMEM;
    size_t first = c->n_files;
    for (uint64_t i = 0; i < count && !note->failed; i++) {
        struct core_backing b = {.start = reader_u64(note), .end = reader_u64(note), .fd = -1};
        b.offset = reader_u64(note) * page;
        if (!note->failed)
            c->files[c->n_files++] = b;
    }
    for (size_t i = first; i < c->n_files; i++) {
        c->files[i].path = mem_strdup(reader_cstr(note));
        if (!c->files[i].path)
            return -ENOMEM;
    }
    return 0;
}

static void read_auxv(struct core_file *c, struct reader *note) {
    while (reader_left(note) >= 16) {
        uint64_t type = reader_u64(note), value = reader_u64(note);
        if (type == 33) /* AT_SYSINFO_EHDR */
            c->vdso = value;
    }
}

static int read_notes(struct target *t, const uint8_t *bytes, size_t size) {
    struct reader r = reader_of(bytes, size);
    int rc = 0;
    while (rc == 0 && reader_left(&r) >= 12) {
        uint32_t name_size = reader_u32(&r), data_size = reader_u32(&r), type = reader_u32(&r);
        reader_bytes(&r, (name_size + 3ull) & ~3ull);
        const uint8_t *data = reader_bytes(&r, (data_size + 3ull) & ~3ull);
        if (!data)
            break;
        struct reader note = reader_of(data, data_size);
        if (type == NT_PRSTATUS)
            rc = add_thread(t->core, &note);
        else if (type == 0x46494c45) /* NT_FILE */
            rc = add_files(t->core, &note);
        else if (type == NT_AUXV)
            read_auxv(t->core, &note);
        else if (type == NT_PRPSINFO && data_size >= sizeof(struct elf_prpsinfo)) {
            struct elf_prpsinfo info;
            memcpy(&info, data, sizeof(info));
            t->pid = info.pr_pid;
            snprintf(t->info.comm, sizeof(t->info.comm), "%.16s", info.pr_fname);
        }
    }
    return rc;
}

/* ---- opening ---- */

static int read_segments(struct target *t, const Elf64_Ehdr *header) {
    struct core_file *c = t->core;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < header->e_phnum; i++) {
        Elf64_Phdr p;
        if (pread(c->fd, &p, sizeof(p), (off_t)(header->e_phoff + i * sizeof(p))) != sizeof(p))
            return -EBADMSG;
        if (p.p_type == PT_LOAD) {
            rc = mem_grow((void **)&c->segments, &c->cap_segments, c->n_segments + 1, sizeof(struct core_segment));
            if (rc == 0)
                c->segments[c->n_segments++] = (struct core_segment){.start = p.p_vaddr,
                                                                    .file_size = p.p_filesz,
                                                                    .memory_size = p.p_memsz,
                                                                    .offset = p.p_offset,
                                                                    .flags = p.p_flags};
        } else if (p.p_type == PT_NOTE && p.p_filesz <= 64u << 20) {
            _cleanup_(freep) uint8_t *bytes = mem_alloc(p.p_filesz);
            if (!bytes)
                return -ENOMEM;
            if (pread(c->fd, bytes, p.p_filesz, (off_t)p.p_offset) != (ssize_t)p.p_filesz)
                return -EBADMSG;
            rc = read_notes(t, bytes, p.p_filesz);
        }
    }
    return rc;
}

static const struct core_backing *backing_of(const struct core_file *c, uint64_t address) {
    for (size_t i = 0; i < c->n_files; i++)
        if (address >= c->files[i].start && address < c->files[i].end)
            return &c->files[i];
    return NULL;
}

static uint32_t protection_of(uint32_t flags) {
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

static int add_mapping(struct target *t, struct target_mapping m) {
    struct mapping_list *list = &t->mappings;
    const struct core_backing *b = backing_of(t->core, m.start);
    struct stat st;
    if (m.end <= m.start)
        return 0;
    m.path = m.start == t->core->vdso ? "[vdso]" : b ? b->path : "";
    if (b) {
        m.offset = b->offset + (m.start - b->start);
        if (backing_fd(t->core, &t->core->files[b - t->core->files]) >= 0 && fstat(b->fd, &st) == 0) {
            m.device = st.st_dev;
            m.inode = st.st_ino;
        }
    }
    if (mem_grow((void **)&list->all, &list->capacity, list->count + 1, sizeof(m)) < 0)
        return -ENOMEM;
    list->all[list->count++] = m;
    return 0;
}

static int by_start(const void *a, const void *b) {
    const struct target_mapping *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static bool has_segment(const struct core_file *c, uint64_t address) {
    for (size_t i = 0; i < c->n_segments; i++)
        if (address >= c->segments[i].start && address - c->segments[i].start < c->segments[i].memory_size)
            return true;
    return false;
}

/* The core's segments, and the files that have none: debuggers leave out what was not written to. What
 * such a file allows is not known; all of it may be code. */
static int make_mappings(struct target *t) {
    struct core_file *c = t->core;
    struct mapping_list *list = &t->mappings;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->n_segments; i++) {
        const struct core_segment *s = &c->segments[i];
        rc = add_mapping(t, (struct target_mapping){.start = s->start,
                                                    .end = s->start + s->memory_size,
                                                    .protection = protection_of(s->flags)});
    }
    for (size_t i = 0; rc == 0 && i < c->n_files; i++)
        if (!has_segment(c, c->files[i].start))
            rc = add_mapping(t, (struct target_mapping){.start = c->files[i].start,
                                                        .end = c->files[i].end,
                                                        .protection = PROT_READ | PROT_EXEC});
    if (rc < 0 || list->count == 0)
        return rc;
    qsort(list->all, list->count, sizeof(*list->all), by_start);
    size_t n = 1;
    for (size_t i = 1; i < list->count; i++)
        if (list->all[i].start >= list->all[n - 1].end)
            list->all[n++] = list->all[i];
    list->count = n;
    return 0;
}

static int refuse_core(const char *path, const char *why, struct err *err) {
    return err_set(err, -EBADMSG, "Name a core file of an x86-64 Linux process, such as gcore or a crash leaves",
                   "%s is not a core file scry can read: %s", path, why);
}

int target_open_core(const char *path, const char *sysroot, struct target **ret, struct err *err) {
    _cleanup_(target_closep) struct target *t = mem_zalloc(1, sizeof(*t));
    if (!t)
        return err_nomem(err);
    t->pidfd = t->memory_fd = -1;
    t->core = mem_zalloc(1, sizeof(*t->core));
    if (!t->core)
        return err_nomem(err);
    t->core->sysroot = mem_strdup(sysroot);
    t->core->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (t->core->fd < 0)
        return err_set(err, -errno, NULL, "Cannot open %s: %s", path, strerror(errno));
    Elf64_Ehdr h;
    if (pread(t->core->fd, &h, sizeof(h), 0) != sizeof(h) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0)
        return refuse_core(path, "it is no ELF file", err);
    if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != EM_X86_64)
        return refuse_core(path, "another machine", err);
    if (h.e_type != ET_CORE || h.e_phentsize != sizeof(Elf64_Phdr))
        return refuse_core(path, "it is no core dump", err);
    int rc = t->core->sysroot ? read_segments(t, &h) : -ENOMEM;
    if (rc == 0)
        rc = make_mappings(t);
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc < 0 || t->core->n_threads == 0)
        return refuse_core(path, "it is damaged or cut short", err);
    *ret = TAKE_PTR(t);
    return 0;
}

int core_threads(struct target *t, pid_t **ret, size_t *ret_count) {
    struct core_file *c = t->core;
    pid_t *tids = mem_alloc(c->n_threads * sizeof(*tids));
    if (!tids)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_threads; i++)
        tids[i] = c->threads[i].tid;
    *ret = tids;
    *ret_count = c->n_threads;
    return 0;
}

int core_registers(struct target *t, pid_t tid, struct target_registers *ret) {
    for (size_t i = 0; i < t->core->n_threads; i++)
        if (t->core->threads[i].tid == tid) {
            *ret = t->core->threads[i].registers;
            return 0;
        }
    return -ESRCH;
}

int core_open_mapping(struct target *t, const struct target_mapping *m, struct err *err) {
    if (strcmp(m->path, "[vdso]") == 0) {
        size_t size = m->end - m->start;
        _cleanup_(freep) void *bytes = size <= 1 << 20 ? mem_alloc(size) : NULL;
        _cleanup_(closep) int fd = memfd_create("vdso", MFD_CLOEXEC);
        if (!bytes || fd < 0 || core_read(t, m->start, bytes, size) < 0)
            return -ENOENT;
        return write(fd, bytes, size) == (ssize_t)size ? TAKE_FD(fd) : -EIO;
    }
    const struct core_backing *b = backing_of(t->core, m->start);
    int fd = b ? backing_fd(t->core, &t->core->files[b - t->core->files]) : -ENOENT;
    if (fd < 0)
        return err_set(err, -ENOENT, "Give the directory that holds the files of the machine it came from with --sysroot",
                       "%s is not here", m->path);
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}
