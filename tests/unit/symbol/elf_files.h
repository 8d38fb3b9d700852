/* Small ELF files that the tests make. */
#pragma once

#include "../unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "symbol/internal.h"

/* The header of a library with so many sections, the last of which holds their names. */
static inline Elf64_Ehdr elf_header(size_t sections_at, unsigned n_sections) {
    Elf64_Ehdr h = {.e_type = ET_DYN,
                    .e_shoff = sections_at,
                    .e_shentsize = sizeof(Elf64_Shdr),
                    .e_shnum = (Elf64_Half)n_sections,
                    .e_shstrndx = (Elf64_Half)(n_sections - 1)};
    memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    return h;
}

static inline struct elf_image elf_map(const char *path) {
    struct elf_image image;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(elf_image_map(fd, &image), 0);
    close(fd);
    return image;
}

/* Writes a file, and maps it. */
static inline struct elf_image elf_map_new(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
    return elf_map(path);
}

static inline int remove_all(const char *path) {
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", path);
    return system(command); // NOLINT(cert-env33-c)
}
