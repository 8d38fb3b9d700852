/* Radix sort, least significant digit first, of those digits in which keys differ. */
#include "base/sort.h"

#include <errno.h>
#include <string.h>

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

static inline uint64_t key_at(const char *records, size_t size, size_t i) {
    uint64_t key;
    memcpy(&key, records + i * size, sizeof(key));
    return key;
}

/* Whether they are in order; if not, *ret_differ has the bits in which keys differ. */
static bool in_order(const char *records, size_t count, size_t size, uint64_t *ret_differ) {
    uint64_t first = key_at(records, size, 0), before = first;
    bool sorted = true;
    *ret_differ = 0;
    for (size_t i = 1; i < count; i++) {
        uint64_t key = key_at(records, size, i);
        sorted = sorted && before <= key;
        *ret_differ |= key ^ first;
        before = key;
    }
    return sorted;
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
    uint64_t differ;
    if (count < 2 || in_order(records, count, size, &differ))
        return 0;
    char *scratch = mem_alloc(count * size), *from = records, *to = scratch;
    if (!scratch)
        return -ENOMEM;
    for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
        if (!(differ >> shift & (DIGITS - 1)))
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
