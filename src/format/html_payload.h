/* The data block of an HTML page: a profile as JSON for what is small and as columns for what is large.
 * May use: base/, model/, analyse/, format/html_tables.h.
 * Must not: compress, or know the page around it.
 *
 * Layout, read by web/src/data/decode.ts:
 *
 *   "scryweb1"
 *   u32 little endian: length of the JSON; the JSON (see html_payload.c)
 *   columns in this order:
 *     functions  name, file (string ids), start line
 *     frames     function, line, kind (string id), module (string id), flags
 *     stacks     distance to the parent's id, frame
 *     samples    stack, thread, time (in units of "timeUnit" ns), one column for each value type
 *
 * A column is: varint count; one byte encoding; the values. Encodings: 0 all equal, one zigzag varint;
 * 1 varints; 2 zigzag varints; 3 zigzag varints of differences to the value before. Row 0 of
 * functions, frames and stacks is "nothing". A varint is LEB128, at most ten bytes. */
#pragma once

#include "format/format.h"

/* Appends the block to `out`. 0 or -ENOMEM. */
int html_payload(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err);
