/* Names: interned once, demangled once. */
#include <libiberty/demangle.h>
#undef ARRAY_SIZE /* libiberty has its own; base/macros.h is ours */
#include <string.h>

#include "symbol/internal.h"

enum { MAX_MANGLED = 16384 }; /* the demanglers' own stacks grow with their input */

/* Rust's legacy names end in a hash of their own: "::h0123456789abcdef". */
static void drop_rust_hash(char *name) {
    size_t n = strlen(name);
    if (n > 19 && strncmp(name + n - 19, "::h", 3) == 0 && strspn(name + n - 16, "0123456789abcdef") == 16)
        name[n - 19] = '\0';
}

char *symbol_demangle(const char *name) {
    char *plain = NULL;
    if (strlen(name) > MAX_MANGLED)
        return NULL;
    if (name[0] == '_' && name[1] == 'R')
        plain = rust_demangle(name, 0);
    if (!plain && name[0] == '_' && (name[1] == 'Z' || (name[1] == '_' && name[2] == 'Z'))) {
        plain = rust_demangle(name, 0);
        if (!plain)
            plain = cplus_demangle_v3(name, DMGL_PARAMS | DMGL_ANSI);
    }
    if (!plain && name[0] == '_' && name[1] == 'D')
        plain = dlang_demangle(name, 0);
    if (plain)
        drop_rust_hash(plain);
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
