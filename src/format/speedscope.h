/* The reading half of the speedscope format.
 * May use: base/, model/.
 * Must not: be included outside of format/. */
#pragma once

#include "base/err.h"
#include "model/profile.h"

/* See struct format. */
int speedscope_read(const void *data, size_t size, struct profile **ret, struct err *err);
