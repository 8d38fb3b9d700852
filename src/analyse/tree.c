#include <errno.h>
#include <string.h>

#include "analyse/analyse.h"
#include "analyse/weights.h"
#include "base/hash.h"
#include "base/mem.h"

enum { MOST_NODES_UPWARDS = 4 << 20 };

/* ---- nodes are found by parent and function ---- */

struct builder {
    const struct profile *p;
    struct analyse_tree tree;
    size_t capacity;
    struct hash_index index;
    int64_t least; /* what weighs less is not climbed further */
};

struct node_key {
    const struct analyse_node *nodes;
    uint32_t parent;
    function_id function;
};

static bool same_node(const void *ctx, uint32_t id) {
    const struct node_key *k = ctx;
    return k->nodes[id].parent == k->parent && k->nodes[id].function == k->function;
}

static uint32_t add_node(struct builder *b, uint32_t parent, function_id function, frame_id frame) {
    struct analyse_tree *t = &b->tree;
    if (t->n_nodes >= UINT32_MAX - 1 ||
        mem_grow((void **)&t->nodes, &b->capacity, t->n_nodes + 1, sizeof(*t->nodes)) < 0)
        return UINT32_MAX;
    t->nodes[t->n_nodes] = (struct analyse_node){.parent = parent, .function = function, .frame = frame};
    return (uint32_t)t->n_nodes++;
}

/* The child of `parent` for that frame's function; UINT32_MAX when memory is out. */
static uint32_t child_of(struct builder *b, uint32_t parent, frame_id frame) {
    function_id function = b->p->frames[frame].function;
    /* Most nodes have one child, which stands beside them until finish(); only further ones are in the index. */
    uint32_t first = b->tree.nodes[parent].first_child;
    if (first && b->tree.nodes[first].function == function)
        return first;
    if (!first) {
        first = add_node(b, parent, function, frame);
        return first == UINT32_MAX ? first : (b->tree.nodes[parent].first_child = first);
    }
    uint64_t hash = hash_mix(hash_mix(hash_secret(), parent), function);
    struct node_key key = {.nodes = b->tree.nodes, .parent = parent, .function = function};
    uint32_t id = hash_index_find(&b->index, hash, same_node, &key);
    if (id != UINT32_MAX)
        return id;
    id = add_node(b, parent, function, frame);
    if (id == UINT32_MAX || hash_index_add(&b->index, hash, id) < 0)
        return UINT32_MAX;
    return id;
}

static void count(struct builder *b, uint32_t node, const struct stack_weight *w) {
    struct analyse_node *n = &b->tree.nodes[node];
    n->self = profile_sum(n->self, w->self);
    n->self_samples += w->self_samples;
}

/* ---- finishing: totals from the leaves to the root, children in order ---- */

struct sibling {
    uint32_t parent, id;
    int64_t total;
    const char *name;
};

static int compare_siblings(const void *a, const void *b) {
    const struct sibling *x = a, *y = b;
    if (x->parent != y->parent)
        return x->parent < y->parent ? -1 : 1;
    if (x->total != y->total)
        return x->total > y->total ? -1 : 1;
    int names = strcmp(x->name, y->name);
    return names ? names : (x->id > y->id) - (x->id < y->id);
}

static int finish(struct builder *b, const struct stack_weight *whole, struct analyse_tree *ret, struct err *err) {
    struct analyse_tree *t = &b->tree;
    for (size_t i = t->n_nodes; i-- > 0;) {
        struct analyse_node *n = &t->nodes[i], *up = &t->nodes[n->parent];
        n->total = profile_sum(n->total, n->self);
        n->total_samples += n->self_samples;
        n->first_child = 0;
        if (i) {
            up->total = profile_sum(up->total, n->total);
            up->total_samples += n->total_samples;
        }
    }
    _cleanup_(freep) struct sibling *order = mem_zalloc(t->n_nodes, sizeof(*order));
    if (!order)
        return err_nomem(err);
    for (size_t i = 1; i < t->n_nodes; i++) {
        const struct analyse_node *n = &t->nodes[i];
        order[i] = (struct sibling){.parent = n->parent,
                                    .id = (uint32_t)i,
                                    .total = n->total,
                                    .name = profile_str(b->p, b->p->functions[n->function].name)};
    }
    if (t->n_nodes > 1)
        qsort(order + 1, t->n_nodes - 1, sizeof(*order), compare_siblings);
    for (size_t i = t->n_nodes; i-- > 1;) {
        t->nodes[order[i].id].next_sibling = t->nodes[order[i].parent].first_child;
        t->nodes[order[i].parent].first_child = order[i].id;
    }
    t->total = whole->total;
    t->samples = whole->total_samples;
    *ret = *t;
    *t = (struct analyse_tree){0};
    return 0;
}

static void builder_free(struct builder *b) {
    analyse_tree_free(&b->tree);
    hash_index_free(&b->index);
}

/* ---- the trees ---- */

/* A file may have rows that weigh something and stand for no sample. */
static bool is_nothing(int64_t weight, uint64_t samples) {
    return weight == 0 && samples == 0;
}

/* Where a stack's node is: made from its parent's, which has a smaller id. `chosen` NULL: from the root; otherwise
 * stacks outside of any chosen function have no node (UINT32_MAX) and the outermost chosen one is node 0. */
static int add_downwards(struct builder *b, const struct stack_weight *w, const bool *chosen, struct err *err) {
    const struct profile *p = b->p;
    _cleanup_(freep) uint32_t *node_of = mem_zalloc(p->n_stacks, sizeof(*node_of));
    if (!node_of)
        return err_nomem(err);
    node_of[0] = chosen ? UINT32_MAX : 0;
    if (!chosen)
        count(b, 0, &w[0]);
    for (size_t i = 1; i < p->n_stacks; i++) {
        uint32_t parent = node_of[p->stacks[i].parent];
        frame_id frame = p->stacks[i].frame;
        node_of[i] = parent;
        if (is_nothing(w[i].total, w[i].total_samples))
            continue;
        if (parent != UINT32_MAX) {
            node_of[i] = child_of(b, parent, frame);
            if (node_of[i] == UINT32_MAX)
                return err_nomem(err);
        } else if (chosen && chosen[p->frames[frame].function]) {
            node_of[i] = 0;
            b->tree.nodes[0].function = p->frames[frame].function;
            b->tree.nodes[0].frame = frame;
        }
        if (node_of[i] != UINT32_MAX)
            count(b, node_of[i], &w[i]);
    }
    return 0;
}

/* A stack on its way up: what it weighs is the self value of the last node that it comes to. */
struct climber {
    stack_id at; /* not yet in the tree */
    uint32_t node;
    int64_t weight;
    uint64_t samples;
};

static int step_up(struct builder *b, struct climber *c, struct err *err) {
    if (b->tree.n_nodes >= MOST_NODES_UPWARDS)
        return err_set(err, -E2BIG, "Leave smaller branches out, with a larger --min",
                       "The tree has more than %d million nodes", MOST_NODES_UPWARDS >> 20);
    const struct profile_stack *s = &b->p->stacks[c->at];
    c->node = child_of(b, c->node, s->frame);
    if (c->node == UINT32_MAX)
        return err_nomem(err);
    c->at = s->parent;
    struct analyse_node *n = &b->tree.nodes[c->node];
    n->total = profile_sum(n->total, c->weight);
    return 0;
}

/* All stacks go up by one frame at a time, so that a branch is known to be too small before it is climbed further. */
static int climb(struct builder *b, struct climber *all, size_t n, int64_t least, struct err *err) {
    while (n) {
        size_t left = 0;
        for (size_t i = 0; i < n; i++) {
            int rc = all[i].at ? step_up(b, &all[i], err) : 0;
            if (rc < 0)
                return rc;
        }
        for (size_t i = 0; i < n; i++)
            if (all[i].at && b->tree.nodes[all[i].node].total >= least)
                all[left++] = all[i];
            else
                count(b, all[i].node, &(struct stack_weight){.self = all[i].weight, .self_samples = all[i].samples});
        n = left;
    }
    for (size_t i = 0; i < b->tree.n_nodes; i++) /* finish() adds them up */
        b->tree.nodes[i].total = 0;
    return 0;
}

/* Each outermost call of a chosen function goes up to its callers, with all that it calls. */
static int add_upwards(struct builder *b, const struct stack_weight *w, const bool *chosen, struct err *err) {
    const struct profile *p = b->p;
    _cleanup_(freep) bool *inside = mem_zalloc(p->n_stacks, sizeof(*inside));
    _cleanup_(freep) struct climber *all = mem_zalloc(p->n_stacks, sizeof(*all));
    size_t n = 0;
    if (!inside || !all)
        return err_nomem(err);
    for (size_t i = 1; i < p->n_stacks; i++) {
        stack_id parent = p->stacks[i].parent;
        frame_id frame = p->stacks[i].frame;
        inside[i] = inside[parent] || chosen[p->frames[frame].function];
        if (!inside[i] || inside[parent] || is_nothing(w[i].total, w[i].total_samples))
            continue;
        b->tree.nodes[0].function = p->frames[frame].function;
        b->tree.nodes[0].frame = frame;
        all[n++] = (struct climber){.at = parent, .weight = w[i].total, .samples = w[i].total_samples};
    }
    return climb(b, all, n, b->least, err);
}

/* Every stack goes up from its leaf. */
static int add_inverted(struct builder *b, const struct stack_weight *w, const bool *chosen, struct err *err) {
    const struct profile *p = b->p;
    _cleanup_(freep) struct climber *all = mem_zalloc(p->n_stacks, sizeof(*all));
    size_t n = 0;
    if (!all)
        return err_nomem(err);
    for (size_t i = 0; i < p->n_stacks; i++)
        if (!is_nothing(w[i].self, w[i].self_samples))
            all[n++] = (struct climber){.at = (stack_id)i, .weight = w[i].self, .samples = w[i].self_samples};
    return climb(b, all, n, b->least, err);
}

typedef int add_fn(struct builder *b, const struct stack_weight *w, const bool *chosen, struct err *err);

static int build(const struct profile *p, unsigned value, const bool *chosen, add_fn *add, double min_share,
                 struct analyse_tree *ret, struct err *err) {
    _cleanup_(freep) struct stack_weight *weights = NULL;
    int rc = stack_weights(p, value, &weights, err);
    if (rc < 0)
        return rc;
    _cleanup_(builder_free) struct builder b = {.p = p};
    if (add_node(&b, 0, 0, 0) == UINT32_MAX)
        return err_nomem(err);
    b.least = analyse_least(weights[0].total, min_share);
    rc = add(&b, weights, chosen, err);
    return rc < 0 ? rc : finish(&b, &weights[0], ret, err);
}

int analyse_tree(const struct profile *p, unsigned value, struct analyse_tree *ret, struct err *err) {
    return build(p, value, NULL, add_downwards, 0, ret, err);
}

int analyse_inverted_tree(const struct profile *p, unsigned value, double min_share, struct analyse_tree *ret,
                          struct err *err) {
    return build(p, value, NULL, add_inverted, min_share, ret, err);
}

int analyse_callees(const struct profile *p, unsigned value, const bool *chosen, struct analyse_tree *ret,
                    struct err *err) {
    return build(p, value, chosen, add_downwards, 0, ret, err);
}

int analyse_callers(const struct profile *p, unsigned value, const bool *chosen, double min_share,
                    struct analyse_tree *ret, struct err *err) {
    return build(p, value, chosen, add_upwards, min_share, ret, err);
}

void analyse_tree_free(struct analyse_tree *t) {
    free(TAKE_PTR(t->nodes));
}
