#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static void separate(struct json *j) {
    if (j->need_comma)
        buf_addc(j->out, ',');
    j->need_comma = true;
}

static void open_nest(struct json *j, char c) {
    separate(j);
    buf_addc(j->out, c);
    j->need_comma = false;
}

static void close_nest(struct json *j, char c) {
    buf_addc(j->out, c);
    j->need_comma = true;
}

void json_object(struct json *j) {
    open_nest(j, '{');
}
void json_object_end(struct json *j) {
    close_nest(j, '}');
}
void json_array(struct json *j) {
    open_nest(j, '[');
}
void json_array_end(struct json *j) {
    close_nest(j, ']');
}

static void add_escaped(struct buf *out, uint32_t c) {
    switch (c) {
    case '"':
        buf_adds(out, "\\\"");
        break;
    case '\\':
        buf_adds(out, "\\\\");
        break;
    case '\n':
        buf_adds(out, "\\n");
        break;
    case '\t':
        buf_adds(out, "\\t");
        break;
    default:
        buf_addf(out, "\\u%04x", c);
    }
}

/* The length of the letter at p when it must be escaped, else 0. */
static size_t needs_escape(const unsigned char *p, const unsigned char *start) {
    return *p == '"' || *p == '\\' || (*p == '/' && p > start && p[-1] == '<') ? 1 : utf8_steers(p);
}

static bool is_plain(unsigned char c) {
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\' && c != '/';
}

static void add_string(struct buf *out, const char *text) {
    const unsigned char *start = (const unsigned char *)text, *p = start;
    buf_addc(out, '"');
    while (*p) {
        const unsigned char *run = p;
        size_t n = 0;
        do {
            p += n;
            while (is_plain(*p))
                p++;
        } while (*p && !needs_escape(p, start) && (n = utf8_length(p)) > 0);
        buf_add(out, run, (size_t)(p - run));
        if (!*p)
            break;
        n = needs_escape(p, start);
        if (n)
            add_escaped(out, utf8_code_point(p, n));
        else
            buf_adds(out, "\xef\xbf\xbd");
        p += n ? n : 1;
    }
    buf_addc(out, '"');
}

void json_key(struct json *j, const char *key) {
    separate(j);
    add_string(j->out, key);
    buf_addc(j->out, ':');
    j->need_comma = false;
}

void json_string(struct json *j, const char *s) {
    separate(j);
    add_string(j->out, s);
}

void json_u64(struct json *j, uint64_t v) {
    separate(j);
    buf_addf(j->out, "%" PRIu64, v);
}

void json_i64(struct json *j, int64_t v) {
    separate(j);
    buf_addf(j->out, "%" PRId64, v);
}

void json_double(struct json *j, double v) {
    separate(j);
    if (!isfinite(v)) {
        buf_adds(j->out, "null");
        return;
    }
    char text[64];
    snprintf(text, sizeof(text), "%.6g", v);
    buf_adds(j->out, text);
}

void json_bool(struct json *j, bool v) {
    separate(j);
    buf_adds(j->out, v ? "true" : "false");
}

void json_null(struct json *j) {
    separate(j);
    buf_adds(j->out, "null");
}
