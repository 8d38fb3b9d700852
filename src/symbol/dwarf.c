/* Functions, lines and inlined calls from DWARF 2 to 5, through libdw. Opening finds out which
 * addresses each unit covers (dwarf_units.c); the first look into a unit makes a table of its functions; the tree below a
 * function is walked only where the address lies.
 *
 * libdw checks bounds but not effort: siblings may form rings, and one list of ranges may belong to a
 * million entries. So each look-up has a budget, and a file that exceeds it is done with. */
#include <errno.h>
#include <setjmp.h>

#include "symbol/dwarf_internal.h"

enum {
    MAX_DEPTH = 1024,
    MAX_SCOPES_DEEP = 32,
    WORK_LOOKUP = 8 << 20, /* steps: entries looked at, ranges read */
    MIN_HELD = 1 << 20,    /* of lines in libdw, when units are few, */
    MAX_HELD = 64 << 20,   /* and when they are many */
    MAX_KEPT = 32 << 20,   /* of lines in units */
};

/* ---- opening ---- */

/* Where libdw goes when memory is out: by itself it would end the program. What it was about to add is lost with the
 * memory that it took for it; the file is done with. */
static _Thread_local jmp_buf no_memory;

__attribute__((noreturn)) static void leave_libdw(void) {
    longjmp(no_memory, 1);
}

Dwarf *dwarf_open_image(const struct elf_image *image, Elf **ret_elf) {
    elf_version(EV_CURRENT);
    *ret_elf = elf_memory((char *)(uintptr_t)image->data, image->size);
    Dwarf *d = *ret_elf ? dwarf_begin_elf(*ret_elf, DWARF_C_READ, NULL) : NULL;
    if (d)
        dwarf_new_oom_handler(d, leave_libdw);
    return d;
}

static int read_units(struct dwarf_file *d) {
    if (setjmp(no_memory) != 0)
        return -ENOMEM;
    return dwarf_units_open(d);
}

/* Without what dwz moved out, libdw would open the file that the program names, and wait if that is a pipe: it is given
 * one of ours that holds nothing. */
static int open_alt(struct dwarf_file *d, const struct elf_image *alt) {
    static const uint8_t zeros[16];
    static const struct dwarf_image_part nothing = {".debug_info", zeros, sizeof(zeros)};
    if (alt)
        d->alt = dwarf_open_image(alt, &d->alt_elf);
    if (!d->alt && elf_image_section(d->image, ".gnu_debugaltlink")) {
        elf_end(d->alt_elf);
        d->alt_elf = NULL;
        if (dwarf_image_of(d->image, &nothing, 1, &d->no_alt) == 0)
            d->alt = dwarf_open_image(&d->no_alt, &d->alt_elf);
        if (!d->alt)
            return -ENOMEM;
    }
    if (d->alt)
        dwarf_setalt(d->dwarf, d->alt);
    return 0;
}

int dwarf_file_open(const struct elf_image *image, const struct elf_image *alt, const struct dwo_search *split,
                    struct dwarf_file **ret) {
    struct dwarf_file *d = mem_zalloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->image = image;
    d->split = split;
    d->dwarf = dwarf_open_image(image, &d->elf);
    int rc = d->dwarf ? open_alt(d, alt) : -EBADMSG;
    if (rc == 0)
        rc = read_units(d);
    if (rc < 0) {
        dwarf_file_close(d);
        return rc;
    }
    *ret = d;
    return 0;
}

void dwarf_unit_forget(struct dwarf_unit *u) {
    dwarf_ranges_free(&u->functions);
    free(u->scopes);
    u->scopes = NULL;
    u->n_scopes = u->cap_scopes = 0;
    u->read = u->read_inside = false;
}

void dwarf_file_close(struct dwarf_file *d) {
    if (!d)
        return;
    dwarf_units_forget(d);
    free(d->splits);
    free(d->units);
    dwarf_end(d->dwarf); /* NULL does nothing, here and below */
    dwarf_end(d->alt);
    elf_end(d->elf);
    elf_end(d->alt_elf);
    elf_image_close(&d->no_alt);
    free(d);
}

size_t dwarf_file_held(const struct dwarf_file *d, size_t *ret_libdw) {
    *ret_libdw = d->held + dwarf_splits_held(d);
    return d->kept + d->n_units * sizeof(*d->units) + d->ranges.count * sizeof(*d->ranges.all);
}

/* ---- functions of a unit ---- */

/* The next entry; siblings only ever lie further on, whatever a file says. */
static bool next_sibling(struct dwarf_file *d, Dwarf_Die *die) {
    Dwarf_Die next;
    if (--d->work < 0 || dwarf_siblingof(die, &next) != 0 || next.addr <= die->addr)
        return false;
    *die = next;
    return true;
}

/* Functions lie below the unit, namespaces and classes. Those inside functions are found by descend(). */
static bool may_hold_functions(int tag) {
    return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
           tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type || tag == DW_TAG_module;
}

static int add_scope(struct dwarf_unit *u, const Dwarf_Die *die, uint32_t parent) {
    if (mem_grow((void **)&u->scopes, &u->cap_scopes, u->n_scopes + 1, sizeof(*u->scopes)) < 0)
        return -ENOMEM;
    Dwarf_Die at = *die;
    u->scopes[u->n_scopes++] = (struct dwarf_scope){
        .start = (uint32_t)(dwarf_dieoffset(&at) - dwarf_unit_base(u)), .end = UINT32_MAX, .parent = parent};
    return 0;
}

/* Whether functions of this language lie in namespaces and classes. */
static bool has_scopes(Dwarf_Die *root) {
    enum { LANG_C17 = 0x2c, LANG_ASSEMBLY = 0x31, LANG_C23 = 0x3e }; /* as assigned since DWARF 5 */
    switch (dwarf_srclang(root)) {
    case DW_LANG_C:
    case DW_LANG_C89:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case LANG_C17:
    case LANG_C23:
    case LANG_ASSEMBLY:
    case DW_LANG_Mips_Assembler:
        return false;
    default:
        return true;
    }
}

bool dwarf_file_begins_plain(struct dwarf_file *d) {
    Dwarf_Die root;
    if (d->n_units == 0 || setjmp(no_memory) != 0)
        return false;
    return dwarf_unit_root(d, &d->units[0], &root) && !has_scopes(&root);
}

struct collector {
    struct dwarf_file *file;
    struct dwarf_unit *unit;
    bool scopes;
};

static int collect(struct collector *c, Dwarf_Die *parent, uint32_t scope, unsigned depth);

static int collect_one(struct collector *c, Dwarf_Die *die, uint32_t scope, unsigned depth) {
    int tag = dwarf_tag(die);
    uint64_t offset = dwarf_dieoffset(die) - dwarf_unit_base(c->unit);
    if (offset >= UINT32_MAX)
        return 0;
    if (tag == DW_TAG_subprogram)
        return dwarf_add_ranges(c->file, c->unit->split, die, (uint32_t)offset, &c->unit->functions);
    if (!c->scopes || !may_hold_functions(tag))
        return 0;
    uint32_t inner = (uint32_t)c->unit->n_scopes;
    if (add_scope(c->unit, die, scope) < 0)
        return -ENOMEM;
    return collect(c, die, inner, depth + 1);
}

/* A scope ends where the next entry beside it starts. */
static int collect(struct collector *c, Dwarf_Die *parent, uint32_t scope, unsigned depth) {
    Dwarf_Die die;
    if (depth > MAX_SCOPES_DEEP || dwarf_child(parent, &die) != 0)
        return 0;
    for (;;) {
        uint32_t first = (uint32_t)c->unit->n_scopes;
        int rc = collect_one(c, &die, scope, depth);
        if (rc < 0)
            return rc;
        bool more = next_sibling(c->file, &die);
        if (more && c->unit->n_scopes > first)
            c->unit->scopes[first].end =
                (uint32_t)MIN(dwarf_dieoffset(&die) - dwarf_unit_base(c->unit), (uint64_t)UINT32_MAX);
        if (!more)
            return 0;
    }
}

/* ---- functions inside functions ---- */

static bool may_hold_inner(int tag) {
    return tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine ||
           may_hold_functions(tag);
}

static int collect_inner(struct collector *c, Dwarf_Die *parent, bool inside, unsigned depth) {
    Dwarf_Die die;
    int rc = 0;
    if (depth > MAX_SCOPES_DEEP || dwarf_child(parent, &die) != 0)
        return 0;
    do {
        int tag = dwarf_tag(&die);
        uint64_t offset = dwarf_dieoffset(&die) - dwarf_unit_base(c->unit);
        if (inside && tag == DW_TAG_subprogram && offset < UINT32_MAX)
            rc = dwarf_add_ranges(c->file, c->unit->split, &die, (uint32_t)offset, &c->unit->functions);
        if (rc == 0 && may_hold_inner(tag))
            rc = collect_inner(c, &die, inside || tag == DW_TAG_subprogram, depth + 1);
    } while (rc == 0 && next_sibling(c->file, &die));
    return rc;
}

void dwarf_unit_read_inside(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *root) {
    struct collector c = {.file = d, .unit = u};
    if (u->read_inside)
        return;
    u->read_inside = true;
    if (collect_inner(&c, root, false, 0) == -ENOMEM || dwarf_ranges_finish(&u->functions) < 0)
        dwarf_ranges_free(&u->functions);
}

/* Reading units maps ever more of the file; what is needed again comes back from the page cache. */
static void release_pages(struct dwarf_file *d, Dwarf_Die *root, size_t more) {
    Dwarf_Off next;
    Dwarf_Off start = root ? dwarf_dieoffset(root) - dwarf_cuoffset(root) : 0;
    if (root && dwarf_nextcu(d->dwarf, start, &next, NULL, NULL, NULL, NULL) == 0 && next > start)
        d->touched += next - start;
    d->touched += more;
    if (d->touched < DWARF_RELEASE_EVERY)
        return;
    d->touched = 0;
    elf_image_release_pages(d->image);
}

void dwarf_unit_read(struct dwarf_file *d, struct dwarf_unit *u, Dwarf_Die *root, size_t program) {
    struct collector c = {.file = d, .unit = u, .scopes = has_scopes(root)};
    if (u->read)
        return;
    u->read = true;
    release_pages(d, u->split ? NULL : root, program); /* those are copied */
    if (collect(&c, root, UINT32_MAX, 0) < 0 || dwarf_ranges_finish(&u->functions) < 0)
        dwarf_ranges_free(&u->functions);
}

/* ---- the chain of inlined calls ---- */

static bool covers(const struct dwarf_place *p, Dwarf_Die *die, uint64_t address) {
    struct dwarf_range_walk walk = {0};
    Dwarf_Addr low, high;
    while (dwarf_next_range(p->unit->split, die, &walk, &low, &high) && --p->file->work >= 0)
        if (address >= low && address < high)
            return true;
    return false;
}

static bool may_cover(int tag) {
    return tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_subprogram;
}

/* The child that holds the address. */
static bool find_child(const struct dwarf_place *p, Dwarf_Die *parent, uint64_t address, Dwarf_Die *ret) {
    if (dwarf_child(parent, ret) != 0)
        return false;
    do
        if (may_cover(dwarf_tag(ret)) && covers(p, ret, address))
            return true;
    while (next_sibling(p->file, ret));
    return false;
}

/* Follows the blocks and inlined calls that hold the address; chain[0] is the function. */
static size_t descend(const struct dwarf_place *p, Dwarf_Die *function, uint64_t address, Dwarf_Die *chain,
                      size_t max) {
    Dwarf_Die at = *function, child;
    size_t n = 0;
    chain[n++] = *function;
    for (unsigned depth = 0; depth < MAX_DEPTH && find_child(p, &at, address, &child); depth++) {
        int tag = dwarf_tag(&child);
        if (tag == DW_TAG_subprogram)
            n = 0; /* a function inside a function is not inlined into it */
        if (tag != DW_TAG_lexical_block)
            chain[n < max ? n++ : max - 1] = child; /* of too many the innermost counts */
        at = child;
    }
    return n;
}

/* chain is outermost first; ret is innermost first. The line in an outer function is that of the call
 * that was inlined into it. */
static size_t fill_chain(const struct dwarf_place *p, bool lines, const Dwarf_Die *chain, size_t n,
                         struct symbol_location *ret) {
    for (size_t i = 0; i < n; i++) {
        Dwarf_Die die = chain[n - 1 - i];
        struct symbol_name name = dwarf_function_name(p, &die);
        ret[i] = (struct symbol_location){.name = name.demangled,
                                          .system_name = name.plain,
                                          .file = "",
                                          .start_line = dwarf_number(&die, DW_AT_decl_line),
                                          .inlined = i + 1 < n};
        if (i > 0 && lines)
            dwarf_fill_call(p, &chain[n - i], &ret[i]);
    }
    return n;
}

/* Lines that units keep are for speed: too many of them all go. */
static void forget_lines(struct dwarf_file *d) {
    for (size_t i = 0; i < d->n_units; i++) {
        dwarf_lines_free(d->units[i].lines);
        d->units[i].lines = NULL;
    }
    d->kept = 0;
}

static void close_libdw(struct dwarf_file *d) {
    dwarf_end(d->dwarf);
    elf_end(d->elf);
    d->dwarf = NULL;
    d->elf = NULL;
    d->held = 0;
}

void dwarf_file_rest(struct dwarf_file *d) {
    dwarf_splits_close(d);
    if (!d->dwarf)
        return;
    close_libdw(d);
    d->rests = true;
}

/* libdw keeps the lines of every unit that was asked for, and forgets only when it is closed. What was made
 * of units are offsets, which stay good. False when it does not open again. */
static bool make_room(struct dwarf_file *d) {
    if (d->kept > MAX_KEPT)
        forget_lines(d);
    /* To open it again costs as much as there are units. */
    if (!d->rests && d->held <= MIN(MAX(d->n_units << 10, (size_t)MIN_HELD), (size_t)MAX_HELD))
        return true;
    close_libdw(d);
    d->rests = false;
    d->dwarf = dwarf_open_image(d->image, &d->elf);
    if (d->dwarf && d->alt)
        dwarf_setalt(d->dwarf, d->alt);
    return d->dwarf != NULL;
}

/* The unit that an address is in. Where none of those that are listed has it, another may. */
static struct dwarf_unit *find_unit(struct dwarf_file *d, uint64_t address) {
    const struct dwarf_range *range = dwarf_ranges_find(&d->ranges, address);
    if ((!range && !d->listed) || !make_room(d))
        return NULL;
    if (!range) {
        int rc = dwarf_units_read(d);
        if (rc == 0)
            range = dwarf_ranges_find(&d->ranges, address);
        else if (rc != -ENOENT)
            d->work = -1;
    }
    return range ? &d->units[range->what] : NULL;
}

static size_t lookup(struct dwarf_file *d, struct symbol_names *names, uint64_t address, struct symbol_location *ret,
                     size_t max, bool *ret_plain) {
    Dwarf_Die unit, root, function, chain[SYMBOL_MAX_INLINES];
    struct dwarf_unit *u = find_unit(d, address);
    if (!u || !dwarf_unit_root(d, u, &unit))
        return 0;
    d->work = WORK_LOOKUP;
    const struct dwarf_place p = {d, names, u, &unit};
    size_t program = dwarf_line_program(d, &unit);
    if (!u->lines)
        d->held += program * DWARF_HELD_PER_BYTE;
    dwarf_split_open(d, u, &unit);
    if (!dwarf_unit_entry(d, u, 0, &root))
        return 0;
    *ret_plain = !has_scopes(&root);
    dwarf_unit_read(d, u, &root, program);
    const struct dwarf_range *f = dwarf_ranges_find(&u->functions, address);
    if (!f) {
        dwarf_unit_read_inside(d, u, &root);
        f = dwarf_ranges_find(&u->functions, address);
    }
    size_t n = 1;
    ret[0] = (struct symbol_location){.name = "", .system_name = "", .file = ""};
    if (f && dwarf_unit_entry(d, u, f->what, &function)) {
        n = descend(&p, &function, address, chain, MIN(max, (size_t)SYMBOL_MAX_INLINES));
        fill_chain(&p, program > 0, chain, n, ret);
    }
    if (program)
        dwarf_fill_line(&p, address, &ret[0]);
    return ret[0].line || ret[0].name[0] ? n : 0;
}

size_t dwarf_file_lookup(struct dwarf_file *d, struct symbol_names *names, uint64_t address,
                         struct symbol_location *ret, size_t max, bool *ret_plain) {
    if (d->work < 0 || !(d->dwarf || d->rests))
        return 0;
    if (setjmp(no_memory) != 0) {
        d->work = -1;
        return 0;
    }
    size_t n = lookup(d, names, address, ret, max, ret_plain);
    if (d->wants_all && d->listed && d->work >= 0 && dwarf_units_read(d) == 0)
        n = lookup(d, names, address, ret, max, ret_plain);
    return d->work < 0 ? 0 : n;
}
