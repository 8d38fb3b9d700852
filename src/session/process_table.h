/* The processes of a capture: which are known, whose children they are, what they mapped; opened when they are
 * first seen, and what the walk must know of them told to the sampler. Private to session/.
 * May use: session/process.h, session/mapped.h, source/cpu/cpu.h.
 * Must not: know samples. */
#pragma once

#include "session/departed.h"
#include "session/mapped.h"
#include "session/newcomers.h"
#include "session/process.h"
#include "source/cpu/cpu.h"

enum { PROCESS_TABLE_MAX = 8192 };

struct process_table { /* zero-initialise, then set the first three; the rest is private but for `count`, `all` */
    struct session_files *files;
    struct cpu_source *source;
    bool waits; /* process_table_ended() is asked */
    struct session_process **all;
    size_t count, capacity;
    struct u64_map by_pid;    /* pid → index into `all` */
    struct u64_map refused;   /* pid → when to try it again: it ended, or may not be read */
    struct u64_map forked_by; /* pid → pid of its parent, with EXECED when it left the parent's memory */
    struct mapped_log mapped;
    struct departed departed;
    struct newcomers newcomers;
    size_t to_ask; /* index into `all` */
    uint64_t told; /* reasons why processes cannot be read of which there is a note */
};

void process_table_free(struct process_table *t);

/* NULL when it is not known. Pointers live until the process is dropped. */
struct session_process *process_table_find(const struct process_table *t, u32 pid);
/* The same, and opens it at first sight: asks the process itself or, if it has ended, the log of what it mapped
 * by `time_ns`. What could not be opened is tried again only after a while. Looks for news of what is known:
 * mappings every few seconds, a runtime when that is due. */
struct session_process *process_table_get(struct process_table *t, const struct cpu_record_head *record);
/* What stands for the stack of a sample whose process could not be opened. */
const char *process_table_missing(const struct process_table *t, const struct cpu_record_head *record);
/* The thread of a sample whose process is not known, or not any more. */
thread_id process_table_late_thread(struct process_table *t, const struct cpu_record_head *record);
/* Opens a process that must be there: NULL, and the reason, when it is not. */
struct session_process *process_table_open(struct process_table *t, u32 pid, struct err *err);
/* The nearest ancestor that is known; with `same_code` only one whose memory the process started with and still
 * has, which is opened if it was not. */
struct session_process *process_table_parent(struct process_table *t, u32 pid, bool same_code);
/* Whether what is known of `on` may be needed to understand a sample of `pid`: it is the same, or an ancestor. */
bool process_table_depends(const struct process_table *t, u32 pid, u32 on);

/* Tells the sampler what changed in p->table. */
void process_table_publish(struct process_table *t, struct session_process *p);

/* What happened to processes, in the order in which it did. */
void process_table_forked(struct process_table *t, u32 parent, u32 child);
void process_table_execed(struct process_table *t, u32 pid);
void process_table_mapped(struct process_table *t, const struct cpu_mapped *mapped);
void process_table_exited(struct process_table *t, u32 pid);
/* Opens those that began a moment ago and are still there. Call it often, and before tables are reclaimed. */
void process_table_open_newcomers(struct process_table *t, uint64_t now_ns);
/* Whether there is none left, nor one that is being torn down. */
bool process_table_ended(struct process_table *t);
/* The word that a process ended can be missed: it ended before we listened, or the ring was full. Drops those
 * that are known to have ended. With `all`, /proc is asked of each; else of a few each time, of which nothing was heard
 * for a while. Call it about once a second. */
void process_table_drop_ended(struct process_table *t, bool all);
