/* What scry knows of the terminal: whether there is one, how wide, whether colour is welcome, and the
 * one progress line that is rewritten in place.
 * May use: base/.
 * Must not: write escape sequences into anything that is not a terminal. */
#pragma once

#include "base/macros.h"

bool terminal_is(int fd);
/* Columns; what $COLUMNS says or 80 when unknown. Never below 40. */
unsigned terminal_width(int fd);
/* The sequences that switch to a style, and back to plain. */
struct terminal_styles {
    const char *bold, *dim, *red, *green, *yellow, *plain;
};
/* "" each unless it is a terminal, $NO_COLOR is unset or empty, and $TERM is not dumb. */
struct terminal_styles terminal_styles(int fd);

/* Rewrites the progress line on the standard error; NULL removes it, before anything else is printed there.
 * Does nothing when the standard error is not a terminal. */
void terminal_progress(const char *text);
