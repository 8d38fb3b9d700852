/* A live process: what it is, its memory, mappings and files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "base/file.h"
#include "base/mem.h"
#include "target/internal.h"

int proc_read(pid_t pid, const char *name, struct buf *ret) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : file_read_fd(fd, path, 256u << 20, ret, NULL);
}

/* ---- what it is ---- */

/* State letter, start time and flags from /proc/PID/stat. */
static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_start, uint64_t *ret_flags) {
    _cleanup_(buf_free) struct buf b = {0};
    int rc = proc_read(pid, "stat", &b);
    if (rc < 0)
        return rc;
    const char *text = buf_cstr(&b), *p = strrchr(text, ')');
    unsigned long long flags = 0, start = 0;
    char state = 0;
    if (!p || sscanf(p + 1,
                     " %c %*d %*d %*d %*d %*d %llu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
                     &flags, &start) != 3)
        return -EBADMSG;
    *ret_state = state;
    *ret_start = start;
    *ret_flags = flags;
    return 0;
}

/* ELF class of the executable: 1 = 32-bit, 2 = 64-bit, negative errno when it cannot be read. */
static int exe_class(pid_t pid) {
    char path[64];
    unsigned char ident[5];
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return pread(fd, ident, 5, 0) == 5 ? ident[4] : -EIO;
}

enum target_state target_state_of(pid_t pid) {
    char state;
    uint64_t start, flags;
    if (read_stat(pid, &state, &start, &flags) < 0)
        return TARGET_GONE;
    if (flags & 0x00200000) /* PF_KTHREAD */
        return TARGET_KERNEL_THREAD;
    if (state == 'Z' || state == 'X')
        return TARGET_ZOMBIE;
    int class = exe_class(pid);
    if (class == -EACCES || class == -EPERM)
        return TARGET_FORBIDDEN;
    return class == 1 ? TARGET_32BIT : TARGET_USER;
}

static int refuse_forbidden(pid_t pid, struct err *err) {
    _cleanup_(buf_free) struct buf b = {0};
    int scope = file_read("/proc/sys/kernel/yama/ptrace_scope", 16, &b, NULL) == 0 ? atoi(buf_cstr(&b)) : 0;
    if (geteuid() == 0)
        return err_set(err, -EPERM, "Run scry where the process runs, or with CAP_SYS_PTRACE in its user namespace",
                       "Process %d may not be read: CAP_SYS_PTRACE is missing", (int)pid);
    return err_set(err, -EPERM, "Run it with sudo, or grant CAP_SYS_PTRACE: sudo setcap cap_sys_ptrace+ep \"$(command -v scry)\"",
                   scope ? "Process %d may not be read: ptrace is restricted here (yama ptrace_scope) and CAP_SYS_PTRACE is missing"
                         : "Process %d belongs to another user, and CAP_SYS_PTRACE is missing",
                   (int)pid);
}

/* A thread's id passes every test of /proc/PID; say whose it is. */
static pid_t thread_group_of(pid_t pid) {
    _cleanup_(buf_free) struct buf b = {0};
    if (proc_read(pid, "status", &b) < 0)
        return pid;
    const char *line = strstr(buf_cstr(&b), "\nTgid:");
    return line ? (pid_t)atoi(line + 6) : pid;
}

static int refuse(pid_t pid, struct err *err) {
    switch (target_state_of(pid)) {
    case TARGET_GONE:
        return err_set(err, -ESRCH, "scry ps lists the processes that can be looked at", "There is no process %d", (int)pid);
    case TARGET_ZOMBIE:
        return err_set(err, -ESRCH, "Nothing of it is left to look at; its parent has yet to collect it",
                       "Process %d is a zombie: it has already ended", (int)pid);
    case TARGET_KERNEL_THREAD:
        return err_set(err, -EINVAL, "scry cpu -a samples the whole host, kernel threads too",
                       "Process %d is a kernel thread: it has no user code", (int)pid);
    case TARGET_32BIT:
        return err_set(err, -ENOTSUP, "Use perf for 32-bit programs", "Process %d is a 32-bit program, which scry cannot read",
                       (int)pid);
    case TARGET_FORBIDDEN:
        return refuse_forbidden(pid, err);
    case TARGET_USER:
        break;
    }
    pid_t group = thread_group_of(pid);
    if (group != pid)
        return err_set(err, -ESRCH, "Name the process, not one of its threads", "%d is a thread of process %d", (int)pid,
                       (int)group);
    return 0;
}

/* ---- opening ---- */

static uint64_t exe_identity(pid_t pid) {
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    return stat(path, &st) == 0 ? (uint64_t)st.st_dev << 40 ^ (uint64_t)st.st_ino : 0;
}

int target_open(pid_t pid, struct target **ret, struct err *err) {
    int rc = refuse(pid, err);
    if (rc < 0)
        return rc;
    _cleanup_(target_closep) struct target *t = mem_zalloc(1, sizeof(*t));
    if (!t)
        return err_nomem(err);
    t->pid = pid;
    t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    t->memory_fd = -1;
    char path[64], state;
    uint64_t flags;
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    t->memory_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (t->memory_fd < 0 && (errno == EACCES || errno == EPERM))
        return refuse_forbidden(pid, err);
    if (read_stat(pid, &state, &t->start_time, &flags) < 0)
        return err_set(err, -ESRCH, NULL, "Process %d ended", (int)pid);
    rc = target_refresh_mappings(t, NULL, err);
    if (rc < 0)
        return rc;
    *ret = TAKE_PTR(t);
    return 0;
}

void target_close(struct target *t) {
    if (!t)
        return;
    target_resume(t);
    if (t->pidfd >= 0)
        close(t->pidfd);
    if (t->memory_fd >= 0)
        close(t->memory_fd);
    core_close(t->core);
    maps_free(&t->mappings);
    target_info_clear(&t->info);
    free(t->cache);
    free(t->stopped);
    free(t);
}

bool target_is_core(const struct target *t) {
    return t->core != NULL;
}

pid_t target_pid(const struct target *t) {
    return t->pid;
}

/* ---- memory ---- */

static int read_now(struct target *t, uint64_t address, void *dst, size_t size) {
    struct iovec local = {.iov_base = dst, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    ssize_t n = process_vm_readv(t->pid, &local, 1, &remote, 1, 0);
    if (n == (ssize_t)size)
        return 0;
    if (n < 0 && errno != EPERM && errno != ENOSYS)
        return -errno;
    if (n >= 0)
        return -EFAULT;
    n = pread(t->memory_fd, dst, size, (off_t)address);
    return n == (ssize_t)size ? 0 : n < 0 ? (errno == EIO ? -EFAULT : -errno) : -EFAULT;
}

static const struct cached_page *page_of(struct target *t, uint64_t address) {
    uint64_t start = address & ~(uint64_t)(PAGE_BYTES - 1);
    struct cached_page *p = &t->cache[(start / PAGE_BYTES * 0x9E3779B97F4A7C15ull >> 32) % CACHED_PAGES];
    if (p->valid && p->address == start)
        return p;
    p->valid = read_now(t, start, p->bytes, PAGE_BYTES) == 0;
    p->address = start;
    return p->valid ? p : NULL;
}

int target_read(struct target *t, uint64_t address, void *dst, size_t size) {
    if (t->core)
        return core_read(t, address, dst, size);
    if (address + size < address || address >> 63)
        return -EFAULT;
    bool within = (address & (PAGE_BYTES - 1)) + size <= PAGE_BYTES;
    if (t->n_stopped && t->cache && within) {
        const struct cached_page *p = page_of(t, address);
        if (!p)
            return -EFAULT;
        memcpy(dst, p->bytes + (address & (PAGE_BYTES - 1)), size);
        return 0;
    }
    return read_now(t, address, dst, size);
}

/* ---- mappings ---- */

static bool same_code(const struct mapping_list *a, const struct mapping_list *b) {
    size_t i = 0, j = 0;
    for (;; i++, j++) {
        while (i < a->count && !(a->all[i].protection & PROT_EXEC))
            i++;
        while (j < b->count && !(b->all[j].protection & PROT_EXEC))
            j++;
        if (i == a->count || j == b->count)
            return i == a->count && j == b->count;
        const struct target_mapping *x = &a->all[i], *y = &b->all[j];
        if (x->start != y->start || x->end != y->end || x->offset != y->offset || x->inode != y->inode ||
            x->device != y->device)
            return false;
    }
}

int target_refresh_mappings(struct target *t, bool *ret_changed, struct err *err) {
    if (ret_changed)
        *ret_changed = false;
    if (t->core)
        return 0;
    _cleanup_(buf_free) struct buf b = {0};
    int rc = proc_read(t->pid, "maps", &b);
    if (rc == -EACCES || rc == -EPERM)
        return refuse_forbidden(t->pid, err);
    if (rc < 0 || b.len == 0)
        return err_set(err, -ESRCH, NULL, "Process %d ended", (int)t->pid);
    struct mapping_list list;
    rc = maps_parse(b.data, b.len, &list);
    if (rc < 0)
        return err_nomem(err);
    uint64_t identity = exe_identity(t->pid);
    if (ret_changed)
        *ret_changed = identity != t->exe_identity || !same_code(&t->mappings, &list);
    t->exe_identity = identity;
    maps_free(&t->mappings);
    t->mappings = list;
    return 0;
}

const struct target_mapping *target_mappings(const struct target *t, size_t *ret_count) {
    *ret_count = t->mappings.count;
    return t->mappings.all;
}

const struct target_mapping *target_find_mapping(const struct target *t, uint64_t address) {
    size_t low = 0, high = t->mappings.count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (t->mappings.all[mid].end <= address)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->mappings.count && t->mappings.all[low].start <= address ? &t->mappings.all[low] : NULL;
}

/* ---- files ---- */

static int open_memory_as_file(struct target *t, const struct target_mapping *m) {
    size_t size = m->end - m->start;
    if (size > 1 << 20)
        return -EFBIG;
    _cleanup_(freep) void *bytes = mem_alloc(size);
    _cleanup_(closep) int fd = memfd_create("vdso", MFD_CLOEXEC);
    if (!bytes || fd < 0)
        return -ENOMEM;
    int rc = target_read(t, m->start, bytes, size);
    if (rc < 0)
        return rc;
    return write(fd, bytes, size) == (ssize_t)size ? TAKE_FD(fd) : -EIO;
}

int target_open_path(struct target *t, const char *path) {
    char full[4352];
    if (t->core)
        return -ENOENT;
    snprintf(full, sizeof(full), "/proc/%d/root%s", (int)t->pid, path);
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* map_files names the very file, even when it was deleted; it needs CAP_CHECKPOINT_RESTORE or
 * CAP_SYS_ADMIN. Otherwise the path is tried, and believed if it still is the same file. */
int target_open_mapping(struct target *t, const struct target_mapping *m, struct err *err) {
    if (t->core)
        return core_open_mapping(t, m, err);
    if (strcmp(m->path, "[vdso]") == 0)
        return open_memory_as_file(t, m);
    if (m->path[0] != '/')
        return -ENOENT;
    char path[96];
    snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)t->pid, (unsigned long long)m->start,
             (unsigned long long)m->end);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    fd = target_open_path(t, m->path);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == m->inode && S_ISREG(st.st_mode))
        return fd;
    if (fd >= 0)
        close(fd);
    return err_set(err, -ENOENT, "Give scry CAP_CHECKPOINT_RESTORE to read files that were replaced",
                   "%s was replaced or deleted since it was loaded", m->path);
}
