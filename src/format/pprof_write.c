/* Writing pprof. A location is an address with its inlined calls: the frames that were inlined into a
 * frame become further lines of its location. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/format.h"
#include "format/gzip.h"
#include "format/pprof.h"
#include "format/pprof_write.h"
#include "format/utf8.h"

/* ---- protobuf ---- */

static void add_varint(struct buf *b, uint64_t v) {
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (uint8_t)(v & 127) | (v > 127 ? 128 : 0);
        v >>= 7;
        n++;
    } while (v);
    buf_add(b, bytes, n);
}

static void add_u64(struct buf *b, unsigned field, uint64_t v) {
    if (v == 0)
        return;
    add_varint(b, field << 3);
    add_varint(b, v);
}

static void add_bytes(struct buf *b, unsigned field, const void *data, size_t n) {
    add_varint(b, field << 3 | 2);
    add_varint(b, n);
    buf_add(b, data, n);
}

static void add_message(struct buf *b, unsigned field, struct buf *message) {
    add_bytes(b, field, message->data, message->len);
    buf_reset(message);
}

/* ---- locations ---- */

/* A location is a run of frames, leaf first: inlined ones, then the one they were inlined into. */
struct location_key {
    stack_id stack; /* of the leaf-most frame; the run is `count` nodes long */
    uint32_t count;
};

struct writer {
    const struct profile *p;
    struct buf *out, message, inner;
    struct hash_index location_index, sample_index, function_index;
    struct location_key *locations;
    size_t n_locations, cap_locations;
    struct stack_location {
        uint32_t location; /* id of the one that starts here; 0 = not looked for yet */
        stack_id next;     /* where the one above it starts */
    } * location_at;       /* for each stack */
    struct aggregated {
        stack_id stack;
        thread_id thread;
        labels_id labels;
    } * samples;
    int64_t *values;
    size_t n_samples, cap_samples, cap_values;
    struct written_function {
        function_id function;
        string_id kind;
        uint32_t flags;
    } * functions;
    size_t n_functions, cap_functions;
    struct buf strings; /* appended after the profile's own */
    size_t n_strings;
    bool failed;
};

/* Whether a frame was inlined into the one that stands above it: both are the same address, unless frames between
 * them were left out. */
static bool inlined_into(const struct profile_frame *f, const struct profile_frame *into) {
    return f->flags & FRAME_INLINED && f->address == into->address && f->mapping == into->mapping;
}

static uint32_t run_length(const struct profile *p, stack_id at) {
    uint32_t n = 1;
    for (stack_id parent; (parent = p->stacks[at].parent) != 0; at = parent, n++)
        if (!inlined_into(&p->frames[p->stacks[at].frame], &p->frames[p->stacks[parent].frame]))
            break;
    return n;
}

static stack_id up(const struct profile *p, stack_id at, uint32_t n) {
    while (n--)
        at = p->stacks[at].parent;
    return at;
}

struct location_query {
    const struct writer *w;
    struct location_key key;
};

static bool same_location(const void *ctx, uint32_t id) {
    const struct location_query *q = ctx;
    struct location_key a = q->w->locations[id], b = q->key;
    if (a.count != b.count)
        return false;
    const struct profile_stack *s = q->w->p->stacks;
    for (uint32_t i = 0; i < b.count; i++) {
        if (s[a.stack].frame != s[b.stack].frame)
            return false;
        a.stack = s[a.stack].parent;
        b.stack = s[b.stack].parent;
    }
    return true;
}

/* The location that starts at a stack node; ids count from 1. */
static uint32_t location_of(struct writer *w, stack_id at, uint32_t count) {
    struct location_query q = {.w = w, .key = {.stack = at, .count = count}};
    uint64_t hash = count;
    stack_id s = at;
    for (uint32_t i = 0; i < count; i++) {
        hash = hash_mix(hash, w->p->stacks[s].frame);
        s = w->p->stacks[s].parent;
    }
    uint32_t id = hash_index_find(&w->location_index, hash, same_location, &q);
    if (id != UINT32_MAX)
        return id + 1;
    if (mem_grow((void **)&w->locations, &w->cap_locations, w->n_locations + 1, sizeof(*w->locations)) < 0 ||
        hash_index_add(&w->location_index, hash, (uint32_t)w->n_locations) < 0) {
        w->failed = true;
        return 1;
    }
    w->locations[w->n_locations++] = q.key;
    return (uint32_t)w->n_locations;
}

/* Stacks share their outer parts, so each place of the tree is looked at once. */
static struct stack_location location_at(struct writer *w, stack_id at) {
    struct stack_location *l = &w->location_at[at];
    if (!l->location) {
        uint32_t n = run_length(w->p, at);
        *l = (struct stack_location){.location = location_of(w, at, n), .next = up(w->p, at, n)};
    }
    return *l;
}

/* ---- functions: one for each kind and flags that its frames have, since the schema knows neither ---- */

enum { FLAGS_KEPT = FRAME_APPROXIMATE | FRAME_INTERNAL | FRAME_MARK | FRAME_UNNAMED };

struct function_query {
    const struct writer *w;
    struct written_function key;
};

static bool same_function(const void *ctx, uint32_t id) {
    const struct function_query *q = ctx;
    const struct written_function *a = &q->w->functions[id], *b = &q->key;
    return a->function == b->function && a->kind == b->kind && a->flags == b->flags;
}

/* Ids count from 1; 0 for a frame without a function. */
static uint64_t function_of(struct writer *w, const struct profile_frame *f) {
    if (!f->function)
        return 0;
    struct function_query q = {.w = w, .key = {f->function, f->kind, f->flags & FLAGS_KEPT}};
    uint64_t hash = hash_mix(hash_mix(hash_mix(2, f->function), f->kind), f->flags & FLAGS_KEPT);
    uint32_t id = hash_index_find(&w->function_index, hash, same_function, &q);
    if (id != UINT32_MAX)
        return id + 1ull;
    if (mem_grow((void **)&w->functions, &w->cap_functions, w->n_functions + 1, sizeof(*w->functions)) < 0 ||
        hash_index_add(&w->function_index, hash, (uint32_t)w->n_functions) < 0) {
        w->failed = true;
        return 1;
    }
    w->functions[w->n_functions++] = q.key;
    return w->n_functions;
}

/* ---- samples: equal ones are added up ---- */

struct sample_query {
    const struct writer *w;
    struct aggregated key;
};

static bool same_sample(const void *ctx, uint32_t id) {
    const struct sample_query *q = ctx;
    const struct aggregated *a = &q->w->samples[id];
    return a->stack == q->key.stack && a->thread == q->key.thread && a->labels == q->key.labels;
}

static void aggregate(struct writer *w) {
    const struct profile *p = w->p;
    unsigned width = p->n_value_types;
    for (size_t i = 0; i < p->n_samples && !w->failed; i++) {
        const struct profile_sample *s = &p->samples[i];
        struct sample_query q = {.w = w, .key = {s->stack, s->thread, s->labels}};
        uint64_t hash = hash_mix(hash_mix(hash_mix(1, s->stack), s->thread), s->labels);
        uint32_t id = hash_index_find(&w->sample_index, hash, same_sample, &q);
        if (id == UINT32_MAX) {
            id = (uint32_t)w->n_samples;
            if (mem_grow((void **)&w->samples, &w->cap_samples, w->n_samples + 1, sizeof(*w->samples)) < 0 ||
                mem_grow((void **)&w->values, &w->cap_values, (w->n_samples + 1) * width, sizeof(*w->values)) < 0 ||
                hash_index_add(&w->sample_index, hash, id) < 0) {
                w->failed = true;
                return;
            }
            w->samples[id] = q.key;
            memset(w->values + (size_t)id * width, 0, width * sizeof(*w->values));
            w->n_samples++;
        }
        int64_t *sums = w->values + (size_t)id * width;
        for (unsigned v = 0; v < width; v++)
            sums[v] = profile_sum(sums[v], profile_value(p, i, v));
    }
}

/* ---- strings: ids of the profile's strings stay; new ones follow ---- */

static void add_string(struct writer *w, struct buf *out, const char *text, size_t n) {
    utf8_add(&w->inner, text, n);
    add_message(out, PROFILE_STRING_TABLE, &w->inner);
}

static uint64_t new_string(struct writer *w, const char *text) {
    add_string(w, &w->strings, text, strlen(text));
    return w->n_strings++;
}

struct fixed_strings {
    uint64_t thread, process, pid, tid, runtime, container;
};

static void add_text_label(struct writer *w, uint64_t key, uint64_t text) {
    if (!text)
        return;
    add_u64(&w->inner, LABEL_KEY, key);
    add_u64(&w->inner, LABEL_STR, text);
    add_message(&w->message, SAMPLE_LABEL, &w->inner);
}

static void add_number_label(struct writer *w, uint64_t key, uint64_t number, uint64_t unit) {
    add_u64(&w->inner, LABEL_KEY, key);
    add_u64(&w->inner, LABEL_NUM, number);
    add_u64(&w->inner, LABEL_NUM_UNIT, unit);
    add_message(&w->message, SAMPLE_LABEL, &w->inner);
}

static void add_labels(struct writer *w, const struct aggregated *s, const struct fixed_strings *k) {
    const struct profile *p = w->p;
    const struct profile_thread *t = &p->threads[s->thread];
    add_text_label(w, k->process, t->process_name);
    add_text_label(w, k->thread, t->thread_name);
    add_text_label(w, k->runtime, t->runtime);
    add_text_label(w, k->container, t->container);
    if (t->pid)
        add_number_label(w, k->pid, t->pid, 0);
    if (t->tid)
        add_number_label(w, k->tid, t->tid, 0);
    struct profile_labels_range r = p->label_sets[s->labels];
    for (uint32_t i = 0; i < r.count; i++) {
        const struct profile_label *l = &p->labels[r.first + i];
        if (l->text)
            add_text_label(w, l->key, l->text);
        else
            add_number_label(w, l->key, (uint64_t)l->number, l->unit);
    }
}

static void write_samples(struct writer *w, const struct fixed_strings *k) {
    const struct profile *p = w->p;
    for (size_t i = 0; i < w->n_samples && !w->out->failed; i++) {
        for (stack_id s = w->samples[i].stack; s;) {
            struct stack_location l = location_at(w, s);
            add_varint(&w->inner, l.location);
            s = l.next;
        }
        add_message(&w->message, SAMPLE_LOCATION_ID, &w->inner);
        for (unsigned v = 0; v < p->n_value_types; v++)
            add_varint(&w->inner, (uint64_t)w->values[i * p->n_value_types + v]);
        add_message(&w->message, SAMPLE_VALUE, &w->inner);
        add_labels(w, &w->samples[i], k);
        add_message(w->out, PROFILE_SAMPLE, &w->message);
    }
}

/* ---- tables ---- */

static void write_locations(struct writer *w) {
    const struct profile *p = w->p;
    for (size_t i = 0; i < w->n_locations; i++) {
        struct location_key l = w->locations[i];
        stack_id last = up(p, l.stack, l.count - 1);
        const struct profile_frame *f = &p->frames[p->stacks[last].frame];
        add_u64(&w->message, LOCATION_ID, i + 1);
        add_u64(&w->message, LOCATION_MAPPING_ID, f->mapping);
        add_u64(&w->message, LOCATION_ADDRESS, f->address);
        for (uint32_t k = 0; k < l.count; k++, l.stack = p->stacks[l.stack].parent) {
            f = &p->frames[p->stacks[l.stack].frame];
            uint64_t function = function_of(w, f);
            if (!function) /* an address without a name has no line */
                continue;
            add_u64(&w->inner, LINE_FUNCTION_ID, function);
            add_u64(&w->inner, LINE_LINE, f->line);
            add_u64(&w->inner, LINE_COLUMN, f->column);
            add_message(&w->message, LOCATION_LINE, &w->inner);
        }
        add_message(w->out, PROFILE_LOCATION, &w->message);
    }
}

/* What is known of a mapping's code by now: nobody needs to look for it again. */
struct mapping_knowledge {
    bool functions, files, lines;
};

static void know_mappings(const struct profile *p, struct mapping_knowledge *of) {
    for (size_t i = 1; i < p->n_frames; i++) {
        const struct profile_frame *f = &p->frames[i];
        struct mapping_knowledge *k = &of[f->mapping];
        k->functions |= !(f->flags & FRAME_UNNAMED) && p->functions[f->function].name;
        k->files |= p->functions[f->function].file != 0;
        k->lines |= f->line != 0;
    }
}

static void write_mapping(struct writer *w, size_t i, const struct mapping_knowledge *known) {
    const struct profile_mapping *m = &w->p->mappings[i];
    add_u64(&w->message, MAPPING_ID, i);
    add_u64(&w->message, MAPPING_START, m->start);
    add_u64(&w->message, MAPPING_LIMIT, m->limit);
    add_u64(&w->message, MAPPING_OFFSET, m->offset);
    add_u64(&w->message, MAPPING_FILENAME, m->file);
    add_u64(&w->message, MAPPING_BUILD_ID, m->build_id);
    add_u64(&w->message, MAPPING_HAS_FUNCTIONS, known->functions);
    add_u64(&w->message, MAPPING_HAS_FILENAMES, known->files);
    add_u64(&w->message, MAPPING_HAS_LINE_NUMBERS, known->lines);
    add_u64(&w->message, MAPPING_HAS_INLINE_FRAMES, known->lines);
    add_message(w->out, PROFILE_MAPPING, &w->message);
}

/* The first is to be the main program, which the kernel is not. */
static void write_mappings(struct writer *w) {
    const struct profile *p = w->p;
    static const uint64_t kernel = 1ull << 63;
    _cleanup_(freep) struct mapping_knowledge *known = mem_zalloc(p->n_mappings, sizeof(*known));
    if (!known) {
        w->failed = true;
        return;
    }
    know_mappings(p, known);
    for (unsigned last = 0; last < 2; last++)
        for (size_t i = 1; i < p->n_mappings; i++)
            if ((p->mappings[i].start >= kernel) == last)
                write_mapping(w, i, &known[i]);
}

static void write_functions(struct writer *w) {
    for (size_t i = 0; i < w->n_functions; i++) {
        const struct profile_function *f = &w->p->functions[w->functions[i].function];
        add_u64(&w->message, FUNCTION_ID, i + 1);
        add_u64(&w->message, FUNCTION_NAME, f->name);
        add_u64(&w->message, FUNCTION_SYSTEM_NAME,
                f->system_name); /* where it is the name, pprof would demangle that */
        add_u64(&w->message, FUNCTION_FILENAME, f->file);
        add_u64(&w->message, FUNCTION_START_LINE, f->start_line);
        add_message(w->out, PROFILE_FUNCTION, &w->message);
    }
}

static void write_value_type(struct writer *w, unsigned field, const struct profile_value_type *v) {
    add_u64(&w->message, VALUE_TYPE, v->type);
    add_u64(&w->message, VALUE_UNIT, v->unit);
    add_message(w->out, field, &w->message);
}

static void write_strings(struct writer *w) {
    const struct profile *p = w->p;
    for (size_t i = 0; i < p->n_strings; i++)
        add_string(w, w->out, p->strings[i], p->string_lengths[i]);
    buf_add(w->out, w->strings.data, w->strings.len);
}

/* ---- what the schema has no place for ---- */

static void comment(struct writer *w, const char *fmt, ...) _printf_(2, 3);
static void comment(struct writer *w, const char *fmt, ...) {
    char text[1200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    add_u64(w->out, PROFILE_COMMENT, new_string(w, text));
}

/* For people: what `go tool pprof -comments` shows first. */
static void write_words(struct writer *w) {
    const struct profile *p = w->p;
    const struct profile_quality *q = &p->quality;
    struct buf text = {0};
    if (q->samples_taken) {
        double taken = (double)q->samples_taken;
        buf_addf(&text, "scry: %" PRIu64 " samples, %" PRIu64 " lost; %.2f %% of the stacks are whole",
                 q->samples_taken, q->samples_lost, 100 * (double)q->stacks_whole / taken);
        for (size_t i = 0; i < q->n_truncated; i++)
            buf_addf(&text, "%s %s (%" PRIu64 ")", i ? "," : ":", profile_str(p, q->truncated[i].reason),
                     q->truncated[i].count);
        if (q->frames)
            buf_addf(&text, "; %.2f %% of the frames have no name",
                     100 * (double)q->frames_unnamed / (double)q->frames);
        add_u64(w->out, PROFILE_COMMENT, new_string(w, buf_cstr(&text)));
        buf_free(&text);
    }
    if (q->self_cpu_ns && q->slowdown_bound >= 0)
        comment(w, "scry: capturing took %.2f s of CPU of its own and cost the target at most %.2f %% of its speed",
                (double)q->self_cpu_ns / 1e9, 100 * q->slowdown_bound);
}

/* For reading it again: "scry.KEY VALUE". */
static void write_quality(struct writer *w) {
    const struct profile *p = w->p;
    const struct profile_quality *q = &p->quality;
    const struct {
        const char *key;
        uint64_t value;
    } counts[] = {
#define QUALITY(field) {#field, q->field},
#include "format/quality.def"
#undef QUALITY
    };
    if (p->command)
        comment(w, PPROF_COMMENT "command %s", profile_str(p, p->command));
    if (p->host)
        comment(w, PPROF_COMMENT "host %s", profile_str(p, p->host));
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        if (counts[i].value)
            comment(w, PPROF_COMMENT "%s %" PRIu64, counts[i].key, counts[i].value);
    if (q->slowdown_bound >= 0)
        comment(w, PPROF_COMMENT "slowdown_bound %.6g", q->slowdown_bound);
    for (size_t i = 0; i < q->n_truncated; i++)
        comment(w, PPROF_COMMENT "truncated %" PRIu64 " %s", q->truncated[i].count,
                profile_str(p, q->truncated[i].reason));
    for (size_t i = 0; i < q->n_notes; i++)
        comment(w, PPROF_COMMENT "note %s", profile_str(p, q->notes[i]));
}

/* "scry.kind KIND FLAGS ID…" for each kind and flags, and before them "scry.functions HASH" over ids and names, by
 * which the reader sees that another tool has not numbered the functions anew. */
static void write_kinds(struct writer *w) {
    const struct profile *p = w->p;
    _cleanup_(freep) bool *done = mem_zalloc(w->n_functions, sizeof(*done));
    uint64_t hash = 0;
    if (!done) {
        w->failed = true;
        return;
    }
    for (size_t i = 0; i < w->n_functions; i++) {
        utf8_add(&w->inner, profile_str(p, p->functions[w->functions[i].function].name),
                 p->string_lengths[p->functions[w->functions[i].function].name]);
        hash = pprof_function_hash(hash, i + 1, w->inner.data, w->inner.len);
        buf_reset(&w->inner);
    }
    comment(w, PPROF_COMMENT "functions %" PRIx64, hash);
    for (size_t first = 0; first < w->n_functions; first++) {
        const struct written_function *what = &w->functions[first];
        if (done[first])
            continue;
        struct buf text = {0};
        const char *kind = profile_str(p, what->kind);
        buf_addf(&text, PPROF_COMMENT "kind %s %u", kind[0] ? kind : "-", what->flags);
        for (size_t i = first; i < w->n_functions; i++)
            if (w->functions[i].kind == what->kind && w->functions[i].flags == what->flags) {
                buf_addf(&text, " %zu", i + 1);
                done[i] = true;
            }
        w->failed |= text.failed;
        add_u64(w->out, PROFILE_COMMENT, new_string(w, buf_cstr(&text)));
        buf_free(&text);
    }
}

/* The period is one of time: its type is the value type that is measured in it. */
static unsigned period_type(const struct profile *p) {
    for (unsigned v = 0; v < p->n_value_types; v++)
        if (strcmp(profile_str(p, p->value_types[v].unit), "nanoseconds") == 0)
            return v;
    return p->default_value;
}

static void write_header(struct writer *w) {
    const struct profile *p = w->p;
    for (unsigned v = 0; v < p->n_value_types; v++)
        write_value_type(w, PROFILE_SAMPLE_TYPE, &p->value_types[v]);
    add_u64(w->out, PROFILE_TIME_NANOS, p->start_time_ns);
    add_u64(w->out, PROFILE_DURATION_NANOS, p->duration_ns);
    if (p->n_value_types) {
        write_value_type(w, PROFILE_PERIOD_TYPE, &p->value_types[period_type(p)]);
        add_u64(w->out, PROFILE_PERIOD, p->period_ns);
        add_u64(w->out, PROFILE_DEFAULT_SAMPLE_TYPE, p->value_types[p->default_value].type);
    }
    write_words(w);
    write_quality(w);
}

static void write_all(struct writer *w) {
    struct fixed_strings k;
    k.thread = new_string(w, "thread");
    k.process = new_string(w, "process");
    k.pid = new_string(w, "pid");
    k.tid = new_string(w, "tid");
    k.runtime = new_string(w, "runtime");
    k.container = new_string(w, "container");
    write_header(w);
    aggregate(w);
    write_samples(w, &k);
    write_mappings(w);
    write_locations(w);
    write_functions(w);
    write_kinds(w);
    write_strings(w);
}

static void writer_free(struct writer *w) {
    buf_free(&w->message);
    buf_free(&w->inner);
    buf_free(&w->strings);
    hash_index_free(&w->location_index);
    hash_index_free(&w->sample_index);
    hash_index_free(&w->function_index);
    free(w->locations);
    free(w->location_at);
    free(w->samples);
    free(w->functions);
    free(w->values);
}

int pprof_write(const struct profile *given, const struct format_options *o, struct buf *out, struct err *err) {
    _cleanup_(profile_view_free) struct profile_view v = {0};
    /* Threads are labels here: `-tagroot=thread` tells them apart. */
    int rc = profile_view(given, (struct profile_view_options){.internal = o && o->show_internal}, &v, err);
    if (rc < 0)
        return rc;
    _cleanup_(buf_free) struct buf plain = {.limit = out->limit ? out->limit : FORMAT_MOST_BYTES};
    _cleanup_(writer_free) struct writer w = {.p = v.p, .out = &plain};
    w.n_strings = w.p->n_strings;
    w.location_at = mem_zalloc(w.p->n_stacks, sizeof(*w.location_at));
    if (!w.location_at)
        return err_nomem(err);
    write_all(&w);
    if (w.failed || w.message.failed || w.inner.failed || w.strings.failed)
        return err_nomem(err);
    rc = format_written(&plain, err);
    if (rc < 0)
        return rc;
    enum { FAST_LEVEL = 3 };
    return gzip_compress(plain.data, plain.len, FAST_LEVEL, out, err);
}
