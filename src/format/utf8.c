#include "format/utf8.h"

#include "base/utf8.h"

/* A NUL inside of the text is a letter like others. */
static size_t sequence(const char *s) {
    return *s ? utf8_length((const unsigned char *)s) : 1;
}

void utf8_add(struct buf *out, const char *s, size_t n) {
    while (n) {
        size_t good = 0, length = 0;
        while (good < n && (length = sequence(s + good)) > 0)
            good += length;
        buf_add(out, s, good);
        if (good == n)
            return;
        buf_adds(out, "\xef\xbf\xbd");
        s += good + 1;
        n -= good + 1;
    }
}
