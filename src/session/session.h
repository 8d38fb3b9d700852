/* The session: puts targets, runtimes and sources together and fills a profile.
 * May use: every room of the capture wing, base/, model/.
 * Must not: print, parse options, know an output format. */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "model/profile.h"

struct session_progress {
    double seconds; /* since sampling began */
    uint64_t samples;
    const char *remark; /* what keeps it from sampling now; NULL = nothing */
};

struct session_options {
    const pid_t *pids;
    size_t n_pids;
    bool all;
    const char *cgroup;   /* as target_open_cgroup() takes it, or NULL */
    char *const *command; /* NULL-terminated; started, profiled to its end */
    double duration;      /* seconds; 0 = until stopped or the targets end */
    unsigned frequency;
    bool kernel;
    bool verbose;
    int stop_fd; /* readable = stop now and keep what was captured; -1 = none */
    void (*progress)(void *ctx, const struct session_progress *p); /* about ten times a second; may be NULL */
    void *progress_ctx;
};

/* The command that a capture started. */
struct session_command {
    pid_t pid; /* 0 when none was started */
    bool ended;
    int status;    /* its wait status, once it has ended */
    size_t n_left; /* processes that it started and that go on when it has ended, as far as they were counted; */
    pid_t left;    /* one of them, 0 when there is none */
};

/* Samples CPU. On success *ret is the profile, and *ret_command says what became of the command: it is left running
 * when the capture ends first. */
int session_cpu(const struct session_options *o, struct profile **ret, struct session_command *ret_command,
                struct err *err) _must_check_;

/* Waits until the command has ended, `stop_fd` is readable, or `timeout_ms` have passed (-1: without limit). Returns
 * whether it has ended. */
bool session_command_wait(struct session_command *c, int timeout_ms, int stop_fd);

/* Every thread's stack at one instant: one sample per thread, in thread order, whose values are
 * threads/count and whose label "state" is the scheduler's letter. Give a pid, or a core file. */
struct session_dump_options {
    pid_t pid;
    const char *core;    /* NULL = live */
    const char *sysroot; /* for a core's files; NULL = / */
};
int session_dump(const struct session_dump_options *o, struct profile **ret, struct err *err) _must_check_;

/* One process as `scry ps` shows it. Strings are owned by the list. */
struct session_listed {
    pid_t pid;
    char *user, *command, *runtime, *container;
    unsigned threads;
    bool can_sample, can_read; /* scry cpu; scry dump */
    char *missing;             /* what is missing for the rest, "" when nothing is */
    char *advice;              /* how to get it; may be NULL */
};
int session_list(struct session_listed **ret, size_t *ret_count, struct err *err) _must_check_;
void session_list_free(struct session_listed *list, size_t count);
/* Why a process is not among them, as an error. */
int session_why_not_listed(pid_t pid, struct err *err);
