/* Merging, folding and keeping threads apart: all are one copy of samples from one profile into another. */
#include "model/profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What ids of `from` became in `into`; 0 = not yet copied (id 0 itself stays 0). */
struct copier {
    struct profile *into;
    const struct profile *from;
    uint32_t *strings, *functions, *mappings, *frames, *stacks, *threads, *label_sets;
    bool drop_internal;
    bool root_threads;        /* a frame per thread at the root; then copied stacks are kept per thread: */
    thread_id thread;         /* of the sample being copied */
    struct u64_map stacks_of; /* thread << 32 | stack */
};

static void copier_free(struct copier *c) {
    free(c->strings);
    free(c->functions);
    free(c->mappings);
    free(c->frames);
    free(c->stacks);
    free(c->threads);
    free(c->label_sets);
    u64_map_free(&c->stacks_of);
}

static int copier_init(struct copier *c, struct profile *into, const struct profile *from) {
    *c = (struct copier){.into = into, .from = from};
    c->strings = mem_zalloc(from->n_strings, sizeof(uint32_t));
    c->functions = mem_zalloc(from->n_functions, sizeof(uint32_t));
    c->mappings = mem_zalloc(from->n_mappings, sizeof(uint32_t));
    c->frames = mem_zalloc(from->n_frames, sizeof(uint32_t));
    c->stacks = mem_zalloc(from->n_stacks, sizeof(uint32_t));
    c->threads = mem_zalloc(from->n_threads, sizeof(uint32_t));
    c->label_sets = mem_zalloc(from->n_label_sets, sizeof(uint32_t));
    bool ok = c->strings && c->functions && c->mappings && c->frames && c->stacks && c->threads && c->label_sets;
    return ok ? 0 : -ENOMEM;
}

static string_id copy_string(struct copier *c, string_id id) {
    if (!c->strings[id] && id)
        c->strings[id] = profile_string_n(c->into, c->from->strings[id], c->from->string_lengths[id]);
    return c->strings[id];
}

static function_id copy_function(struct copier *c, function_id id) {
    if (!c->functions[id] && id) {
        struct profile_function f = c->from->functions[id];
        f.name = copy_string(c, f.name);
        f.system_name = copy_string(c, f.system_name);
        f.file = copy_string(c, f.file);
        c->functions[id] = profile_function(c->into, &f);
    }
    return c->functions[id];
}

static mapping_id copy_mapping(struct copier *c, mapping_id id) {
    if (!c->mappings[id] && id) {
        struct profile_mapping m = c->from->mappings[id];
        m.file = copy_string(c, m.file);
        m.build_id = copy_string(c, m.build_id);
        c->mappings[id] = profile_mapping(c->into, &m);
    }
    return c->mappings[id];
}

static frame_id copy_frame(struct copier *c, frame_id id) {
    if (!c->frames[id] && id) {
        struct profile_frame f = c->from->frames[id];
        f.function = copy_function(c, f.function);
        f.kind = copy_string(c, f.kind);
        f.mapping = copy_mapping(c, f.mapping);
        c->frames[id] = profile_frame(c->into, &f);
    }
    return c->frames[id];
}

static stack_id copied_stack(const struct copier *c, stack_id id) {
    if (!c->root_threads)
        return c->stacks[id];
    const uint64_t *copied = u64_map_get(&c->stacks_of, (uint64_t)c->thread << 32 | id);
    return copied ? (stack_id)*copied : 0;
}

static void set_copied_stack(struct copier *c, stack_id id, stack_id copied) {
    if (!c->root_threads)
        c->stacks[id] = copied;
    else if (u64_map_put(&c->stacks_of, (uint64_t)c->thread << 32 | id, copied) < 0)
        c->into->profile_failed = true;
}

/* What a copied stack begins with: nothing, or the frame of its thread. */
static stack_id copied_root(struct copier *c) {
    if (!c->root_threads)
        return 0;
    const struct profile_thread *t = &c->from->threads[c->thread];
    const char *process = c->from->strings[t->process_name], *thread = c->from->strings[t->thread_name];
    char name[256];
    if (t->pid != t->tid || strcmp(process, thread) == 0)
        snprintf(name, sizeof(name), "thread %s (%u)", thread, t->tid);
    else
        snprintf(name, sizeof(name), "thread %s (%u), main of %s", thread, t->tid, process);
    struct profile_function f = {.name = profile_string(c->into, name)};
    struct profile_frame frame = {
        .function = profile_function(c->into, &f), .flags = FRAME_MARK, .kind = profile_string(c->into, "thread")};
    return profile_stack(c->into, 0, profile_frame(c->into, &frame));
}

/* Stacks are copied root first without recursion: a stack may be tens of thousands of frames deep.
 * Parents always have smaller ids than their children, so climb to the first copied ancestor and
 * come back down along a reversed list kept in `trail`. */
static stack_id copy_stack(struct copier *c, stack_id id) {
    size_t n = 0, cap = 0;
    stack_id *trail = NULL, at = id;
    for (; at && !copied_stack(c, at); at = c->from->stacks[at].parent) {
        if (mem_grow((void **)&trail, &cap, n + 1, sizeof(*trail)) < 0) {
            c->into->profile_failed = true;
            break;
        }
        trail[n++] = at;
    }
    stack_id parent = at ? copied_stack(c, at) : copied_root(c);
    while (n-- > 0) {
        frame_id frame = c->from->stacks[trail[n]].frame;
        if (!(c->drop_internal && c->from->frames[frame].flags & FRAME_INTERNAL))
            parent = profile_stack(c->into, parent, copy_frame(c, frame));
        set_copied_stack(c, trail[n], parent);
    }
    free(trail);
    return parent;
}

static thread_id copy_thread(struct copier *c, thread_id id) {
    if (!c->threads[id] && id) {
        struct profile_thread t = c->from->threads[id];
        t.process_name = copy_string(c, t.process_name);
        t.thread_name = copy_string(c, t.thread_name);
        t.container = copy_string(c, t.container);
        t.runtime = copy_string(c, t.runtime);
        c->threads[id] = profile_thread(c->into, &t);
    }
    return c->threads[id];
}

static labels_id copy_labels(struct copier *c, labels_id id) {
    if (!c->label_sets[id] && id) {
        struct profile_labels_range r = c->from->label_sets[id];
        struct profile_label labels[PROFILE_MAX_LABELS];
        for (uint32_t i = 0; i < r.count; i++) {
            labels[i] = c->from->labels[r.first + i];
            labels[i].key = copy_string(c, labels[i].key);
            labels[i].text = copy_string(c, labels[i].text);
            labels[i].unit = copy_string(c, labels[i].unit);
        }
        c->label_sets[id] = profile_labels(c->into, labels, r.count);
    }
    return c->label_sets[id];
}

static void copy_sample(struct copier *c, size_t i, uint64_t time_shift) {
    struct profile_sample s = c->from->samples[i];
    c->thread = s.thread;
    s.stack = copy_stack(c, s.stack);
    s.thread = copy_thread(c, s.thread);
    s.labels = copy_labels(c, s.labels);
    s.time_ns += time_shift;
    profile_add_sample(c->into, &s, c->from->values + i * c->from->n_value_types);
}

static void copy_quality(struct profile *into, const struct profile *from) {
    struct profile_quality *to = &into->quality;
    const struct profile_quality *q = &from->quality;
    to->samples_taken += q->samples_taken;
    to->samples_lost += q->samples_lost;
    to->stacks_whole += q->stacks_whole;
    to->frames += q->frames;
    to->frames_unnamed += q->frames_unnamed;
    to->frames_approximate += q->frames_approximate;
    to->self_cpu_ns += q->self_cpu_ns;
    to->self_rss_bytes = MAX(to->self_rss_bytes, q->self_rss_bytes);
    to->self_map_bytes = MAX(to->self_map_bytes, q->self_map_bytes);
    to->probe_ns += q->probe_ns;
    to->probe_runs += q->probe_runs;
    to->slowdown_bound = MAX(to->slowdown_bound, q->slowdown_bound);
    for (size_t i = 0; i < q->n_truncated; i++)
        profile_count_truncated(into, from->strings[q->truncated[i].reason], q->truncated[i].count);
    for (size_t i = 0; i < q->n_notes; i++)
        profile_note(into, "%s", from->strings[q->notes[i]]);
}

static void copy_header(struct copier *c) {
    struct profile *into = c->into;
    const struct profile *from = c->from;
    for (unsigned v = 0; v < from->n_value_types; v++)
        profile_value_type(into, from->strings[from->value_types[v].type], from->strings[from->value_types[v].unit]);
    into->default_value = from->default_value;
    into->command = copy_string(c, from->command);
    into->host = copy_string(c, from->host);
    into->start_time_ns = from->start_time_ns;
    into->duration_ns = from->duration_ns;
    into->period_ns = from->period_ns;
}

static bool same_value_types(const struct profile *a, const struct profile *b) {
    if (a->n_value_types != b->n_value_types)
        return false;
    for (unsigned v = 0; v < a->n_value_types; v++)
        if (strcmp(a->strings[a->value_types[v].type], b->strings[b->value_types[v].type]) != 0 ||
            strcmp(a->strings[a->value_types[v].unit], b->strings[b->value_types[v].unit]) != 0)
            return false;
    return true;
}

int profile_merge(struct profile *into, const struct profile *from, struct err *err) {
    if (!same_value_types(into, from))
        return err_set(err, -EINVAL, "Merge only profiles of one kind", "The profiles measure different things");
    _cleanup_(copier_free) struct copier c;
    if (copier_init(&c, into, from) < 0)
        return err_nomem(err);
    uint64_t shift = 0;
    if (from->start_time_ns < into->start_time_ns) { /* the merged profile starts at the earlier one */
        uint64_t back = into->start_time_ns - from->start_time_ns;
        for (size_t i = 0; i < into->n_samples; i++)
            into->samples[i].time_ns += back;
        into->start_time_ns = from->start_time_ns;
        into->duration_ns += back;
    } else {
        shift = from->start_time_ns - into->start_time_ns;
    }
    for (size_t i = 0; i < from->n_samples; i++)
        copy_sample(&c, i, shift);
    into->duration_ns = MAX(into->duration_ns, from->duration_ns + shift);
    copy_quality(into, from);
    return into->profile_failed ? err_nomem(err) : 0;
}

/* ---- views ---- */

static bool has_internal(const struct profile *p) {
    for (size_t i = 0; i < p->n_frames; i++)
        if (p->frames[i].flags & FRAME_INTERNAL)
            return true;
    return false;
}

static int copy_profile(const struct profile *from, struct profile_view_options o, struct profile **ret,
                        struct err *err) {
    _cleanup_(profile_freep) struct profile *p = profile_new();
    if (!p)
        return err_nomem(err);
    _cleanup_(copier_free) struct copier c;
    if (copier_init(&c, p, from) < 0)
        return err_nomem(err);
    c.drop_internal = !o.internal;
    c.root_threads = o.threads;
    copy_header(&c);
    for (size_t i = 0; i < from->n_samples; i++)
        copy_sample(&c, i, 0);
    copy_quality(p, from);
    if (p->profile_failed)
        return err_nomem(err);
    *ret = TAKE_PTR(p);
    return 0;
}

int profile_view(const struct profile *p, struct profile_view_options o, struct profile_view *ret, struct err *err) {
    struct profile_view v = {.p = p};
    if (o.threads || (!o.internal && has_internal(p))) {
        int rc = copy_profile(p, o, &v.copy, err);
        if (rc < 0)
            return rc;
        v.p = v.copy;
    }
    *ret = v;
    return 0;
}

void profile_view_free(struct profile_view *v) {
    profile_free(v->copy);
    *v = (struct profile_view){0};
}
