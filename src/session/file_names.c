/* What the code at an address of a file is called. */
#include <stdio.h>
#include <string.h>

#include "session/files.h"

enum { MAX_NAMED_FRAMES = 4 << 20 }; /* bound on what a capture keeps */

mapping_id session_file_mapping(struct session_files *fs, struct session_file *f) {
    if (f->mapping)
        return f->mapping;
    const char *build_id = f->symbols ? symbol_file_build_id(f->symbols) : "";
    /* As if it were mapped where its own addresses say. */
    struct symbol_code code = {.end = f->size};
    if (f->symbols)
        (void)symbol_file_code(f->symbols, &code);
    struct profile_mapping m = {
        .file = profile_string(fs->profile, f->path),
        .build_id = profile_string(fs->profile, build_id),
        .start = code.start,
        .limit = code.end,
        .offset = code.offset,
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
                                                              .mapping = session_file_mapping(fs, f),
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
                                                    .mapping = session_file_mapping(fs, f),
                                                    .address = address});
}

static bool add_frame(struct session_files *fs, struct session_file *f, frame_id id) {
    if (fs->n_frames >= MAX_NAMED_FRAMES) {
        profile_note(fs->profile, "More than %d places were named; frames beyond are missing", MAX_NAMED_FRAMES);
        return false;
    }
    if (mem_grow((void **)&f->frames, &f->cap_frames, f->n_frames + 1, sizeof(*f->frames)) < 0) {
        fs->profile->profile_failed = true;
        return false;
    }
    f->frames[f->n_frames++] = id;
    fs->n_frames++;
    return true;
}

struct name_ref session_file_name(struct session_files *fs, struct session_file *f, uint64_t address, bool exact) {
    uint64_t key = address << 1 | exact;
    uint64_t *known = u64_map_get(&f->names, key);
    if (known)
        return (struct name_ref){.first = (uint32_t)(*known >> 32), .count = (uint32_t)*known};
    struct symbol_location at[SYMBOL_MAX_INLINES];
    session_files_ask(fs, f);
    size_t n = f->symbols ? symbol_file_lookup(f->symbols, exact ? address : address - 1, at, SYMBOL_MAX_INLINES) : 0;
    struct name_ref ref = {.first = (uint32_t)f->n_frames};
    if (n == 0)
        ref.count += add_frame(fs, f, unnamed_frame(fs, f, address));
    for (size_t i = 0; i < n; i++)
        ref.count += add_frame(fs, f, located_frame(fs, f, address, &at[i]));
    session_files_asked(fs, f);
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
