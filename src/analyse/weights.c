#include "analyse/weights.h"

#include <string.h>

#include "analyse/analyse.h"
#include "base/mem.h"

/* Rows of a file may stand for many samples each: then a value tells how many. */
unsigned samples_value(const struct profile *p) {
    for (unsigned v = 0; v < p->n_value_types; v++) {
        const char *type = profile_str(p, p->value_types[v].type);
        if (strcmp(profile_str(p, p->value_types[v].unit), "count") == 0 &&
            (strcmp(type, "samples") == 0 || strcmp(type, "sample") == 0))
            return v;
    }
    return UINT32_MAX;
}

uint64_t samples_of(const struct profile *p, size_t row, unsigned counted) {
    if (counted == UINT32_MAX)
        return 1;
    int64_t n = profile_value(p, row, counted);
    return n > 0 ? (uint64_t)n : 0;
}

bool analyse_samples_known(const struct profile *p) {
    return samples_value(p) != UINT32_MAX || p->quality.samples_taken > 0;
}

uint64_t analyse_row_samples(const struct profile *p, size_t row) {
    return samples_of(p, row, samples_value(p));
}

uint64_t analyse_sample_count(const struct profile *p) {
    unsigned counted = samples_value(p);
    uint64_t n = 0;
    if (counted == UINT32_MAX && p->quality.samples_taken) /* equal ones may be one row by now */
        return p->quality.samples_taken;
    for (size_t i = 0; i < p->n_samples; i++)
        n += samples_of(p, i, counted);
    return n;
}

struct analyse_below_zero analyse_below_zero(const struct profile *p, unsigned value) {
    struct analyse_below_zero b = {0};
    for (size_t i = 0; i < p->n_samples; i++) {
        int64_t v = profile_value(p, i, value);
        b.rows += v < 0;
        b.sum = profile_sum(b.sum, MIN(v, (int64_t)0));
    }
    return b;
}

/* Parents have smaller ids than their children, so that one pass from the end sums everything up. */
int stack_weights(const struct profile *p, unsigned value, struct stack_weight **ret, struct err *err) {
    struct stack_weight *w = mem_zalloc(p->n_stacks, sizeof(*w));
    if (!w)
        return err_nomem(err);
    unsigned counted = samples_value(p);
    for (size_t i = 0; i < p->n_samples; i++) {
        struct stack_weight *of = &w[p->samples[i].stack];
        of->self = profile_sum(of->self, weight_of(p, i, value));
        of->self_samples += samples_of(p, i, counted);
    }
    for (size_t i = p->n_stacks; i-- > 0;) {
        w[i].total = profile_sum(w[i].total, w[i].self);
        w[i].total_samples += w[i].self_samples;
        if (i == 0)
            break;
        w[p->stacks[i].parent].total = profile_sum(w[p->stacks[i].parent].total, w[i].total);
        w[p->stacks[i].parent].total_samples += w[i].total_samples;
    }
    *ret = w;
    return 0;
}

int stack_children_of(const struct profile *p, struct stack_children *ret, struct err *err) {
    struct stack_children c = {
        .first = mem_zalloc(p->n_stacks + 2, sizeof(*c.first)),
        .children = mem_zalloc(p->n_stacks, sizeof(*c.children)),
    };
    if (!c.first || !c.children) {
        stack_children_free(&c);
        return err_nomem(err);
    }
    /* Counting sort by parent: first[s + 2] counts, then first[s + 1] is where s's children go next, and in the
     * end where they end. */
    for (size_t i = 1; i < p->n_stacks; i++)
        c.first[p->stacks[i].parent + 2]++;
    for (size_t i = 2; i < p->n_stacks + 2; i++)
        c.first[i] += c.first[i - 1];
    for (size_t i = 1; i < p->n_stacks; i++)
        c.children[c.first[p->stacks[i].parent + 1]++] = (stack_id)i;
    *ret = c;
    return 0;
}

void stack_children_free(struct stack_children *c) {
    free(TAKE_PTR(c->first));
    free(TAKE_PTR(c->children));
}
