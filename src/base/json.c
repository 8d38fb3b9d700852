#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void separate(struct json *j) {
    if (j->need_comma)
        buf_addc(j->out, ',');
    j->need_comma = true;
}

static void open_nest(struct json *j, char c) {
    separate(j);
    buf_addc(j->out, c);
    j->depth++;
    j->need_comma = false;
}

static void close_nest(struct json *j, char c) {
    buf_addc(j->out, c);
    j->depth--;
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

/* What the first byte of a UTF-8 sequence promises: its length, and the range of its second byte, which
 * rules out overlong forms, surrogates and what lies beyond Unicode. */
struct utf8_lead {
    unsigned char from, to;
    unsigned char length, second_from, second_to;
};

static const struct utf8_lead utf8_leads[] = {
    {0x00, 0x7f, 1, 0x00, 0xff}, {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
    {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
    {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

/* Length of the valid UTF-8 sequence at s, which ends with a NUL, or 0. */
static size_t utf8_length(const unsigned char *s) {
    for (size_t i = 0; i < ARRAY_SIZE(utf8_leads); i++) {
        const struct utf8_lead *l = &utf8_leads[i];
        if (s[0] < l->from || s[0] > l->to)
            continue;
        if (s[1] < l->second_from || s[1] > l->second_to)
            return 0;
        for (size_t k = 2; k < l->length; k++)
            if ((s[k] & 0xc0) != 0x80)
                return 0;
        return l->length;
    }
    return 0;
}

static void add_escaped(struct buf *out, unsigned char c) {
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

static bool needs_escape(const unsigned char *p, const unsigned char *start) {
    return *p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f || (*p == '/' && p > start && p[-1] == '<');
}

static void add_string(struct buf *out, const char *text) {
    const unsigned char *start = (const unsigned char *)text, *p = start;
    buf_addc(out, '"');
    while (*p) {
        const unsigned char *run = p;
        size_t n;
        while (*p && !needs_escape(p, start) && (n = utf8_length(p)) > 0)
            p += n;
        buf_add(out, run, (size_t)(p - run));
        if (!*p)
            break;
        if (needs_escape(p, start))
            add_escaped(out, *p);
        else
            buf_adds(out, "\xef\xbf\xbd");
        p++;
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
