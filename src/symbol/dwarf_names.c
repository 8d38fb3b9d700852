/* Names of functions. Compilers give a linkage name only to what a linker sees: functions of anonymous
 * namespaces, lambdas and the like have a bare name, which says little; theirs are put together from the
 * namespaces and classes that the declaration lies in. */
#include <errno.h>
#include <string.h>

#include "base/bisect.h"
#include "symbol/dwarf_internal.h"

enum { MAX_SCOPE_DEPTH = 32, MAX_REFERENCES = 16, MAX_QUALIFIED = 16384 };

static const char *string_of(const struct dwarf_unit *u, Dwarf_Die *die, unsigned what) {
    Dwarf_Attribute attribute;
    if (!dwarf_attr_integrate(die, what, &attribute))
        return NULL;
    const char *numbered = u->split ? dwarf_split_string(&u->split->tables, &attribute) : NULL;
    return numbered ? numbered : dwarf_formstring(&attribute);
}

uint32_t dwarf_number(Dwarf_Die *die, unsigned what) {
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    if (!dwarf_attr_integrate(die, what, &attribute) || dwarf_formudata(&attribute, &value) != 0)
        return 0;
    return value <= UINT32_MAX ? (uint32_t)value : 0;
}

/* An instance refers to its abstract function, and that to its declaration, which lies in the class. */
static Dwarf_Die declaration_of(const Dwarf_Die *die) {
    Dwarf_Die at = *die, next;
    Dwarf_Attribute attribute;
    for (unsigned i = 0; i < MAX_REFERENCES; i++) {
        if (!dwarf_attr(&at, DW_AT_abstract_origin, &attribute) && !dwarf_attr(&at, DW_AT_specification, &attribute))
            break;
        if (!dwarf_formref_die(&attribute, &next))
            break;
        at = next;
    }
    return at;
}

/* The unit of an entry; it may be another than the one the address lies in (link-time optimisation). */
static struct dwarf_unit *unit_of(const struct dwarf_place *p, Dwarf_Die *die) {
    struct dwarf_file *d = p->file;
    Dwarf_Die root;
    if (p->unit->split)
        return dwarf_diecu(die, &root, NULL, NULL) && dwarf_dieoffset(&root) == p->unit->split->root ? p->unit : NULL;
    if (dwarf_cu_getdwarf(die->cu) != d->dwarf || !dwarf_diecu(die, &root, NULL, NULL))
        return NULL; /* moved out by dwz */
    Dwarf_Off offset = dwarf_dieoffset(&root), header = offset - dwarf_cuoffset(&root);
    size_t low = bisect(i, d->n_units, d->units[i].header < header);
    if (low == d->n_units || d->units[low].header != header) {
        d->wants_all = true;
        return NULL;
    }
    struct dwarf_unit *u = &d->units[low];
    u->die = offset;
    if (u->in_split)
        return NULL;
    dwarf_unit_read(d, u, &root, 0);
    return u;
}

/* The innermost scope around an offset: the last that starts before it, or one around that. The last one in another
 * ends, unsaid, where that does: so all of them are asked. */
static uint32_t scope_around(const struct dwarf_unit *u, uint64_t offset) {
    size_t low = bisect(i, u->n_scopes, u->scopes[i].start < offset);
    uint32_t found = low ? (uint32_t)(low - 1) : UINT32_MAX;
    for (uint32_t i = found; i != UINT32_MAX; i = u->scopes[i].parent)
        if (offset >= u->scopes[i].end)
            found = u->scopes[i].parent;
    return found;
}

static void add_scope_name(struct dwarf_file *d, const struct dwarf_unit *u, uint32_t scope, struct buf *b) {
    Dwarf_Die die;
    if (!dwarf_unit_entry(d, u, u->scopes[scope].start, &die))
        return;
    const char *name = string_of(u, &die, DW_AT_name);
    if (name)
        buf_adds(b, name);
    else
        buf_adds(b, dwarf_tag(&die) == DW_TAG_namespace ? "(anonymous namespace)" : "(anonymous class)");
    buf_adds(b, "::");
}

/* "" when the declaration lies in no scope. */
static void add_scopes(const struct dwarf_place *p, const Dwarf_Die *die, struct buf *b) {
    Dwarf_Die declaration = declaration_of(die);
    struct dwarf_unit *u = unit_of(p, &declaration);
    uint32_t path[MAX_SCOPE_DEPTH];
    size_t n = 0;
    if (!u || u->n_scopes == 0)
        return;
    uint32_t i = scope_around(u, dwarf_dieoffset(&declaration) - dwarf_unit_base(u));
    for (; i != UINT32_MAX && n < MAX_SCOPE_DEPTH; i = u->scopes[i].parent)
        path[n++] = i;
    while (n)
        add_scope_name(p->file, u, path[--n], b);
}

struct symbol_name dwarf_function_name(const struct dwarf_place *p, const Dwarf_Die *function) {
    Dwarf_Die die = *function;
    const char *linkage = string_of(p->unit, &die, DW_AT_linkage_name);
    if (!linkage)
        linkage = string_of(p->unit, &die, DW_AT_MIPS_linkage_name);
    struct symbol_name ret = symbol_names_get(p->names, linkage);
    /* Compilers mangle in newer ways than the demangler knows: clang's since 18 for some templates. */
    if (ret.plain[0] && (ret.plain[0] != '_' || ret.demangled != ret.plain))
        return ret;
    const char *name = string_of(p->unit, &die, DW_AT_name);
    if (!name)
        return ret;
    _cleanup_(buf_free) struct buf b = {.limit = MAX_QUALIFIED};
    add_scopes(p, &die, &b);
    buf_adds(&b, name);
    if (!ret.plain[0])
        ret.plain = symbol_names_text(p->names, name);
    ret.demangled = b.failed ? ret.plain : symbol_names_text(p->names, buf_cstr(&b));
    return ret;
}
