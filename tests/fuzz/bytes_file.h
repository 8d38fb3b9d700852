/* The bytes of one run as a file without a name. */
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "symbol/symbol.h"

/* The descriptor of a memory file that holds them, or -1. */
static inline int bytes_file(const void *data, size_t size) {
    _cleanup_(closep) int fd = memfd_create("bytes", MFD_CLOEXEC);
    return fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size ? TAKE_FD(fd) : -1;
}

/* They opened as an ELF file that has nothing beside it; NULL when they are none. */
static inline struct symbol_file *bytes_elf(const void *data, size_t size) {
    struct symbol_search nowhere = {.debug_root = "/nonexistent"};
    struct symbol_file *f = NULL;
    int fd = bytes_file(data, size);
    return fd >= 0 && symbol_file_open(fd, "/nonexistent/file", &nowhere, &f, NULL) == 0 ? f : NULL;
}
