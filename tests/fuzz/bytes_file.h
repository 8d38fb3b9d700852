/* The bytes of one run as a file without a name. */
#pragma once

#include <stdlib.h>
#include <string.h>
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

/* Looks an address up; what is found must be whole. */
static inline void bytes_look_up(struct symbol_file *f, uint64_t address) {
    struct symbol_location at[SYMBOL_MAX_INLINES];
    size_t n = symbol_file_lookup(f, address, at, SYMBOL_MAX_INLINES);
    if (n > SYMBOL_MAX_INLINES)
        abort();
    for (size_t i = 0; i < n; i++)
        if (!at[i].name || !at[i].system_name || !at[i].file || strlen(at[i].name) > 1 << 20)
            abort();
}
