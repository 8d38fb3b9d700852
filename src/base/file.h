/* Whole files: read with a bound, written so that a reader never sees half of one.
 * May use: base/.
 * Must not: leave a partial or temporary file behind on failure. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* Reads at most `limit` bytes of `path` into *ret (replacing its content). -EFBIG when longer. */
int file_read(const char *path, size_t limit, struct buf *ret, struct err *err);
int file_read_fd(int fd, const char *name, size_t limit, struct buf *ret, struct err *err);

/* Whether file_write() will find a place: tried, because permissions do not say it all. */
int file_check_writable(const char *path, struct err *err);

/* Writes to a temporary file beside `path` and renames it into place. "-" and things that are not regular files (pipes,
 * terminals) are written directly, and so is what a symbolic link leads to, which is the standard output where that is
 * meant (/dev/stdout). */
int file_write(const char *path, const void *data, size_t size, struct err *err);

/* The same of a file that was not there before; -EEXIST when it is. */
int file_write_unless_there(const char *path, const void *data, size_t size, struct err *err);

/* Whether file_write() would write directly, and may have to wait for who reads. */
bool file_is_stream(const char *path);

/* Writes all of it to an open file. 0 or negative errno. */
int file_write_fd(int fd, const void *data, size_t size);
/* The same from an offset on; where the file is written to otherwise does not change. */
int file_write_at(int fd, const void *data, size_t size, uint64_t at);

/* Writes to a file that did not exist before: "XXXXXX" before the last `ending_length` letters of `path` becomes
 * what is still free. A private one nobody else may read. */
int file_write_new(char *path, int ending_length, const void *data, size_t size, bool private, struct err *err);
