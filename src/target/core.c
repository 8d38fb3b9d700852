/* A core file as a target: memory from its segments and from the files it names, registers from its notes. */
#include "target/core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/bisect.h"
#include "base/hash.h"

void core_close(struct core_file *c) {
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    if (c->root_fd >= 0)
        close(c->root_fd);
    for (size_t i = 0; i < c->n_opened; i++)
        if (c->opened[i].fd >= 0)
            close(c->opened[i].fd);
    free(c->opened);
    free(c->segments);
    free(c->threads);
    free(c->backings);
    free(c->names);
    free(c);
}

/* ---- memory ---- */

/* The first segment that ends after `address`. */
static size_t segment_from(const struct core_file *c, uint64_t address) {
    return bisect(i, c->n_segments, c->segments[i].end <= address);
}

/* The first mapped range that ends after `address`. */
static size_t backing_from(const struct core_file *c, uint64_t address) {
    return bisect(i, c->n_backings, c->backings[i].end <= address);
}

static const struct core_backing *backing_at(const struct core_file *c, uint64_t address) {
    size_t i = backing_from(c, address);
    return i < c->n_backings && c->backings[i].start <= address ? &c->backings[i] : NULL;
}

/* Bytes of a mapped file. Past its end, the rest of the last page is zeros. */
static ssize_t read_file(int fd, uint64_t offset, void *dst, size_t size) {
    ssize_t n = pread(fd, dst, size, (off_t)offset);
    struct stat st;
    if (n != 0 || fstat(fd, &st) < 0)
        return n;
    uint64_t end = ((uint64_t)st.st_size + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
    if (offset >= end)
        return 0;
    size_t zeros = MIN(size, end - offset);
    memset(dst, 0, zeros);
    return (ssize_t)zeros;
}

/* Opens a file at its first sight, or anew: then it must still be the same. */
static int open_again(struct core_file *c, struct core_opened *o) {
    struct stat st;
    int fd = core_open_path(c, o->path);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0 || (o->inode && (st.st_ino != o->inode || st.st_dev != o->device))) {
        close(fd);
        return -ESTALE;
    }
    o->device = st.st_dev;
    o->inode = st.st_ino;
    return fd;
}

/* The open file behind a range, which is good until the next call, or negative errno. */
static int open_file_of(struct core_file *c, const struct core_backing *b) {
    struct core_opened *o = &c->opened[b->file];
    if (o->error)
        return o->error;
    if (o->fd >= 0)
        return o->fd;
    int fd = open_again(c, o);
    if (fd < 0)
        return fd;
    uint32_t *place = &c->open[c->next_open++ % MAX_CORE_OPEN];
    if (*place)
        close(TAKE_FD(c->opened[*place - 1].fd));
    *place = b->file + 1;
    return o->fd = fd;
}

/* Reads as much as one segment or file gives; returns the number of bytes, 0 when there is none. What the
 * core should hold but does not, because it was cut short, is not looked for elsewhere. */
static size_t read_piece(struct core_file *c, uint64_t address, void *dst, size_t size) {
    size_t i = segment_from(c, address);
    const struct core_segment *next = i < c->n_segments ? &c->segments[i] : NULL;
    const struct core_segment *s = next && next->start <= address ? next : NULL;
    ssize_t n = 0;
    if (s && address - s->start < s->file_size) {
        uint64_t at = address - s->start;
        n = pread(c->fd, dst, MIN(size, s->file_size - at), (off_t)(s->offset + at));
        return n > 0 ? (size_t)n : 0;
    }
    const struct core_backing *b = backing_at(c, address);
    int fd = b ? open_file_of(c, b) : -ENOENT;
    if (fd < 0)
        return 0;
    uint64_t end = MIN(b->end, s ? s->end : next ? next->start : UINT64_MAX);
    n = read_file(fd, b->offset + (address - b->start), dst, MIN(size, end - address));
    return n > 0 ? (size_t)n : 0;
}

int core_read(struct core_file *c, uint64_t address, void *dst, size_t size) {
    for (size_t done = 0; done < size;) {
        size_t n = read_piece(c, address + done, (char *)dst + done, size - done);
        if (n == 0)
            return -EFAULT;
        done += n;
    }
    return 0;
}

/* ---- files ---- */

int core_open_path(struct core_file *c, const char *path) {
    return open_beneath(c->root_fd, path);
}

/* Whether a file begins as its first page in the core does: that holds the ELF header and mostly the
 * build-id. True when the core does not have that page, or was cut short before it. */
static bool begins_alike(struct core_file *c, const struct core_backing *b, int fd) {
    uint8_t in_core[PAGE_BYTES], in_file[PAGE_BYTES];
    size_t i = segment_from(c, b->start);
    const struct core_segment *s = i < c->n_segments ? &c->segments[i] : NULL;
    if (b->offset != 0 || !s || s->start > b->start || b->start - s->start >= s->file_size)
        return true;
    size_t n = MIN(s->file_size - (b->start - s->start), (uint64_t)PAGE_BYTES);
    n = MIN(n, b->end - b->start);
    ssize_t got = pread(c->fd, in_core, n, (off_t)(s->offset + (b->start - s->start)));
    return got == 0 ||
           (got > 0 && read_file(fd, 0, in_file, (size_t)got) == got && memcmp(in_core, in_file, (size_t)got) == 0);
}

struct same_path {
    const struct core_file *core;
    const char *path;
};

static bool is_same_path(const void *ctx, uint32_t id) {
    const struct same_path *s = ctx;
    return strcmp(s->core->opened[id].path, s->path) == 0;
}

/* Looks at every mapped file, and drops those that are not what ran. */
static int open_backings(struct core_file *c) {
    _cleanup_(hash_index_free) struct hash_index index = {0};
    for (size_t i = 0; i < c->n_backings; i++) {
        struct core_backing *b = &c->backings[i];
        uint64_t hash = hash_bytes(b->path, strlen(b->path));
        b->file = hash_index_find(&index, hash, is_same_path, &(struct same_path){.core = c, .path = b->path});
        if (b->file == UINT32_MAX) {
            if (mem_grow((void **)&c->opened, &c->cap_opened, c->n_opened + 1, sizeof(*c->opened)) < 0 ||
                hash_index_add(&index, hash, (uint32_t)c->n_opened) < 0)
                return -ENOMEM;
            b->file = (uint32_t)c->n_opened;
            c->opened[c->n_opened++] = (struct core_opened){.path = b->path, .fd = -1};
        }
        struct core_opened *o = &c->opened[b->file];
        int fd = open_file_of(c, b);
        if (fd < 0 && !o->error)
            o->error = fd;
        else if (fd >= 0 && !begins_alike(c, b, fd)) {
            o->error = -ESTALE;
            o->device = o->inode = 0;
        }
    }
    return 0;
}

int core_open_mapping(struct core_file *c, const struct target_mapping *m, struct err *err) {
    const struct core_backing *b = backing_at(c, m->start);
    int fd = b ? open_file_of(c, b) : -ENOENT;
    if (fd >= 0)
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0)
        return fd;
    if (fd == -EMFILE || fd == -ENFILE)
        return err_set(err, fd, "Allow more open files: ulimit -n 65536", "%s cannot be opened: %s", m->path,
                       strerror(-fd));
    static const char advice[] = "Name the directory that holds the files of the machine it came from with --sysroot";
    return err_set(err, -ENOENT, advice,
                   fd == -ESTALE ? "%s is not the file that the core was made with" : "%s is not here", m->path);
}

/* ---- mappings ---- */

static int add_mapping(struct target *t, uint64_t start, uint64_t end, const struct core_segment *in) {
    struct core_file *c = t->core;
    struct mapping_list *list = &t->mappings;
    const struct core_backing *b = backing_at(c, start);
    struct target_mapping m = {.start = start, .end = end, .assumed = !in, .path = ""};
    m.protection = in ? in->protection : PROT_READ | PROT_EXEC;
    if (b) {
        m.path = b->path;
        m.offset = b->offset + (start - b->start);
        m.device = c->opened[b->file].device;
        m.inode = c->opened[b->file].inode;
    } else if (c->vdso && start <= c->vdso && c->vdso < end) {
        m.path = "[vdso]";
    } else if (c->random && start <= c->random && c->random < end) {
        m.path = "[stack]";
    }
    if (mem_grow((void **)&list->all, &list->capacity, list->count + 1, sizeof(m)) < 0)
        return -ENOMEM;
    list->all[list->count++] = m;
    return 0;
}

/* Adds [start, end), cut where files begin and end. `in` NULL: it is of no segment, and what has no file is nothing. */
static int add_pieces(struct target *t, uint64_t start, uint64_t end, const struct core_segment *in) {
    struct core_file *c = t->core;
    int rc = 0;
    for (size_t i = backing_from(c, start); rc == 0 && start < end;) {
        const struct core_backing *b = i < c->n_backings ? &c->backings[i] : NULL;
        bool inside = b && b->start <= start;
        uint64_t stop = MIN(end, !b ? end : inside ? b->end : b->start);
        if (inside || in)
            rc = add_mapping(t, start, stop, in);
        start = stop;
        i += inside;
    }
    return rc;
}

/* The core's segments, and between them the files that have none: debuggers leave out what was not written
 * to. What such a file allows is not known; all of it may be code. */
static int make_mappings(struct target *t) {
    struct core_file *c = t->core;
    uint64_t at = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->n_segments; i++) {
        const struct core_segment *s = &c->segments[i];
        rc = add_pieces(t, at, s->start, NULL);
        if (rc == 0)
            rc = add_pieces(t, s->start, s->end, s);
        at = s->end;
    }
    return rc < 0 ? rc : add_pieces(t, at, UINT64_MAX, NULL);
}

/* ---- opening ---- */

static int refuse(const char *path, const char *why, struct err *err) {
    return err_set(err, -EBADMSG, "Name a core file of an x86-64 Linux process, such as gcore or a crash leaves",
                   "%s is not a core file scry can read: %s", path, why);
}

static int open_file(const char *path, struct err *err) {
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(err, -errno, "Check the name and the permissions of the file", "Cannot open %s: %s", path,
                       strerror(errno));
    if (!S_ISREG(st.st_mode))
        return refuse(path, "it is not a regular file", err);
    int unpacked = TAKE_FD(fd);
    int rc = core_unpack(&unpacked, path, err);
    if (rc == 0)
        return unpacked;
    close(unpacked);
    return rc;
}

static const char *check_header(const Elf64_Ehdr *h, ssize_t size) {
    if (size < SELFMAG || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return "it is no ELF file";
    if (size > EI_CLASS && h->e_ident[EI_CLASS] != ELFCLASS64)
        return "it is of a 32-bit process";
    if (size < (ssize_t)sizeof(*h))
        return "it is cut short";
    if (h->e_type != ET_CORE)
        return "it is a program or library, not a core";
    if (h->e_machine != EM_X86_64 || h->e_ident[EI_DATA] != ELFDATA2LSB)
        return "it comes from another kind of machine";
    return h->e_phentsize == sizeof(Elf64_Phdr) ? NULL : "it is damaged";
}

/* More than 65534 segments: the number stands in the first section header. */
static uint64_t count_headers(const struct core_file *c, const Elf64_Ehdr *h) {
    Elf64_Shdr first;
    if (h->e_phnum != PN_XNUM)
        return h->e_phnum;
    return pread(c->fd, &first, sizeof(first), (off_t)h->e_shoff) == (ssize_t)sizeof(first) ? first.sh_info : 0;
}

/* A copy of a range of the file, as much of it as there is. NULL when memory is out. */
static void *read_range(const struct core_file *c, struct core_range r, size_t *ret_size) {
    struct stat st;
    uint64_t size = fstat(c->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    uint64_t want = r.offset < size ? MIN(r.size, size - r.offset) : 0;
    void *bytes = mem_alloc(want);
    ssize_t n = bytes && want ? pread(c->fd, bytes, want, (off_t)r.offset) : 0;
    *ret_size = n > 0 ? (size_t)n : 0;
    return bytes;
}

/* How far behind the end of the file its segments reach. */
static uint64_t missing_bytes(const struct core_file *c) {
    struct stat st;
    uint64_t size = fstat(c->fd, &st) == 0 ? (uint64_t)st.st_size : UINT64_MAX, end = 0;
    for (size_t i = 0; i < c->n_segments; i++)
        end = MAX(end, c->segments[i].offset + c->segments[i].file_size);
    return end > size ? end - size : 0;
}

static int parse(struct target *t, const Elf64_Ehdr *h) {
    struct core_file *c = t->core;
    uint64_t count = MIN(count_headers(c, h), (uint64_t)MAX_CORE_SEGMENTS);
    size_t size;
    struct core_range headers = {.offset = h->e_phoff, .size = count * sizeof(Elf64_Phdr)};
    _cleanup_(freep) void *bytes = read_range(c, headers, &size);
    int rc = bytes ? core_parse_headers(c, bytes, size) : -ENOMEM;
    for (size_t i = 0; rc == 0 && i < c->n_notes; i++) {
        c->notes[i].size = MIN(c->notes[i].size, (uint64_t)MAX_CORE_NOTES);
        _cleanup_(freep) void *notes = read_range(c, c->notes[i], &size);
        rc = notes ? core_parse_notes(c, notes, size, &t->info) : -ENOMEM;
    }
    if (rc < 0)
        return rc;
    core_parse_finish(c);
    c->missing = missing_bytes(c);
    rc = open_backings(c);
    return rc < 0 ? rc : make_mappings(t);
}

int target_open_core(const char *path, const char *sysroot, struct target **ret, struct err *err) {
    _cleanup_(target_closep) struct target *t = mem_zalloc(1, sizeof(*t));
    if (!t)
        return err_nomem(err);
    t->proc_fd = t->memory_fd = -1;
    t->epoch = 1;
    t->core = mem_zalloc(1, sizeof(*t->core));
    if (!t->core)
        return err_nomem(err);
    t->core->root_named = sysroot && sysroot[0];
    const char *root = t->core->root_named ? sysroot : "/";
    t->core->fd = open_file(path, err);
    t->core->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (t->core->fd < 0)
        return t->core->fd;
    if (t->core->root_fd < 0)
        return err_set(err, -errno, "Name an existing directory with --sysroot", "Cannot open %s: %s", root,
                       strerror(errno));
    Elf64_Ehdr h = {0};
    const char *why = check_header(&h, pread(t->core->fd, &h, sizeof(h), 0));
    if (why)
        return refuse(path, why, err);
    int rc = parse(t, &h);
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc < 0 || t->core->n_threads == 0)
        return refuse(path, "it is damaged or cut short", err);
    if (t->info.pid == 0)
        t->info.pid = t->info.ns_pid = t->core->threads[0].tid;
    t->pid = t->info.pid;
    *ret = TAKE_PTR(t);
    return 0;
}

/* ---- threads ---- */

static const struct core_thread *find_thread(const struct core_file *c, pid_t tid) {
    size_t low = bisect(i, c->n_threads, c->threads[i].tid < tid);
    return low < c->n_threads && c->threads[low].tid == tid ? &c->threads[low] : NULL;
}

int core_threads(const struct core_file *c, pid_t **ret, size_t *ret_count) {
    pid_t *tids = mem_alloc(c->n_threads * sizeof(*tids));
    if (!tids)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_threads; i++)
        tids[i] = c->threads[i].tid;
    *ret = tids;
    *ret_count = c->n_threads;
    return 0;
}

char core_thread_state(const struct core_file *c, pid_t tid) {
    const struct core_thread *t = find_thread(c, tid);
    return t ? t->state : 0;
}

int core_registers(const struct core_file *c, pid_t tid, struct target_registers *ret, struct err *err) {
    const struct core_thread *t = find_thread(c, tid);
    if (!t)
        return err_set(err, -ESRCH, NULL, "The core has no thread %d", (int)tid);
    *ret = t->registers;
    return 0;
}
