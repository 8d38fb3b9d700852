#include "analyse/weights.h"

#include "base/mem.h"

/* Parents have smaller ids than their children, so that one pass from the end sums everything up. */
int stack_weights(const struct profile *p, unsigned value, struct stack_weight **ret, struct err *err) {
    struct stack_weight *w = mem_zalloc(p->n_stacks, sizeof(*w));
    if (!w)
        return err_nomem(err);
    for (size_t i = 0; i < p->n_samples; i++) {
        struct stack_weight *of = &w[p->samples[i].stack];
        of->self += profile_value(p, i, value);
        of->self_samples++;
    }
    for (size_t i = p->n_stacks; i-- > 0;) {
        w[i].total += w[i].self;
        w[i].total_samples += w[i].self_samples;
        if (i == 0)
            break;
        w[p->stacks[i].parent].total += w[i].total;
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
