#include <errno.h>
#include <string.h>

#include "analyse/analyse.h"
#include "analyse/weights.h"
#include "base/hash.h"
#include "base/mem.h"

/* ---- which row a frame belongs to ---- */

struct grouping {
    uint32_t *of; /* per frame */
    size_t n;
};

struct group_key {
    const uint64_t *keys;
    uint64_t key;
};

static bool same_key(const void *ctx, uint32_t id) {
    const struct group_key *k = ctx;
    return k->keys[id] == k->key;
}

/* Which frames share a row: file and line, else function; or file, else mapped file. */
static uint64_t key_of(const struct profile *p, const struct profile_frame *f, enum analyse_by by) {
    string_id file = p->functions[f->function].file;
    if (by == ANALYSE_LINES)
        return file && f->line ? (uint64_t)file << 32 | f->line : (uint64_t)f->function << 32 | 1ull << 31;
    return file ? (uint64_t)file << 32 : (uint64_t)p->mappings[f->mapping].file << 32 | 1;
}

static int group_by_key(const struct profile *p, enum analyse_by by, struct grouping *ret, struct err *err) {
    _cleanup_(hash_index_free) struct hash_index index = {0};
    _cleanup_(freep) uint64_t *keys = mem_zalloc(p->n_frames, sizeof(*keys));
    if (!keys)
        return err_nomem(err);
    for (size_t i = 0; i < p->n_frames; i++) {
        struct group_key k = {.keys = keys, .key = key_of(p, &p->frames[i], by)};
        uint64_t hash = hash_mix(hash_secret(), k.key);
        uint32_t id = hash_index_find(&index, hash, same_key, &k);
        if (id == UINT32_MAX) {
            id = (uint32_t)ret->n++;
            keys[id] = k.key;
            if (hash_index_add(&index, hash, id) < 0)
                return err_nomem(err);
        }
        ret->of[i] = id;
    }
    return 0;
}

static int group_frames(const struct profile *p, enum analyse_by by, struct grouping *ret, struct err *err) {
    ret->of = mem_zalloc(p->n_frames, sizeof(*ret->of));
    if (!ret->of)
        return err_nomem(err);
    if (by != ANALYSE_FUNCTIONS)
        return group_by_key(p, by, ret, err);
    for (size_t i = 0; i < p->n_frames; i++)
        ret->of[i] = p->frames[i].function;
    ret->n = p->n_functions;
    return 0;
}

/* ---- a walk over the stack tree that knows which rows it is inside of ---- */

struct top_walk {
    const struct profile *p;
    const struct stack_weight *weights;
    struct stack_children children;
    struct grouping group;
    uint32_t *inside;         /* per row: how many of its frames are above */
    uint32_t *next;           /* per stack: its next child to visit */
    struct analyse_row *rows; /* per group */
};

static uint32_t row_of(const struct top_walk *t, stack_id s) {
    return t->group.of[t->p->stacks[s].frame];
}

static void enter(struct top_walk *t, stack_id s) {
    const struct stack_weight *w = &t->weights[s];
    uint32_t at = row_of(t, s);
    struct analyse_row *row = &t->rows[at];
    if (!row->frame || row->self_samples < w->self_samples) /* the frame shown is one that is itself seen */
        row->frame = t->p->stacks[s].frame;
    row->function = t->p->frames[row->frame].function;
    row->self = profile_sum(row->self, w->self);
    row->self_samples += w->self_samples;
    if (t->inside[at]++ == 0) {
        row->total = profile_sum(row->total, w->total);
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
            t->inside[row_of(t, at)]--;
            at = t->p->stacks[at].parent;
        } else {
            break;
        }
    }
}

static void top_walk_free(struct top_walk *t) {
    stack_children_free(&t->children);
    free(t->group.of);
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
    if (names)
        return names;
    uint32_t lx = p->frames[x->frame].line, ly = p->frames[y->frame].line;
    return lx != ly ? (lx > ly) - (lx < ly) : (x->function > y->function) - (x->function < y->function);
}

int analyse_top_by(const struct profile *p, unsigned value, enum analyse_by by, enum analyse_order order,
                   struct analyse_table *ret, struct err *err) {
    _cleanup_(freep) struct stack_weight *weights = NULL;
    int rc = stack_weights(p, value, &weights, err);
    if (rc < 0)
        return rc;
    _cleanup_(top_walk_free) struct top_walk t = {.p = p, .weights = weights};
    rc = stack_children_of(p, &t.children, err);
    if (rc == 0)
        rc = group_frames(p, by, &t.group, err);
    if (rc < 0)
        return rc;
    t.inside = mem_zalloc(t.group.n, sizeof(*t.inside));
    t.next = mem_zalloc(p->n_stacks, sizeof(*t.next));
    t.rows = mem_zalloc(t.group.n, sizeof(*t.rows));
    if (!t.inside || !t.next || !t.rows)
        return err_nomem(err);
    walk(&t);
    size_t n = 0;
    for (size_t f = 0; f < t.group.n; f++)
        if (t.rows[f].frame && (t.rows[f].total_samples || t.rows[f].total))
            t.rows[n++] = t.rows[f];
    qsort_r(t.rows, n, sizeof(*t.rows), compare_rows, &(struct ordering){.p = p, .order = order});
    *ret = (struct analyse_table){
        .rows = TAKE_PTR(t.rows), .n_rows = n, .total = weights[0].total, .samples = weights[0].total_samples};
    return 0;
}

int analyse_top(const struct profile *p, unsigned value, enum analyse_order order, struct analyse_table *ret,
                struct err *err) {
    return analyse_top_by(p, value, ANALYSE_FUNCTIONS, order, ret, err);
}

void analyse_table_free(struct analyse_table *t) {
    free(TAKE_PTR(t->rows));
}
