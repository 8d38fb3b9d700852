#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *advice, const char *fmt, ...) {
    if (!err)
        return code;
    err->code = code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    snprintf(err->advice, sizeof(err->advice), "%s", advice ? advice : "");
    return code;
}

int err_prefix(struct err *err, const char *fmt, ...) {
    if (!err)
        return -EIO;
    char before[sizeof(err->text)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(before, sizeof(before), fmt, args);
    va_end(args);
    char after[sizeof(err->text)];
    memcpy(after, err->text, sizeof(after));
    int n = snprintf(err->text, sizeof(err->text), "%s: ", before);
    if (n > 0 && (size_t)n < sizeof(err->text))
        snprintf(err->text + n, sizeof(err->text) - (size_t)n, "%s", after);
    return err->code ? err->code : -EIO;
}

int err_nomem(struct err *err) {
    return err_set(err, -ENOMEM, "Free some memory, or capture for a shorter time", "Out of memory");
}
