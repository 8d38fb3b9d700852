/* A streaming JSON writer into a buffer: bounded memory, always well-formed nesting, UTF-8 safe.
 * May use: base/buf.h.
 * Must not: build trees. Invalid UTF-8 in a string becomes U+FFFD, so that hostile names cannot
 * break a consumer; what steers a terminal and "</" are escaped so that it can sit inside HTML and be read on one. */
#pragma once

#include "base/buf.h"

struct json {
    struct buf *out;
    bool need_comma;
};

static inline struct json json_to(struct buf *out) {
    return (struct json){.out = out};
}

void json_object(struct json *j);
void json_object_end(struct json *j);
void json_array(struct json *j);
void json_array_end(struct json *j);
void json_key(struct json *j, const char *key);
void json_string(struct json *j, const char *s);
void json_u64(struct json *j, uint64_t v);
void json_i64(struct json *j, int64_t v);
void json_double(struct json *j, double v); /* at most 6 significant decimals; NaN and Inf become null */
void json_bool(struct json *j, bool v);
void json_null(struct json *j);

static inline void json_kstring(struct json *j, const char *key, const char *s) {
    json_key(j, key);
    json_string(j, s);
}
static inline void json_ku64(struct json *j, const char *key, uint64_t v) {
    json_key(j, key);
    json_u64(j, v);
}
static inline void json_kdouble(struct json *j, const char *key, double v) {
    json_key(j, key);
    json_double(j, v);
}
static inline void json_kbool(struct json *j, const char *key, bool v) {
    json_key(j, key);
    json_bool(j, v);
}
