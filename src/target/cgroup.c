/* Control groups of version 2: where their file system is mounted, and one of them by its name.
 *
 * /proc/self/mountinfo has a line per mount: "ID PARENT MAJOR:MINOR ROOT WHERE OPTIONS [FIELD...] - TYPE SOURCE MORE".
 * Spaces, tabs, line breaks and backslashes in WHERE are written as a backslash and three octal digits. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "target/internal.h"

enum { MOST_MOUNTS_BYTES = 64 << 20 };

static bool is_octal(const char *p, size_t n) {
    return n >= 4 && p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
           p[3] <= '7';
}

static bool copy_unescaped(const char *p, size_t n, char *ret, size_t size) {
    size_t k = 0;
    for (size_t i = 0; i < n; k++) {
        if (k + 1 >= size)
            return false;
        bool octal = is_octal(p + i, n - i);
        ret[k] = octal ? (char)((p[i + 1] - '0') << 6 | (p[i + 2] - '0') << 3 | (p[i + 3] - '0')) : p[i];
        i += octal ? 4 : 1;
    }
    ret[k] = '\0';
    return k > 0;
}

/* The start of word `index` of a line that ends at `end`, or `end`. */
static const char *word_at(const char *line, const char *end, unsigned index) {
    for (; index && line < end; index--) {
        const char *space = memchr(line, ' ', (size_t)(end - line));
        line = space ? space + 1 : end;
    }
    return line;
}

bool cgroup_mount(const char *mounts, char *ret, size_t size) {
    for (const char *line = mounts; *line;) {
        const char *end = line + strcspn(line, "\n");
        const char *kind = memmem(line, (size_t)(end - line), " - cgroup2 ", 11);
        const char *where = word_at(line, kind ? kind : end, 4);
        if (kind && where < kind && copy_unescaped(where, strcspn(where, " "), ret, size))
            return true;
        line = end + (*end == '\n');
    }
    return false;
}

/* The mount's directory, or -ENOENT. */
static int find_mount(char *ret, size_t size) {
    _cleanup_(closep) int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    _cleanup_(buf_free) struct buf text = {0};
    if (fd < 0)
        return -errno;
    int rc = file_read_fd(fd, "/proc/self/mountinfo", MOST_MOUNTS_BYTES, &text, NULL);
    return rc < 0 ? rc : cgroup_mount(buf_cstr(&text), ret, size) ? 0 : -ENOENT;
}

/* A descriptor; -EMEDIUMTYPE for a directory that is not of this file system; or what open() says. */
static int open_group(const char *path) {
    struct statfs fs;
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstatfs(fd, &fs) < 0)
        return -errno;
    return fs.f_type == CGROUP2_SUPER_MAGIC ? TAKE_FD(fd) : -EMEDIUMTYPE;
}

int target_open_cgroup_within(const char *path) {
    char mount[4096];
    int rc = find_mount(mount, sizeof(mount));
    if (rc < 0)
        return rc;
    _cleanup_(freep) char *within = mem_printf("%s/%s", mount, path + strspn(path, "/"));
    return within ? open_group(within) : -ENOMEM;
}

int target_open_cgroup(const char *path, struct err *err) {
    int given = open_group(path);
    if (given >= 0)
        return given;
    char mount[4096];
    if (find_mount(mount, sizeof(mount)) < 0)
        return err_set(err, -ENOENT, "Mount it: mount -t cgroup2 none /sys/fs/cgroup",
                       "Cannot find the control group %.200s: no cgroup2 file system is mounted here", path);
    _cleanup_(freep) char *within = mem_printf("%s/%s", mount, path + strspn(path, "/"));
    if (!within)
        return err_nomem(err);
    int fd = open_group(within);
    if (fd >= 0)
        return fd;
    char advice[400];
    snprintf(advice, sizeof(advice), "Name a directory under %.120s, or its path from there; systemd-cgls shows them",
             mount);
    if (given == -EMEDIUMTYPE || fd == -EMEDIUMTYPE)
        return err_set(err, -EINVAL, advice, "%.200s is no control group of version 2", path);
    return err_set(err, fd, advice, "There is no control group %.200s in %.120s: %s", path, mount, strerror(-fd));
}
