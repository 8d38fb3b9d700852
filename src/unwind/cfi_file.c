/* Call-frame information of a whole file, and of linkage stubs, which often have none. */
#include <errno.h>
#include <string.h>

#include "base/bisect.h"
#include "base/mem.h"
#include "unwind/cfi.h"

enum { MAX_DEBUG_FRAME = 256 << 20 };

/* The rule at an address by bisection over the rows; 0 when there is none. */
static u32 rule_at(const struct cfi_rows *rows, u64 address, size_t *ret_next) {
    size_t low = bisect(i, rows->count, rows->rows[i].address <= address);
    *ret_next = low;
    return low ? rows->rows[low - 1].rule : 0;
}

/* On entry to a function, before it pushed anything. */
static const struct unwind_rule entry = {
    .kind = RULE_CFA_REG,
    .cfa_reg = 7,
    .cfa_offset = 8,
    .ra_offset = -8,
    .saved = {RULE_NOT_SAVED, RULE_NOT_SAVED, RULE_NOT_SAVED, RULE_NOT_SAVED, RULE_NOT_SAVED, RULE_NOT_SAVED},
};

/* Where the function before ends at `start`, or another begins at `end`, a row stands there already: addresses
 * of rows are different. */
static int insert_range(struct cfi_rows *rows, u64 start, u64 end, const struct unwind_rule *rule) {
    size_t next;
    if (start >= end || end >> CFI_ADDRESS_BITS || rule_at(rows, start, &next) != 0 ||
        (next < rows->count && rows->rows[next].address < end))
        return 0; /* covered already */
    size_t at = next && rows->rows[next - 1].address == start ? next - 1 : next;
    bool goes_on = next < rows->count && rows->rows[next].address == end;
    size_t more = (at == next) + !goes_on;
    if (mem_grow((void **)&rows->rows, &rows->capacity, rows->count + more, sizeof(*rows->rows)) < 0)
        return -ENOMEM;
    if (next < rows->count)
        memmove(rows->rows + next + more, rows->rows + next, (rows->count - next) * sizeof(*rows->rows));
    rows->rows[at] = (struct cfi_row){.address = start, .rule = cfi_rule(rows, rule)};
    if (!goes_on)
        rows->rows[at + 1] = (struct cfi_row){.address = end, .rule = 0};
    rows->count += more;
    return 0;
}

static const struct {
    const char *section;
    bool lazy;
} stubs[] = {{".plt", true}, {".plt.sec", false}, {".plt.got", false}};

static bool stubs_in(struct symbol_file *f, size_t i, u64 start, u64 end, struct symbol_section *ret) {
    return symbol_file_section(f, stubs[i].section, ret) == 0 && ret->size >= 16 && ret->address < end &&
           ret->address + ret->size > start;
}

void cfi_widen_to_stubs(struct symbol_file *f, u64 *start, u64 *end) {
    struct symbol_section s;
    u64 from = *start, to = *end;
    for (size_t i = 0; i < ARRAY_SIZE(stubs); i++)
        if (stubs_in(f, i, from, to, &s)) {
            *start = MIN(*start, s.address);
            *end = MAX(*end, s.address + s.size);
        }
}

/* Stubs of dynamic linking that their linker gave no information: on entry nothing is pushed; a lazy
 * stub pushes its index after the jump and its first 6 (or, with endbr64, 4 + 5) bytes. */
int cfi_add_stubs(struct symbol_file *f, u64 from, u64 to, struct cfi_rows *rows) {
    for (size_t i = 0; i < ARRAY_SIZE(stubs); i++) {
        struct symbol_section s;
        if (!stubs_in(f, i, from, to, &s))
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

/* ---- stubs that make threads ----
 * clone() and clone3() of the C library end their information at the system call, because for the new thread it
 * would be wrong, and begin another, that of a stack's root, where only the new thread goes:
 *     syscall; test %rax, %rax; jl error; je new; ret; new: …
 * For the thread that called, the rule on entry holds until the end: the stub pushes nothing. */

static bool makes_threads(struct symbol_file *f, u64 start, u64 end) {
    static const u8 begins[] = {0x0f, 0x05, 0x48, 0x85, 0xc0}, returns = 0xc3;
    struct symbol_section s;
    if (end - start <= sizeof(begins) || end - start > CFI_MAKER_BYTES || symbol_file_section(f, ".text", &s) < 0 ||
        !s.data || start < s.address || end - s.address > s.size)
        return false;
    const u8 *code = (const u8 *)s.data + (start - s.address);
    return memcmp(code, begins, sizeof(begins)) == 0 && code[end - start - 1] == returns;
}

static bool is_root(const struct cfi_rows *rows, size_t i) {
    return rows->rules[rows->rows[i].rule].kind == RULE_ROOT;
}

void cfi_add_thread_makers(struct symbol_file *f, struct cfi_rows *rows) {
    struct unwind_rule rule = entry;
    rule.flags = RULE_ENDS_IF_NEW;
    for (size_t i = 0; i + 1 < rows->count; i++)
        if (rows->rows[i].rule == 0 && is_root(rows, i + 1) &&
            makes_threads(f, rows->rows[i].address, rows->rows[i + 1].address))
            rows->rows[i].rule = cfi_rule(rows, &rule);
}

/* ---- the dynamic linker's entry ----
 * The kernel jumps there: it is the root of all that happens before the program begins. glibc writes it in assembly,
 * without information (RTLD_START): mov %rsp, %rdi; call _dl_start; …; jmp *%r12. */

int cfi_add_entry(struct symbol_file *f, struct cfi_rows *rows) {
    enum { MOST = 256 };
    static const u8 begins[] = {0x48, 0x89, 0xe7, 0xe8}, leaves[] = {0x41, 0xff, 0xe4};
    static const struct unwind_rule root = {.kind = RULE_ROOT};
    struct symbol_code where;
    struct symbol_section s;
    if (symbol_file_code(f, &where) < 0 || symbol_file_section(f, ".text", &s) < 0 || !s.data ||
        where.entry < s.address || where.entry - s.address >= s.size)
        return 0;
    const u8 *code = (const u8 *)s.data + (where.entry - s.address);
    size_t left = MIN(s.size - (where.entry - s.address), (u64)MOST);
    const u8 *end = left > sizeof(begins) && memcmp(code, begins, sizeof(begins)) == 0
                        ? memmem(code, left, leaves, sizeof(leaves))
                        : NULL;
    return end ? insert_range(rows, where.entry, where.entry + (u64)(end - code) + sizeof(leaves), &root) : 0;
}

/* Rows must speak of all code that can be mapped, so that a page beyond them is never asked for. */
static int cover_code(struct symbol_file *f, struct cfi_rows *rows) {
    struct symbol_code code;
    if (symbol_file_code(f, &code) < 0 || code.end >> CFI_ADDRESS_BITS)
        return 0;
    if (code.start < rows->rows[0].address) {
        if (mem_grow((void **)&rows->rows, &rows->capacity, rows->count + 1, sizeof(*rows->rows)) < 0)
            return -ENOMEM;
        memmove(rows->rows + 1, rows->rows, rows->count * sizeof(*rows->rows));
        rows->rows[0] = (struct cfi_row){.address = code.start};
        rows->count++;
    }
    if (code.end - 1 <= rows->rows[rows->count - 1].address)
        return 0;
    /* Not through cfi_add_row(), which leaves out what repeats the rule before. */
    if (mem_grow((void **)&rows->rows, &rows->capacity, rows->count + 1, sizeof(*rows->rows)) < 0)
        return -ENOMEM;
    rows->rows[rows->count++] = (struct cfi_row){.address = code.end - 1};
    return 0;
}

/* ---- .debug_frame ---- */

/* Lays the rows of `more` where `rows` has no rule. */
static int fill_gaps(struct cfi_rows *rows, const struct cfi_rows *more) {
    _cleanup_(freep) struct cfi_row *old = TAKE_PTR(rows->rows);
    size_t n = rows->count, i = 0, k = 0;
    u32 rule = 0, other = 0;
    int rc = 0;
    rows->count = rows->capacity = 0;
    while (rc == 0 && (i < n || k < more->count)) {
        u64 at = i < n ? old[i].address : UINT64_MAX;
        if (k < more->count)
            at = MIN(at, (u64)more->rows[k].address);
        if (i < n && old[i].address == at)
            rule = old[i++].rule;
        if (k < more->count && more->rows[k].address == at)
            other = more->rows[k++].rule;
        rc = cfi_add_row(rows, at, rule ? rule : cfi_rule(rows, &more->rules[other]));
    }
    return rc;
}

/* Code that was compiled without tables for exceptions has its information in .debug_frame alone, if at all:
 * C without -fasynchronous-unwind-tables, Go. 0, -ENOMEM, or -ENOENT and -EBADMSG when there is nothing. */
static int compile_debug_frame(struct symbol_file *f, struct cfi_rows *ret) {
    struct symbol_section s;
    if (symbol_file_debug_section(f, ".debug_frame", &s) < 0 || !s.data || s.size == 0 || s.size > MAX_DEBUG_FRAME)
        return -ENOENT;
    struct symbol_code code;
    if (symbol_file_code(f, &code) < 0)
        return -ENOENT;
    struct cfi_section section = {
        .data = s.data, .size = s.size, .address = s.address, .code_start = code.start, .code_end = code.end};
    return cfi_compile(&section, ret, NULL);
}

static int add_debug_frame(struct symbol_file *f, struct cfi_rows *rows, int eh_rc) {
    if (eh_rc < 0)
        return compile_debug_frame(f, rows);
    _cleanup_(cfi_rows_free) struct cfi_rows more = {0};
    int rc = compile_debug_frame(f, &more);
    return rc == 0 ? fill_gaps(rows, &more) : rc;
}

int cfi_compile_file(struct symbol_file *f, struct cfi_rows *ret, struct err *err) {
    struct symbol_section s;
    int rc = -ENOENT;
    if (symbol_file_section(f, ".eh_frame", &s) == 0 && s.data)
        rc = cfi_compile(&(struct cfi_section){.data = s.data, .size = s.size, .address = s.address, .eh_frame = true},
                         ret, err);
    if (rc != -ENOMEM) {
        int more = add_debug_frame(f, ret, rc);
        if (more == 0 || more == -ENOMEM)
            rc = more;
    }
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc == -ENOENT)
        return err_set(err, rc, NULL, "The file has no call-frame information");
    if (rc < 0)
        return rc;
    cfi_add_thread_makers(f, ret);
    return cfi_add_entry(f, ret) < 0 || cfi_add_stubs(f, 0, UINT64_MAX, ret) < 0 || cover_code(f, ret) < 0
               ? err_nomem(err)
               : 0;
}
