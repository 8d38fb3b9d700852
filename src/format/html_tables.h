/* What an HTML page needs of a profile and nothing else: frames without addresses, stacks re-interned
 * over them, only what samples refer to.
 * May use: base/, model/.
 * Must not: know how the page or its data is encoded. */
#pragma once

#include "base/err.h"
#include "model/profile.h"

/* Frames of one function on one line are one frame here, whatever their addresses were. No padding:
 * records are interned as bytes. */
struct html_frame {
    function_id function; /* html id */
    uint32_t line;
    string_id kind, module; /* html ids */
    uint32_t flags;
};

struct html_function {
    string_id name, file; /* html ids */
    uint32_t start_line;
};

/* Ids are the page's own; 0 is "nothing" in every table. Strings are borrowed from the profile. */
struct html_tables {
    const char **strings;
    struct html_function *functions;
    struct html_frame *frames;
    struct profile_stack *stacks; /* parent before child, html ids */
    size_t n_strings, n_functions, n_frames, n_stacks;
    uint32_t *stack_of; /* profile's stack id → html stack id */

    struct html_tables_private *priv;
};

/* 0 or -ENOMEM. Released by html_tables_free(), which also takes a zeroed struct. */
int html_tables_build(const struct profile *p, struct html_tables *ret, struct err *err);
void html_tables_free(struct html_tables *t);
