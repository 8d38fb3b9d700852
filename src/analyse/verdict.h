/* What a profile's quality block means for its reader, in plain words.
 * May use: base/, model/.
 * Must not: print, know where the profile came from. */
#pragma once

#include "model/profile.h"

enum analyse_grade { GRADE_GOOD, GRADE_FAIR, GRADE_POOR };

struct analyse_concern {
    enum analyse_grade grade; /* fair or poor */
    char text[160];           /* what is wrong and what it does to the numbers */
    char advice[240];         /* what to do about it; "" when nothing can be done */
};

enum { ANALYSE_MOST_CONCERNS = 8 };

struct analyse_verdict {
    enum analyse_grade grade; /* that of the worst concern */
    bool told;                /* false: the profile does not say how complete it is */
    bool counted;             /* false: nor of how many samples it was made; then `samples` are rows */
    uint64_t samples;
    double margin; /* a share of one half is known to within this, as a fraction, 19 times out of 20 */
    struct analyse_concern concerns[ANALYSE_MOST_CONCERNS]; /* the worst first */
    unsigned n_concerns;
    char sentence[200]; /* all of it in one */
    bool failed;        /* memory ran out; what it is written to fails then */
};

void analyse_verdict(const struct profile *p, struct analyse_verdict *ret);

/* "good", "fair", "poor" */
const char *analyse_grade_name(enum analyse_grade grade);

/* How far a share that was measured with n samples may be from the true one, 19 times out of 20. */
double analyse_margin(double share, uint64_t samples);
