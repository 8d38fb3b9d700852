/* A CPU capture under way: what its parts share. Private to session/.
 *   cpu.c      sets it up, runs it, says what it cost
 *   records.c  when each record of the source is looked at, and by which thread
 *   samples.c  makes a stack of a sample
 *   remarks.c  says what it was of, and why there is nothing
 * May use: what session/ may.
 * Must not: be seen by the rest of session/. */
#pragma once

#include "session/assemble.h"
#include "session/command.h"
#include "session/displaced.h"
#include "session/group.h"
#include "session/process_table.h"
#include "session/record_queue.h"
#include "session/session.h"
#include "source/cpu/cpu.h"

struct worker;

struct capture {
    const struct session_options *options;
    struct profile *profile;
    struct cpu_source *source;
    struct tables *tables;
    struct session_files files;
    struct assembler *assembler;
    struct process_table processes;
    struct command command;
    struct group group; /* with options->cgroup */
    bool command_runs;  /* it has been seen to exec */
    uint64_t began_ns, ended_ns, self_cpu_ns;
    struct displaced displaced;
    uint64_t last_house_ns, last_progress_ns;
    struct record_queue deferred;        /* samples whose walk is to be finished, */
    struct worker *worker;               /* … by whom: it may wait for the disk; NULL: nobody else */
    bool kernel_read;                    /* the names of the kernel's functions are */
    struct record_queue read_ahead;      /* what came meanwhile, */
    size_t max_read_ahead;               /* … of no more bytes */
    struct walk_stack *walk;             /* of walks finished in user space */
    uint64_t runtime_names, last_serial; /* of `files`, when the last poll ended */
    uint64_t watch_until_ns, deferred_since_ns;
    uint64_t news_ns; /* when there was last a new name, or a process began or ended */
};

/* ---- samples.c ---- */

/* A view of a sample record with every length checked against the bytes that arrived. */
struct sample_view {
    const struct cpu_sample *sample;
    const uint64_t *kernel;
    const uint8_t *stack;
};

bool capture_view(const struct cpu_record_head *record, size_t size, struct sample_view *ret);
/* Adds the sample to the profile; finishes its walk, for which files may have to be read. */
void capture_take_sample(struct capture *c, const struct sample_view *v);
/* Learns what the process of a sample may forget before that: which it is, and the names of its thread and of its
 * runtime's frames. */
void capture_read_names(struct capture *c, const struct sample_view *v);

/* ---- records.c ---- */

/* What capture.max_read_ahead is on this machine. */
size_t capture_read_ahead(unsigned frequency);
/* Waits at most so long for records, and takes them. Negative errno when the source fails. */
int capture_receive(struct capture *c, uint64_t wait_ms);
/* Finishes walks, or else reads the kernel's names, unless there is better to do. Negative errno when the source
 * fails. */
int capture_finish_walks(struct capture *c, uint64_t now);
/* When nothing is sampled any more. */
void capture_take_rest(struct capture *c);
