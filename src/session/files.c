#include "session/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lang/lang.h"
#include "unwind/cfi.h"

enum { MAX_NAMED_FRAMES = 4 << 20 }; /* bound on what a capture keeps */

int session_files_init(struct session_files *fs, struct profile *p, struct tables *tables) {
    *fs = (struct session_files){.profile = p, .tables = tables, .kind_native = profile_string(p, "native")};
    return p->profile_failed ? -ENOMEM : 0;
}

void session_files_free(struct session_files *fs) {
    for (size_t i = 0; i < fs->n_files; i++) {
        struct session_file *f = fs->files[i];
        symbol_file_close(f->symbols);
        u64_map_free(&f->names);
        free(f->path);
        free(f);
    }
    free(fs->files);
    free(fs->frames);
    *fs = (struct session_files){0};
}

static uint64_t identity_guard(int fd, uint64_t *ret_size) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return 0;
    *ret_size = (uint64_t)st.st_size;
    return hash_mix((uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
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
    fs->files[fs->n_files++] = f;
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

/* ---- names ---- */

static mapping_id file_mapping(struct session_files *fs, struct session_file *f) {
    if (f->mapping)
        return f->mapping;
    const char *build_id = f->symbols ? symbol_file_build_id(f->symbols) : "";
    struct profile_mapping m = {
        .file = profile_string(fs->profile, f->path),
        .build_id = profile_string(fs->profile, build_id),
        .limit = f->size,
    };
    f->mapping = profile_mapping(fs->profile, &m);
    return f->mapping;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* All unnamed code of a file is one function, so that its time adds up; the addresses are in the frames. */
static frame_id unnamed_frame(struct session_files *fs, struct session_file *f, uint64_t address) {
    char text[512];
    snprintf(text, sizeof(text), "[%.200s]", base_name(f->path));
    struct profile_function function = {.name = profile_string(fs->profile, text)};
    return profile_frame(fs->profile, &(struct profile_frame){.function = profile_function(fs->profile, &function),
                                                              .kind = fs->kind_native,
                                                              .flags = FRAME_UNNAMED,
                                                              .mapping = file_mapping(fs, f),
                                                              .address = address});
}

static frame_id located_frame(struct session_files *fs, struct session_file *f, uint64_t address,
                              const struct symbol_location *l) {
    struct profile *p = fs->profile;
    if (!l->name[0])
        return unnamed_frame(fs, f, address);
    struct profile_function function = {
        .name = profile_string(p, l->name),
        .system_name = strcmp(l->name, l->system_name) ? profile_string(p, l->system_name) : 0,
        .file = profile_string(p, l->file),
        .start_line = l->start_line,
    };
    return profile_frame(p, &(struct profile_frame){.function = profile_function(p, &function),
                                                    .line = l->line,
                                                    .column = l->column,
                                                    .kind = fs->kind_native,
                                                    .flags = l->inlined ? FRAME_INLINED : 0,
                                                    .mapping = file_mapping(fs, f),
                                                    .address = address});
}

static bool add_frame(struct session_files *fs, frame_id id) {
    if (fs->n_frames >= MAX_NAMED_FRAMES) {
        profile_note(fs->profile, "More than %d places were named; frames beyond are missing", MAX_NAMED_FRAMES);
        return false;
    }
    if (mem_grow((void **)&fs->frames, &fs->cap_frames, fs->n_frames + 1, sizeof(*fs->frames)) < 0) {
        fs->profile->profile_failed = true;
        return false;
    }
    fs->frames[fs->n_frames++] = id;
    return true;
}

struct name_ref session_file_name(struct session_files *fs, struct session_file *f, uint64_t address, bool exact) {
    uint64_t key = address << 1 | exact;
    uint64_t *known = u64_map_get(&f->names, key);
    if (known)
        return (struct name_ref){.first = (uint32_t)(*known >> 32), .count = (uint32_t)*known};
    struct symbol_location at[SYMBOL_MAX_INLINES];
    size_t n = f->symbols ? symbol_file_lookup(f->symbols, exact ? address : address - 1, at, SYMBOL_MAX_INLINES) : 0;
    struct name_ref ref = {.first = (uint32_t)fs->n_frames};
    if (n == 0)
        ref.count += add_frame(fs, unnamed_frame(fs, f, address));
    for (size_t i = 0; i < n; i++)
        ref.count += add_frame(fs, located_frame(fs, f, address, &at[i]));
    if (u64_map_put(&f->names, key, (uint64_t)ref.first << 32 | ref.count) < 0)
        fs->profile->profile_failed = true;
    return ref;
}

frame_id session_frame_of_text(struct session_files *fs, const char *what, uint32_t flags) {
    struct profile_function function = {.name = profile_string(fs->profile, what)};
    return profile_frame(fs->profile, &(struct profile_frame){.function = profile_function(fs->profile, &function),
                                                              .kind = fs->kind_native,
                                                              .flags = flags});
}
