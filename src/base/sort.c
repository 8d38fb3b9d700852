/* A few ascending runs are merged where they overlap: lists that were put together from lists. Else a radix sort,
 * least significant digit first, of those digits in which keys differ. */
#include "base/sort.h"

#include <errno.h>
#include <string.h>

#include "base/bisect.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, MAX_RUNS = 4 };

static inline uint64_t key_at(const char *records, size_t size, size_t i) {
    uint64_t key;
    memcpy(&key, records + i * size, sizeof(key));
    return key;
}

struct order {
    size_t runs;
    size_t starts[MAX_RUNS]; /* of the first of them */
    uint64_t differ;         /* the bits in which keys differ */
};

static struct order order_of(const char *records, size_t count, size_t size) {
    uint64_t first = key_at(records, size, 0), before = first;
    struct order o = {.runs = 1};
    for (size_t i = 1; i < count; i++) {
        uint64_t key = key_at(records, size, i);
        if (key < before) {
            if (o.runs < MAX_RUNS)
                o.starts[o.runs] = i;
            o.runs++;
        }
        o.differ |= key ^ first;
        before = key;
    }
    return o;
}

/* Merges [0, middle) and [middle, count), each in order, from behind, so that only what lies behind the first
 * record of the second moves. */
static int merge(char *records, size_t middle, size_t count, size_t size) {
    uint64_t least = key_at(records, size, middle), most = key_at(records, size, middle - 1);
    size_t from = bisect(i, middle, key_at(records, size, i) <= least);
    size_t to = middle + bisect(i, count - middle, key_at(records, size, middle + i) < most);
    size_t n = to - middle; /* these are fewer, or memory for them is not much */
    char *second = mem_alloc(n * size);
    if (!second)
        return -ENOMEM;
    memcpy(second, records + middle * size, n * size);
    for (size_t i = middle; n > 0;) {
        bool later = i > from && key_at(records, size, i - 1) > key_at(second, size, n - 1);
        to--;
        if (later)
            memcpy(records + to * size, records + --i * size, size);
        else
            memcpy(records + to * size, second + --n * size, size);
    }
    free(second);
    return 0;
}

static int merge_runs(char *records, size_t count, size_t size, const struct order *o) {
    int rc = 0;
    for (size_t i = 1; i < o->runs && rc == 0; i++)
        rc = merge(records, o->starts[i], i + 1 < o->runs ? o->starts[i + 1] : count, size);
    return rc;
}

/* `size` is a constant wherever this is inlined with one. */
static inline __attribute__((always_inline)) void move(char *to, const char *from, size_t count, size_t size,
                                                       unsigned shift, size_t *starts) {
    for (size_t i = 0; i < count; i++) {
        size_t digit = key_at(from, size, i) >> shift & (DIGITS - 1);
        memcpy(to + starts[digit]++ * size, from + i * size, size);
    }
}

static void pass(char *to, const char *from, size_t count, size_t size, unsigned shift) {
    size_t starts[DIGITS] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++)
        starts[key_at(from, size, i) >> shift & (DIGITS - 1)]++;
    for (size_t d = 0; d < DIGITS; d++) {
        size_t n = starts[d];
        starts[d] = sum;
        sum += n;
    }
    if (size == 16)
        move(to, from, count, 16, shift, starts);
    else if (size == 24)
        move(to, from, count, 24, shift, starts);
    else
        move(to, from, count, size, shift, starts);
}

int sort_by_key(void *records, size_t count, size_t size) {
    if (count < 2)
        return 0;
    struct order o = order_of(records, count, size);
    if (o.runs <= MAX_RUNS)
        return merge_runs(records, count, size, &o);
    char *scratch = mem_alloc(count * size), *from = records, *to = scratch;
    if (!scratch)
        return -ENOMEM;
    for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
        if (!(o.differ >> shift & (DIGITS - 1)))
            continue;
        pass(to, from, count, size, shift);
        char *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != records)
        memcpy(records, from, count * size);
    free(scratch);
    return 0;
}
