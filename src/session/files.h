/* The files whose code is sampled: opened once each, their unwind tables and names loaded on demand.
 * Private to session/.
 * May use: symbol/, unwind/, model/, lang/.
 * Must not: know processes; addresses here are the file's own. */
#pragma once

#include "model/profile.h"
#include "symbol/symbol.h"
#include "target/target.h"
#include "unwind/tables.h"

enum file_tables { FILE_TABLES_UNKNOWN, FILE_TABLES_LOADED, FILE_TABLES_NONE };

struct session_file {
    uint64_t device, inode; /* identity; 0, 0 for the vDSO */
    uint64_t size_and_time; /* guards against an inode reused */
    uint64_t size;
    char *path;
    struct symbol_file *symbols; /* NULL when it could not be opened */
    bool switches_stacks;        /* see lang.h */
    enum file_tables tables_state;
    struct tables_file tables;
    mapping_id mapping;   /* in the profile; 0 = not yet */
    struct u64_map names; /* address << 1 | exact → name_ref */
};

/* Names of one address: `count` frame ids from `first` on, innermost first. */
struct name_ref {
    uint32_t first, count;
};

struct session_files {
    struct profile *profile;
    struct tables *tables;
    struct session_file **files;
    size_t n_files, cap_files;
    frame_id *frames; /* what name_refs point into */
    size_t n_frames, cap_frames;
    string_id kind_native;
    uint64_t last_serial;   /* of processes */
    uint64_t runtime_names; /* functions that were learnt from a runtime */
    bool once;              /* every stack is walked once, in user space: load of tables only what is looked at */
    uint64_t tables_loaded; /* counts loads: another process may have loaded a shared file */
};

int session_files_init(struct session_files *fs, struct profile *p, struct tables *tables);
void session_files_free(struct session_files *fs);

/* The file behind a mapping of a target; opened at first sight. NULL when memory is out. */
struct session_file *session_files_get(struct session_files *fs, struct target *t, const struct target_mapping *m);

/* Compiles and loads the unwind table unless that was tried. Returns whether it is loaded. */
bool session_file_load_tables(struct session_files *fs, struct session_file *f);

/* Names the code at `address` (a return address unless exact). An address without a symbol gets one
 * unnamed frame. */
struct name_ref session_file_name(struct session_files *fs, struct session_file *f, uint64_t address, bool exact);

/* A frame for code that belongs to no file. `what` is shown: "[unmapped]", a perf map's name … */
frame_id session_frame_of_text(struct session_files *fs, const char *what, uint32_t flags);
