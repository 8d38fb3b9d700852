/* An error for a person: what happened in one sentence, and what to do next in another.
 * May use: base/macros.h.
 * Must not: print; the caller that owns the struct decides where the words go.
 *
 * Functions that can fail return 0 or a negative errno and take a caller-owned `struct err *`,
 * which may be NULL. The struct is written only on failure and needs no freeing. */
#pragma once

#include "base/macros.h"

struct err {
    int code;         /* negative errno, 0 when unset */
    char text[512];   /* what happened: one sentence without a final period */
    char advice[512]; /* what to do next: one sentence, or empty */
};

/* Fills *err (if not NULL) and returns `code`, so that `return err_set(...)` reads well.
 * `code` must be negative. `advice` may be NULL. */
int err_set(struct err *err, int code, const char *advice, const char *fmt, ...) _printf_(4, 5);

/* Puts "fmt: " before the present text; keeps code and advice. Returns err->code (or -EIO). */
int err_prefix(struct err *err, const char *fmt, ...) _printf_(2, 3);

/* Returns -ENOMEM with the standard sentence. */
int err_nomem(struct err *err);
