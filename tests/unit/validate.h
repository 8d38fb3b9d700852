/* Whether a profile keeps the model's promises: every id is in its table, parents come before their children. */
#pragma once

#include "model/profile.h"

static inline size_t depth_of(const struct profile *p, stack_id stack) {
    size_t depth = 0;
    for (; stack; stack = p->stacks[stack].parent)
        depth++;
    return depth;
}

static inline const char *profile_validate(const struct profile *p) {
    if (p->profile_failed)
        return "memory ran out";
    for (size_t i = 0; i < p->n_functions; i++)
        if (p->functions[i].name >= p->n_strings || p->functions[i].system_name >= p->n_strings ||
            p->functions[i].file >= p->n_strings)
            return "a function names a string that is not there";
    for (size_t i = 0; i < p->n_mappings; i++)
        if (p->mappings[i].file >= p->n_strings || p->mappings[i].build_id >= p->n_strings)
            return "a mapping names a string that is not there";
    for (size_t i = 0; i < p->n_frames; i++)
        if (p->frames[i].function >= p->n_functions || p->frames[i].mapping >= p->n_mappings ||
            p->frames[i].kind >= p->n_strings)
            return "a frame names what is not there";
    for (size_t i = 1; i < p->n_stacks; i++)
        if (p->stacks[i].parent >= i || p->stacks[i].frame >= p->n_frames)
            return "a stack names what is not there, or a parent that comes later";
    for (size_t i = 0; i < p->n_threads; i++)
        if (p->threads[i].process_name >= p->n_strings || p->threads[i].thread_name >= p->n_strings ||
            p->threads[i].container >= p->n_strings || p->threads[i].runtime >= p->n_strings)
            return "a thread names a string that is not there";
    for (size_t i = 0; i < p->n_label_sets; i++)
        if ((size_t)p->label_sets[i].first + p->label_sets[i].count > p->n_labels)
            return "a label set is not in the list of labels";
    for (size_t i = 0; i < p->n_labels; i++)
        if (p->labels[i].key >= p->n_strings || p->labels[i].text >= p->n_strings || p->labels[i].unit >= p->n_strings)
            return "a label names a string that is not there";
    for (size_t i = 0; i < p->n_samples; i++)
        if (p->samples[i].stack >= p->n_stacks || p->samples[i].thread >= p->n_threads ||
            p->samples[i].labels >= p->n_label_sets)
            return "a sample names what is not there";
    if (p->n_value_types > PROFILE_MAX_VALUE_TYPES || (p->n_value_types && p->default_value >= p->n_value_types))
        return "there is no such value type";
    return NULL;
}
