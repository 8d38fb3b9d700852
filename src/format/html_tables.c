#include "format/html_tables.h"

#include <string.h>

struct html_tables_private {
    const struct profile *from;
    struct hash_index frames, stacks;
    uint32_t *first_children; /* per html stack; most have one child, and only further ones are in `stacks` */
    size_t cap_first_children;
    uint32_t *string_of, *function_of, *frame_of; /* profile's id → html id, 0 = not yet */
    size_t cap_strings, cap_functions, cap_frames, cap_stacks;
    bool failed;
};

_Static_assert(sizeof(struct html_frame) == 20, "no padding: compared as bytes");

struct row_key {
    const void *base;
    size_t size;
    const void *row;
};

static bool row_equal(const void *ctx, uint32_t id) {
    const struct row_key *k = ctx;
    return memcmp((const char *)k->base + (size_t)id * k->size, k->row, k->size) == 0;
}

static uint32_t append(struct html_tables *t, void **base, size_t *n, size_t *cap, const void *row, size_t size) {
    if (mem_grow(base, cap, *n + 1, size) < 0) {
        t->priv->failed = true;
        return 0;
    }
    memcpy((char *)*base + *n * size, row, size);
    return (uint32_t)(*n)++;
}

static string_id string_of(struct html_tables *t, string_id id) {
    struct html_tables_private *v = t->priv;
    if (id && !v->string_of[id])
        v->string_of[id] =
            append(t, (void **)&t->strings, &t->n_strings, &v->cap_strings, &v->from->strings[id], sizeof(*t->strings));
    return v->string_of[id];
}

static function_id function_of(struct html_tables *t, function_id id) {
    struct html_tables_private *v = t->priv;
    if (id && !v->function_of[id]) {
        const struct profile_function *f = &v->from->functions[id];
        struct html_function row = {.name = string_of(t, f->name ? f->name : f->system_name),
                                    .file = string_of(t, f->file),
                                    .start_line = f->start_line};
        v->function_of[id] = append(t, (void **)&t->functions, &t->n_functions, &v->cap_functions, &row, sizeof(row));
    }
    return v->function_of[id];
}

static uint32_t intern(struct html_tables *t, struct hash_index *index, void **base, size_t *n, size_t *cap,
                       const void *row, size_t size) {
    uint64_t hash = hash_bytes(row, size);
    struct row_key key = {.base = *base, .size = size, .row = row};
    uint32_t id = hash_index_find(index, hash, row_equal, &key);
    if (id != UINT32_MAX)
        return id;
    id = append(t, base, n, cap, row, size);
    if (!t->priv->failed && hash_index_add(index, hash, id) < 0)
        t->priv->failed = true;
    return id;
}

static frame_id frame_of(struct html_tables *t, frame_id id) {
    struct html_tables_private *v = t->priv;
    if (id && !v->frame_of[id]) {
        const struct profile_frame *f = &v->from->frames[id];
        struct html_frame row = {.function = function_of(t, f->function),
                                 .line = f->line,
                                 .kind = string_of(t, f->kind),
                                 .module = string_of(t, v->from->mappings[f->mapping].file),
                                 .flags = f->flags};
        v->frame_of[id] = intern(t, &v->frames, (void **)&t->frames, &t->n_frames, &v->cap_frames, &row, sizeof(row));
    }
    return v->frame_of[id];
}

static uint32_t stack_below(struct html_tables *t, uint32_t parent, frame_id frame) {
    struct html_tables_private *v = t->priv;
    struct profile_stack row = {.parent = parent, .frame = frame};
    uint32_t id, first;
    if (mem_grow((void **)&v->first_children, &v->cap_first_children, t->n_stacks + 1, sizeof(uint32_t)) < 0) {
        v->failed = true;
        return 0;
    }
    v->first_children[t->n_stacks] = 0;
    if (t->n_stacks == 1) /* the empty stack, which was not made here */
        v->first_children[0] = 0;
    first = v->first_children[parent];
    if (first && t->stacks[first].frame == frame)
        return first;
    if (first)
        return intern(t, &v->stacks, (void **)&t->stacks, &t->n_stacks, &v->cap_stacks, &row, sizeof(row));
    id = append(t, (void **)&t->stacks, &t->n_stacks, &v->cap_stacks, &row, sizeof(row));
    return v->first_children[parent] = id;
}

/* Parents have smaller ids than their children, so one pass down marks every used stack and one
 * pass up copies them, without recursion. */
static void copy_stacks(struct html_tables *t) {
    struct html_tables_private *v = t->priv;
    const struct profile *p = v->from;
    for (size_t i = 0; i < p->n_samples; i++)
        t->stack_of[p->samples[i].stack] = 1;
    for (size_t id = p->n_stacks; id-- > 1;)
        if (t->stack_of[id])
            t->stack_of[p->stacks[id].parent] = 1;
    t->stack_of[0] = 0;
    for (size_t id = 1; id < p->n_stacks && !v->failed; id++)
        if (t->stack_of[id])
            t->stack_of[id] = stack_below(t, t->stack_of[p->stacks[id].parent], frame_of(t, p->stacks[id].frame));
}

static void add_nothings(struct html_tables *t) {
    struct html_tables_private *v = t->priv;
    append(t, (void **)&t->strings, &t->n_strings, &v->cap_strings, &v->from->strings[0], sizeof(*t->strings));
    append(t, (void **)&t->functions, &t->n_functions, &v->cap_functions, &(struct html_function){0},
           sizeof(struct html_function));
    append(t, (void **)&t->frames, &t->n_frames, &v->cap_frames, &(struct html_frame){0}, sizeof(struct html_frame));
    append(t, (void **)&t->stacks, &t->n_stacks, &v->cap_stacks, &(struct profile_stack){0},
           sizeof(struct profile_stack));
}

int html_tables_build(const struct profile *p, struct html_tables *ret, struct err *err) {
    struct html_tables t = {.priv = mem_zalloc(1, sizeof(*t.priv))};
    if (!t.priv)
        return err_nomem(err);
    t.priv->from = p;
    t.priv->string_of = mem_zalloc(p->n_strings, sizeof(uint32_t));
    t.priv->function_of = mem_zalloc(p->n_functions, sizeof(uint32_t));
    t.priv->frame_of = mem_zalloc(p->n_frames, sizeof(uint32_t));
    t.stack_of = mem_zalloc(p->n_stacks, sizeof(uint32_t));
    if (!t.priv->string_of || !t.priv->function_of || !t.priv->frame_of || !t.stack_of)
        t.priv->failed = true;
    else
        add_nothings(&t);
    if (!t.priv->failed)
        copy_stacks(&t);
    if (t.priv->failed) {
        html_tables_free(&t);
        return err_nomem(err);
    }
    *ret = t;
    return 0;
}

void html_tables_free(struct html_tables *t) {
    if (t->priv) {
        hash_index_free(&t->priv->frames);
        hash_index_free(&t->priv->stacks);
        free(t->priv->first_children);
        free(t->priv->string_of);
        free(t->priv->function_of);
        free(t->priv->frame_of);
        free(t->priv);
    }
    free(t->strings);
    free(t->functions);
    free(t->frames);
    free(t->stacks);
    free(t->stack_of);
    *t = (struct html_tables){0};
}
