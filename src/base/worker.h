/* One thread beside the caller's, for work that may block (a cold disk) while something else must not wait for it.
 * May use: base/mem.h, pthreads.
 * Must not: queue: one piece of work at a time, and the caller says what both may touch meanwhile. */
#pragma once

#include "base/macros.h"

struct worker;

/* 0 or negative errno. The thread has the caller's priority and takes no signals. `name` is shown by ps and top, which
 * cut it to 15 characters; it must outlive the thread. */
int worker_new(const char *name, struct worker **ret) _must_check_;
/* Waits for work that was begun. */
void worker_free(struct worker *w);
DEFINE_CLEANUP(struct worker, worker_free)

/* Has work(ctx) done by the thread. */
void worker_begin(struct worker *w, void (*work)(void *ctx), void *ctx);
/* Becomes readable when the work is done; for poll() only. */
int worker_done_fd(const struct worker *w);
/* Whether the work is done; then everything that it wrote is to be seen, and worker_begin() is allowed again. */
bool worker_ended(struct worker *w);
