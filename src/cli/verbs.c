#include "cli/options.h"

#include <string.h>

// clang-format off: one expression per column
const struct verb verbs[VERB_COUNT] = {
#define VERB(name_, group_, operands_, least_, most_, summary_, description_, examples_)                               \
    [VERB_##name_] = {.id = VERB_##name_,                                                                              \
                      .name = #name_,                                                                                  \
                      .group = VERB_GROUP_##group_,                                                                    \
                      .operands = operands_,                                                                           \
                      .least = least_,                                                                                 \
                      .most = most_,                                                                                   \
                      .summary = summary_,                                                                             \
                      .description = description_,                                                                     \
                      .examples = examples_,                                                                           \
                      .run = cmd_##name_},
#include "cli/verbs.def"
#undef VERB
};
// clang-format on

const struct verb *verb_find(const char *name) {
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run && strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}
