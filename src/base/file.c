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

int file_write_fd(int fd, const void *data, size_t size) {
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_failed(struct err *err, const char *path, int code) {
    bool standard = strcmp(path, "-") == 0, full = code == -ENOSPC || code == -EDQUOT;
    const char *advice = full       ? "Free some space, or name another place"
                         : standard ? "Send it to a place that takes it"
                                    : "Name a place you may write to";
    return err_set(err, code, advice, "Cannot write %.300s: %s", standard ? "the standard output" : path,
                   strerror(-code));
}

static int write_directly(const char *path, const void *data, size_t size, struct err *err) {
    bool standard = strcmp(path, "-") == 0;
    _cleanup_(closep) int fd = standard ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : file_write_fd(fd, data, size);
    return rc < 0 ? write_failed(err, path, rc) : 0;
}

/* Only in place of a regular file, or of none, can another be renamed. */
static bool is_written_directly(const char *path, const struct stat *st) {
    return strcmp(path, "-") == 0 || (st && !S_ISREG(st->st_mode));
}

int file_check_writable(const char *path, struct err *err) {
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (strcmp(path, "-") == 0)
        return 0;
    if (exists && S_ISDIR(st.st_mode))
        return write_failed(err, path, -EISDIR);
    if (is_written_directly(path, exists ? &st : NULL))
        return access(path, W_OK) == 0 ? 0 : write_failed(err, path, -errno);
    _cleanup_(freep) char *temporary = mem_printf("%s.XXXXXX", path);
    if (!temporary)
        return err_nomem(err);
    _cleanup_(closep) int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return write_failed(err, path, -errno);
    unlink(temporary);
    return 0;
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

int file_write(const char *path, const void *data, size_t size, struct err *err) {
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (is_written_directly(path, exists ? &st : NULL))
        return write_directly(path, data, size, err);
    _cleanup_(freep) char *temporary = mem_printf("%s.XXXXXX", path);
    if (!temporary)
        return err_nomem(err);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return write_failed(err, path, -errno);
    int rc = fill(fd, data, size, exists ? st.st_mode & 07777 : usual_mode());
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc < 0) {
        unlink(temporary);
        return write_failed(err, path, rc);
    }
    return 0;
}

int file_write_new(char *path, int ending_length, const void *data, size_t size, struct err *err) {
    int fd = mkostemps(path, ending_length, O_CLOEXEC);
    if (fd < 0)
        return write_failed(err, path, -errno);
    int rc = fill(fd, data, size, usual_mode());
    if (rc < 0) {
        unlink(path);
        return write_failed(err, path, rc);
    }
    return 0;
}
