/* What each stack of a profile weighs, itself and with everything below it.
 * May use: base/, model/.
 * Must not: be included outside of analyse/. */
#pragma once

#include "base/err.h"
#include "model/profile.h"

struct stack_weight {
    int64_t self, total;
    uint64_t self_samples, total_samples;
};

/* The value type that counts samples, or UINT32_MAX: then each row is one sample. */
unsigned samples_value(const struct profile *p);
/* How many samples a row stands for; `counted` as above. */
uint64_t samples_of(const struct profile *p, size_t row, unsigned counted);

/* What a row weighs. A value below zero, as a difference of two profiles has it, counts as nothing: shares of a whole
 * that others take away from would be beyond it, and no picture has room for them. The page has the same rule. */
static inline int64_t weight_of(const struct profile *p, size_t row, unsigned value) {
    return MAX(profile_value(p, row, value), (int64_t)0);
}

/* Indexed by stack; entry 0 is the whole profile. Caller frees *ret. */
int stack_weights(const struct profile *p, unsigned value, struct stack_weight **ret, struct err *err);

/* The children of each stack: a range of `children` for each. */
struct stack_children {
    uint32_t *first;    /* n_stacks + 1 entries */
    stack_id *children; /* n_stacks - 1 entries */
};
int stack_children_of(const struct profile *p, struct stack_children *ret, struct err *err);
void stack_children_free(struct stack_children *c);
