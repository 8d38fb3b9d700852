/* UTF-8: whether bytes are letters.
 * May use: the C library.
 * Must not: read past a NUL. */
#pragma once

#include <stddef.h>

/* Length of the valid UTF-8 sequence at s, in a text that ends with a NUL; 0 when it is none. */
size_t utf8_length(const unsigned char *s);
