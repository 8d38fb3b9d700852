/* speedscope's own files: https://www.speedscope.app/file-format-schema.json
 *
 *   {"$schema", "shared": {"frames": [{"name", "file", "line"}]},
 *    "profiles": [{"type": "sampled", "name", "unit", "startValue", "endValue",
 *                  "samples": [[frame...]], "weights": [number...]}]}           root first
 *
 * Written: one profile for each thread, as its viewer wants it, the busiest one shown first; samples in the order of
 * their time, consecutive equal stacks as one. What the schema has no place for:
 *
 *    "scry": {"threads": [{"pid", "tid", "process", "thread"}]   which thread each profile is of
 *             "value": {"type", "unit"}                          what the weights are
 *             "samples": [[number...]]                           of each weight: absent where it is not known
 *             "quality"}                                         how good the data is
 *
 * Read: "sampled" and "evented" profiles; each is a thread of that name. Weights alone do not tell how many samples
 * there were. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analyse/analyse.h"
#include "base/json.h"
#include "base/mem.h"
#include "format/format.h"
#include "format/head_json.h"
#include "format/speedscope.h"

#define SCHEMA "https://www.speedscope.app/file-format-schema.json"

enum { RECOGNISED_BY = 4096 };

/* ---- writing ---- */

struct writer {
    const struct profile *p;
    struct json j;
    unsigned value;
    stack_id *trail; /* room for the deepest stack */
    uint32_t *order; /* samples by thread when asked for, then by time */
    size_t n_order;
};

static int compare_samples(const void *a, const void *b, void *ctx) {
    const struct profile *p = ctx;
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    const struct profile_sample *x = &p->samples[i], *y = &p->samples[k];
    if (x->thread != y->thread)
        return x->thread < y->thread ? -1 : 1;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return (i > k) - (i < k);
}

static const char *speedscope_unit(const char *unit) {
    static const char *const known[] = {"nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"};
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strcmp(known[i], unit) == 0)
            return unit;
    return "none";
}

static void write_frames(struct writer *w) {
    const struct profile *p = w->p;
    json_key(&w->j, "shared");
    json_object(&w->j);
    json_key(&w->j, "frames");
    json_array(&w->j);
    for (size_t i = 0; i < p->n_functions; i++) { /* a function is a frame: lines would tear it apart */
        const struct profile_function *f = &p->functions[i];
        const char *name = profile_str(p, f->name);
        json_object(&w->j);
        json_kstring(&w->j, "name", name[0] ? name : "?");
        if (f->file)
            json_kstring(&w->j, "file", profile_str(p, f->file));
        if (f->start_line)
            json_ku64(&w->j, "line", f->start_line);
        json_object_end(&w->j);
    }
    json_array_end(&w->j);
    json_object_end(&w->j);
}

static void write_stack(struct writer *w, stack_id s) {
    const struct profile *p = w->p;
    size_t n = 0;
    for (; s; s = p->stacks[s].parent)
        w->trail[n++] = s;
    json_array(&w->j);
    while (n-- > 0)
        json_u64(&w->j, p->frames[p->stacks[w->trail[n]].frame].function);
    json_array_end(&w->j);
}

/* The end of the run of samples that starts at `from` and has one stack. */
static size_t run_end(const struct writer *w, size_t from, size_t to) {
    stack_id stack = w->p->samples[w->order[from]].stack;
    size_t end = from + 1;
    while (end < to && w->p->samples[w->order[end]].stack == stack)
        end++;
    return end;
}

static int64_t run_value(const struct writer *w, size_t from, size_t to) {
    int64_t sum = 0;
    for (size_t i = from; i < to; i++)
        sum = profile_sum(sum, profile_value(w->p, w->order[i], w->value));
    return sum;
}

static void write_one(struct writer *w, const char *name, size_t from, size_t to) {
    struct json *j = &w->j;
    json_object(j);
    json_kstring(j, "type", "sampled");
    json_kstring(j, "name", name);
    json_kstring(j, "unit", speedscope_unit(profile_str(w->p, w->p->value_types[w->value].unit)));
    json_ku64(j, "startValue", 0);
    json_key(j, "endValue");
    json_i64(j, run_value(w, from, to));
    json_key(j, "samples");
    json_array(j);
    for (size_t i = from; i < to && !j->out->failed; i = run_end(w, i, to))
        write_stack(w, w->p->samples[w->order[i]].stack);
    json_array_end(j);
    json_key(j, "weights");
    json_array(j);
    for (size_t i = from, end; i < to; i = end) {
        end = run_end(w, i, to);
        json_i64(j, run_value(w, i, end));
    }
    json_array_end(j);
    json_object_end(j);
}

/* The end of the samples of the thread that the sample at `from` is of. */
static size_t thread_end(const struct writer *w, size_t from) {
    size_t end = from;
    while (end < w->n_order && w->p->samples[w->order[end]].thread == w->p->samples[w->order[from]].thread)
        end++;
    return end;
}

/* "worker-1 (234)", and the process too when there are several. */
static void write_thread(struct writer *w, thread_id thread, bool processes, const char *title, size_t from,
                         size_t to) {
    const struct profile_thread *t = &w->p->threads[thread];
    const char *name = profile_str(w->p, t->thread_name), *process = profile_str(w->p, t->process_name);
    struct buf text = {0};
    if (!name[0] && !t->tid)
        buf_adds(&text, title);
    else if (processes && strcmp(name, process) != 0)
        buf_addf(&text, "%s: ", process);
    buf_adds(&text, name);
    if (t->tid)
        buf_addf(&text, "%s(%u)", text.len ? " " : "thread ", t->tid);
    write_one(w, buf_cstr(&text), from, to);
    w->j.out->failed |= text.failed;
    buf_free(&text);
}

static bool has_processes(const struct profile *p) {
    for (size_t i = 2; i < p->n_threads; i++)
        if (p->threads[i].pid != p->threads[1].pid)
            return true;
    return false;
}

/* Index of the profile with the most in it. */
static size_t write_profiles(struct writer *w, const char *title) {
    size_t n = 0, busiest = 0;
    int64_t most = INT64_MIN;
    bool processes = has_processes(w->p);
    json_key(&w->j, "profiles");
    json_array(&w->j);
    for (size_t from = 0, to; from < w->n_order; from = to, n++) {
        to = thread_end(w, from);
        write_thread(w, w->p->samples[w->order[from]].thread, processes, title, from, to);
        int64_t value = run_value(w, from, to);
        if (value > most) {
            most = value;
            busiest = n;
        }
    }
    if (n == 0)
        write_one(w, title, 0, 0);
    json_array_end(&w->j);
    return busiest;
}

/* How many samples each weight is of. */
static void write_sample_counts(struct writer *w) {
    struct json *j = &w->j;
    json_key(j, "samples");
    json_array(j);
    for (size_t from = 0, to; from < w->n_order; from = to) {
        to = thread_end(w, from);
        json_array(j);
        for (size_t i = from, end; i < to; i = end) {
            uint64_t n = 0;
            end = run_end(w, i, to);
            for (size_t k = i; k < end; k++)
                n += analyse_row_samples(w->p, w->order[k]);
            json_u64(j, n);
        }
        json_array_end(j);
    }
    json_array_end(j);
}

static void write_own(struct writer *w) {
    struct json *j = &w->j;
    const struct profile *p = w->p;
    json_key(j, "scry");
    json_object(j);
    json_key(j, "value");
    json_object(j);
    json_kstring(j, "type", profile_str(p, p->value_types[w->value].type));
    json_kstring(j, "unit", profile_str(p, p->value_types[w->value].unit));
    json_object_end(j);
    if (analyse_samples_known(p))
        write_sample_counts(w);
    json_key(j, "threads");
    json_array(j);
    for (size_t from = 0; from < w->n_order; from = thread_end(w, from)) {
        const struct profile_thread *t = &p->threads[p->samples[w->order[from]].thread];
        json_object(j);
        json_ku64(j, "pid", t->pid);
        json_ku64(j, "tid", t->tid);
        json_kstring(j, "process", profile_str(p, t->process_name));
        json_kstring(j, "thread", profile_str(p, t->thread_name));
        json_object_end(j);
    }
    json_array_end(j);
    quality_json(j, p);
    json_object_end(j);
}

static int write_file(const struct profile *p, const char *title, struct buf *out, struct err *err) {
    _cleanup_(freep) stack_id *trail = mem_zalloc(p->n_stacks, sizeof(*trail));
    _cleanup_(freep) uint32_t *order = mem_zalloc(p->n_samples, sizeof(*order));
    if (!trail || !order)
        return err_nomem(err);
    struct writer w = {.p = p, .j = json_to(out), .value = p->default_value, .trail = trail, .order = order};
    for (size_t i = 0; i < p->n_samples; i++)
        order[w.n_order++] = (uint32_t)i;
    if (w.n_order)
        qsort_r(order, w.n_order, sizeof(*order), compare_samples, (void *)(uintptr_t)p);
    out->limit = out->limit ? out->limit : FORMAT_MOST_BYTES;
    json_object(&w.j);
    json_kstring(&w.j, "$schema", SCHEMA);
    json_kstring(&w.j, "exporter", "scry " SCRY_VERSION);
    if (title)
        json_kstring(&w.j, "name", title);
    write_own(&w);
    write_frames(&w);
    json_ku64(&w.j, "activeProfileIndex", write_profiles(&w, title ? title : "all threads"));
    json_object_end(&w.j);
    buf_addc(out, '\n');
    return format_written(out, err);
}

static int speedscope_write(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err) {
    if (p->n_value_types == 0)
        return err_set(err, -EINVAL, NULL, "The profile has no values");
    _cleanup_(profile_view_free) struct profile_view v = {0};
    /* Threads are apart in any case. */
    int rc = profile_view(p, (struct profile_view_options){.internal = o && o->show_internal}, &v, err);
    const char *title = p->command ? profile_str(p, p->command) : NULL; /* then it is called like the file */
    return rc < 0 ? rc : write_file(v.p, title, out, err);
}

/* Its schema's address, near the beginning. */
static bool speedscope_recognise(const void *data, size_t size) {
    static const char schema[] = "www.speedscope.app/file-format-schema.json";
    return memmem(data, MIN(size, (size_t)RECOGNISED_BY), schema, sizeof(schema) - 1) ||
           (size > RECOGNISED_BY &&
            memmem((const char *)data + size - RECOGNISED_BY, RECOGNISED_BY, schema, sizeof(schema) - 1));
}

const struct format format_speedscope = {
    .name = "speedscope",
    .ending = ".speedscope.json",
    .title = "speedscope",
    .write = speedscope_write,
    .recognise = speedscope_recognise,
    .read = speedscope_read,
};
