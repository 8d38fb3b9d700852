/* Numbers that vary, so that no program falls in step with a sampler. Private to source/cpu.
 * May use: nothing.
 * Must not: be used where it matters that nobody can guess them. */
#pragma once

#include <stdint.h>

/* Around `mean`, by less than two fifths to both sides, all alike. *random is anything but 0 at first. The numbers are
 * Marsaglia's xorshift. */
static inline uint64_t vary(uint64_t *random, uint64_t mean) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return mean * 3 / 5 + *random % (mean * 4 / 5 + 1);
}
