#include "analyse/verdict.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyse/analyse.h"
#include "analyse/unnamed.h"

/* Half the width of Wilson's interval, which stays sensible at few samples and at small shares. */
double analyse_margin(double share, uint64_t samples) {
    const double z = 1.96;
    double n = (double)samples;
    if (samples == 0)
        return 1;
    return z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
}

const char *analyse_grade_name(enum analyse_grade grade) {
    static const char *const names[] = {[GRADE_GOOD] = "good", [GRADE_FAIR] = "fair", [GRADE_POOR] = "poor"};
    return names[grade];
}

/* What the rules measure. */
struct judged {
    const struct profile *p;
    const struct analyse_verdict *v;
    struct unnamed unnamed;
};

/* Rows that do not say how many samples they stand for tell nothing of chance. */
static double margin_points(const struct judged *j) {
    return j->v->counted ? 100 * j->v->margin : 0;
}

static double lost(const struct judged *j) {
    return analyse_percent((double)j->p->quality.samples_lost,
                           (double)(j->p->quality.samples_taken + j->p->quality.samples_lost));
}

static double cut(const struct judged *j) {
    const struct profile_quality *q = &j->p->quality;
    return analyse_percent((double)(q->samples_taken - MIN(q->stacks_whole, q->samples_taken)),
                           (double)q->samples_taken);
}

static double unnamed(const struct judged *j) {
    return j->unnamed.percent;
}

static double approximate(const struct judged *j) {
    return analyse_percent((double)j->p->quality.frames_approximate, (double)j->p->quality.frames);
}

static double slowdown(const struct judged *j) {
    return 100 * j->p->quality.slowdown_bound;
}

/* From `fair` and from `poor` on, in percent or points. */
static const struct rule {
    double (*measure)(const struct judged *j);
    double fair, poor;
    const char *text; /* with the measure */
    const char *advice;
} rules[] = {
    {margin_points, 5, 10, "there are few samples: a share may be off by %.0f points",
     "Capture longer, or with a higher -F"},
    {lost, 1, 10, "%.1f %% of the samples were lost: what ran then is missing", "Capture with a lower -F"},
    {cut, 1, 10, "%.1f %% of the stacks do not reach their root: totals of outer functions are too small", ""},
    {unnamed, 10, 50, "%.0f %% of the samples fell in functions without a name: their file stands for them",
     "Install the debug symbols of what has no name"},
    {approximate, 20, 60, "%.0f %% of the frames were found by frame pointers alone: callers may be missing", ""},
    {slowdown, 2, 10, "capturing may have cost the target %.1f %% of its speed", "Capture with a lower -F"},
};
_Static_assert(ARRAY_SIZE(rules) <= ANALYSE_MOST_CONCERNS, "each rule may be a concern");

static enum analyse_grade grade_of(const struct rule *r, double measure) {
    return measure >= r->poor ? GRADE_POOR : measure >= r->fair ? GRADE_FAIR : GRADE_GOOD;
}

/* A short capture on a busy machine: what it cost was not its samples but what scry did to begin and to name. */
static bool most_slowdown_is_the_start(const struct profile *p) {
    const struct profile_quality *q = &p->quality;
    double sampled_ns = (double)(q->samples_taken + q->samples_lost) * (double)p->period_ns;
    return q->probe_ns > 0 && (double)q->probe_ns < q->slowdown_bound * sampled_ns / 3;
}

static void advise(const struct judged *j, const struct rule *r, char *to, size_t size) {
    static const char generated[] = "Have the runtime write a perf map: node --perf-basic-prof; of "
                                    "java: jcmd PID Compiler.perfmap, -XX:+DumpPerfMapAtExit or perf-map-agent";
    if (j->v->samples == 0 && profile_says_why_nothing_ran(j->p))
        to[0] = '\0';
    else if (r->measure == unnamed && j->unnamed.generated)
        snprintf(to, size, "%s", generated); /* it is named by the runtime, or not */
    else if (r->measure == unnamed && j->unnamed.files[0])
        snprintf(to, size, "Install the debug symbols of %s", j->unnamed.files);
    else if (r->measure == slowdown && most_slowdown_is_the_start(j->p))
        snprintf(to, size, "Capture longer: most of that was scry's own start and naming");
    else
        snprintf(to, size, "%s", r->advice);
}

static void judge(const struct profile *p, struct analyse_verdict *v) {
    struct judged j = {.p = p, .v = v};
    double measures[ARRAY_SIZE(rules)];
    v->failed = unnamed_of(p, &j.unnamed) < 0;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        measures[i] = rules[i].measure(&j);
    for (enum analyse_grade grade = GRADE_POOR; grade > GRADE_GOOD; grade--)
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
            if (grade_of(&rules[i], measures[i]) != grade)
                continue;
            struct analyse_concern *c = &v->concerns[v->n_concerns++];
            c->grade = grade;
            advise(&j, &rules[i], c->advice, sizeof(c->advice));
            snprintf(c->text, sizeof(c->text), rules[i].text, measures[i]);
        }
}

static void say(struct analyse_verdict *v) {
    const char *first = v->n_concerns ? v->concerns[0].text : "";
    if (v->samples == 0)
        snprintf(v->sentence, sizeof(v->sentence), "There is no data: no sample was taken");
    else if (v->n_concerns)
        snprintf(v->sentence, sizeof(v->sentence), "The data is %s: %s", analyse_grade_name(v->grade), first);
    else if (!v->counted)
        snprintf(v->sentence, sizeof(v->sentence), "The file does not say how many samples it was made from");
    else if (!v->told)
        snprintf(v->sentence, sizeof(v->sentence),
                 "Shares are good to \xc2\xb1%.1f points, if the data is complete: the file does not say",
                 100 * v->margin);
    else
        snprintf(v->sentence, sizeof(v->sentence), "The data is good: shares are within \xc2\xb1%.1f points",
                 100 * v->margin);
}

void analyse_verdict(const struct profile *p, struct analyse_verdict *ret) {
    uint64_t samples = analyse_sample_count(p);
    *ret = (struct analyse_verdict){.samples = samples,
                                    .margin = analyse_margin(0.5, samples),
                                    .told = p->quality.samples_taken > 0,
                                    .counted = analyse_samples_known(p)};
    judge(p, ret);
    if (ret->n_concerns)
        ret->grade = ret->concerns[0].grade;
    say(ret);
}
