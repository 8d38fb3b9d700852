/* The sections of a summary: the verdict on the data, who used the time; each as text for a
 * terminal and as JSON.
 * May use: base/, model/, the rest of analyse/.
 * Must not: print, ask the terminal anything: width and colours are given. */
#pragma once

#include "analyse/analyse.h"
#include "analyse/threads.h"
#include "analyse/verdict.h"
#include "base/buf.h"
#include "base/json.h"

struct analyse_style {
    unsigned width;                                /* columns */
    size_t limit;                                  /* rows; 0: all */
    const char *bold, *good, *fair, *poor, *plain; /* what switches to them and back; NULL: no colours */
};

/* The sentence, then each further concern, and what to do. Two lines or more only when there are concerns. */
void analyse_verdict_text(struct buf *out, const struct analyse_verdict *v, const struct analyse_style *style);

/* Processes when there are several, threads when there are several. Nothing for a single thread. */
void analyse_threads_text(struct buf *out, const struct profile *p, const struct analyse_threads *t,
                          const struct analyse_style *style);

/* As members of the object that `j` is in: "truncated" ([{"reason", "count"}]) and "notes"; "verdict";
 * "processes" and "threads". */
void analyse_remarks_json(struct json *j, const struct profile *p);
void analyse_verdict_json(struct json *j, const struct analyse_verdict *v);
void analyse_threads_json(struct json *j, const struct profile *p, const struct analyse_threads *t, size_t limit);
