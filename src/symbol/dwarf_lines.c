/* Files and lines of addresses and of inlined calls. */
#include <string.h>

#include "symbol/dwarf_internal.h"

enum { MAX_LINE_PROGRAM = 64 << 20 }; /* of one unit */

size_t dwarf_line_program(struct dwarf_file *d, Dwarf_Die *unit) {
    Dwarf_Attribute attribute;
    Dwarf_Word offset;
    uint32_t length;
    size_t size;
    const Elf64_Shdr *s = elf_image_section(d->image, ".debug_line");
    const uint8_t *bytes = s ? elf_image_bytes(d->image, s, &size) : NULL;
    if (!bytes || !dwarf_attr(unit, DW_AT_stmt_list, &attribute) || dwarf_formudata(&attribute, &offset) != 0 ||
        size < 4 || offset > size - 4)
        return 0;
    memcpy(&length, bytes + offset, 4);
    size_t program = length == UINT32_MAX ? size - offset : length; /* 64-bit DWARF: whatever it is, at most that */
    return program <= MAX_LINE_PROGRAM ? program : 0;
}

/* The file of an inlined call, as its caller's unit numbers it. */
static const char *call_file(Dwarf_Die *unit, Dwarf_Die *inlined) {
    Dwarf_Files *files;
    size_t n;
    uint32_t index = dwarf_number(inlined, DW_AT_call_file);
    if (dwarf_getsrcfiles(unit, &files, &n) != 0 || index >= n)
        return "";
    const char *name = dwarf_filesrc(files, index, NULL, NULL);
    return name ? name : "";
}

/* "/a/build/../src/./x.c" is /a/src/x.c. Compilers write paths as they were given; where a directory was a link
 * this may name another file, but it is what everybody who reads it takes it for. */
static void simplify_path(char *path) {
    char *to = path;
    for (const char *from = path; *from;) {
        size_t n = strcspn(from + 1, "/") + 1; /* a component with the slash before it */
        if (n == 3 && memcmp(from, "/..", 3) == 0 && to > path) {
            while (to > path && *--to != '/')
                ;
        } else if (!(n == 2 && from[1] == '.') && n > 1) {
            memmove(to, from, n);
            to += n;
        }
        from += n;
    }
    *to = '\0';
}

/* Paths may be relative to the unit's directory. */
static const char *full_path(struct symbol_names *names, Dwarf_Die *unit, const char *file) {
    if (!file || !file[0])
        return symbol_names_text(names, file);
    Dwarf_Attribute attribute;
    const char *directory = "";
    if (file[0] != '/' && dwarf_attr(unit, DW_AT_comp_dir, &attribute))
        directory = dwarf_formstring(&attribute);
    if (file[0] != '/' && (!directory || directory[0] != '/'))
        return symbol_names_text(names, file);
    _cleanup_(freep) char *path = file[0] == '/' ? mem_strdup(file) : mem_printf("%s/%s", directory, file);
    if (path)
        simplify_path(path);
    return symbol_names_text(names, path);
}

void dwarf_fill_line(Dwarf_Die *unit, struct symbol_names *names, uint64_t address, struct symbol_location *ret) {
    Dwarf_Line *line = dwarf_getsrc_die(unit, address);
    int number = 0, column = 0;
    if (!line)
        return;
    ret->file = full_path(names, unit, dwarf_linesrc(line, NULL, NULL));
    if (dwarf_lineno(line, &number) == 0 && number > 0)
        ret->line = (uint32_t)number;
    if (dwarf_linecol(line, &column) == 0 && column > 0)
        ret->column = (uint32_t)column;
}

void dwarf_fill_call(Dwarf_Die *unit, struct symbol_names *names, const Dwarf_Die *inlined,
                     struct symbol_location *ret) {
    Dwarf_Die die = *inlined;
    ret->file = full_path(names, unit, call_file(unit, &die));
    ret->line = dwarf_number(&die, DW_AT_call_line);
    ret->column = dwarf_number(&die, DW_AT_call_column);
}
