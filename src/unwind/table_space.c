#include "unwind/table_space.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"

enum { OLD_ENOUGH = 2 };

static const u32 record_bytes[RECORD_KINDS] = {4, sizeof(struct table_page), sizeof(struct table_mapping)};

static u32 capacity_of(enum record_kind kind) {
    return TABLE_CHUNK_BYTES / record_bytes[kind];
}

void table_space_free(struct table_space *s) {
    for (u32 i = 0; i < s->n_chunks; i++)
        s->memory.free_chunk(s->memory.ctx, i, s->chunks[i]);
    for (int kind = 0; kind < RECORD_KINDS; kind++)
        free(s->free[kind].all);
    *s = (struct table_space){0};
}

void *table_space_record(const struct table_space *s, enum record_kind kind, u32 at) {
    u32 capacity = capacity_of(kind), chunk = at / capacity;
    if (chunk >= s->n_chunks || s->kinds[chunk] != kind)
        return NULL;
    return (char *)s->chunks[chunk] + (size_t)(at % capacity) * record_bytes[kind];
}

/* ---- taking ---- */

/* An empty one. */
static int add_chunk(struct table_space *s) {
    if (s->n_chunks == TABLE_MAX_CHUNKS)
        return -ENOMEM;
    void *chunk = s->memory.new_chunk(s->memory.ctx, s->n_chunks);
    if (!chunk)
        return -ENOMEM;
    s->chunks[s->n_chunks] = chunk;
    s->used[s->n_chunks++] = 0;
    return 0;
}

static bool take_again(struct free_list *list, u32 count, u32 *ret_at) {
    for (size_t i = 0; i < list->count; i++) {
        struct free_range *f = &list->all[i];
        if (f->age < OLD_ENOUGH || f->count < count)
            continue;
        *ret_at = f->at;
        f->at += count;
        f->count -= count;
        if (f->count == 0)
            *f = list->all[--list->count];
        return true;
    }
    return false;
}

/* The first of `n` empty chunks side by side; where there are no such, of those at the end, which more may follow. */
static u32 find_empty(const struct table_space *s, u32 n) {
    u32 first = 0;
    for (u32 i = 0; i < s->n_chunks && i - first < n; i++)
        if (s->used[i])
            first = i + 1;
    return first;
}

/* Takes from empty chunks. When there is no memory for all of them, those that there are stay empty. */
static int take_empty(struct table_space *s, enum record_kind kind, u32 count, u32 *ret_at) {
    u32 capacity = capacity_of(kind), n = (count + capacity - 1) / capacity, first = find_empty(s, n);
    while (s->n_chunks < first + n)
        if (add_chunk(s) < 0)
            return -ENOMEM;
    for (u32 i = first, left = count; i < first + n; i++) {
        s->kinds[i] = (u8)kind;
        s->used[i] = MIN(left, capacity);
        left -= s->used[i];
    }
    *ret_at = first * capacity;
    return 0;
}

int table_space_take(struct table_space *s, enum record_kind kind, u32 count, u32 *ret_at) {
    u32 capacity = capacity_of(kind);
    if (take_again(&s->free[kind], count, ret_at))
        return 0;
    for (u32 i = 0; i < s->n_chunks; i++)
        if (s->used[i] && s->kinds[i] == kind && capacity - s->used[i] >= count) {
            *ret_at = i * capacity + s->used[i];
            s->used[i] += count;
            return 0;
        }
    return take_empty(s, kind, count, ret_at);
}

/* ---- giving back ---- */

void table_space_give(struct table_space *s, enum record_kind kind, u32 at, u32 count) {
    struct free_list *list = &s->free[kind];
    u32 capacity = capacity_of(kind);
    while (count) {
        u32 here = MIN(count, capacity - at % capacity);
        struct free_range *last = list->count ? &list->all[list->count - 1] : NULL;
        if (last && last->age == 0 && last->at + last->count == at && at % capacity) {
            last->count += here;
        } else {
            if (mem_grow((void **)&list->all, &list->capacity, list->count + 1, sizeof(*list->all)) < 0)
                return;
            list->all[list->count++] = (struct free_range){.at = at, .count = here};
        }
        at += here;
        count -= here;
    }
}

static int by_place(const void *a, const void *b) {
    const struct free_range *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void join_neighbours(struct free_list *list, u32 capacity) {
    size_t n = 0;
    qsort(list->all, list->count, sizeof(*list->all), by_place);
    for (size_t i = 0; i < list->count; i++) {
        struct free_range *last = n ? &list->all[n - 1] : NULL, *next = &list->all[i];
        if (last && last->age >= OLD_ENOUGH && next->age >= OLD_ENOUGH && last->at + last->count == next->at &&
            next->at % capacity)
            last->count += next->count;
        else
            list->all[n++] = *next;
    }
    list->count = n;
}

/* A chunk of which nothing is in use serves any kind again, and as one of several side by side. */
static void empty_chunks(struct table_space *s, enum record_kind kind) {
    struct free_list *list = &s->free[kind];
    u32 capacity = capacity_of(kind);
    size_t n = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct free_range *f = &list->all[i];
        u32 chunk = f->at / capacity;
        if (f->age >= OLD_ENOUGH && f->at % capacity == 0 && f->count == s->used[chunk])
            s->used[chunk] = 0;
        else
            list->all[n++] = *f;
    }
    list->count = n;
}

void table_space_age(struct table_space *s) {
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        struct free_list *list = &s->free[kind];
        bool news = false;
        for (size_t i = 0; i < list->count; i++) {
            news |= list->all[i].age < OLD_ENOUGH;
            list->all[i].age = MIN(list->all[i].age + 1, (u32)OLD_ENOUGH);
        }
        if (news) {
            join_neighbours(list, capacity_of((enum record_kind)kind));
            empty_chunks(s, (enum record_kind)kind);
        }
    }
}
