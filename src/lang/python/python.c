/* Recognising Python in a process. */
#include "lang/lang.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lang/python/python_process.h"

_Static_assert(LANG_PYTHON_KIND >> 4 == LANG_python, "frame kinds carry the lang's id");

/* ---- finding the runtime ---- */

struct candidate {
    const struct target_mapping *mapping; /* of code */
    struct symbol_file *file;
    uint64_t bias;
    u64 runtime; /* _PyRuntime, or for 3.6 the address of _PyThreadState_Current */
    bool before_3_7;
};

static bool find_runtime(struct candidate *c) {
    struct symbol_range r;
    struct symbol_section s;
    if (symbol_file_find_exported(c->file, "_PyRuntime", &r) == 0) {
        c->runtime = r.address + c->bias;
        return true;
    }
    if (symbol_file_section(c->file, ".PyRuntime", &s) == 0) {
        c->runtime = s.address + c->bias;
        return true;
    }
    if (symbol_file_find_exported(c->file, "_PyThreadState_Current", &r) == 0 &&
        symbol_file_find_exported(c->file, "PyUnicode_FromString", &(struct symbol_range){0}) == 0) {
        c->runtime = r.address + c->bias;
        c->before_3_7 = true;
        return true;
    }
    return false;
}

static bool open_candidate(struct target *t, const struct target_mapping *m, struct candidate *ret) {
    struct symbol_search search = {.target = t};
    *ret = (struct candidate){.mapping = m};
    int fd = target_open_mapping(t, m, NULL);
    if (fd < 0 || symbol_file_open(fd, m->path, &search, &ret->file, NULL) < 0)
        return false;
    if (symbol_file_bias(ret->file, m, &ret->bias) == 0 && find_runtime(ret))
        return true;
    symbol_file_close(ret->file);
    return false;
}

static int find_candidate(struct target *t, struct candidate *ret) {
    size_t n;
    const struct target_mapping *all = target_mappings(t, &n);
    for (size_t i = 0; i < n; i++) {
        const struct target_mapping *m = &all[i];
        bool first_of_file = i == 0 || all[i - 1].inode != m->inode || !(all[i - 1].protection & PROT_EXEC);
        if (m->protection & PROT_EXEC && m->path[0] == '/' && first_of_file && open_candidate(t, m, ret))
            return 0;
    }
    return -ENOENT;
}

/* ---- which version ---- */

/* "3.8.18\0" in the file's constants. */
static u32 parse_version(const char *p, const char *end) {
    unsigned part[2] = {0};
    if (end - p < 6 || p[0] != '3' || p[1] != '.')
        return 0;
    p += 2;
    for (int i = 0; i < 2; i++) {
        const char *start = p;
        while (p < end && *p >= '0' && *p <= '9' && p - start < 3)
            part[i] = part[i] * 10 + (unsigned)(*p++ - '0');
        if (p == start || p == end || (i == 0 && *p++ != '.'))
            return 0;
    }
    if (*p != '\0' && *p != '+' && *p != 'a' && *p != 'b' && *p != 'r')
        return 0;
    return part[0] >= 6 && part[0] <= 15 ? 3u << 24 | part[0] << 16 | part[1] << 8 | 0xf0 : 0;
}

/* `minor` restricts the search; 0 takes any. Linkers share the tails of strings, so the version may be
 * the end of a longer one, such as an installation path. */
static u32 version_in_constants(struct symbol_file *f, u32 minor) {
    struct symbol_section s;
    if (symbol_file_section(f, ".rodata", &s) < 0 || !s.data)
        return 0;
    const char *start = s.data, *p = start, *end = p + s.size;
    while ((p = memchr(p, '3', (size_t)(end - p)))) {
        bool alone = p == start || p[-1] == '\0' || p[-1] == '/';
        u32 v = alone ? parse_version(p, end) : 0;
        if (v && (!minor || v >> 16 == minor >> 16))
            return v;
        p++;
    }
    return 0;
}

/* "libpython3.8.so.1.0", "python3.8". */
static u32 version_in_path(const char *path) {
    const char *p = strstr(path, "python3.");
    if (!p)
        return 0;
    unsigned minor = (unsigned)strtoul(p + 8, NULL, 10);
    return minor >= 6 && minor <= 15 ? 3u << 24 | minor << 16 : 0;
}

static u32 find_version(struct target *t, const struct candidate *c) {
    struct symbol_range r;
    u32 v = 0;
    if (symbol_file_find_exported(c->file, "Py_Version", &r) == 0 && target_read(t, r.address + c->bias, &v, 4) == 0 &&
        v >> 24 == 3)
        return v;
    u32 minor = version_in_path(c->mapping->path);
    v = version_in_constants(c->file, minor);
    return v ? v : minor;
}

/* ---- configuring the walk ---- */

/* glibc keeps the values of pthread keys in the thread's descriptor: 32 pairs (sequence, value). */
enum { GLIBC_KEYS_AT = 784, GLIBC_INLINE_KEYS = 32 };

static void use_thread_key(struct lang_process *lp, u64 key_at) {
    u32 key;
    if (target_read(lp->target, key_at, &key, 4) == 0 && key < GLIBC_INLINE_KEYS)
        lp->config.tls_slot = GLIBC_KEYS_AT + 16 * (s32)key + 8;
}

/* 3.15 keeps the thread state in a thread-local variable. In the executable its place is fixed: below
 * the thread pointer. In a library it depends on the loader, and the thread lists are searched. */
static void use_thread_local(struct lang_process *lp, const struct candidate *c) {
    struct symbol_tls tls;
    if (symbol_file_find_tls(c->file, "_Py_tss_gilstate", &tls) < 0 || !symbol_file_is_executable(c->file))
        return;
    u64 align = MAX(tls.block_align, (u64)1), size = (tls.block_size + align - 1) & ~(align - 1);
    lp->config.tls_slot = (s32)tls.offset - (s32)size;
}

static void find_interpreters_3_6(struct lang_process *lp, const struct candidate *c) {
    struct symbol_range r;
    if (symbol_file_find(c->file, "interp_head", &r) == 0)
        lp->config.interpreters = r.address + c->bias;
    if (symbol_file_find(c->file, "autoTLSkey", &r) == 0)
        use_thread_key(lp, r.address + c->bias);
}

static void remember_own_code(struct lang_process *lp, const struct candidate *c) {
    size_t n;
    const struct target_mapping *all = target_mappings(lp->target, &n);
    for (size_t i = 0; i < n && lp->n_own < PYTHON_MAX_RANGES; i++)
        if (all[i].protection & PROT_EXEC && all[i].inode == c->mapping->inode && all[i].device == c->mapping->device &&
            strcmp(all[i].path, c->mapping->path) == 0)
            lp->own[lp->n_own++] = (struct address_range){all[i].start, all[i].end};
}

static void remember_eval_loop(struct lang_process *lp, const struct candidate *c) {
    static const char *const names[] = {"_PyEval_EvalFrameDefault", "_PyEval_EvalFrameDefault.cold"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct symbol_range r;
        if (symbol_file_find(c->file, names[i], &r) == 0 && r.size)
            lp->eval[lp->n_eval++] = (struct address_range){r.address + c->bias, r.address + c->bias + r.size};
    }
}

static int load_offsets(struct lang_process *lp, const struct candidate *c, struct err *err) {
    int rc = c->before_3_7 ? -ENOENT : python_offsets_read(lp->target, c->runtime, &lp->offsets);
    if (rc == 0)
        return 0;
    if (rc != -ENOENT)
        return err_set(err, rc, "Look for a newer scry", "This Python is newer than scry knows, so its frames are not shown");
    u32 version = find_version(lp->target, c);
    if (c->before_3_7 && version >> 16 != 0x0306)
        version = 0x03060000;
    rc = version ? python_offsets_known(version, &lp->offsets) : -ENOTSUP;
    if (rc < 0)
        return err_set(err, rc, "scry reads Python 3.6 to 3.15", "The version of this Python is not known, so its frames are not shown");
    return 0;
}

/* The runtime must look initialised: its newest interpreter has a thread that points back at it. */
static bool is_initialised(struct lang_process *lp) {
    u64 interp = 0, tstate = 0, back = 0;
    const struct python_config *c = &lp->config;
    return c->interpreters && target_read(lp->target, c->interpreters, &interp, 8) == 0 && interp &&
           target_read(lp->target, interp + c->interp_threads, &tstate, 8) == 0 && tstate &&
           target_read(lp->target, tstate + lp->offsets.tstate_interp, &back, 8) == 0 && back == interp;
}

static int configure(struct lang_process *lp, const struct candidate *c, struct err *err) {
    int rc = load_offsets(lp, c, err);
    if (rc < 0)
        return rc;
    lp->config = lp->offsets.walk;
    if (c->before_3_7) {
        find_interpreters_3_6(lp, c);
    } else {
        lp->config.interpreters = c->runtime + lp->offsets.interpreters_head;
        if (lp->offsets.tss_key)
            use_thread_key(lp, c->runtime + lp->offsets.tss_key);
        else
            use_thread_local(lp, c);
    }
    if (!is_initialised(lp))
        return err_set(err, -EAGAIN, NULL, "Python is still starting in this process");
    remember_own_code(lp, c);
    if (lp->config.style == PYTHON_FRAME_OBJECTS)
        remember_eval_loop(lp, c);
    u32 v = lp->offsets.version;
    if (v & 0xf0) /* a release level: the micro version is known */
        snprintf(lp->version, sizeof(lp->version), "%u.%u.%u%s", v >> 24, v >> 16 & 0xff, v >> 8 & 0xff,
                 lp->offsets.free_threaded ? " free-threaded" : "");
    else
        snprintf(lp->version, sizeof(lp->version), "%u.%u", v >> 24, v >> 16 & 0xff);
    return 0;
}

/* ---- the contract ---- */

static void python_detach(struct lang_process *lp) {
    python_names_free(lp);
    free(lp);
}

static int python_attach(struct target *t, struct lang_process **ret, struct err *err) {
    struct candidate c;
    int rc = find_candidate(t, &c);
    if (rc < 0)
        return rc;
    struct lang_process *lp = mem_zalloc(1, sizeof(*lp));
    rc = lp ? 0 : err_nomem(err);
    if (lp) {
        lp->target = t;
        rc = configure(lp, &c, err);
    }
    symbol_file_close(c.file);
    if (rc < 0) {
        free(lp);
        return rc;
    }
    *ret = lp;
    return 0;
}

static const char *python_version(const struct lang_process *lp) {
    return lp->version;
}

static size_t python_config(const struct lang_process *lp, void *ret) {
    memcpy(ret, &lp->config, sizeof(lp->config));
    return sizeof(lp->config);
}

static void python_walk_user(struct walk *w, const void *config) {
    python_walk(w, config);
}

extern const struct lang lang_python;
const struct lang lang_python = {
    .name = "python",
    .title = "Python",
    .attach = python_attach,
    .detach = python_detach,
    .version = python_version,
    .config = python_config,
    .walk = python_walk_user,
    .is_internal = python_is_internal,
    .merge = python_merge,
    .name_frame = python_name_frame,
};
