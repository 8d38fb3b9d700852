/* Bisection over sorted things, whatever they are sorted by.
 * May use: base/macros.h.
 * Must not: evaluate its predicate on an index outside of [0, count). */
#pragma once

#include "base/macros.h"

/* The first index of [0, count) for which `before`, an expression over `i`, is false; `count` when it
 * holds for all. `before` must hold for a prefix of the indices and for nothing behind it:
 *     size_t at = bisect(i, list->count, list->all[i].end <= address); */
#define bisect(i, count, before)                                                                                       \
    ({                                                                                                                 \
        size_t _low = 0, _high = (count);                                                                              \
        while (_low < _high) {                                                                                         \
            size_t i = _low + (_high - _low) / 2;                                                                      \
            if (before)                                                                                                \
                _low = i + 1;                                                                                          \
            else                                                                                                       \
                _high = i;                                                                                             \
        }                                                                                                              \
        _low;                                                                                                          \
    })
