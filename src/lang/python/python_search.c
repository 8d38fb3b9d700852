/* Finds the interpreter in memory alone, when its file cannot be had: a core file on another machine.
 *
 * The file's name tells the minor version (python3.N, libpython3.N….so). Then its variables are searched,
 * which a core holds: from 3.13 for the cookie of the table with which _PyRuntime begins, before that for the
 * pointer to an interpreter whose newest thread state belongs to it and to a thread. A thread state knows
 * its pthread_self(), and there stands that very address: the C library keeps it in the first word. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lang/python/python_process.h"

enum { MAX_VARIABLES = 64 << 20, PAGE = 4096, MAX_CHUNK = 16 * PAGE };

/* ---- which file ---- */

/* The minor version that a file's name tells, 0 when it is none of Python's. */
static unsigned minor_of(const char *path) {
    unsigned minor = 0;
    const char *base = strrchr(path, '/');
    if (!base || (fnmatch("/python3.[0-9]*", base, 0) != 0 && fnmatch("/libpython3.[0-9]*.so*", base, 0) != 0))
        return 0;
    return sscanf(strstr(base, "python3.") + 8, "%2u", &minor) == 1 ? minor : 0;
}

static bool cannot_be_had(struct target *t, const struct target_mapping *m) {
    int fd = target_open_mapping(t, m, NULL);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

unsigned python_detect_unseen(struct target *t, struct python_object *ret) {
    size_t n;
    const struct target_mapping *all = target_mappings(t, &n);
    unsigned found = 0;
    for (size_t i = 0; i < n; i++) {
        const struct target_mapping *m = &all[i];
        unsigned minor = m->path[0] == '/' ? minor_of(m->path) : 0;
        bool library = minor && strstr(strrchr(m->path, '/'), ".so");
        /* Beside a library the program holds nothing. */
        if (minor < PYTHON_OLDEST || (found && !library) || !cannot_be_had(t, m))
            continue;
        *ret = (struct python_object){.mapping = *m};
        found = minor;
        if (library)
            break;
    }
    return found;
}

/* ---- its variables ---- */

struct search {
    struct lang_process *lp;
    size_t left;    /* bytes that may still be looked at */
    uint8_t *bytes; /* MAX_CHUNK of them */
};

/* Looks through `n` bytes of variables at `address`. Returns whether the interpreter is found. */
typedef bool look_fn(struct search *s, uint64_t address, const uint8_t *bytes, size_t n);

static bool look_through(struct search *s, const struct target_mapping *m, look_fn *look) {
    uint8_t *bytes = s->bytes;
    for (uint64_t at = m->start; at < m->end && s->left;) {
        size_t n = MIN(MIN(m->end - at, (uint64_t)MAX_CHUNK), s->left);
        if (target_read(s->lp->target, at, bytes, n) < 0) { /* some of it may be there */
            n = MIN(m->end - at, PAGE - (at & (PAGE - 1)));
            if (target_read(s->lp->target, at, bytes, n) < 0)
                memset(bytes, 0, n);
        }
        if (look(s, at, bytes, n))
            return true;
        s->left -= MIN(s->left, n);
        at += n;
    }
    return false;
}

/* Writable mappings of the file, and what follows the last of them without a file: variables that begin as
 * zeros. */
static bool look_through_file(struct search *s, const struct python_object *o, look_fn *look) {
    size_t n;
    const struct target_mapping *all = target_mappings(s->lp->target, &n);
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        const struct target_mapping *m = &all[i];
        bool own = strcmp(m->path, o->mapping.path) == 0, follows = end && m->start == end && !m->path[0];
        if (!(m->protection & PROT_WRITE) || (!own && !follows))
            continue;
        end = m->end;
        if (look_through(s, m, look))
            return true;
    }
    return false;
}

/* ---- from 3.13 ---- */

static bool look_for_cookie(struct search *s, uint64_t address, const uint8_t *bytes, size_t n) {
    uint8_t table[PYTHON_DEBUG_OFFSETS_BYTES];
    struct lang_process *lp = s->lp;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        if (memcmp(bytes + i, "xdebugpy", 8) != 0 || target_read(lp->target, address + i, table, sizeof(table)) < 0 ||
            python_layout_from_debug(table, sizeof(table), &lp->layout, NULL) < 0)
            continue;
        lp->runtime = address + i;
        lp->interpreters = lp->runtime + lp->layout.runtime_interpreters;
        return true;
    }
    return false;
}

/* ---- before ---- */

static bool is_pointer(uint64_t word) {
    return word >= PAGE && (word & 7) == 0 && word >> 47 == 0;
}

/* The pointer at `address`, 0 when there is none. */
static uint64_t pointer_at(struct target *t, uint64_t address) {
    uint64_t word;
    return target_read(t, address, &word, 8) == 0 && is_pointer(word) ? word : 0;
}

static bool is_interpreter(const struct lang_process *lp, uint64_t interpreter) {
    struct target *t = lp->target;
    const struct python_layout *l = &lp->layout;
    uint64_t thread = pointer_at(t, interpreter + l->interpreter_threads);
    if (!thread || pointer_at(t, thread + l->thread_interpreter) != interpreter)
        return false;
    uint64_t self = pointer_at(t, thread + l->thread_id);
    return self && pointer_at(t, self) == self;
}

static bool look_for_interpreter(struct search *s, uint64_t address, const uint8_t *bytes, size_t n) {
    struct lang_process *lp = s->lp;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        if (!is_pointer(word) || !is_interpreter(lp, word))
            continue;
        lp->interpreters = address + i;
        if (lp->layout.runtime_interpreters != PYTHON_NONE)
            lp->runtime = lp->interpreters - lp->layout.runtime_interpreters;
        return true;
    }
    return false;
}

int python_identify_unseen(const struct python_object *o, struct lang_process *lp, struct err *err) {
    struct search s = {.lp = lp, .left = MAX_VARIABLES};
    unsigned minor = minor_of(o->mapping.path);
    int rc = minor <= 12 ? python_layout_of(minor, &lp->layout, err) : 0;
    if (rc < 0)
        return rc;
    _cleanup_(freep) uint8_t *bytes = mem_alloc(MAX_CHUNK);
    if (!bytes)
        return err_nomem(err);
    s.bytes = bytes;
    lp->layout.micro = PYTHON_UNKNOWN_MICRO;
    if (!look_through_file(&s, o, minor <= 12 ? look_for_interpreter : look_for_cookie))
        return err_set(err, -ENODATA, "Put its file in its place under the directory that --sysroot names",
                       "Python 3.%u is there, but its file %s is not here, and its variables were not found in memory",
                       minor, o->mapping.path);
    python_layout_describe(&lp->layout, lp->version, sizeof(lp->version));
    return 0;
}
