/* A profile in words: how good the data is, tables and trees; as text for people and as JSON for programs.
 * May use: base/, model/, analyse/, cli/terminal.h.
 * Must not: read or write files, know how the profile came about. */
#pragma once

#include "analyse/analyse.h"
#include "analyse/threads.h"
#include "base/buf.h"
#include "base/json.h"
#include "cli/terminal.h"

struct summary_style {
    struct terminal_styles terminal; /* of where the text will go */
    unsigned width;                  /* columns */
    bool wraps;                      /* prose is broken at the width: a terminal would break words */
    unsigned value;                  /* index of the value type that is shown */
    enum analyse_by by;              /* what the rows of a table are */
    size_t limit;                    /* rows of a table; 0: all */
    double min_share;                /* branches of a tree below this fraction are left out */
    bool upwards; /* a tree leads from functions to their callers: what ends there is of no interest */
};

/* Two or more lines: what was captured, and how good it is. */
void summary_quality(struct buf *out, const struct profile *p, const struct summary_style *style);
void summary_table(struct buf *out, const struct profile *p, const struct analyse_table *t,
                   const struct summary_style *style);
/* Processes and threads, and what each used; nothing when there is only one. */
void summary_threads(struct buf *out, const struct profile *p, const struct analyse_threads *t,
                     const struct summary_style *style);
void summary_tree(struct buf *out, const struct profile *p, const struct analyse_tree *t,
                  const struct summary_style *style);
/* The tree again, in few lines: functions that pass nearly everything on to one callee share a line with it, and
 * branches are left out until `limit` lines are left. */
void summary_paths(struct buf *out, const struct profile *p, const struct analyse_tree *t,
                   const struct summary_style *style);

/* The same as members of the object that `j` is in: "quality" and "verdict" and what was captured; "functions", "lines" or
 * "files"; "tree". */
void summary_quality_json(struct json *j, const struct profile *p, unsigned value);
void summary_table_json(struct json *j, const struct profile *p, const struct analyse_table *t, enum analyse_by by,
                        size_t limit);
void summary_tree_json(struct json *j, const struct profile *p, const struct analyse_tree *t, double min_share);
