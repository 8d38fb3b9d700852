#include "format/html_payload.h"

#include <endian.h>
#include <string.h>

#include "analyse/summary.h"
#include "base/json.h"
#include "format/head_json.h"
#include "format/html_tables.h"

enum encoding { ALL_EQUAL = 0, VARINT = 1, ZIGZAG = 2, ZIGZAG_DELTA = 3 };
enum { VARINT_MAX = 10 };

/* ---- columns ---- */

static size_t put_varint(unsigned char *to, uint64_t v) {
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        to[n++] = (unsigned char)(v | 0x80);
    to[n++] = (unsigned char)v;
    return n;
}

static uint64_t zigzag(int64_t v) {
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static bool all_equal(const int64_t *values, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (values[i] != values[0])
            return false;
    return n > 0;
}

static void add_column(struct buf *out, const int64_t *values, size_t n, enum encoding encoding) {
    if (all_equal(values, n))
        encoding = ALL_EQUAL;
    unsigned char *start = buf_reserve(out, (n + 2) * VARINT_MAX), *to = start;
    if (!start)
        return;
    to += put_varint(to, n);
    *to++ = (unsigned char)encoding;
    uint64_t before = 0;
    for (size_t i = 0; i < (encoding == ALL_EQUAL ? 1 : n); i++) {
        uint64_t v = (uint64_t)values[i];
        if (encoding == ZIGZAG_DELTA)
            to += put_varint(to, zigzag((int64_t)(v - before)));
        else
            to += put_varint(to, encoding == VARINT ? v : zigzag(values[i]));
        before = v;
    }
    out->len += (size_t)(to - start);
}

/* One column of a table: `expression` may use the row number i. */
#define COLUMN(out, scratch, n, encoding, expression)                                                                  \
    do {                                                                                                               \
        for (size_t i = 0; i < (n); i++)                                                                               \
            (scratch)[i] = (int64_t)(expression);                                                                      \
        add_column(out, scratch, n, encoding);                                                                         \
    } while (0)

static void add_tables(const struct html_tables *t, struct buf *out, int64_t *scratch) {
    COLUMN(out, scratch, t->n_functions, ZIGZAG_DELTA, t->functions[i].name);
    COLUMN(out, scratch, t->n_functions, ZIGZAG_DELTA, t->functions[i].file);
    COLUMN(out, scratch, t->n_functions, VARINT, t->functions[i].start_line);
    COLUMN(out, scratch, t->n_frames, ZIGZAG_DELTA, t->frames[i].function);
    COLUMN(out, scratch, t->n_frames, VARINT, t->frames[i].line);
    COLUMN(out, scratch, t->n_frames, VARINT, t->frames[i].kind);
    COLUMN(out, scratch, t->n_frames, VARINT, t->frames[i].module);
    COLUMN(out, scratch, t->n_frames, VARINT, t->frames[i].flags);
    COLUMN(out, scratch, t->n_stacks, VARINT, i - t->stacks[i].parent);
    COLUMN(out, scratch, t->n_stacks, VARINT, t->stacks[i].frame);
}

static void add_samples(const struct profile *p, const struct html_tables *t, struct buf *out, int64_t *scratch,
                        uint64_t time_unit) {
    COLUMN(out, scratch, p->n_samples, VARINT, t->stack_of[p->samples[i].stack]);
    COLUMN(out, scratch, p->n_samples, VARINT, p->samples[i].thread);
    COLUMN(out, scratch, p->n_samples, ZIGZAG_DELTA, p->samples[i].time_ns / time_unit);
    for (unsigned v = 0; v < p->n_value_types; v++)
        COLUMN(out, scratch, p->n_samples, ZIGZAG, profile_value(p, i, v));
}

/* ---- JSON ---- */

static void add_quality(const struct profile *p, struct json *j) {
    const struct profile_quality *q = &p->quality;
    json_key(j, "quality");
    json_object(j);
    json_ku64(j, "taken", q->samples_taken);
    json_ku64(j, "lost", q->samples_lost);
    json_ku64(j, "whole", q->stacks_whole);
    json_ku64(j, "frames", q->frames);
    json_ku64(j, "unnamed", q->frames_unnamed);
    json_ku64(j, "approximate", q->frames_approximate);
    json_ku64(j, "selfCpu", q->self_cpu_ns);
    json_ku64(j, "selfRss", q->self_rss_bytes);
    json_ku64(j, "selfMaps", q->self_map_bytes);
    json_ku64(j, "probeTime", q->probe_ns);
    json_ku64(j, "probeRuns", q->probe_runs);
    json_kdouble(j, "slowdown", q->slowdown_bound);
    analyse_remarks_json(j, p);
    json_object_end(j);
}

/* The page shows what the terminal says, by the same rules. */
static void add_verdict(const struct profile *p, struct json *j) {
    struct analyse_verdict v;
    analyse_verdict(p, &v);
    analyse_verdict_json(j, &v);
}

static void add_threads(const struct profile *p, struct json *j) {
    json_key(j, "threads");
    json_array(j);
    for (size_t i = 0; i < p->n_threads; i++) {
        const struct profile_thread *t = &p->threads[i];
        json_array(j);
        json_u64(j, t->pid);
        json_u64(j, t->tid);
        json_string(j, profile_str(p, t->process_name));
        json_string(j, profile_str(p, t->thread_name));
        json_string(j, profile_str(p, t->container));
        json_string(j, profile_str(p, t->runtime));
        json_array_end(j);
    }
    json_array_end(j);
}

static void add_value_types(const struct profile *p, struct json *j) {
    value_types_json(j, "valueTypes", p);
    json_ku64(j, "defaultValue", p->default_value);
}

static void add_head(const struct profile *p, const struct format_options *o, const struct html_tables *t,
                     struct buf *out, uint64_t time_unit) {
    struct json j = json_to(out);
    json_object(&j);
    json_kstring(&j, "generator", "scry " SCRY_VERSION);
    json_kstring(&j, "command", profile_str(p, p->command));
    json_kstring(&j, "host", profile_str(p, p->host));
    json_ku64(&j, "startMs", p->start_time_ns / 1000000);
    json_ku64(&j, "duration", p->duration_ns);
    json_ku64(&j, "period", p->period_ns);
    json_ku64(&j, "timeUnit", time_unit);
    json_kbool(&j, "showInternal", o && o->show_internal);
    json_kbool(&j, "byThread", o && o->threads);
    add_value_types(p, &j);
    add_quality(p, &j);
    add_verdict(p, &j);
    add_threads(p, &j);
    json_key(&j, "strings");
    json_array(&j);
    for (size_t i = 0; i < t->n_strings; i++)
        json_string(&j, t->strings[i]);
    json_array_end(&j);
    json_object_end(&j);
}

/* ---- the block ---- */

/* Fine enough for a strip of bars and for cutting out a range, coarse enough to compress well. */
static uint64_t choose_time_unit(const struct profile *p) {
    uint64_t last = p->duration_ns;
    for (size_t i = 0; i < p->n_samples; i++)
        last = MAX(last, p->samples[i].time_ns);
    return MAX(last / 100000, (uint64_t)1000);
}

static void add_block(const struct profile *p, const struct format_options *o, const struct html_tables *t,
                      struct buf *out, int64_t *scratch) {
    uint64_t time_unit = choose_time_unit(p);
    buf_adds(out, "scryweb1");
    size_t length_at = out->len;
    buf_add(out, "\0\0\0\0", 4);
    add_head(p, o, t, out, time_unit);
    uint64_t length = out->failed ? 0 : out->len - length_at - 4;
    if (length > UINT32_MAX)
        out->failed = true;
    if (!out->failed)
        memcpy(out->data + length_at, &(uint32_t){htole32((uint32_t)length)}, 4);
    add_tables(t, out, scratch);
    add_samples(p, t, out, scratch, time_unit);
}

int html_payload(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err) {
    _cleanup_(html_tables_free) struct html_tables t = {0};
    int r = html_tables_build(p, &t, err);
    if (r < 0)
        return r;
    size_t rows = MAX(MAX(t.n_functions, t.n_frames), MAX(t.n_stacks, p->n_samples));
    _cleanup_(freep) int64_t *scratch = mem_zalloc(rows, sizeof(*scratch));
    if (!scratch)
        return err_nomem(err);
    add_block(p, o, &t, out, scratch);
    return out->failed ? err_nomem(err) : 0;
}
