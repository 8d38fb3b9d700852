/* UTF-8: whether bytes are letters, and whether they are of those that must not reach a terminal.
 * May use: the C library.
 * Must not: read past a NUL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Length of the valid UTF-8 sequence at s, in a text that ends with a NUL; 0 when it is none. */
size_t utf8_length(const unsigned char *s);
/* The number of the letter whose valid sequence has n bytes. */
uint32_t utf8_code_point(const unsigned char *s, size_t n);

/* Length of the letter at s, in a text that ends with a NUL, if it steers what shows it: a control character, a line
 * break of Unicode, or an invisible sign that turns the direction of what follows; else 0. */
size_t utf8_steers(const unsigned char *s);
