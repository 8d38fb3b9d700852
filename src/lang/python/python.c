/* CPython, as one of the runtimes: ties detection, walk, merging and naming together. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lang/python/python_process.h"
#include "lang/python/python_walk.h"

enum { MAX_INTERPRETERS = 16 }; /* files that hold one */

static void detach(struct lang_process *lp) {
    if (!lp)
        return;
    python_names_free(lp->names);
    python_thread_names_free(lp->thread_names);
    free(lp);
}

static bool is_command(const char *base) {
    return fnmatch("python[0-9.]*", base, 0) == 0 || strcmp(base, "python") == 0;
}

/* Notes the interpreter's own code, and whether the process is a python command. */
static void note_code(struct lang_process *lp, const struct python_object *o) {
    size_t n;
    const struct target_mapping *all = target_mappings(lp->target, &n);
    for (size_t i = 0; i < n; i++) {
        const struct target_mapping *m = &all[i];
        if (!(m->protection & PROT_EXEC) || m->path[0] != '/')
            continue;
        const char *base = strrchr(m->path, '/') + 1;
        lp->python_program = lp->python_program || is_command(base);
        if (m->device == o->mapping.device && m->inode == o->mapping.inode && strcmp(m->path, o->mapping.path) == 0 &&
            lp->n_code < PYTHON_MAX_CODE)
            lp->code[lp->n_code++] = (struct python_range){m->start, m->end};
    }
    const char *base = strrchr(o->mapping.path, '/');
    lp->only_python = base && (is_command(base + 1) || strncmp(base + 1, "libpython", 9) == 0);
}

static int attach_object(struct lang_process *lp, const struct python_object *o, struct err *err) {
    int rc = python_identify(lp->target, o, lp, err);
    if (rc == 0)
        rc = python_find_threads(o, lp, err);
    if (rc < 0)
        return rc;
    note_code(lp, o);
    python_find_loops(o, lp);
    return 0;
}

/* Attaches to the first interpreter that has been started. When none has, says so of the first. */
static int attach_any(struct lang_process *lp, struct err *err) {
    struct err why = {0};
    int rc = -ENOENT;
    for (unsigned skip = 0; skip < MAX_INTERPRETERS; skip++) {
        struct python_object o = {0};
        struct err *to = skip ? &why : err;
        int found = python_detect(lp->target, skip, &o, to);
        if (found < 0)
            return skip ? rc : found;
        rc = attach_object(lp, &o, to);
        python_object_clear(&o);
        if (rc != -EAGAIN)
            break;
    }
    if (rc < 0 && why.code && err)
        *err = why;
    return rc;
}

static int attach(struct target *t, struct lang_process **ret, struct err *err) {
    struct lang_process *lp = mem_zalloc(1, sizeof(*lp));
    if (lp) {
        lp->target = t;
        lp->names = python_names_new();
        lp->thread_names = python_thread_names_new();
    }
    int rc = lp && lp->names && lp->thread_names ? attach_any(lp, err) : err_nomem(err);
    if (rc < 0) {
        detach(lp);
        return rc;
    }
    *ret = lp;
    return 0;
}

static const char *version(const struct lang_process *lp) {
    return lp->version;
}

static size_t config(const struct lang_process *lp, void *ret) {
    memcpy(ret, &lp->config, sizeof(lp->config));
    return sizeof(lp->config);
}

static void walk(struct walk *w, const void *config) {
    python_walk(w, config);
}

static void rewalked(struct walk *w, const void *config) {
    python_rewalked(w, config);
}

static bool is_loop(const struct lang_process *lp, u64 code) {
    return python_in_loop(&lp->config, code);
}

extern const struct lang lang_python;
const struct lang lang_python = {
    .name = "python",
    .title = "Python",
    .attach = attach,
    .detach = detach,
    .version = version,
    .config = config,
    .walk = walk,
    .rewalked = rewalked,
    .is_internal = python_is_internal,
    .is_loop = is_loop,
    .merge = python_merge,
    .name_frame = python_name_frame,
    .switches_stacks = python_switches_stacks,
    .thread_name = python_thread_name,
};
