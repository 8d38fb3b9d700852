/* What scry knows of the terminal: whether there is one, how wide, whether colour is welcome, and the
 * one progress line that is rewritten in place.
 * May use: base/.
 * Must not: write escape sequences into anything that is not a terminal. */
#pragma once

#include "base/macros.h"

bool terminal_is(int fd);
/* Columns; what $COLUMNS says or 80 when unknown. Never below 40. */
unsigned terminal_width(int fd);
/* A terminal, $NO_COLOR is unset or empty, and $TERM is not dumb. */
bool terminal_colour(int fd);

enum terminal_style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_BLUE };
/* The sequence that switches to a style; "" where colour is not welcome. */
const char *terminal_style(int fd, enum terminal_style style);

/* Rewrites the progress line on the standard error; NULL removes it, before anything else is printed there.
 * Does nothing when the standard error is not a terminal. */
void terminal_progress(const char *text);
