#include <errno.h>
#include <string.h>

#include "analyse/analyse.h"
#include "analyse/weights.h"
#include "base/mem.h"

/* ---- a walk over the stack tree that knows which functions it is inside of ---- */

struct top_walk {
    const struct profile *p;
    const struct stack_weight *weights;
    struct stack_children children;
    uint32_t *inside;         /* per function: how many of its frames are above */
    uint32_t *next;           /* per stack: its next child to visit */
    struct analyse_row *rows; /* per function */
};

static function_id function_of(const struct profile *p, stack_id s) {
    return p->frames[p->stacks[s].frame].function;
}

static void enter(struct top_walk *t, stack_id s) {
    const struct stack_weight *w = &t->weights[s];
    struct analyse_row *row = &t->rows[function_of(t->p, s)];
    if (!row->frame)
        row->frame = t->p->stacks[s].frame;
    row->function = function_of(t->p, s);
    row->self += w->self;
    row->self_samples += w->self_samples;
    if (t->inside[row->function]++ == 0) {
        row->total += w->total;
        row->total_samples += w->total_samples;
    }
}

static void walk(struct top_walk *t) {
    stack_id at = 0;
    for (;;) {
        uint32_t child = t->children.first[at] + t->next[at]++;
        if (child < t->children.first[at + 1]) {
            at = t->children.children[child];
            enter(t, at);
        } else if (at) {
            t->inside[function_of(t->p, at)]--;
            at = t->p->stacks[at].parent;
        } else {
            break;
        }
    }
}

static void top_walk_free(struct top_walk *t) {
    stack_children_free(&t->children);
    free(t->inside);
    free(t->next);
    free(t->rows);
}

/* ---- order ---- */

struct ordering {
    const struct profile *p;
    enum analyse_order order;
};

static int compare_rows(const void *a, const void *b, void *ctx) {
    const struct ordering *o = ctx;
    const struct analyse_row *x = a, *y = b;
    int64_t vx = o->order == ANALYSE_BY_SELF ? x->self : x->total,
            vy = o->order == ANALYSE_BY_SELF ? y->self : y->total;
    if (vx != vy)
        return vx > vy ? -1 : 1;
    if (x->total != y->total)
        return x->total > y->total ? -1 : 1;
    const struct profile *p = o->p;
    int names = strcmp(profile_str(p, p->functions[x->function].name), profile_str(p, p->functions[y->function].name));
    return names ? names : (x->function > y->function) - (x->function < y->function);
}

int analyse_top(const struct profile *p, unsigned value, enum analyse_order order, struct analyse_table *ret,
                struct err *err) {
    _cleanup_(freep) struct stack_weight *weights = NULL;
    int rc = stack_weights(p, value, &weights, err);
    if (rc < 0)
        return rc;
    _cleanup_(top_walk_free) struct top_walk t = {.p = p, .weights = weights};
    rc = stack_children_of(p, &t.children, err);
    if (rc < 0)
        return rc;
    t.inside = mem_zalloc(p->n_functions, sizeof(*t.inside));
    t.next = mem_zalloc(p->n_stacks, sizeof(*t.next));
    t.rows = mem_zalloc(p->n_functions, sizeof(*t.rows));
    if (!t.inside || !t.next || !t.rows)
        return err_nomem(err);
    walk(&t);
    size_t n = 0;
    for (size_t f = 0; f < p->n_functions; f++)
        if (t.rows[f].total_samples)
            t.rows[n++] = t.rows[f];
    qsort_r(t.rows, n, sizeof(*t.rows), compare_rows, &(struct ordering){.p = p, .order = order});
    *ret = (struct analyse_table){
        .rows = TAKE_PTR(t.rows), .n_rows = n, .total = weights[0].total, .samples = weights[0].total_samples};
    return 0;
}

void analyse_table_free(struct analyse_table *t) {
    free(TAKE_PTR(t->rows));
}
