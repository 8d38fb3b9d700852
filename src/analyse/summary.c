#include "analyse/summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyse/text.h"

static size_t shown_rows(size_t n, size_t limit) {
    return limit && limit < n ? limit : n;
}

static const char *or_none(const char *colour) {
    return colour ? colour : "";
}

/* ---- the verdict ---- */

static const char *grade_colour(const struct analyse_style *s, enum analyse_grade grade) {
    return or_none(grade == GRADE_GOOD ? s->good : grade == GRADE_FAIR ? s->fair : s->poor);
}

void analyse_verdict_text(struct buf *out, const struct analyse_verdict *v, const struct analyse_style *style) {
    out->failed |= v->failed;
    buf_addf(out, "%s%s%s\n", grade_colour(style, v->grade), v->sentence, or_none(style->plain));
    for (unsigned i = 1; i < v->n_concerns; i++)
        buf_addf(out, "  and: %s\n", v->concerns[i].text);
    for (unsigned i = 0; i < v->n_concerns; i++) {
        bool said = v->concerns[i].advice[0] == 0;
        for (unsigned k = 0; k < i; k++)
            said |= strcmp(v->concerns[k].advice, v->concerns[i].advice) == 0;
        if (!said)
            buf_addf(out, "  %s%s%s\n", or_none(style->bold), v->concerns[i].advice, or_none(style->plain));
    }
}

void analyse_remarks_json(struct json *j, const struct profile *p) {
    const struct profile_quality *q = &p->quality;
    json_key(j, "truncated");
    json_array(j);
    for (size_t i = 0; i < q->n_truncated; i++) {
        json_object(j);
        json_kstring(j, "reason", profile_str(p, q->truncated[i].reason));
        json_ku64(j, "count", q->truncated[i].count);
        json_object_end(j);
    }
    json_array_end(j);
    json_key(j, "notes");
    json_array(j);
    for (size_t i = 0; i < q->n_notes; i++)
        json_string(j, profile_str(p, q->notes[i]));
    json_array_end(j);
}

void analyse_verdict_json(struct json *j, const struct analyse_verdict *v) {
    j->out->failed |= v->failed;
    json_key(j, "verdict");
    json_object(j);
    json_kstring(j, "grade", analyse_grade_name(v->grade));
    json_kstring(j, "sentence", v->sentence);
    json_kbool(j, "complete_is_known", v->told);
    json_ku64(j, "samples", v->samples);
    json_kbool(j, "samples_are_known", v->counted);
    json_kdouble(j, "margin_points", 100 * v->margin);
    json_key(j, "concerns");
    json_array(j);
    for (unsigned i = 0; i < v->n_concerns; i++) {
        json_object(j);
        json_kstring(j, "grade", analyse_grade_name(v->concerns[i].grade));
        json_kstring(j, "text", v->concerns[i].text);
        json_kstring(j, "advice", v->concerns[i].advice);
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

/* ---- threads and processes ---- */

static void add_owner(struct buf *out, double percent, uint64_t samples, const char *name, uint32_t id,
                      const char *more, const struct analyse_style *style) {
    enum { NUMBERS = 19, ID = 24 };
    buf_addf(out, "%5.1f %%  %8" PRIu64 "  ", percent, samples);
    text_add(out, name[0] ? name : "?", MAX(16u, style->width - MIN(style->width, (unsigned)(NUMBERS + ID))));
    if (id)
        buf_addf(out, " (%u)", id);
    buf_addf(out, "%s\n", more);
}

static void add_more(struct buf *out, size_t shown, size_t n, const char *one, const char *several) {
    if (shown < n)
        buf_addf(out, "... and %zu %s more\n", n - shown, n - shown == 1 ? one : several);
}

void analyse_threads_text(struct buf *out, const struct profile *p, const struct analyse_threads *t,
                          const struct analyse_style *style) {
    const char *counted = analyse_samples_known(p) ? "samples" : "   rows";
    if (t->n_processes > 1) {
        buf_addf(out, "%s  total   %s  processes%s\n", or_none(style->bold), counted, or_none(style->plain));
        for (size_t i = 0; i < shown_rows(t->n_processes, style->limit); i++) {
            const struct analyse_thread_row *r = &t->processes[i];
            const struct profile_thread *who = &p->threads[r->thread];
            char more[48] = "";
            if (r->threads > 1)
                snprintf(more, sizeof(more), ", %u threads", r->threads);
            add_owner(out, analyse_percent((double)r->value, (double)t->total), r->samples,
                      profile_str(p, who->process_name), who->pid, more, style);
        }
        add_more(out, shown_rows(t->n_processes, style->limit), t->n_processes, "process", "processes");
    }
    if (t->n_threads > t->n_processes) {
        buf_addf(out, "%s  total   %s  threads%s\n", or_none(style->bold), counted, or_none(style->plain));
        for (size_t i = 0; i < shown_rows(t->n_threads, style->limit); i++) {
            const struct analyse_thread_row *r = &t->threads[i];
            const struct profile_thread *who = &p->threads[r->thread];
            add_owner(out, analyse_percent((double)r->value, (double)t->total), r->samples,
                      profile_str(p, who->thread_name), who->tid, "", style);
        }
        add_more(out, shown_rows(t->n_threads, style->limit), t->n_threads, "thread", "threads");
    }
}

static void owners_json(struct json *j, const struct profile *p, const struct analyse_threads *t,
                        const struct analyse_thread_row *rows, size_t n, bool processes) {
    json_array(j);
    for (size_t i = 0; i < n; i++) {
        const struct profile_thread *who = &p->threads[rows[i].thread];
        json_object(j);
        json_ku64(j, "pid", who->pid);
        json_kstring(j, "process", profile_str(p, who->process_name));
        if (processes) {
            json_ku64(j, "threads", rows[i].threads);
        } else {
            json_ku64(j, "tid", who->tid);
            json_kstring(j, "thread", profile_str(p, who->thread_name));
        }
        json_key(j, "total");
        json_i64(j, rows[i].value);
        json_kdouble(j, "total_percent", analyse_percent((double)rows[i].value, (double)t->total));
        json_ku64(j, "samples", rows[i].samples);
        json_object_end(j);
    }
    json_array_end(j);
}

void analyse_threads_json(struct json *j, const struct profile *p, const struct analyse_threads *t, size_t limit) {
    json_key(j, "processes");
    owners_json(j, p, t, t->processes, shown_rows(t->n_processes, limit), true);
    json_key(j, "threads");
    owners_json(j, p, t, t->threads, shown_rows(t->n_threads, limit), false);
}
