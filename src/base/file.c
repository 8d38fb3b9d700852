#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int file_read_fd(int fd, const char *name, size_t limit, struct buf *ret, struct err *err) {
    buf_reset(ret);
    for (;;) {
        char *p = buf_reserve(ret, 65536);
        if (!p)
            return err_nomem(err);
        ssize_t n = read(fd, p, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, -errno, NULL, "Cannot read %s: %s", name, strerror(errno));
        if (n == 0)
            return 0;
        ret->len += (size_t)n;
        if (ret->len > limit)
            return err_set(err, -EFBIG, NULL, "%s is larger than %zu bytes", name, limit);
    }
}

int file_read(const char *path, size_t limit, struct buf *ret, struct err *err) {
    bool standard = strcmp(path, "-") == 0;
    _cleanup_(closep) int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "Check the name and the permissions of the file", "Cannot open %s: %s", path,
                       strerror(errno));
    return file_read_fd(fd, path, limit, ret, err);
}

/* From `offset` on, or where the file stands when that is negative. */
static int write_all(int fd, const void *data, size_t size, off_t offset) {
    const char *bytes = data;
    for (size_t done = 0; done < size;) {
        ssize_t n = offset < 0 ? write(fd, bytes + done, size - done)
                               : pwrite(fd, bytes + done, size - done, offset + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

int file_write_fd(int fd, const void *data, size_t size) {
    return write_all(fd, data, size, -1);
}

int file_write_at(int fd, const void *data, size_t size, uint64_t at) {
    return write_all(fd, data, size, (off_t)at);
}

static int write_failed(struct err *err, const char *path, int code) {
    bool standard = strcmp(path, "-") == 0, full = code == -ENOSPC || code == -EDQUOT;
    const char *advice = full       ? "Free some space, or name another place"
                         : standard ? "Send it to a place that takes it"
                                    : "Name a place you may write to";
    return err_set(err, code, advice, "Cannot write %.300s: %s", standard ? "the standard output" : path,
                   strerror(-code));
}

/* ---- where a path leads ---- */

/* How a file is written. */
enum way {
    RENAMED,  /* another one, renamed into its place when it is whole */
    IN_PLACE, /* what a symbolic link leads to: somebody wants it there. The kernel judges whose links are followed */
    STREAM,   /* a pipe, a terminal, a device */
    STANDARD, /* what the standard output or error is already: to open it again would begin at its start */
};

/* The standard output or error, if that is what a path leads to; else -1. */
static int standard_at(const char *path) {
    struct stat st, open;
    if (strcmp(path, "-") == 0)
        return STDOUT_FILENO;
    bool exists = stat(path, &st) == 0;
    for (int fd = STDOUT_FILENO; exists && fd <= STDERR_FILENO; fd++)
        if (fstat(fd, &open) == 0 && open.st_dev == st.st_dev && open.st_ino == st.st_ino)
            return fd;
    return -1;
}

static enum way way_to(const char *path) {
    struct stat st, link;
    if (strcmp(path, "-") == 0)
        return STANDARD;
    bool exists = stat(path, &st) == 0, linked = lstat(path, &link) == 0 && S_ISLNK(link.st_mode);
    if (linked && standard_at(path) >= 0)
        return STANDARD;
    if (exists && !S_ISREG(st.st_mode))
        return STREAM;
    return linked ? IN_PLACE : RENAMED;
}

bool file_is_stream(const char *path) {
    enum way way = way_to(path);
    return way == STREAM || way == STANDARD;
}

static int write_directly(const char *path, enum way way, const void *data, size_t size, struct err *err) {
    int flags = way == IN_PLACE ? O_CREAT | O_TRUNC : 0;
    _cleanup_(closep) int fd =
        way == STANDARD ? dup(standard_at(path)) : open(path, O_WRONLY | O_CLOEXEC | flags, 0666);
    int rc = fd < 0 ? -errno : file_write_fd(fd, data, size);
    return rc < 0 ? write_failed(err, path, rc) : 0;
}

/* A name for a file beside another, not longer than that of any; mkostemp() completes it. */
static char *temporary_beside(const char *path) {
    const char *slash = strrchr(path, '/');
    return mem_printf("%.*s.scry-XXXXXX", slash ? (int)(slash + 1 - path) : 0, path);
}

static int try_beside(const char *path, struct err *err) {
    _cleanup_(freep) char *temporary = temporary_beside(path);
    if (!temporary)
        return err_nomem(err);
    _cleanup_(closep) int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return write_failed(err, path, -errno);
    unlink(temporary);
    return 0;
}

int file_check_writable(const char *path, struct err *err) {
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return write_failed(err, path, -EISDIR);
    switch (way_to(path)) {
    case STANDARD:
        return 0;
    case STREAM:
        return access(path, W_OK) == 0 ? 0 : write_failed(err, path, -errno);
    case IN_PLACE: /* where the link leads there may be nothing yet */
        return access(path, W_OK) == 0 || errno == ENOENT ? 0 : write_failed(err, path, -errno);
    case RENAMED:
        break;
    }
    return try_beside(path, err);
}

/* Writes all of a file that mkostemp() made, gives it its permissions and closes it. */
static int fill(int fd, const void *data, size_t size, mode_t mode) {
    int rc = file_write_fd(fd, data, size);
    if (rc == 0 && fchmod(fd, mode) < 0)
        rc = -errno;
    return close(fd) < 0 && rc == 0 ? -errno : rc;
}

static mode_t usual_mode(void) {
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

/* A file keeps its permissions if it is ours: what somebody else allowed for a file of theirs, perhaps that everybody
 * may run it as its owner, was not meant for ours. */
static mode_t mode_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && st.st_uid == geteuid() ? st.st_mode & 0777 : usual_mode();
}

static int put_in_place(const char *temporary, const char *path, bool replace) {
    if (!replace && renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (!replace && errno != EINVAL && errno != ENOSYS) /* else the file system does not know how */
        return -errno;
    return rename(temporary, path) < 0 ? -errno : 0;
}

static int write_beside(const char *path, bool replace, const void *data, size_t size, struct err *err) {
    _cleanup_(freep) char *temporary = temporary_beside(path);
    if (!temporary)
        return err_nomem(err);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return write_failed(err, path, -errno);
    int rc = fill(fd, data, size, mode_of(path));
    if (rc == 0)
        rc = put_in_place(temporary, path, replace);
    if (rc < 0) {
        unlink(temporary);
        return write_failed(err, path, rc);
    }
    return 0;
}

int file_write(const char *path, const void *data, size_t size, struct err *err) {
    enum way way = way_to(path);
    return way == RENAMED ? write_beside(path, true, data, size, err) : write_directly(path, way, data, size, err);
}

int file_write_unless_there(const char *path, const void *data, size_t size, struct err *err) {
    return write_beside(path, false, data, size, err);
}

int file_write_new(char *path, int ending_length, const void *data, size_t size, bool private, struct err *err) {
    int fd = mkostemps(path, ending_length, O_CLOEXEC);
    if (fd < 0)
        return write_failed(err, path, -errno);
    int rc = fill(fd, data, size, private ? 0600 : usual_mode());
    if (rc < 0) {
        unlink(path);
        return write_failed(err, path, rc);
    }
    return 0;
}
