/* A profile as a writer shows it: what the options of the call ask for. Private to format/.
 * May use: model/, format/format.h.
 * Must not: copy a profile that can be shown as it is. */
#pragma once

#include "format/format.h"

/* Zero-initialise, fill by view_of(), release by view_free(). */
struct view {
    const struct profile *p; /* what to write: one of the copies below, or the profile that was given */
    struct profile *folded, *rooted;
};

/* Frames of interpreters' machinery are folded unless options->show_internal; with options->threads every stack
 * begins with its thread. `o` may be NULL. 0 or -ENOMEM. */
int view_of(const struct profile *p, const struct format_options *o, struct view *ret, struct err *err);
void view_free(struct view *v);
