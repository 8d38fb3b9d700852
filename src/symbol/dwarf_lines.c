/* Files and lines of addresses and of inlined calls. */
#include <string.h>

#include "base/bisect.h"
#include "symbol/dwarf_internal.h"

enum { MAX_LINE_PROGRAM = 8 << 20 }; /* of one unit: it may become a hundred times as much in libdw */

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

/* ---- a unit's lines ---- */

enum { NO_LINE = UINT16_MAX, MAX_FILES = UINT16_MAX };

struct dwarf_line_row {
    uint64_t address;
    uint32_t line;
    uint16_t column, file; /* NO_LINE: what comes is not of this program */
};

void dwarf_lines_free(struct dwarf_lines *l) {
    if (!l)
        return;
    free(l->rows);
    free(l->files);
    free(l);
}

/* The path of a file by its number. libdw runs the line program again for that when it has forgotten it. */
static const char *file_of(const struct dwarf_place *p, const struct dwarf_lines *l, size_t number) {
    Dwarf_Files *files;
    size_t n;
    if (number >= l->n_files)
        return "";
    if (!l->files[number] && dwarf_getsrcfiles(p->root, &files, &n) == 0 && number < n)
        l->files[number] = full_path(p->names, p->root, dwarf_filesrc(files, number, NULL, NULL));
    return l->files[number] ? l->files[number] : "";
}

static struct dwarf_line_row row_of(Dwarf_Line *line) {
    struct dwarf_line_row row = {.file = NO_LINE};
    Dwarf_Addr address = 0;
    Dwarf_Files *files;
    size_t file;
    int number = 0, column = 0;
    bool end = false;
    dwarf_lineaddr(line, &address);
    dwarf_lineendsequence(line, &end);
    row.address = address;
    if (end || dwarf_line_file(line, &files, &file) != 0)
        return row;
    dwarf_lineno(line, &number);
    dwarf_linecol(line, &column);
    row.file = (uint16_t)MIN(file, (size_t)NO_LINE);
    row.line = (uint32_t)MAX(number, 0);
    row.column = (uint16_t)(column > 0 && column <= UINT16_MAX ? column : 0);
    return row;
}

static bool same_place(const struct dwarf_line_row *a, const struct dwarf_line_row *b) {
    return a->line == b->line && a->column == b->column && a->file == b->file;
}

/* Of several rows at one address the last holds; one that says what the one before said is not needed. */
static void add_row(struct dwarf_lines *l, const struct dwarf_line_row *row) {
    if (l->n_rows && l->rows[l->n_rows - 1].address == row->address)
        l->n_rows--;
    if (l->n_rows == 0 || !same_place(&l->rows[l->n_rows - 1], row))
        l->rows[l->n_rows++] = *row;
}

static bool copy_lines(Dwarf_Die *root, struct dwarf_lines *l) {
    Dwarf_Lines *lines;
    Dwarf_Files *files;
    size_t n;
    if (dwarf_getsrclines(root, &lines, &n) != 0 || dwarf_getsrcfiles(root, &files, &l->n_files) != 0)
        return false;
    l->n_files = MIN(l->n_files, (size_t)MAX_FILES);
    l->files = mem_zalloc(l->n_files, sizeof(*l->files));
    l->rows = mem_alloc(n * sizeof(*l->rows));
    if (!l->files || !l->rows)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct dwarf_line_row row = row_of(dwarf_onesrcline(lines, i));
        add_row(l, &row);
    }
    mem_fit((void **)&l->rows, NULL, l->n_rows, sizeof(*l->rows));
    return true;
}

/* NULL when memory is out. A unit whose program is broken has no lines. */
static struct dwarf_lines *lines_of(const struct dwarf_place *p) {
    if (p->unit->lines)
        return p->unit->lines;
    struct dwarf_lines *l = mem_zalloc(1, sizeof(*l));
    if (!l)
        return NULL;
    p->unit->lines = l;
    if (!copy_lines(p->root, l))
        l->n_rows = l->n_files = 0;
    for (size_t i = 0; i < l->n_rows; i++) /* while libdw has them at hand */
        if (l->rows[i].file != NO_LINE)
            file_of(p, l, l->rows[i].file);
    p->file->kept += sizeof(*l) + l->n_rows * sizeof(*l->rows) + l->n_files * sizeof(*l->files);
    return l;
}

void dwarf_fill_line(const struct dwarf_place *p, uint64_t address, struct symbol_location *ret) {
    const struct dwarf_lines *l = lines_of(p);
    size_t low = l ? bisect(i, l->n_rows, l->rows[i].address <= address) : 0;
    const struct dwarf_line_row *row = low ? &l->rows[low - 1] : NULL;
    if (!row || row->file == NO_LINE)
        return;
    ret->file = file_of(p, l, row->file);
    ret->line = row->line;
    ret->column = row->column;
}

void dwarf_fill_call(const struct dwarf_place *p, const Dwarf_Die *inlined, struct symbol_location *ret) {
    Dwarf_Die die = *inlined;
    const struct dwarf_lines *l = lines_of(p);
    size_t number = dwarf_number(&die, DW_AT_call_file);
    if (l && number < l->n_files && !l->files[number])
        p->file->held += dwarf_line_program(p->file, p->root) * DWARF_HELD_PER_BYTE;
    if (l)
        ret->file = file_of(p, l, number);
    ret->line = dwarf_number(&die, DW_AT_call_line);
    ret->column = dwarf_number(&die, DW_AT_call_column);
}
