#include "model/profile.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct profile_private {
    struct arena arena; /* of strings */
    size_t text_limit;  /* 0 = none */
    string_id too_much; /* stands for a new string when the limit is reached */
    struct hash_index strings, functions, mappings, frames, stacks, threads, label_sets;
    size_t cap_strings, cap_lengths, cap_functions, cap_mappings, cap_frames, cap_stacks, cap_threads;
    /* Most stacks have one child, which stands here; only further ones are in the index. */
    stack_id *first_children;
    size_t cap_first_children;
    size_t cap_labels, cap_label_sets, cap_samples, cap_values, cap_truncated, cap_notes;
};

static void fail(struct profile *p) {
    p->profile_failed = true;
}

/* ---- interning of fixed-size records ---- */

struct record_key {
    const void *base;
    size_t size;
    const void *record;
};

static bool record_equal(const void *ctx, uint32_t id) {
    const struct record_key *k = ctx;
    return memcmp((const char *)k->base + (size_t)id * k->size, k->record, k->size) == 0;
}

struct record_table {
    void **base;
    size_t *count, *capacity;
    size_t size;
    struct hash_index *index;
};

static bool has_room(struct record_table t) {
    return *t.count < UINT32_MAX - 1 && mem_grow(t.base, t.capacity, *t.count + 1, t.size) == 0;
}

static uint32_t append_record(struct record_table t, const void *record) {
    memcpy((char *)*t.base + *t.count * t.size, record, t.size);
    return (uint32_t)(*t.count)++;
}

static uint32_t intern_record(struct profile *p, struct record_table t, const void *record) {
    uint64_t hash = hash_bytes(record, t.size);
    struct record_key key = {.base = *t.base, .size = t.size, .record = record};
    uint32_t id = hash_index_find(t.index, hash, record_equal, &key);
    if (id != UINT32_MAX)
        return id;
    if (!has_room(t) || hash_index_add(t.index, hash, (uint32_t)*t.count) < 0) {
        fail(p);
        return 0;
    }
    return append_record(t, record);
}

#define TABLE(p, name)                                                                                                 \
    (struct record_table) {                                                                                            \
        .base = (void **)&(p)->name, .count = &(p)->n_##name, .capacity = &(p)->priv->cap_##name,                      \
        .size = sizeof(*(p)->name), .index = &(p)->priv->name                                                          \
    }

/* Records are compared as bytes, so padding must not exist. */
_Static_assert(sizeof(struct profile_function) == 16, "no padding");
_Static_assert(sizeof(struct profile_mapping) == 32, "no padding");
_Static_assert(sizeof(struct profile_frame) == 32, "no padding");
_Static_assert(sizeof(struct profile_stack) == 8, "no padding");
_Static_assert(sizeof(struct profile_thread) == 24, "no padding");
_Static_assert(sizeof(struct profile_label) == 24, "padding is cleared below");

function_id profile_function(struct profile *p, const struct profile_function *f) {
    return intern_record(p, TABLE(p, functions), f);
}

mapping_id profile_mapping(struct profile *p, const struct profile_mapping *m) {
    return intern_record(p, TABLE(p, mappings), m);
}

frame_id profile_frame(struct profile *p, const struct profile_frame *f) {
    return intern_record(p, TABLE(p, frames), f);
}

stack_id profile_stack(struct profile *p, stack_id parent, frame_id frame) {
    struct profile_stack s = {.parent = parent, .frame = frame};
    struct profile_private *v = p->priv;
    size_t n = p->n_stacks;
    if (n && !parent && !frame)
        return 0;
    stack_id first = n ? v->first_children[parent] : 0;
    if (first && p->stacks[first].frame == frame)
        return first;
    if (!has_room(TABLE(p, stacks)) ||
        mem_grow((void **)&v->first_children, &v->cap_first_children, n + 1, sizeof(stack_id)) < 0) {
        fail(p);
        return 0;
    }
    v->first_children[n] = 0;
    if (first)
        return intern_record(p, TABLE(p, stacks), &s);
    if (n)
        v->first_children[parent] = (stack_id)n;
    return append_record(TABLE(p, stacks), &s);
}

thread_id profile_thread(struct profile *p, const struct profile_thread *t) {
    return intern_record(p, TABLE(p, threads), t);
}

void profile_rename_thread(struct profile *p, thread_id id, string_id name) {
    if (id && id < p->n_threads) /* the index knows the old record only; an equal new one gets an id of its own */
        p->threads[id].thread_name = name;
}

/* ---- strings ---- */

struct string_key {
    const struct profile *p;
    const char *s;
    size_t n;
};

static bool string_equal(const void *ctx, uint32_t id) {
    const struct string_key *k = ctx;
    return k->p->string_lengths[id] == k->n && memcmp(k->p->strings[id], k->s, k->n) == 0;
}

string_id profile_string_n(struct profile *p, const char *s, size_t n) {
    uint64_t hash = hash_bytes(s, n);
    struct string_key key = {.p = p, .s = s, .n = n};
    uint32_t id = hash_index_find(&p->priv->strings, hash, string_equal, &key);
    if (id != UINT32_MAX)
        return id;
    if (p->priv->text_limit && p->priv->arena.bytes + n > p->priv->text_limit) {
        p->text_full = true;
        return p->priv->too_much;
    }
    char *copy = n < UINT32_MAX ? arena_strndup(&p->priv->arena, s, n) : NULL;
    if (!copy || mem_grow((void **)&p->strings, &p->priv->cap_strings, p->n_strings + 1, sizeof(*p->strings)) < 0 ||
        mem_grow((void **)&p->string_lengths, &p->priv->cap_lengths, p->n_strings + 1, sizeof(*p->string_lengths)) <
            0 ||
        hash_index_add(&p->priv->strings, hash, (uint32_t)p->n_strings) < 0) {
        fail(p);
        return 0;
    }
    p->strings[p->n_strings] = copy;
    p->string_lengths[p->n_strings] = (uint32_t)n;
    return (string_id)p->n_strings++;
}

void profile_limit_text(struct profile *p, size_t bytes) {
    p->priv->text_limit = 0;
    p->priv->too_much = profile_string(p, "[too many names]");
    p->priv->text_limit = bytes;
}

string_id profile_string(struct profile *p, const char *s) {
    return s ? profile_string_n(p, s, strlen(s)) : 0;
}

/* ---- label sets ---- */

struct labels_key {
    const struct profile *p;
    const struct profile_label *labels;
    size_t n;
};

static bool labels_equal(const void *ctx, uint32_t id) {
    const struct labels_key *k = ctx;
    struct profile_labels_range r = k->p->label_sets[id];
    return r.count == k->n && memcmp(k->p->labels + r.first, k->labels, k->n * sizeof(*k->labels)) == 0;
}

labels_id profile_labels(struct profile *p, const struct profile_label *given, size_t n) {
    struct profile_label labels[PROFILE_MAX_LABELS];
    if (n > PROFILE_MAX_LABELS) {
        profile_note(p, "Samples had more than %d labels; the rest was left out", PROFILE_MAX_LABELS);
        n = PROFILE_MAX_LABELS;
    }
    if (n == 0)
        return 0;
    memset(labels, 0, sizeof(labels));
    for (size_t i = 0; i < n; i++) {
        labels[i].key = given[i].key;
        labels[i].text = given[i].text;
        labels[i].number = given[i].number;
        labels[i].unit = given[i].unit;
    }
    struct labels_key key = {.p = p, .labels = labels, .n = n};
    uint64_t hash = hash_bytes(labels, n * sizeof(*labels));
    uint32_t id = hash_index_find(&p->priv->label_sets, hash, labels_equal, &key);
    if (id != UINT32_MAX)
        return id;
    if (mem_grow((void **)&p->labels, &p->priv->cap_labels, p->n_labels + n, sizeof(*labels)) < 0 ||
        mem_grow((void **)&p->label_sets, &p->priv->cap_label_sets, p->n_label_sets + 1, sizeof(*p->label_sets)) < 0 ||
        hash_index_add(&p->priv->label_sets, hash, (uint32_t)p->n_label_sets) < 0) {
        fail(p);
        return 0;
    }
    memcpy(p->labels + p->n_labels, labels, n * sizeof(*labels));
    p->label_sets[p->n_label_sets] =
        (struct profile_labels_range){.first = (uint32_t)p->n_labels, .count = (uint32_t)n};
    p->n_labels += n;
    return (labels_id)p->n_label_sets++;
}

/* ---- life ---- */

static bool add_nothings(struct profile *p) {
    profile_string_n(p, "", 0);
    profile_function(p, &(struct profile_function){0});
    profile_mapping(p, &(struct profile_mapping){0});
    profile_frame(p, &(struct profile_frame){0});
    profile_thread(p, &(struct profile_thread){0});
    /* The empty stack is its own parent and is never found by interning: frame 0 is "nothing". */
    profile_stack(p, 0, 0);
    if (mem_grow((void **)&p->label_sets, &p->priv->cap_label_sets, 1, sizeof(*p->label_sets)) < 0)
        return false;
    p->label_sets[p->n_label_sets++] = (struct profile_labels_range){0};
    return !p->profile_failed;
}

struct profile *profile_new(void) {
    struct profile *p = mem_zalloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->quality.slowdown_bound = -1;
    p->priv = mem_zalloc(1, sizeof(*p->priv));
    if (!p->priv || !add_nothings(p)) {
        profile_free(p);
        return NULL;
    }
    return p;
}

void profile_free(struct profile *p) {
    if (!p)
        return;
    if (p->priv) {
        arena_free(&p->priv->arena);
        hash_index_free(&p->priv->strings);
        hash_index_free(&p->priv->functions);
        hash_index_free(&p->priv->mappings);
        hash_index_free(&p->priv->frames);
        hash_index_free(&p->priv->stacks);
        hash_index_free(&p->priv->threads);
        hash_index_free(&p->priv->label_sets);
        free(p->priv->first_children);
        free(p->priv);
    }
    free(p->strings);
    free(p->string_lengths);
    free(p->functions);
    free(p->mappings);
    free(p->frames);
    free(p->stacks);
    free(p->threads);
    free(p->labels);
    free(p->label_sets);
    free(p->samples);
    free(p->values);
    free(p->quality.truncated);
    free(p->quality.notes);
    free(p);
}

/* ---- samples and quality ---- */

unsigned profile_value_type(struct profile *p, const char *type, const char *unit) {
    if (p->n_value_types == PROFILE_MAX_VALUE_TYPES || p->n_samples) {
        fail(p);
        return 0;
    }
    p->value_types[p->n_value_types] =
        (struct profile_value_type){.type = profile_string(p, type), .unit = profile_string(p, unit)};
    return p->n_value_types++;
}

void profile_add_sample(struct profile *p, const struct profile_sample *s, const int64_t *values) {
    size_t n = p->n_samples, width = p->n_value_types;
    if (mem_grow((void **)&p->samples, &p->priv->cap_samples, n + 1, sizeof(*p->samples)) < 0 ||
        mem_grow((void **)&p->values, &p->priv->cap_values, (n + 1) * width, sizeof(*p->values)) < 0) {
        fail(p);
        return;
    }
    p->samples[n] = *s;
    memcpy(p->values + n * width, values, width * sizeof(*values));
    p->n_samples++;
}

void profile_count_truncated(struct profile *p, const char *reason, uint64_t count) {
    string_id id = profile_string(p, reason);
    struct profile_quality *q = &p->quality;
    for (size_t i = 0; i < q->n_truncated; i++)
        if (q->truncated[i].reason == id) {
            q->truncated[i].count += count;
            return;
        }
    if (mem_grow((void **)&q->truncated, &p->priv->cap_truncated, q->n_truncated + 1, sizeof(*q->truncated)) < 0) {
        fail(p);
        return;
    }
    q->truncated[q->n_truncated++] = (struct profile_count){.reason = id, .count = count};
}

void profile_check_quality(struct profile *p) {
    enum { MOST_SLOWDOWN = 1000000 };
    struct profile_quality *q = &p->quality;
    q->stacks_whole = MIN(q->stacks_whole, q->samples_taken);
    q->frames_unnamed = MIN(q->frames_unnamed, q->frames);
    q->frames_approximate = MIN(q->frames_approximate, q->frames);
    if (!(q->slowdown_bound >= 0 && q->slowdown_bound < MOST_SLOWDOWN)) /* also what is not a number */
        q->slowdown_bound = -1;
}

bool profile_says_why_nothing_ran(const struct profile *p) {
    static const char begin[] = PROFILE_NOTHING_RAN;
    for (size_t i = 0; i < p->quality.n_notes; i++)
        if (strncmp(profile_str(p, p->quality.notes[i]), begin, strlen(begin)) == 0)
            return true;
    return false;
}

void profile_note(struct profile *p, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    string_id id = profile_string(p, text);
    struct profile_quality *q = &p->quality;
    for (size_t i = 0; i < q->n_notes; i++)
        if (q->notes[i] == id)
            return;
    if (mem_grow((void **)&q->notes, &p->priv->cap_notes, q->n_notes + 1, sizeof(*q->notes)) < 0) {
        fail(p);
        return;
    }
    q->notes[q->n_notes++] = id;
}
