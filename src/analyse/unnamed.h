/* How much of a profile fell in functions whose names are not known, and in which files those are.
 * May use: base/, model/.
 * Must not: be included outside of analyse/.
 *
 * What counts is the function that a reader sees as the one that ran: interpreters' machinery is folded into the function
 * it runs. Callers without a name do not count: what they called is known, and so are the totals of who called them. */
#pragma once

#include "model/profile.h"

struct unnamed {
    double percent;  /* of the samples */
    bool generated;  /* most of those fell in code that was made at run time, and has no file */
    char files[200]; /* "a, b and c": those of most of the others, at most three; "" when there is none */
};

/* 0 or -ENOMEM. */
int unnamed_of(const struct profile *p, struct unnamed *ret);
