/* Call-frame information of a whole file, and of linkage stubs, which often have none. */
#include <errno.h>
#include <string.h>

#include "base/bisect.h"
#include "base/mem.h"
#include "unwind/cfi.h"

/* The rule at an address by bisection over the rows; 0 when there is none. */
static u32 rule_at(const struct cfi_rows *rows, u64 address, size_t *ret_next) {
    size_t low = bisect(i, rows->count, rows->rows[i].address <= address);
    *ret_next = low;
    return low ? rows->rows[low - 1].rule : 0;
}

static int insert_range(struct cfi_rows *rows, u64 start, u64 end, const struct unwind_rule *rule) {
    size_t next;
    if (start >= end || rule_at(rows, start, &next) != 0 || (next < rows->count && rows->rows[next].address < end))
        return 0; /* covered already */
    if (mem_grow((void **)&rows->rows, &rows->capacity, rows->count + 2, sizeof(*rows->rows)) < 0)
        return -ENOMEM;
    memmove(rows->rows + next + 2, rows->rows + next, (rows->count - next) * sizeof(*rows->rows));
    rows->rows[next] = (struct cfi_row){.address = start, .rule = cfi_rule(rows, rule)};
    rows->rows[next + 1] = (struct cfi_row){.address = end, .rule = 0};
    rows->count += 2;
    return 0;
}

/* Stubs of dynamic linking that their linker gave no information: on entry nothing is pushed; a lazy
 * stub pushes its index after the jump and its first 6 (or, with endbr64, 4 + 5) bytes. */
static int add_stubs(struct symbol_file *f, struct cfi_rows *rows) {
    static const struct {
        const char *section;
        bool lazy;
    } stubs[] = {{".plt", true}, {".plt.sec", false}, {".plt.got", false}};
    const struct unwind_rule entry = {
        .kind = RULE_CFA_REG,
        .cfa_reg = 7,
        .cfa_offset = 8,
        .ra_offset = -8,
        .saved = {RULE_NOT_SAVED, RULE_NOT_SAVED, RULE_NOT_SAVED, RULE_NOT_SAVED, RULE_NOT_SAVED, RULE_NOT_SAVED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(stubs); i++) {
        struct symbol_section s;
        if (symbol_file_section(f, stubs[i].section, &s) < 0 || s.size < 16)
            continue;
        struct unwind_rule rule = entry;
        u64 start = s.address;
        if (stubs[i].lazy) {
            rule.kind = RULE_CFA_PLT;
            rule.cfa_offset = 11;
            start += 16; /* the first stub of .plt calls the resolver and is never seen alone */
        }
        if (insert_range(rows, start, s.address + s.size, &rule) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Rows must speak of all code that can be mapped, so that a page beyond them is never asked for. */
static int cover_code(struct symbol_file *f, struct cfi_rows *rows) {
    uint64_t start, end;
    if (symbol_file_code_range(f, &start, &end) < 0)
        return 0;
    if (start < rows->rows[0].address) {
        if (mem_grow((void **)&rows->rows, &rows->capacity, rows->count + 1, sizeof(*rows->rows)) < 0)
            return -ENOMEM;
        memmove(rows->rows + 1, rows->rows, rows->count * sizeof(*rows->rows));
        rows->rows[0] = (struct cfi_row){.address = start};
        rows->count++;
    }
    if (end - 1 <= rows->rows[rows->count - 1].address)
        return 0;
    /* Not through cfi_add_row(), which leaves out what repeats the rule before. */
    if (mem_grow((void **)&rows->rows, &rows->capacity, rows->count + 1, sizeof(*rows->rows)) < 0)
        return -ENOMEM;
    rows->rows[rows->count++] = (struct cfi_row){.address = end - 1};
    return 0;
}

int cfi_compile_file(struct symbol_file *f, struct cfi_rows *ret, struct err *err) {
    struct symbol_section s;
    int rc = -ENOENT;
    if (symbol_file_section(f, ".eh_frame", &s) == 0 && s.data)
        rc = cfi_compile(&(struct cfi_section){.data = s.data, .size = s.size, .address = s.address, .eh_frame = true},
                         ret, err);
    if (rc < 0 && rc != -ENOMEM && symbol_file_section(f, ".debug_frame", &s) == 0 && s.data)
        rc = cfi_compile(&(struct cfi_section){.data = s.data, .size = s.size, .address = s.address}, ret, err);
    if (rc == -ENOENT)
        return err_set(err, rc, NULL, "The file has no call-frame information");
    if (rc == 0 && (add_stubs(f, ret) < 0 || cover_code(f, ret) < 0))
        return err_nomem(err);
    return rc;
}
