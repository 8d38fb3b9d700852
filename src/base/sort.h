/* Sorting records that begin with a 64-bit key: what files list is mostly in order, and long.
 * May use: base/mem.h.
 * Must not: compare by anything else; equal keys keep their order. */
#pragma once

#include "base/mem.h"

/* Sorts `count` records of `size` bytes by the key at their beginning. In order already: one look at each, and no
 * memory; else a few passes and as much memory again. 0 or -ENOMEM, with all records there, if not in order. */
int sort_by_key(void *records, size_t count, size_t size) _must_check_;
