#include "analyse/verdict.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyse/analyse.h"
#include "analyse/weights.h"
#include "base/mem.h"

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

/* Rows that do not say how many samples they stand for tell nothing of chance. */
static double margin_points(const struct profile *p, const struct analyse_verdict *v) {
    return v->counted ? 100 * v->margin : 0;
}

static double lost(const struct profile *p, const struct analyse_verdict *v) {
    return analyse_percent((double)p->quality.samples_lost,
                           (double)(p->quality.samples_taken + p->quality.samples_lost));
}

static double cut(const struct profile *p, const struct analyse_verdict *v) {
    const struct profile_quality *q = &p->quality;
    return analyse_percent((double)(q->samples_taken - MIN(q->stacks_whole, q->samples_taken)),
                           (double)q->samples_taken);
}

static double unnamed(const struct profile *p, const struct analyse_verdict *v) {
    return analyse_percent((double)p->quality.frames_unnamed, (double)p->quality.frames);
}

static double approximate(const struct profile *p, const struct analyse_verdict *v) {
    return analyse_percent((double)p->quality.frames_approximate, (double)p->quality.frames);
}

static double slowdown(const struct profile *p, const struct analyse_verdict *v) {
    return 100 * p->quality.slowdown_bound;
}

/* From `fair` and from `poor` on, in percent or points. */
static const struct rule {
    double (*measure)(const struct profile *p, const struct analyse_verdict *v);
    double fair, poor;
    const char *text; /* with the measure */
    const char *advice;
} rules[] = {
    {margin_points, 5, 10, "there are few samples: a share may be off by %.0f points",
     "Capture longer, or with a higher -F"},
    {lost, 1, 10, "%.1f %% of the samples were lost: what ran then is missing", "Capture with a lower -F"},
    {cut, 1, 10, "%.1f %% of the stacks do not reach their root: totals of outer functions are too small", ""},
    {unnamed, 10, 40, "%.0f %% of the frames have no name", "Install the debug symbols of what has no name"},
    {approximate, 20, 60, "%.0f %% of the frames were found by frame pointers alone: callers may be missing", ""},
    {slowdown, 2, 10, "capturing may have cost the target %.1f %% of its speed", "Capture with a lower -F"},
};
_Static_assert(ARRAY_SIZE(rules) <= ANALYSE_MOST_CONCERNS, "each rule may be a concern");

static enum analyse_grade grade_of(const struct rule *r, double measure) {
    return measure >= r->poor ? GRADE_POOR : measure >= r->fair ? GRADE_FAIR : GRADE_GOOD;
}

/* Debug symbols name what lies in files. Code that a runtime makes while it runs is named by the runtime, or not. */
static bool most_unnamed_is_generated(const struct profile *p) {
    uint64_t generated = 0, other = 0;
    _cleanup_(freep) struct stack_weight *w = NULL;
    if (stack_weights(p, 0, &w, NULL) < 0)
        return false;
    for (size_t s = 1; s < p->n_stacks; s++) {
        const struct profile_frame *f = &p->frames[p->stacks[s].frame];
        bool made = strcmp(profile_str(p, p->functions[f->function].name), "[generated code]") == 0;
        if (f->flags & FRAME_UNNAMED || made)
            *(made ? &generated : &other) += w[s].total_samples;
    }
    return generated > other;
}

/* A short capture on a busy machine: what it cost was not its samples but what scry did to begin and to name. */
static bool most_slowdown_is_the_start(const struct profile *p) {
    const struct profile_quality *q = &p->quality;
    double sampled_ns = (double)(q->samples_taken + q->samples_lost) * (double)p->period_ns;
    return q->probe_ns > 0 && (double)q->probe_ns < q->slowdown_bound * sampled_ns / 3;
}

static const char *advice_of(const struct profile *p, const struct rule *r) {
    static const char generated[] = "Have the runtime write a perf map: node --perf-basic-prof; of "
                                    "java: jcmd PID Compiler.perfmap, -XX:+DumpPerfMapAtExit or perf-map-agent";
    if (r->measure == slowdown && most_slowdown_is_the_start(p))
        return "Capture longer: most of that was scry's own start and naming";
    return r->measure == unnamed && most_unnamed_is_generated(p) ? generated : r->advice;
}

static void judge(const struct profile *p, struct analyse_verdict *v) {
    double measures[ARRAY_SIZE(rules)];
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        measures[i] = rules[i].measure(p, v);
    for (enum analyse_grade grade = GRADE_POOR; grade > GRADE_GOOD; grade--)
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
            if (grade_of(&rules[i], measures[i]) != grade)
                continue;
            struct analyse_concern *c = &v->concerns[v->n_concerns++];
            c->grade = grade;
            c->advice = v->samples == 0 && profile_says_why_nothing_ran(p) ? "" : advice_of(p, &rules[i]);
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
