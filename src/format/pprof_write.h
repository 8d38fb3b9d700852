/* The two halves of the pprof format. Private to format/.
 * May use: format/format.h.
 * Must not: be called but through the table of formats. */
#pragma once

#include "format/format.h"

int pprof_write(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err);
int pprof_read(const void *data, size_t size, struct profile **ret, struct err *err);
bool pprof_recognise(const void *data, size_t size);
