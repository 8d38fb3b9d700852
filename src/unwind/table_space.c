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

static int add_chunk(struct table_space *s, enum record_kind kind, u32 used) {
    if (s->n_chunks == TABLE_MAX_CHUNKS)
        return -ENOMEM;
    void *chunk = s->memory.new_chunk(s->memory.ctx, s->n_chunks);
    if (!chunk)
        return -ENOMEM;
    s->chunks[s->n_chunks] = chunk;
    s->kinds[s->n_chunks] = (u8)kind;
    s->used[s->n_chunks++] = used;
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

int table_space_take(struct table_space *s, enum record_kind kind, u32 count, u32 *ret_at) {
    u32 capacity = capacity_of(kind);
    if (take_again(&s->free[kind], count, ret_at))
        return 0;
    for (u32 i = 0; i < s->n_chunks; i++)
        if (s->kinds[i] == kind && capacity - s->used[i] >= count) {
            *ret_at = i * capacity + s->used[i];
            s->used[i] += count;
            return 0;
        }
    *ret_at = s->n_chunks * capacity;
    for (u32 left = count; left;) {
        u32 here = MIN(left, capacity);
        int rc = add_chunk(s, kind, here);
        if (rc < 0)
            return rc;
        left -= here;
    }
    return 0;
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

void table_space_age(struct table_space *s) {
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        struct free_list *list = &s->free[kind];
        bool news = false;
        for (size_t i = 0; i < list->count; i++) {
            news |= list->all[i].age < OLD_ENOUGH;
            list->all[i].age = MIN(list->all[i].age + 1, (u32)OLD_ENOUGH);
        }
        if (news)
            join_neighbours(list, capacity_of((enum record_kind)kind));
    }
}
