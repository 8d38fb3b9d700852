/* Words in columns of a terminal: how wide they are, cut in the middle, and harmless.
 * May use: base/.
 * Must not: know what the words mean, or ask the terminal or the locale anything. */
#pragma once

#include "base/buf.h"

/* Columns that a text takes: letters of East Asian scripts and emoji take two, combining marks none. */
size_t text_columns(const char *s);

/* Adds a text in at most `room` columns, with "..." for its middle when it is longer: the beginning and the end of
 * a name tell more than its middle. What is no letter becomes U+FFFD and control characters "?": names come from
 * other people's programs and must not steer the terminal. Returns the columns that were used. */
size_t text_add(struct buf *out, const char *s, size_t room);

/* Room for all of a text. */
#define TEXT_WHOLE SIZE_MAX

/* As much of the beginning as fits, for what is known by its beginning, and spaces up to `room`. */
void text_add_padded(struct buf *out, const char *s, size_t room);
