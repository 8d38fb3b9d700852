/* The files behind a live process's mappings, and files as it sees them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "target/internal.h"

#ifndef BCACHEFS_SUPER_MAGIC
#define BCACHEFS_SUPER_MAGIC 0xca451a4e
#endif
enum { MAX_MEMORY_FILE = 1 << 20 };

/* The kernel's own views are regular files by type only: reading one may wait, or do something. */
static bool is_kernels_own(int fd) {
    static const unsigned long types[] = {PROC_SUPER_MAGIC,   SYSFS_MAGIC,         DEBUGFS_MAGIC, TRACEFS_MAGIC,
                                          CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, BPF_FS_MAGIC,  SECURITYFS_MAGIC};
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if ((unsigned long)fs.f_type == types[i])
            return true;
    return false;
}

/* Turns a descriptor that only names a file into one that reads it, if it is a regular file: to open a
 * device or a pipe may do something, or wait. Takes over `fd`. */
static int open_named(int fd) {
    _cleanup_(closep) int name = fd;
    struct stat st;
    char path[32];
    if (fstat(name, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || is_kernels_own(name))
        return -ENOENT;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", name);
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return opened < 0 ? -errno : opened;
}

int open_beneath(int root_fd, const char *path) {
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    int fd = -1;
    for (int tries = 0; tries < 4; tries++) {
        fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
        if (fd >= 0 || errno != EAGAIN) /* somebody moved a directory on the way */
            break;
    }
    /* Linux before 5.6, or a filter that does not know the call: absolute links lead to our own root. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        fd = openat(root_fd, path[strspn(path, "/")] ? path + strspn(path, "/") : ".", O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : open_named(fd);
}

int open_memory_as_file(struct target *t, const struct target_mapping *m) {
    size_t size = m->end - m->start;
    if (size > MAX_MEMORY_FILE)
        return -ENOENT;
    _cleanup_(freep) void *bytes = mem_alloc(size);
    _cleanup_(closep) int fd = memfd_create("memory", MFD_CLOEXEC);
    if (!bytes || fd < 0)
        return -ENOMEM;
    int rc = target_read(t, m->start, bytes, size);
    if (rc < 0)
        return rc == -ESRCH ? rc : -ENOENT;
    return file_write_at(fd, bytes, size, 0) == 0 ? TAKE_FD(fd) : -EIO;
}

int open_root(struct target *t) {
    char path[64];
    if (t->ended)
        return t->root_fd < 0 ? -ENOENT : fcntl(t->root_fd, F_DUPFD_CLOEXEC, 0);
    snprintf(path, sizeof(path), "%sroot", t->member);
    int fd = openat(t->proc_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int live_open_path(struct target *t, const char *path) {
    _cleanup_(closep) int root = open_root(t);
    return root < 0 ? root : open_beneath(root, path);
}

/* Layered file systems show one device to stat() and another to /proc/PID/maps. */
static bool is_layered(int fd) {
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 &&
           ((unsigned long)fs.f_type == OVERLAYFS_SUPER_MAGIC || (unsigned long)fs.f_type == BTRFS_SUPER_MAGIC ||
            (unsigned long)fs.f_type == BCACHEFS_SUPER_MAGIC);
}

/* Hands `fd` through when it is the mapping's file; otherwise closes it and returns -ESTALE. */
static int if_same(int fd, const struct target_mapping *m) {
    struct stat st;
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) == 0 && st.st_ino == m->inode && (st.st_dev == m->device || is_layered(fd)))
        return fd;
    close(fd);
    return -ESTALE;
}

/* The kernel's own link from an address range to its file, even when that was deleted or replaced. Asks
 * for CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN. */
static int open_by_range(struct target *t, const struct target_mapping *m) {
    char name[64];
    snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)m->start, (unsigned long long)m->end);
    int fd = openat(t->proc_fd, name, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : if_same(open_named(fd), m);
}

static int open_executable(struct target *t, const struct target_mapping *m) {
    char name[64];
    snprintf(name, sizeof(name), "%sexe", t->member);
    int fd = openat(t->proc_fd, name, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : if_same(open_named(fd), m);
}

/* By name: in the target's root, and in ours, because the kernel writes paths from the root of whoever
 * reads the list. A name that ends in " (deleted)" may be just that. */
static int open_by_path(struct target *t, const struct target_mapping *m) {
    _cleanup_(closep) int root = open_root(t), own = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(freep) char *literal = m->deleted ? mem_printf("%s (deleted)", m->path) : NULL;
    const char *names[] = {m->path, literal};
    const int roots[] = {root, own};
    int first = -ENOENT;
    for (size_t n = 0; n < ARRAY_SIZE(names) && names[n]; n++)
        for (size_t r = 0; r < ARRAY_SIZE(roots); r++) {
            int fd = roots[r] < 0 ? -ENOENT : if_same(open_beneath(roots[r], names[n]), m);
            if (fd >= 0)
                return fd;
            if (first == -ENOENT)
                first = fd;
        }
    return first;
}

int live_open_mapping(struct target *t, const struct target_mapping *m, struct err *err) {
    int by_range = open_by_range(t, m);
    if (by_range >= 0)
        return by_range;
    int fd = open_by_path(t, m);
    if (fd >= 0)
        return fd;
    int executable = open_executable(t, m);
    if (executable >= 0)
        return executable;
    if (fd == -EACCES)
        return err_set(err, -ENOENT, "Run the same command with sudo", "%s may not be read", m->path);
    const char *advice = by_range == -EPERM || by_range == -EACCES
                             ? "Run the same command with sudo: CAP_CHECKPOINT_RESTORE reads files that were replaced"
                             : NULL;
    if (fd == -ESTALE || m->deleted)
        return err_set(err, -ENOENT, advice, "%s was replaced or deleted since it was loaded", m->path);
    return err_set(err, -ENOENT, advice, "%s cannot be opened", m->path);
}
