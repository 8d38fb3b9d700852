/* Names: interned once, demangled once. */
#include <libiberty/demangle.h>
#undef ARRAY_SIZE /* libiberty has its own; base/macros.h is ours */
#include <setjmp.h>
#include <string.h>

#include "symbol/internal.h"

/* The demanglers' own stacks grow with their input, and a short name may stand for an endless one: each
 * reference to an earlier part can double it. So output is counted, and a name that explodes stays as it is. */
enum { MAX_MANGLED = 16384, MAX_DEMANGLED = 65536, MAX_D_REFERENCES = 16 };

struct sink {
    struct buf text;
    jmp_buf full; /* the demanglers cannot be told to stop otherwise */
};

static void take(const char *s, size_t n, void *sink) {
    struct sink *to = sink;
    buf_add(&to->text, s, n);
    if (to->text.failed)
        longjmp(to->full, 1);
}

typedef int demangler(const char *mangled, int options, demangle_callbackref callback, void *opaque);

/* What they hold when they are left is on their stack, but for a few bytes of Rust's Punycode. */
static char *demangle_with(demangler *demangle, const char *name) {
    struct sink to = {.text = {.limit = MAX_DEMANGLED}};
    if (setjmp(to.full) || !demangle(name, DMGL_PARAMS | DMGL_ANSI, take, &to) || to.text.len == 0) {
        buf_free(&to.text);
        return NULL;
    }
    buf_addc(&to.text, '\0');
    if (to.text.failed)
        buf_free(&to.text);
    return to.text.data;
}

/* D's has no such way out. Its references are "Q" and lower-case letters. */
static char *demangle_d(const char *name) {
    unsigned references = 0;
    for (const char *p = name; *p; p++)
        references += *p == 'Q';
    return references <= MAX_D_REFERENCES ? dlang_demangle(name, 0) : NULL;
}

/* Older demanglers leave the hash of Rust's legacy names: "::h0123456789abcdef". */
static void drop_rust_hash(char *name) {
    size_t n = strlen(name);
    if (n > 19 && strncmp(name + n - 19, "::h", 3) == 0 && strspn(name + n - 16, "0123456789abcdef") == 16)
        name[n - 19] = '\0';
}

char *symbol_demangle(const char *name) {
    if (name[0] != '_' || strlen(name) > MAX_MANGLED)
        return NULL;
    if (name[1] == 'D')
        return demangle_d(name);
    if (name[1] != 'R' && name[1] != 'Z' && !(name[1] == '_' && name[2] == 'Z'))
        return NULL;
    char *plain = demangle_with(rust_demangle_callback, name);
    if (plain)
        drop_rust_hash(plain);
    else if (name[1] != 'R')
        plain = demangle_with(cplus_demangle_v3_callback, name);
    return plain;
}

struct name_key {
    const struct symbol_names *names;
    const char *name;
};

static bool name_equal(const void *ctx, uint32_t id) {
    const struct name_key *k = ctx;
    return strcmp(k->names->all[id].plain, k->name) == 0;
}

static struct symbol_name intern(struct symbol_names *n, const char *name, bool demangle) {
    struct symbol_name nothing = {"", ""};
    if (!name || !name[0])
        return nothing;
    size_t length = strlen(name);
    uint64_t hash = hash_bytes(name, length);
    struct name_key key = {.names = n, .name = name};
    uint32_t id = hash_index_find(&n->index, hash, name_equal, &key);
    if (id != UINT32_MAX)
        return n->all[id];
    struct symbol_name s = {.plain = arena_strndup(&n->arena, name, length)};
    _cleanup_(freep) char *demangled = demangle ? symbol_demangle(name) : NULL;
    s.demangled = demangled ? arena_strndup(&n->arena, demangled, strlen(demangled)) : s.plain;
    if (!s.plain || !s.demangled ||
        mem_grow((void **)&n->all, &n->capacity, n->count + 1, sizeof(struct symbol_name)) < 0 ||
        hash_index_add(&n->index, hash, (uint32_t)n->count) < 0)
        return nothing;
    n->all[n->count++] = s;
    return s;
}

struct symbol_name symbol_names_get(struct symbol_names *n, const char *name) {
    return intern(n, name, true);
}

const char *symbol_names_text(struct symbol_names *n, const char *text) {
    return intern(n, text, false).plain;
}

void symbol_names_free(struct symbol_names *n) {
    arena_free(&n->arena);
    hash_index_free(&n->index);
    free(n->all);
    *n = (struct symbol_names){0};
}
