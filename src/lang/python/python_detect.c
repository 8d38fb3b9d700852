/* Finds the interpreter in a process and says which one it is.
 *
 * The interpreter may be the program, libpythonX.Y.so, or a library that embeds it; the program may
 * have been started through the dynamic loader, and files may be stripped. So every mapped file is looked
 * at, and recognised by what it holds: the section .PyRuntime (3.10+), or a definition of _PyRuntime
 * (3.7+) or _PyThreadState_Current (3.6). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lang/python/python_process.h"

void python_object_clear(struct python_object *o) {
    symbol_file_close(o->file);
    *o = (struct python_object){0};
}

uint64_t python_symbol(const struct python_object *o, const char *name) {
    struct symbol_range r;
    return o->file && symbol_file_find(o->file, name, &r) == 0 ? r.address + o->bias : 0;
}

/* ---- which file ---- */

/* Address in the target of a symbol that this file defines; 0 when it does not. Programs without a dynamic
 * symbol table have the ordinary one looked through. */
static uint64_t defines(const struct python_object *o, const char *name) {
    struct symbol_range r;
    struct symbol_section s;
    if (symbol_file_find_exported(o->file, name, &r) == 0)
        return r.address + o->bias;
    if (symbol_file_section(o->file, ".dynsym", &s) == 0 || symbol_file_section(o->file, ".strtab", &s) < 0 ||
        !s.data || !memmem(s.data, s.size, name, strlen(name)))
        return 0;
    return python_symbol(o, name);
}

/* Whether the file holds an interpreter. Fills o->runtime. */
static bool is_interpreter(struct python_object *o) {
    struct symbol_section s;
    if (symbol_file_section(o->file, ".PyRuntime", &s) == 0) {
        o->runtime = s.address + o->bias;
        return true;
    }
    o->runtime = defines(o, "_PyRuntime");
    return o->runtime || (defines(o, "_PyThreadState_Current") && defines(o, "PyUnicode_FromString"));
}

static int open_file(struct target *t, struct python_object *o, const struct symbol_search *search) {
    int fd = target_open_mapping(t, &o->mapping, NULL);
    return fd < 0 ? fd : symbol_file_open(fd, o->mapping.path, search, &o->file, NULL);
}

/* Most files hold no interpreter: separate debug files are looked for once one is found. */
static bool try_mapping(struct target *t, const struct target_mapping *m, struct python_object *o) {
    *o = (struct python_object){.mapping = *m};
    bool found = open_file(t, o, NULL) == 0 && symbol_file_bias(o->file, m, &o->bias) == 0 && is_interpreter(o);
    symbol_file_close(o->file);
    o->file = NULL;
    if (found && open_file(t, o, &(struct symbol_search){.target = t}) == 0)
        return true;
    python_object_clear(o);
    return false;
}

static bool same_file(const struct target_mapping *a, const struct target_mapping *b) {
    return a->device == b->device && a->inode == b->inode && strcmp(a->path, b->path) == 0;
}

/* Mappings of one file mostly stand together; files named after Python are tried first, so that the
 * others need not be opened in the ordinary case. */
static bool try_all(struct target *t, bool named, unsigned *skip, struct python_object *ret) {
    size_t n;
    const struct target_mapping *all = target_mappings(t, &n), *last = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct target_mapping *m = &all[i];
        const char *base = strrchr(m->path, '/');
        if (m->path[0] != '/' || !(m->protection & PROT_EXEC) || (last && same_file(m, last)))
            continue;
        last = m;
        if ((strstr(base, "python") != NULL) != named || !try_mapping(t, m, ret))
            continue;
        if ((*skip)-- == 0)
            return true;
        python_object_clear(ret);
    }
    return false;
}

int python_detect(struct target *t, unsigned skip, struct python_object *ret, struct err *err) {
    if (try_all(t, true, &skip, ret) || try_all(t, false, &skip, ret) || (skip == 0 && python_detect_unseen(t, ret)))
        return 0;
    return err_set(err, -ENOENT, NULL, "No Python interpreter is mapped");
}

/* ---- which version ---- */

/* Parses "3.MINOR.MICRO" with an optional "rc1" or "+" at text, which must be followed by NUL. */
static bool parse_version(const char *text, size_t n, struct python_layout *ret) {
    unsigned minor, micro;
    char copy[24] = "";
    int used = 0;
    memcpy(copy, text, MIN(n, sizeof(copy) - 1));
    if (sscanf(copy, "3.%2u.%3u%n", &minor, &micro, &used) != 2 || minor < PYTHON_OLDEST || minor > 12)
        return false;
    unsigned level = 15, serial = 0;
    const char *rest = copy + used;
    char kind = *rest;
    if (kind == 'a' || kind == 'b' || kind == 'r') {
        int more = 0;
        level = kind == 'a' ? 10 : kind == 'b' ? 11 : 12;
        if (sscanf(rest + (kind == 'r' ? 2 : 1), "%2u%n", &serial, &more) != 1)
            return false;
        rest += (kind == 'r' ? 2 : 1) + more;
    }
    if (*rest == '+')
        rest++;
    if (*rest || (size_t)(rest - copy) >= n)
        return false;
    *ret = (struct python_layout){
        .minor = (uint8_t)minor, .micro = (uint8_t)micro, .level = (uint8_t)level, .serial = (uint8_t)serial};
    return true;
}

/* The minor versions whose standard library's folder the constants name: bit n is "python3.n". */
static uint32_t named_libraries(const char *text, size_t size) {
    static const char name[] = "python3.";
    const char *p = text, *end = text + size;
    uint32_t named = 0;
    while ((p = memmem(p, (size_t)(end - p), name, strlen(name)))) {
        p += strlen(name);
        unsigned minor = 0;
        for (unsigned i = 0; i < 2 && p < end && *p >= '0' && *p <= '9'; i++)
            minor = 10 * minor + (unsigned)(*p++ - '0');
        if (minor < 32)
            named |= 1u << minor;
    }
    return named;
}

bool python_version_in(const char *text, size_t size, struct python_layout *ret) {
    const char *p = text, *end = text + size;
    uint32_t named = named_libraries(text, size);
    bool found = false;
    while (named && (p = memmem(p, (size_t)(end - p), "3.", 2))) {
        struct python_layout l;
        char before = p == text ? '\0' : p[-1];
        bool own = before == '\0', begins = own || before == '/' || before == '-' || before == ' ';
        if (begins && (own || !found) && parse_version(p, (size_t)(end - p), &l) && (named >> l.minor & 1)) {
            *ret = l;
            found = true;
            if (own)
                return true;
        }
        p += 2;
    }
    return found;
}

static bool version_in_constants(const struct python_object *o, struct python_layout *ret) {
    struct symbol_section s;
    return symbol_file_section(o->file, ".rodata", &s) == 0 && s.data && python_version_in(s.data, s.size, ret);
}

static int version_of(struct target *t, const struct python_object *o, struct python_layout *ret) {
    uint64_t at = python_symbol(o, "Py_Version"), hex; /* 3.11+ */
    if (at && target_read(t, at, &hex, 8) == 0 && hex >> 24 == 3) {
        python_layout_set_version(ret, hex);
        return 0;
    }
    return version_in_constants(o, ret) ? 0 : -ENOENT;
}

/* ---- the layout ---- */

static int identify_debug(struct target *t, const struct python_object *o, struct python_layout *ret, struct err *err) {
    uint8_t bytes[PYTHON_DEBUG_OFFSETS_BYTES];
    if (!o->runtime || target_read(t, o->runtime, bytes, sizeof(bytes)) < 0)
        return err_set(err, -EAGAIN, NULL, "Python's runtime state cannot be read");
    return python_layout_from_debug(bytes, sizeof(bytes), ret, err);
}

static int identify_old(const struct python_layout *version, struct python_layout *ret, struct err *err) {
    int rc = python_layout_of(version->minor, ret, err);
    if (rc < 0)
        return rc;
    ret->micro = version->micro;
    ret->level = version->level;
    ret->serial = version->serial;
    return 0;
}

int python_identify(struct target *t, const struct python_object *o, struct lang_process *lp, struct err *err) {
    struct python_layout version = {0};
    int rc;
    if (!o->file)
        return python_identify_unseen(o, lp, err);
    if (version_of(t, o, &version) == 0 && version.minor <= 12)
        rc = identify_old(&version, &lp->layout, err);
    else
        rc = identify_debug(t, o, &lp->layout, err);
    if (rc < 0)
        return rc;
    lp->runtime = o->runtime;
    if (lp->layout.runtime_interpreters != PYTHON_NONE && o->runtime)
        lp->interpreters = o->runtime + lp->layout.runtime_interpreters;
    else /* 3.6: one variable, in the symbol table only */
        lp->interpreters = python_symbol(o, "interp_head");
    if (!lp->interpreters)
        return err_set(err, -ENOTSUP, "Install its debug symbols.",
                       "Python 3.%u is there, but its list of interpreters was not found", lp->layout.minor);
    python_layout_describe(&lp->layout, lp->version, sizeof(lp->version));
    return 0;
}
