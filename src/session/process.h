/* One process under observation: its target, its code mappings as the walk sees them, its runtime.
 * Private to session/.
 * May use: target/, symbol/, unwind/, lang/, session/files.h.
 * Must not: know sources; whoever samples publishes `table` where its walk looks. */
#pragma once

#include "lang/lang.h"
#include "session/files.h"

/* A code mapping and the file behind it. */
struct process_code {
    uint64_t start, end, offset, bias; /* offset in the file; bias = address in the target - in the file */
    struct session_file *file;         /* NULL: generated code, or a file that cannot be had */
    string_id absent;                  /* that file's name, in brackets; 0 when it is not so … */
    bool lost;                         /* … and whether code that ran is lost with it */
};

/* The code mappings at one time. */
struct process_snapshot {
    struct process_code *code; /* sorted by address */
    size_t count;
    u32 generation;
    uint64_t since_ns;     /* samples from before belong to the snapshot before */
    uint64_t taken_ns;     /* the list was read between since_ns, or later, and this */
    uint64_t published_ns; /* walks from before went by the list before; 0 = all of them did */
};

enum { PAST_SNAPSHOTS = 3 };

struct session_process {
    pid_t pid;
    uint64_t serial; /* unique within the session: pids are reused */
    struct target *target;
    struct session_files *files;
    struct process_snapshot now;                  /* the code mappings when they were last read … */
    struct process_snapshot past[PAST_SNAPSHOTS]; /* … and before, latest first: samples arrive late */
    struct table_process table;                   /* published to the walk */
    uint64_t tables_seen;                         /* files->tables_loaded when the list was published */

    enum lang_id lang; /* of `runtime`; 0 = native only */
    struct lang_process *runtime;
    uint64_t next_attach_ns; /* when to look for a runtime again; 0 = at the next change */
    unsigned attach_tries;
    struct err attach_error; /* why the runtime that is there cannot be read */

    struct symbol_perf_map *perf_map;
    bool perf_map_tried;
    uint64_t refreshed_ns;                   /* when the mappings were last read */
    uint64_t seen_ns;                        /* when it was last sampled, or opened */
    bool ended;                              /* it was gone when its mappings were to be read */
    bool new_files;                          /* the last snapshot has a file that the one before lacks */
    string_id name, container, runtime_name; /* in the profile */
    struct u64_map threads;                  /* tid → thread_id, and whether its name is only the kernel's */
};

/* Opens a process, reads its mappings and looks for a runtime. With files->once the names of the files that nearly
 * every stack goes through begin to be loaded. */
int session_process_open(struct session_files *files, pid_t pid, struct session_process **ret, struct err *err);
/* The same over a target that was opened already (a core file), and whose mappings were read not before
 * `read_ns`; takes it over. */
int session_process_of(struct session_files *files, struct target *target, uint64_t read_ns,
                       struct session_process **ret, struct err *err);
void session_process_close(struct session_process *p);
DEFINE_CLEANUP(struct session_process, session_process_close)

/* Re-reads the mappings. Returns whether code mappings changed; then `table` is new. Tells in `ended` whether
 * the process is gone. */
bool session_process_refresh(struct session_process *p);
/* Loads the tables of the file that holds the code at `pc`. Returns whether something changed; then `table` is new. */
bool session_process_load_tables(struct session_process *p, uint64_t pc);
/* Loads the tables of the files that nearly every stack goes through, before the target is stopped. */
void session_process_preload(struct session_process *p);
/* Looks for a runtime if that is due. Returns whether `table` changed. */
bool session_process_attach_runtime(struct session_process *p, uint64_t now_ns);

struct session_walk {
    struct walk_host *host; /* reads the target */
    const struct walk_regs *regs;
    u32 tid;
    bool exact;   /* the thread was interrupted at its pc; else that is where a system call returns to */
    bool partial; /* only pc and sp of `regs` are known */
    bool runtime; /* the memory belongs to the same instant as the registers: walk the runtime's frames too */
};
/* Walks the streams of a thread in user space, loading tables as they are needed. */
void session_process_walk(struct session_process *p, const struct session_walk *how, struct walk_stack *ret);
/* Behind session_process_walk() without the runtime, whose stream was added: lets it look at the native frames. */
void session_process_rewalked(struct session_process *p, const struct session_walk *how, struct walk_stack *stack);

/* The profile's frame for a frame of the runtime; 0 = none is shown. Counts what was new in files->runtime_names. A
 * process that has ended since cannot be asked: `elder`, which it was forked from and may be NULL, has the same in the
 * same place. */
frame_id session_process_name_frame(struct session_process *p, struct session_process *elder,
                                    const struct raw_frame *f);
/* Reads the names of a walk's runtime frames, which are in the target's memory, while it is there: before what
 * takes longer. */
void session_process_read_names(struct session_process *p, struct session_process *elder, const struct walk_stack *w);

/* Says that no other code than at these addresses, which are sorted, will be named: of the files that began to be loaded
 * no more need be than that takes. */
void session_process_expect(struct session_process *p, const uint64_t *code, size_t n);

/* The profile's thread for a tid: with the name that its program gave it, else `comm`, which may be NULL: then the
 * target is asked. */
thread_id session_process_thread(struct session_process *p, u32 tid, const char *comm);

/* What all its threads have in common in the profile. */
struct profile_thread session_process_identity(const struct session_process *p);

/* The mappings that were in force at `time_ns`, or the oldest that are known; and in *ret_before, which may be
 * NULL, those that the walk went by until they were published. */
const struct process_snapshot *session_process_at(const struct session_process *p, uint64_t time_ns,
                                                  const struct process_snapshot **ret_before);
const struct process_code *session_process_find(const struct process_snapshot *s, uint64_t address);
