/* Reading speedscope's files; the layout is in format/speedscope.c. Apart from it, because jansson and the writer
 * of base/json.h have names in common. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/speedscope.h"

enum { MOST_FRAMES = 100000 };

struct reading {
    struct profile *p;
    frame_id *frames;
    size_t n_frames;
    const json_t *own;    /* what scry's own writer says beside the schema, or NULL */
    const json_t *counts; /* there: of each profile, how many samples each weight is of; NULL when it is not known */
    unsigned n_values;
    const char *unit; /* of the first profile: others are read only if they have the same */
    double factor;    /* from the file's unit to the profile's */
    double start;     /* of the profile that begins first: its samples' times are from there */
    struct err *err;
};

static int malformed(struct reading *r, const char *what) {
    return err_set(r->err, -EBADMSG, NULL, "It is not a speedscope file: %s", what);
}

static const char *string_of(const json_t *object, const char *key) {
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static uint32_t line_of(const json_t *frame) {
    double line = json_number_value(json_object_get(frame, "line"));
    return line >= 1 && line < UINT32_MAX ? (uint32_t)line : 0;
}

static int read_frames(struct reading *r, const json_t *root) {
    const json_t *frames = json_object_get(json_object_get(root, "shared"), "frames");
    if (!json_is_array(frames))
        return malformed(r, "shared.frames is missing");
    r->frames = mem_zalloc(json_array_size(frames), sizeof(*r->frames));
    if (!r->frames)
        return err_nomem(r->err);
    for (r->n_frames = 0; r->n_frames < json_array_size(frames); r->n_frames++) {
        const json_t *f = json_array_get(frames, r->n_frames);
        struct profile_function function = {
            .name = profile_string(r->p, string_of(f, "name")),
            .file = profile_string(r->p, string_of(f, "file")),
            .start_line = line_of(f),
        };
        r->frames[r->n_frames] =
            profile_frame(r->p, &(struct profile_frame){.function = profile_function(r->p, &function),
                                                        .kind = profile_string(r->p, "native")});
    }
    return 0;
}

static bool is_samples(const char *type, const char *unit) {
    return strcmp(type, "samples") == 0 && strcmp(unit, "count") == 0;
}

/* The values of a sample: how many it stands for, where that is known, and its weight. */
static void name_values(struct reading *r, const char *type, const char *unit) {
    const json_t *told = json_object_get(r->own, "value");
    if (told) {
        type = string_of(told, "type");
        unit = strcmp(unit, "count") == 0 ? string_of(told, "unit") : unit;
    }
    if (r->counts && !is_samples(type, unit))
        profile_value_type(r->p, "samples", "count");
    r->p->default_value = profile_value_type(r->p, type, unit);
    r->n_values = r->p->n_value_types;
}

static int read_unit(struct reading *r, const json_t *profile) {
    static const struct {
        const char *unit, *type, *ours;
        double factor;
    } units[] = {{"nanoseconds", "cpu", "nanoseconds", 1},
                 {"microseconds", "cpu", "nanoseconds", 1e3},
                 {"milliseconds", "cpu", "nanoseconds", 1e6},
                 {"seconds", "cpu", "nanoseconds", 1e9},
                 {"bytes", "space", "bytes", 1},
                 {"none", "weight", "count", 1}};
    const char *unit = string_of(profile, "unit");
    if (r->unit)
        return strcmp(r->unit, unit) == 0 ? 0 : malformed(r, "its profiles have different units");
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcmp(units[i].unit, unit) != 0)
            continue;
        r->unit = units[i].unit;
        r->factor = units[i].factor;
        name_values(r, units[i].type, units[i].ours);
        return 0;
    }
    return malformed(r, "a profile has no known unit");
}

static void add_sample(struct reading *r, stack_id stack, thread_id thread, double *at, double weight,
                       int64_t samples) {
    struct profile_sample s = {.stack = stack, .thread = thread};
    double value = weight * r->factor, time = *at * r->factor;
    *at += weight;
    s.time_ns = time > 0 && time < 9e18 ? (uint64_t)time : 0;
    value = value > -9e15 && value < 9e15 ? value : 0; /* also what is not a number */
    int64_t weighs = llround(value);
    profile_add_sample(r->p, &s, r->n_values > 1 ? (int64_t[]){samples, weighs} : (int64_t[]){weighs});
}

static int frame_index(struct reading *r, const json_t *value, frame_id *ret) {
    json_int_t i = json_is_integer(value) ? json_integer_value(value) : -1;
    if (i < 0 || (size_t)i >= r->n_frames)
        return malformed(r, "a stack names a frame that is not there");
    *ret = r->frames[i];
    return 0;
}

static double start_of(const json_t *profile) {
    return json_number_value(json_object_get(profile, "startValue"));
}

static int read_sampled(struct reading *r, const json_t *profile, const json_t *counts, thread_id thread) {
    const json_t *samples = json_object_get(profile, "samples"), *weights = json_object_get(profile, "weights");
    if (!json_is_array(samples) || json_array_size(samples) != json_array_size(weights))
        return malformed(r, "a profile has not as many weights as samples");
    double at = start_of(profile) - r->start;
    for (size_t i = 0; i < json_array_size(samples); i++) {
        const json_t *stack = json_array_get(samples, i);
        stack_id s = 0;
        if (json_array_size(stack) > MOST_FRAMES)
            return malformed(r, "a stack is too deep");
        for (size_t k = 0; k < json_array_size(stack); k++) {
            frame_id frame = 0;
            int rc = frame_index(r, json_array_get(stack, k), &frame);
            if (rc < 0)
                return rc;
            s = profile_stack(r->p, s, frame);
        }
        add_sample(r, s, thread, &at, json_number_value(json_array_get(weights, i)),
                   json_integer_value(json_array_get(counts, i)));
    }
    return 0;
}

/* Frames open and close; between two events the stack is a sample of that length. */
static int read_evented(struct reading *r, const json_t *profile, thread_id thread) {
    const json_t *events = json_object_get(profile, "events");
    double last = start_of(profile), at = last - r->start;
    stack_id stack = 0;
    size_t depth = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *e = json_array_get(events, i);
        double now = json_number_value(json_object_get(e, "at"));
        frame_id frame = 0;
        int rc = frame_index(r, json_object_get(e, "frame"), &frame);
        if (rc < 0)
            return rc;
        if (now > last && stack)
            add_sample(r, stack, thread, &at, now - last, 0);
        else if (now > last)
            at += now - last;
        last = now;
        if (strcmp(string_of(e, "type"), "O") == 0 && depth++ < MOST_FRAMES)
            stack = profile_stack(r->p, stack, frame);
        else if (strcmp(string_of(e, "type"), "C") == 0 && depth && depth-- <= MOST_FRAMES)
            stack = r->p->stacks[stack].parent;
    }
    return 0;
}

/* ---- what scry's own writer says beside the schema ---- */

static uint64_t count_of(const json_t *object, const char *key) {
    json_int_t n = json_integer_value(json_object_get(object, key));
    return n > 0 ? (uint64_t)n : 0;
}

static void read_quality(struct profile *p, const json_t *q) {
    enum { MOST_SENTENCES = 100 };
    const json_t *truncated = json_object_get(q, "truncated"), *notes = json_object_get(q, "notes");
    const json_t *bound = json_object_get(q, "slowdown_bound");
#define QUALITY(field) p->quality.field = count_of(q, #field);
#include "format/quality.def"
#undef QUALITY
    if (json_is_number(bound))
        p->quality.slowdown_bound = json_number_value(bound);
    for (size_t i = 0; i < json_array_size(truncated) && i < MOST_SENTENCES; i++) {
        const json_t *one = json_array_get(truncated, i);
        profile_count_truncated(p, string_of(one, "reason"), count_of(one, "count"));
    }
    for (size_t i = 0; i < json_array_size(notes) && i < MOST_SENTENCES; i++) {
        const char *note = json_string_value(json_array_get(notes, i));
        if (note)
            profile_note(p, "%s", note);
    }
    profile_check_quality(p);
}

/* The thread that profile i is of: as the writer says, else one of that name. */
static thread_id thread_of(struct reading *r, size_t i, const char *name) {
    const json_t *told = json_array_get(json_object_get(r->own, "threads"), i);
    struct profile_thread t = {.tid = (uint32_t)i + 1, .thread_name = profile_string(r->p, name)};
    if (json_is_object(told))
        t = (struct profile_thread){.pid = (uint32_t)count_of(told, "pid"),
                                    .tid = (uint32_t)count_of(told, "tid"),
                                    .process_name = profile_string(r->p, string_of(told, "process")),
                                    .thread_name = profile_string(r->p, string_of(told, "thread"))};
    return profile_thread(r->p, &t);
}

/* Another tool may have changed the profiles: then what is said of their samples means nothing. */
static bool counts_fit(const json_t *counts, const json_t *profiles) {
    if (!json_is_array(counts) || json_array_size(counts) != json_array_size(profiles))
        return false;
    for (size_t i = 0; i < json_array_size(counts); i++) {
        const json_t *of = json_array_get(counts, i), *profile = json_array_get(profiles, i);
        if (strcmp(string_of(profile, "type"), "sampled") != 0 ||
            json_array_size(of) != json_array_size(json_object_get(profile, "samples")))
            return false;
        for (size_t k = 0; k < json_array_size(of); k++)
            if (json_integer_value(json_array_get(of, k)) < 0)
                return false;
    }
    return true;
}

static int read_one(struct reading *r, const json_t *one, size_t i) {
    thread_id thread = thread_of(r, i, string_of(one, "name"));
    const char *type = string_of(one, "type");
    int rc = read_unit(r, one);
    if (rc < 0)
        return rc;
    if (strcmp(type, "sampled") == 0)
        return read_sampled(r, one, json_array_get(r->counts, i), thread);
    if (strcmp(type, "evented") == 0)
        return read_evented(r, one, thread);
    return malformed(r, "a profile is neither sampled nor evented");
}

static int read_profiles(struct reading *r, const json_t *root) {
    const json_t *profiles = json_object_get(root, "profiles"), *counts;
    r->own = json_object_get(root, "scry");
    counts = json_object_get(r->own, "samples");
    r->counts = counts_fit(counts, profiles) ? counts : NULL;
    for (size_t i = 0; i < json_array_size(profiles); i++)
        r->start = i ? MIN(r->start, start_of(json_array_get(profiles, i))) : start_of(json_array_get(profiles, i));
    for (size_t i = 0; i < json_array_size(profiles); i++) {
        int rc = read_one(r, json_array_get(profiles, i), i);
        if (rc < 0)
            return rc;
    }
    read_quality(r->p, json_object_get(r->own, "quality"));
    return r->unit ? 0 : malformed(r, "it has no profiles");
}

int speedscope_read(const void *data, size_t size, struct profile **ret, struct err *err) {
    json_error_t problem;
    _cleanup_(json_decrefp) json_t *root = json_loadb(data, size, 0, &problem);
    if (!root)
        return err_set(err, -EBADMSG, NULL, "Line %d: %s", problem.line, problem.text);
    _cleanup_(profile_freep) struct profile *p = profile_new();
    if (!p)
        return err_nomem(err);
    struct reading r = {.p = p, .err = err};
    int rc = read_frames(&r, root);
    if (rc == 0)
        rc = read_profiles(&r, root);
    free(r.frames);
    p->command = profile_string(p, string_of(root, "name"));
    if (rc == 0 && p->profile_failed)
        rc = err_nomem(err);
    if (rc == 0)
        *ret = TAKE_PTR(p);
    return rc;
}
