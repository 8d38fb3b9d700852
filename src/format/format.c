#include "format/format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FORMAT(name) extern const struct format format_##name;
#include "format/formats.def"
#undef FORMAT

const struct format *const formats[] = {
#define FORMAT(name) &format_##name,
#include "format/formats.def"
#undef FORMAT
};
const size_t n_formats = ARRAY_SIZE(formats);

int format_written(const struct buf *bytes, struct err *err) {
    if (bytes->full)
        return err_set(err, -EFBIG, "Write .json, which has what stacks share once",
                       "The stacks, each written out whole, would be larger than %zu MB", bytes->limit >> 20);
    return bytes->failed ? err_nomem(err) : 0;
}

const struct format *format_by_name(const char *path) {
    const struct format *best = NULL;
    size_t length = strlen(path), best_length = 0;
    for (size_t i = 0; i < n_formats; i++) {
        size_t n = strlen(formats[i]->ending);
        if (n <= length && n > best_length && strcasecmp(path + length - n, formats[i]->ending) == 0) {
            best = formats[i];
            best_length = n;
        }
    }
    return best;
}

const struct format *format_by_content(const void *data, size_t size) {
    for (size_t i = 0; i < n_formats; i++)
        if (formats[i]->recognise && formats[i]->recognise(data, size))
            return formats[i];
    return NULL;
}

const char *format_endings(void) {
    static char text[256];
    if (text[0])
        return text;
    size_t at = 0;
    for (size_t i = 0; i < n_formats; i++) {
        int n = snprintf(text + at, sizeof(text) - at, "%s%s", i ? ", " : "", formats[i]->ending);
        if (n < 0 || (size_t)n >= sizeof(text) - at)
            break;
        at += (size_t)n;
    }
    return text;
}
