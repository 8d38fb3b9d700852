/* The files whose code is sampled: opened once each, their unwind tables and names loaded on demand. A capture may
 * last for hours and see a million of them: one that no process has mapped any more is closed after a while, and of
 * what names are made from no more is held than a bound, over all files; nor of perf maps, over all processes.
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
    frame_id *frames;     /* what these point into */
    size_t n_frames, cap_frames;
    size_t users;       /* mappings that are known */
    uint64_t used_at;   /* when the last one went, … */
    uint64_t asked_at;  /* … and when a name was last looked up, by the files' clock */
    size_t held, loose; /* bytes, by look-ups; see symbol.h */
    bool touched;       /* its pages may be resident */
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
    size_t n_idle;   /* files without a user */
    size_t n_frames; /* of all files */
    size_t held;     /* the same */
    unsigned asked;  /* look-ups since pages were last given back */
    uint64_t clock;  /* counts what happens */
    string_id kind_native;
    uint64_t last_serial;   /* of processes */
    uint64_t runtime_names; /* functions that were learnt from a runtime */
    bool once;              /* every stack is walked once, in user space: load of tables only what is looked at */
    uint64_t deep_stacks;   /* that were deeper than can be kept */
    uint64_t tables_loaded; /* counts loads: another process may have loaded a shared file */
    struct symbol_perf_maps perf_maps;
};

int session_files_init(struct session_files *fs, struct profile *p, struct tables *tables);
void session_files_free(struct session_files *fs);

/* The file behind a mapping of a target; opened at first sight. NULL when memory is out. Without a user it may be
 * gone after the next call. */
struct session_file *session_files_get(struct session_files *fs, struct target *t, const struct target_mapping *m);
/* A mapping of the file is known, or forgotten; not before lists that refer to its tables are retired. */
void session_file_use(struct session_files *fs, struct session_file *f);
void session_file_leave(struct session_files *fs, struct session_file *f);

/* Gives back the pages of files that were read since the last call. Call it about once a second. */
void session_files_release(struct session_files *fs);
/* Before a name is looked up in a file, for which it may have to be loaded, and after. Private to files. */
void session_files_ask(struct session_files *fs, struct session_file *f);
void session_files_asked(struct session_files *fs, struct session_file *f);

/* Notes in the profile what did not fit. Call it at the end. */
void session_files_note(struct session_files *fs);

/* Compiles and loads the unwind table unless that was tried. Returns whether it is loaded. */
bool session_file_load_tables(struct session_files *fs, struct session_file *f);

/* Names the code at `address` (a return address unless exact). An address without a symbol gets one
 * unnamed frame. */
/* The file in the profile. */
mapping_id session_file_mapping(struct session_files *fs, struct session_file *f);
struct name_ref session_file_name(struct session_files *fs, struct session_file *f, uint64_t address, bool exact);

/* A frame for code that belongs to no file. `what` is shown: "[unmapped]", a perf map's name … */
frame_id session_frame_of_text(struct session_files *fs, const char *what, uint32_t flags);
