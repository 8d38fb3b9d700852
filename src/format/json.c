/* A profile as JSON, for programs that want all of it without a protobuf reader:
 *
 *   {"format": "scry-profile", "version": 1,
 *    "command", "host", "start_time_ns", "duration_ns", "period_ns",
 *    "value_types": [{"type", "unit"}], "default_value": index,
 *    "quality": {counts, "slowdown_bound", "truncated": [{"reason", "count"}], "notes": []},
 *    "functions": [{"name", "system_name", "file", "start_line"}],
 *    "mappings":  [{"file", "build_id", "start", "limit", "offset"}],
 *    "frames":    [{"function", "line", "column", "kind", "mapping", "address", "inlined", ...}],
 *    "stacks":    [[parent, frame]],           parent before child; 0 is the empty stack
 *    "threads":   [{"pid", "tid", "process", "thread", "container", "runtime"}],
 *    "label_sets": [[{"key", "text"} or {"key", "number", "unit"}]],
 *    "samples":   [[stack, thread, time_ns, value...]],
 *    "sample_labels": [label set]}             as many as samples; empty when none has labels
 *
 * Numbers in frames, stacks and samples are indices of those lists. Addresses are strings in hexadecimal, because
 * many readers of JSON keep only 53 bits. Everything is kept: frames of interpreters' machinery are marked
 * "internal" and not folded. Within one version members are added and never changed. It is written and not read. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "format/format.h"
#include "format/head_json.h"

static void add_head(struct json *j, const struct profile *p) {
    json_kstring(j, "format", "scry-profile");
    json_ku64(j, "version", 1);
    json_kstring(j, "command", profile_str(p, p->command));
    json_kstring(j, "host", profile_str(p, p->host));
    json_ku64(j, "start_time_ns", p->start_time_ns);
    json_ku64(j, "duration_ns", p->duration_ns);
    json_ku64(j, "period_ns", p->period_ns);
    value_types_json(j, "value_types", p);
    json_ku64(j, "default_value", p->default_value);
    quality_json(j, p);
}

static void add_address(struct json *j, const char *key, uint64_t address) {
    char text[32];
    snprintf(text, sizeof(text), "0x%" PRIx64, address);
    json_kstring(j, key, text);
}

static void add_functions(struct json *j, const struct profile *p) {
    json_key(j, "functions");
    json_array(j);
    for (size_t i = 0; i < p->n_functions; i++) {
        const struct profile_function *f = &p->functions[i];
        json_object(j);
        json_kstring(j, "name", profile_str(p, f->name));
        if (f->system_name)
            json_kstring(j, "system_name", profile_str(p, f->system_name));
        json_kstring(j, "file", profile_str(p, f->file));
        json_ku64(j, "start_line", f->start_line);
        json_object_end(j);
    }
    json_array_end(j);
}

static void add_mappings(struct json *j, const struct profile *p) {
    json_key(j, "mappings");
    json_array(j);
    for (size_t i = 0; i < p->n_mappings; i++) {
        json_object(j);
        json_kstring(j, "file", profile_str(p, p->mappings[i].file));
        json_kstring(j, "build_id", profile_str(p, p->mappings[i].build_id));
        add_address(j, "start", p->mappings[i].start);
        add_address(j, "limit", p->mappings[i].limit);
        add_address(j, "offset", p->mappings[i].offset);
        json_object_end(j);
    }
    json_array_end(j);
}

static void add_frames(struct json *j, const struct profile *p) {
    static const struct {
        uint32_t flag;
        const char *name;
    } flags[] = {{FRAME_INLINED, "inlined"},
                 {FRAME_APPROXIMATE, "approximate"},
                 {FRAME_INTERNAL, "internal"},
                 {FRAME_MARK, "mark"},
                 {FRAME_UNNAMED, "unnamed"}};
    json_key(j, "frames");
    json_array(j);
    for (size_t i = 0; i < p->n_frames; i++) {
        const struct profile_frame *f = &p->frames[i];
        json_object(j);
        json_ku64(j, "function", f->function);
        json_ku64(j, "line", f->line);
        if (f->column)
            json_ku64(j, "column", f->column);
        json_kstring(j, "kind", profile_str(p, f->kind));
        json_ku64(j, "mapping", f->mapping);
        add_address(j, "address", f->address);
        for (size_t k = 0; k < ARRAY_SIZE(flags); k++)
            if (f->flags & flags[k].flag)
                json_kbool(j, flags[k].name, true);
        json_object_end(j);
    }
    json_array_end(j);
}

static void add_stacks(struct json *j, const struct profile *p) {
    json_key(j, "stacks");
    json_array(j);
    for (size_t i = 0; i < p->n_stacks; i++) {
        json_array(j);
        json_u64(j, p->stacks[i].parent);
        json_u64(j, p->stacks[i].frame);
        json_array_end(j);
    }
    json_array_end(j);
}

static void add_threads(struct json *j, const struct profile *p) {
    json_key(j, "threads");
    json_array(j);
    for (size_t i = 0; i < p->n_threads; i++) {
        const struct profile_thread *t = &p->threads[i];
        json_object(j);
        json_ku64(j, "pid", t->pid);
        json_ku64(j, "tid", t->tid);
        json_kstring(j, "process", profile_str(p, t->process_name));
        json_kstring(j, "thread", profile_str(p, t->thread_name));
        json_kstring(j, "container", profile_str(p, t->container));
        json_kstring(j, "runtime", profile_str(p, t->runtime));
        json_object_end(j);
    }
    json_array_end(j);
}

static void add_labels(struct json *j, const struct profile *p) {
    json_key(j, "label_sets");
    json_array(j);
    for (size_t i = 0; i < p->n_label_sets; i++) {
        json_array(j);
        for (uint32_t k = 0; k < p->label_sets[i].count; k++) {
            const struct profile_label *l = &p->labels[p->label_sets[i].first + k];
            json_object(j);
            json_kstring(j, "key", profile_str(p, l->key));
            if (l->text) {
                json_kstring(j, "text", profile_str(p, l->text));
            } else {
                json_key(j, "number");
                json_i64(j, l->number);
                json_kstring(j, "unit", profile_str(p, l->unit));
            }
            json_object_end(j);
        }
        json_array_end(j);
    }
    json_array_end(j);
    json_key(j, "sample_labels");
    json_array(j);
    for (size_t i = 0; i < p->n_samples && p->n_labels; i++)
        json_u64(j, p->samples[i].labels);
    json_array_end(j);
}

static void add_samples(struct json *j, const struct profile *p) {
    json_key(j, "samples");
    json_array(j);
    for (size_t i = 0; i < p->n_samples; i++) {
        const struct profile_sample *s = &p->samples[i];
        json_array(j);
        json_u64(j, s->stack);
        json_u64(j, s->thread);
        json_u64(j, s->time_ns);
        for (unsigned v = 0; v < p->n_value_types; v++)
            json_i64(j, profile_value(p, i, v));
        json_array_end(j);
    }
    json_array_end(j);
}

static int json_write(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err) {
    struct json j = json_to(out);
    json_object(&j);
    add_head(&j, p);
    add_functions(&j, p);
    add_mappings(&j, p);
    add_frames(&j, p);
    add_stacks(&j, p);
    add_threads(&j, p);
    add_samples(&j, p);
    add_labels(&j, p);
    json_object_end(&j);
    buf_addc(out, '\n');
    return out->failed ? err_nomem(err) : 0;
}

const struct format format_json = {
    .name = "json",
    .ending = ".json",
    .title = "JSON",
    .write = json_write,
};
