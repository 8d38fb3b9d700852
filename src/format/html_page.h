/* The viewer's page as web/ builds it, embedded at build time (web/embed.py).
 * May use: nothing.
 * Must not: be changed by hand. */
#pragma once

#include <stddef.h>

extern const char html_page[];
extern const size_t html_page_size;
