#include "symbol/dwarf_ranges.h"

#include <errno.h>

#include "base/bisect.h"

static uint64_t end_of(const struct dwarf_range *r) {
    return r->low + r->size;
}

int dwarf_ranges_add(struct dwarf_ranges *r, uint64_t low, uint64_t high, uint32_t what) {
    uint32_t size = (uint32_t)MIN(high - low, (uint64_t)UINT32_MAX);
    if (low >= high || low > UINT64_MAX - size)
        return 0;
    /* Neighbours of one owner become one: compilers give each function of a unit a range. */
    if (r->count && r->all[r->count - 1].what == what && end_of(&r->all[r->count - 1]) == low &&
        r->all[r->count - 1].size <= UINT32_MAX - size) {
        r->all[r->count - 1].size += size;
        return 0;
    }
    if (mem_grow((void **)&r->all, &r->capacity, r->count + 1, sizeof(*r->all)) < 0)
        return -ENOMEM;
    r->all[r->count++] = (struct dwarf_range){low, size, what};
    return 0;
}

/* Outer before inner. */
static int by_low(const void *a, const void *b) {
    const struct dwarf_range *x = a, *y = b;
    if (x->low != y->low)
        return x->low < y->low ? -1 : 1;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->what < y->what ? -1 : x->what > y->what;
}

/* Where compilers and linkers leave them in order, which is nearly everywhere, there is nothing to do. */
static void sort(struct dwarf_ranges *r) {
    size_t i = 1;
    while (i < r->count && by_low(&r->all[i - 1], &r->all[i]) <= 0)
        i++;
    if (i < r->count)
        qsort(r->all, r->count, sizeof(*r->all), by_low);
}

static bool overlap(const struct dwarf_ranges *r) {
    for (size_t i = 1; i < r->count; i++)
        if (r->all[i].low < end_of(&r->all[i - 1]))
            return true;
    return false;
}

/* A sweep over the starts with a stack of what is open; each range is pushed and popped once. */
struct sweep {
    struct dwarf_ranges out;
    struct dwarf_range *open;
    size_t n_open;
    uint64_t at;
};

static int emit(struct sweep *s, uint64_t to) {
    const struct dwarf_range *top = &s->open[s->n_open - 1];
    uint64_t end = MIN(to, end_of(top));
    if (end <= s->at)
        return 0;
    if (dwarf_ranges_add(&s->out, s->at, end, top->what) < 0)
        return -ENOMEM;
    s->at = end;
    return 0;
}

static int close_until(struct sweep *s, uint64_t to) {
    while (s->n_open) {
        if (emit(s, to) < 0)
            return -ENOMEM;
        if (end_of(&s->open[s->n_open - 1]) > to)
            return 0;
        s->n_open--;
    }
    return 0;
}

static int make_disjoint(struct dwarf_ranges *r) {
    struct sweep s = {.open = mem_alloc(r->count * sizeof(*s.open))};
    int rc = s.open ? 0 : -ENOMEM;
    for (size_t i = 0; i < r->count && rc == 0; i++) {
        rc = close_until(&s, r->all[i].low);
        s.at = r->all[i].low;
        if (rc == 0)
            s.open[s.n_open++] = r->all[i];
    }
    if (rc == 0)
        rc = close_until(&s, UINT64_MAX);
    free(s.open);
    if (rc < 0) {
        dwarf_ranges_free(&s.out);
        return rc;
    }
    dwarf_ranges_free(r);
    *r = s.out;
    return 0;
}

int dwarf_ranges_finish(struct dwarf_ranges *r) {
    if (r->count == 0)
        return 0;
    sort(r);
    if (overlap(r) && make_disjoint(r) < 0)
        return -ENOMEM;
    mem_fit((void **)&r->all, &r->capacity, r->count, sizeof(*r->all));
    return 0;
}

const struct dwarf_range *dwarf_ranges_find(const struct dwarf_ranges *r, uint64_t address) {
    size_t low = bisect(i, r->count, r->all[i].low <= address);
    return low && address - r->all[low - 1].low < r->all[low - 1].size ? &r->all[low - 1] : NULL;
}

void dwarf_ranges_free(struct dwarf_ranges *r) {
    free(r->all);
    *r = (struct dwarf_ranges){0};
}
