/* Tables of a profile: functions by self and total value, the call tree, who calls a function and what it calls.
 * May use: base/, model/.
 * Must not: print, know a file format or the capture wing.
 *
 * A function's self value is that of the samples whose leaf it is; its total is that of the samples in whose
 * stacks it is at all, counted once however often it recurs. Samples without a stack belong to the whole only.
 * A row of a profile may stand for many samples: the value type "samples" says for how many; else each is one.
 * Values below zero count as nothing. */
#pragma once

#include "base/err.h"
#include "model/profile.h"

struct analyse_row {
    function_id function;
    frame_id frame; /* one of its frames, for its kind and file */
    int64_t self, total;
    uint64_t self_samples, total_samples;
};

struct analyse_table {
    struct analyse_row *rows;
    size_t n_rows;
    int64_t total; /* of all samples */
    uint64_t samples;
};

enum analyse_order { ANALYSE_BY_SELF, ANALYSE_BY_TOTAL };

/* Every function, the largest first; equal ones by name. `value` is an index of the profile's value types. */
int analyse_top(const struct profile *p, unsigned value, enum analyse_order order, struct analyse_table *ret,
                struct err *err);

/* What a row stands for. Of a line of source the row's frame tells file and line; code without lines is together in
 * one row for each function. A file is a source file or, for code without one, the mapped file. */
enum analyse_by { ANALYSE_FUNCTIONS, ANALYSE_LINES, ANALYSE_FILES };
int analyse_top_by(const struct profile *p, unsigned value, enum analyse_by by, enum analyse_order order,
                   struct analyse_table *ret, struct err *err);
void analyse_table_free(struct analyse_table *t);

/* A node of a call tree. Node 0 is the root, which stands for everything that is counted. */
struct analyse_node {
    function_id function; /* 0 for the root */
    frame_id frame;
    uint32_t parent, first_child, next_sibling; /* 0 = none; children in the order of their totals */
    int64_t self, total;
    uint64_t self_samples, total_samples;
};

struct analyse_tree {
    struct analyse_node *nodes;
    size_t n_nodes;
    int64_t total; /* of all samples of the profile: what shares are of */
    uint64_t samples;
};

/* From the thread's root to the leaf. */
int analyse_tree(const struct profile *p, unsigned value, struct analyse_tree *ret, struct err *err);

/* From the leaf to the thread's root: what runs, and below it who called it. Upwards a tree may have as many nodes as
 * all stacks together have frames: what is below `min_share` of the whole is there, but not what is above it. -E2BIG when
 * even so it is too large. */
int analyse_inverted_tree(const struct profile *p, unsigned value, double min_share, struct analyse_tree *ret,
                          struct err *err);

/* The samples that have one of the `chosen` functions (a flag for each function of the profile) in their stack,
 * seen from its outermost call: its callers towards the root, or what it calls towards the leaf. The root node
 * stands for the function itself. Callers are cut by `min_share` as above. */
int analyse_callers(const struct profile *p, unsigned value, const bool *chosen, double min_share,
                    struct analyse_tree *ret, struct err *err);
int analyse_callees(const struct profile *p, unsigned value, const bool *chosen, struct analyse_tree *ret,
                    struct err *err);
static inline double analyse_percent(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

/* The smallest total that is `min_share` of the whole. */
static inline int64_t analyse_least(int64_t whole, double min_share) {
    double least = (double)whole * min_share;
    return least < (double)INT64_MAX ? (int64_t)least : INT64_MAX;
}

void analyse_tree_free(struct analyse_tree *t);

/* The functions that a person means by `name`: those of exactly that name; else those whose name contains it, if
 * these share one name; "/PATTERN/": those whose name matches the extended regular expression, all together. *ret is
 * a flag for each function, which the caller frees. -ENOENT when there is none or the name is not clear; the advice
 * then names candidates. -EINVAL when the pattern is none. */
int analyse_find_functions(const struct profile *p, const char *name, bool **ret, struct err *err);

/* How many samples the profile has: its rows, when nothing tells. */
bool analyse_samples_known(const struct profile *p);
uint64_t analyse_row_samples(const struct profile *p, size_t row);
uint64_t analyse_sample_count(const struct profile *p);

/* What counted as nothing because it is below zero. */
struct analyse_below_zero {
    size_t rows;
    int64_t sum;
};
struct analyse_below_zero analyse_below_zero(const struct profile *p, unsigned value);

/* The value type called `name`, or the default when NULL. -ENOENT with a sentence that lists what there is. */
int analyse_value_type(const struct profile *p, const char *name, unsigned *ret, struct err *err);
