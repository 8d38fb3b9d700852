/* Compiled call-frame information beside libdw's reading of it: every row of both, for each file named on
 * the command line; and the same rules once more through table memory, filled at once and on demand. Prints TAP. */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "unwind/cfi.h"
#include "unwind/tables.h"

static const void *const *chunks;
static struct unwind_rule *shared_rules;

static const void *table_chunk(struct walk *w, u32 chunk) {
    return chunk < TABLE_MAX_CHUNKS ? chunks[chunk] : NULL;
}
static const struct unwind_rule *table_rules(struct walk *w) {
    return shared_rules;
}
static struct tables *lazy; /* while its memory is the one looked at */

static void table_want_page(struct walk *w, u32 page_at) {
    if (lazy)
        tables_want_page(lazy, page_at);
}
#include "unwind/table_lookup.h"

struct verdict {
    unsigned long rows, unknown_to_us, different, unknown_to_oracle, lookup, on_demand;
};

/* A location of the form register + offset, or CFA + offset (register -1); false for others. */
static bool plain(const Dwarf_Op *ops, size_t n, long *reg, long *offset) {
    if (n == 2 && ops[0].atom == DW_OP_call_frame_cfa && ops[1].atom != DW_OP_plus_uconst) {
        ops++; /* an expression starts with the CFA beneath it */
        n--;
    }
    if (n < 1 || n > 2)
        return false;
    if (ops[0].atom == DW_OP_call_frame_cfa) {
        *reg = -1;
        *offset = 0;
    } else if (ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg31) {
        *reg = ops[0].atom - DW_OP_breg0;
        *offset = (long)ops[0].number;
    } else if (ops[0].atom == DW_OP_bregx) {
        *reg = (long)ops[0].number;
        *offset = (long)ops[0].number2;
    } else {
        return false;
    }
    if (n == 2 && ops[1].atom != DW_OP_plus_uconst)
        return false;
    *offset += n == 2 ? (long)ops[1].number : 0;
    return true;
}

/* 0 equal, 1 different, 2 the oracle's form is not one that this comparison reads. */
static int compare_plt(const Dwarf_Op *ops, size_t n, const struct unwind_rule *rule) {
    if (n == 8 && ops[0].atom == DW_OP_breg7 && ops[5].atom == DW_OP_ge)
        return rule->kind != RULE_CFA_PLT || rule->cfa_offset != ops[4].atom - DW_OP_lit0;
    return n > 8 && rule->kind == RULE_CFA_PLT ? 0 : 2;
}

static bool same_cfa(const struct unwind_rule *rule, int kind, long reg, long offset, long add) {
    return rule->kind == kind && rule->cfa_reg == reg && rule->cfa_offset == offset && rule->cfa_add == add;
}

static int compare_cfa(Dwarf_Frame *frame, const struct unwind_rule *rule) {
    Dwarf_Op *ops;
    size_t n;
    long reg, offset;
    if (dwarf_frame_cfa(frame, &ops, &n) < 0)
        return 2;
    if (plain(ops, n, &reg, &offset))
        return !same_cfa(rule, RULE_CFA_REG, reg, offset, rule->cfa_add);
    if (n >= 2 && n <= 3 && ops[1].atom == DW_OP_deref && plain(ops, 1, &reg, &offset))
        return !same_cfa(rule, RULE_CFA_DEREF, reg, offset, n == 3 ? (long)ops[2].number : 0);
    return compare_plt(ops, n, rule);
}

static int compare_saved(Dwarf_Frame *frame, const struct unwind_rule *rule) {
    static const int numbers[RULE_SAVED] = RULE_SAVED_REGISTERS;
    for (int i = 0; i < RULE_SAVED; i++) {
        Dwarf_Op memory[3], *ops;
        size_t n;
        long reg = -2, offset = 0;
        if (dwarf_frame_register(frame, numbers[i], memory, &ops, &n) < 0)
            return 2;
        bool saved = n > 0 && plain(ops, n, &reg, &offset);
        if (n > 0 && !saved)
            return 2;
        long base = rule->flags & RULE_SAVED_FROM_RBP ? 6 : -1;
        if (saved ? reg != base || rule->saved[i] * 8l != offset : rule->saved[i] != RULE_NOT_SAVED)
            return 1;
    }
    return 0;
}

static int compare(Dwarf_Frame *frame, const struct unwind_rule *rule) {
    Dwarf_Op memory[3], *ops;
    size_t n;
    Dwarf_Addr start, end;
    bool signal = false;
    dwarf_frame_info(frame, &start, &end, &signal);
    if (signal)
        return rule->kind != RULE_SIGNAL;
    if (dwarf_frame_register(frame, 16, memory, &ops, &n) < 0)
        return 2;
    if (n == 0 && ops == memory)
        return rule->kind != RULE_ROOT;
    int cfa = compare_cfa(frame, rule);
    return cfa ? cfa : compare_saved(frame, rule);
}

static const struct unwind_rule *look_up(const struct tables_file *file, u64 address) {
    u64 start = file->first_page << TABLE_PAGE_SHIFT;
    struct table_mapping m = {
        .start = start, .end = start + ((u64)file->n_pages << TABLE_PAGE_SHIFT), .pages_at = file->pages_at};
    struct walk w = {0};
    const struct unwind_rule *found = table_find_rule(&w, &m, address);
    return found ? found : &shared_rules[0];
}

struct judged {
    const char *path;
    struct cfi_rows rows;
    struct symbol_file *file;
    struct tables *tables;
    struct tables_file in_tables;
    struct verdict verdict;
    int fd;
    Elf *elf;
    Dwarf *dwarf;
    Dwarf_CFI *eh_frame, *debug_frame; /* the first is ours to end */
};

/* What .eh_frame says or, where it says nothing, .debug_frame. */
static bool frame_at(const struct judged *j, u64 address, Dwarf_Frame **ret) {
    return (j->eh_frame && dwarf_cfi_addrframe(j->eh_frame, address, ret) == 0) ||
           (j->debug_frame && dwarf_cfi_addrframe(j->debug_frame, address, ret) == 0);
}

/* One stretch in which our rule is the same: [at, end). */
static void judge(struct judged *j, const struct unwind_rule *rule, u64 at, u64 end) {
    struct verdict *v = &j->verdict;
    while (at < end) {
        Dwarf_Frame *frame = NULL;
        v->rows++;
        v->lookup += memcmp(look_up(&j->in_tables, at), rule, sizeof(*rule)) != 0;
        if (!frame_at(j, at, &frame)) {
            v->unknown_to_oracle += rule->kind != RULE_NONE;
            at += rule->kind == RULE_NONE && end - at > 16 ? 16 : end - at;
            continue;
        }
        Dwarf_Addr start = at, next = end;
        dwarf_frame_info(frame, &start, &next, NULL);
        int rc = rule->kind == RULE_NONE ? 2 : compare(frame, rule);
        v->unknown_to_us += rc == 2;
        v->different += rc == 1;
        if (rc && v->unknown_to_us + v->different <= 5)
            printf("# %#lx: %s (kind %u, register %u, offset %d)\n", (unsigned long)at,
                   rc == 2 ? "not expressed" : "different", rule->kind, rule->cfa_reg, rule->cfa_offset);
        free(frame);
        at = next > at && next < end ? next : end;
    }
}

/* libdw's view of the file; false when it has none. */
static bool open_oracle(struct judged *j) {
    j->elf = elf_begin(j->fd, ELF_C_READ_MMAP, NULL);
    if (!j->elf)
        return false;
    j->dwarf = dwarf_begin_elf(j->elf, DWARF_C_READ, NULL);
    j->eh_frame = dwarf_getcfi_elf(j->elf);
    j->debug_frame = j->dwarf ? dwarf_getcfi(j->dwarf) : NULL;
    return j->eh_frame || j->debug_frame;
}

static bool open_ours(struct judged *j, int fd) {
    struct tables_memory memory = {.rules = shared_rules};
    return symbol_file_open(fd, j->path, NULL, &j->file, NULL) == 0 && cfi_compile_file(j->file, &j->rows, NULL) == 0 &&
           tables_new(&memory, &j->tables) == 0 && tables_add_file(j->tables, &j->rows, &j->in_tables) == 0;
}

/* Pages filled on demand must tell the same, whichever is asked for first. */
static bool judge_on_demand(struct judged *j) {
    struct tables_file file;
    struct unwind_rule *whole = shared_rules;
    bool ok = true;
    if (!cfi_has_index(j->file)) {
        printf("# %s: no index\n", j->path);
        return true;
    }
    shared_rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*shared_rules));
    ok = tables_new(&(struct tables_memory){.rules = shared_rules}, &lazy) == 0 &&
         tables_add_file_lazily(lazy, j->file, 4, &file) == 0;
    if (ok)
        chunks = tables_chunks(lazy);
    for (size_t i = j->rows.count; ok && i-- > 0;) {
        u64 at = j->rows.rows[i].address;
        u64 last = i + 1 < j->rows.count ? j->rows.rows[i + 1].address - 1 : at;
        const struct unwind_rule *rule = &j->rows.rules[j->rows.rows[i].rule];
        if (tables_file_covers(&file, at))
            j->verdict.on_demand += memcmp(look_up(&file, last), rule, sizeof(*rule)) != 0 ||
                                    memcmp(look_up(&file, at), rule, sizeof(*rule)) != 0;
    }
    tables_free(lazy);
    lazy = NULL;
    free(shared_rules);
    shared_rules = whole;
    return ok;
}

static void say(const struct judged *j) {
    struct tables_statistics s = tables_statistics(j->tables);
    const struct verdict *v = &j->verdict;
    double rows = (double)j->rows.count;
    printf(
        "# %s: %zu rows, %lu compared: %lu not expressed, %lu different, %lu unknown to libdw, %lu lost in tables, %lu on demand; "
        "%zu rules, %.2f bytes a row (%.2f with chunks' slack)\n",
        j->path, j->rows.count, v->rows, v->unknown_to_us, v->different, v->unknown_to_oracle, v->lookup, v->on_demand,
        j->rows.n_rules, (double)(s.rows * 4 + s.pages * 8) / rows, (double)s.chunks * TABLE_CHUNK_BYTES / rows);
}

static void judged_free(struct judged *j) {
    tables_free(j->tables);
    cfi_rows_free(&j->rows);
    if (j->file)
        symbol_file_close(j->file);
    if (j->eh_frame)
        dwarf_cfi_end(j->eh_frame);
    if (j->dwarf)
        dwarf_end(j->dwarf);
    elf_end(j->elf);
    close(j->fd);
    free(shared_rules);
}

static bool judge_file(const char *path, unsigned number) {
    struct judged j = {.path = path, .fd = open(path, O_RDONLY)};
    int fd = open(path, O_RDONLY);
    if (fd < 0 || j.fd < 0) {
        printf("ok %u - %s # SKIP not here\n", number, path);
        return true;
    }
    shared_rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*shared_rules));
    bool ok = open_ours(&j, fd) && open_oracle(&j);
    if (ok)
        chunks = tables_chunks(j.tables);
    for (size_t i = 0; ok && i + 1 < j.rows.count; i++)
        judge(&j, &j.rows.rules[j.rows.rows[i].rule], j.rows.rows[i].address, j.rows.rows[i + 1].address);
    ok = ok && judge_on_demand(&j);
    if (ok)
        say(&j);
    const struct verdict *v = &j.verdict;
    /* In longjmp and the like registers lie in registers for an instruction or two. */
    ok = ok && v->different == 0 && v->lookup == 0 && v->on_demand == 0 && v->unknown_to_us <= 4 + v->rows / 10000;
    printf("%s %u - %s\n", ok ? "ok" : "not ok", number, path);
    judged_free(&j);
    return ok;
}

int main(int argc, char **argv) {
    bool ok = true;
    elf_version(EV_CURRENT);
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++)
        ok = judge_file(argv[i], (unsigned)i) && ok;
    return !ok;
}
