#include "session/files.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "lang/lang.h"
#include "unwind/cfi.h"

enum {
    MAX_IDLE = 64,        /* files that no process has mapped: the next one often maps them again */
    MAX_HELD = 16 << 20,  /* bytes of debug information and symbols, over all files, */
    WORTH_IT = 256 << 10, /* … of which so many are worth to be given back */
    RELEASE_AFTER = 512,  /* look-ups, each of which may touch a megabyte of a file */
    /* Of perf maps: those of large programs are 10 MB, of which as much is held. */
    MAX_PERF_MAPS = 32 << 20,
};

int session_files_init(struct session_files *fs, struct profile *p, struct tables *tables) {
    *fs = (struct session_files){.profile = p,
                                 .tables = tables,
                                 .kind_native = profile_string(p, "native"),
                                 .perf_maps = {.limit = MAX_PERF_MAPS}};
    return p->profile_failed ? -ENOMEM : 0;
}

static void close_file(struct session_file *f) {
    symbol_file_close(f->symbols);
    u64_map_free(&f->names);
    free(f->frames);
    free(f->path);
    free(f);
}

void session_files_free(struct session_files *fs) {
    for (size_t i = 0; i < fs->n_files; i++)
        close_file(fs->files[i]);
    free(fs->files);
    *fs = (struct session_files){0};
}

/* ---- files that nobody has mapped ---- */

static void drop(struct session_files *fs, size_t at) {
    struct session_file *f = fs->files[at];
    if (f->tables_state == FILE_TABLES_LOADED)
        tables_remove_file(fs->tables, &f->tables);
    fs->held -= f->held;
    fs->n_frames -= f->n_frames;
    fs->files[at] = fs->files[--fs->n_files];
    close_file(f);
}

static void drop_longest_idle(struct session_files *fs) {
    size_t at = fs->n_files;
    for (size_t i = 0; i < fs->n_files; i++)
        if (fs->files[i]->users == 0 && (at == fs->n_files || fs->files[i]->used_at < fs->files[at]->used_at))
            at = i;
    if (at < fs->n_files) {
        drop(fs, at);
        fs->n_idle--;
    }
}

void session_file_use(struct session_files *fs, struct session_file *f) {
    fs->n_idle -= f->users++ == 0;
}

void session_file_leave(struct session_files *fs, struct session_file *f) {
    f->used_at = ++fs->clock;
    fs->n_idle += --f->users == 0;
    if (fs->n_idle > MAX_IDLE)
        drop_longest_idle(fs);
}

/* ---- what is held of the others ---- */

static void count_held(struct session_files *fs, struct session_file *f) {
    size_t held = symbol_file_held(f->symbols, &f->loose);
    fs->held += held - f->held;
    f->held = held;
}

/* The file that was not asked for longest of those that hold much, or much that is loose. */
static struct session_file *longest_unasked(struct session_files *fs, const struct session_file *but, bool loose) {
    struct session_file *found = NULL;
    for (size_t i = 0; i < fs->n_files; i++) {
        struct session_file *f = fs->files[i];
        size_t size = loose ? f->loose : f->held;
        if (f != but && size > WORTH_IT && (!found || f->asked_at < found->asked_at))
            found = f;
    }
    return found;
}

static void forget_loose(struct session_files *fs, const struct session_file *but, size_t limit) {
    struct session_file *f;
    while (fs->held > limit && (f = longest_unasked(fs, but, true))) {
        symbol_file_forget(f->symbols, false);
        count_held(fs, f);
    }
}

/* What is loose goes first. Of many small ones none goes: there are no more of them than files that are mapped. */
static void forget_names(struct session_files *fs, const struct session_file *but) {
    struct session_file *f;
    forget_loose(fs, but, MAX_HELD);
    while (fs->held > MAX_HELD && (f = longest_unasked(fs, but, false))) {
        symbol_file_forget(f->symbols, true);
        count_held(fs, f);
    }
}

void session_files_release(struct session_files *fs) {
    for (size_t i = 0; i < fs->n_files && fs->asked; i++)
        if (fs->files[i]->touched) {
            fs->files[i]->touched = false;
            symbol_file_release_pages(fs->files[i]->symbols);
        }
    fs->asked = 0;
}

void session_files_ask(struct session_files *fs, struct session_file *f) {
    if (f->held == 0 && f->symbols && !fs->once)
        forget_loose(fs, f, MAX_HELD / 2);
}

void session_files_asked(struct session_files *fs, struct session_file *f) {
    if (!f->symbols || fs->once)
        return;
    f->asked_at = ++fs->clock;
    f->touched = true;
    count_held(fs, f);
    if (fs->held > MAX_HELD)
        forget_names(fs, f);
    if (++fs->asked >= RELEASE_AFTER)
        session_files_release(fs);
}

void session_files_note(struct session_files *fs) {
    if (fs->deep_stacks)
        profile_note(
            fs->profile,
            "%llu stacks are deeper than can be kept: both ends are there, and a mark in the middle says how many "
            "frames were left out",
            (unsigned long long)fs->deep_stacks);
    if (fs->perf_maps.left_out)
        profile_note(fs->profile,
                     "%llu lines of perf maps did not fit into %zu MB, which all maps share: their code has no names",
                     (unsigned long long)fs->perf_maps.left_out, fs->perf_maps.limit >> 20);
}

/* ---- opening ---- */

static uint64_t identity_guard(int fd, uint64_t *ret_size) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return 0;
    *ret_size = (uint64_t)st.st_size;
    return hash_mix((uint64_t)st.st_size, clock_ns_of(&st.st_mtim));
}

static struct session_file *find_file(struct session_files *fs, const struct target_mapping *m, uint64_t guard) {
    for (size_t i = 0; i < fs->n_files; i++) {
        struct session_file *f = fs->files[i];
        if (f->device == m->device && f->inode == m->inode && f->size_and_time == guard &&
            (m->inode || strcmp(f->path, m->path) == 0))
            return f;
    }
    return NULL;
}

struct session_file *session_files_get(struct session_files *fs, struct target *t, const struct target_mapping *m) {
    _cleanup_(closep) int fd = target_open_mapping(t, m, NULL);
    uint64_t size = m->end - m->start, guard = identity_guard(fd, &size);
    if (!m->inode)
        guard = 0; /* the vDSO comes as a fresh memory file each time */
    struct session_file *f = find_file(fs, m, guard);
    if (f)
        return f;
    if (fd < 0 && !m->inode) /* the next process may have it */
        return NULL;
    if (fs->n_idle > MAX_IDLE)
        drop_longest_idle(fs);
    if (mem_grow((void **)&fs->files, &fs->cap_files, fs->n_files + 1, sizeof(struct session_file *)) < 0)
        return NULL;
    f = mem_zalloc(1, sizeof(*f));
    char *path = mem_strdup(m->path);
    if (!f || !path) {
        free(f);
        free(path);
        return NULL;
    }
    f->device = m->device;
    f->inode = m->inode;
    f->size_and_time = guard;
    f->path = path;
    f->switches_stacks = lang_switches_stacks(path);
    f->size = size;
    struct symbol_search search = {.target = t};
    if (fd >= 0 && symbol_file_open(TAKE_FD(fd), path, &search, &f->symbols, NULL) < 0)
        f->symbols = NULL;
    f->used_at = ++fs->clock;
    fs->files[fs->n_files++] = f;
    fs->n_idle++; /* until it is used */
    return f;
}

/* Compilers and browsers have a million rows, of which a capture looks at a few in a hundred, and to compile them all
 * takes longer than most programs live. Of other files most is looked at soon, and every first look costs a sample
 * a copy of its stack. */
static u32 pages_at_once(const struct session_files *fs, struct session_file *f) {
    enum { LARGE_FUNCTIONS = 16384, LARGE_AT_ONCE = 8 /* some hundred microseconds */ };
    return fs->once ? 1 : cfi_indexed(f->symbols) > LARGE_FUNCTIONS ? LARGE_AT_ONCE : 0;
}

/* Whether that can be done. */
static bool load_lazily(struct session_files *fs, struct session_file *f) {
    u32 at_once = pages_at_once(fs, f);
    return at_once && cfi_has_index(f->symbols) &&
           tables_add_file_lazily(fs->tables, f->symbols, at_once, &f->tables) == 0;
}

bool session_file_load_tables(struct session_files *fs, struct session_file *f) {
    if (f->tables_state != FILE_TABLES_UNKNOWN)
        return f->tables_state == FILE_TABLES_LOADED;
    f->tables_state = FILE_TABLES_NONE;
    fs->tables_loaded++;
    if (!f->symbols)
        return false;
    if (load_lazily(fs, f)) {
        f->tables_state = FILE_TABLES_LOADED;
        return true;
    }
    _cleanup_(cfi_rows_free) struct cfi_rows rows = {0};
    int rc = cfi_compile_file(f->symbols, &rows, NULL);
    symbol_file_release_pages(f->symbols);
    if (rc < 0 || rows.count == 0)
        return false;
    if (tables_add_file(fs->tables, &rows, &f->tables) < 0)
        return false;
    f->tables_state = FILE_TABLES_LOADED;
    return true;
}
