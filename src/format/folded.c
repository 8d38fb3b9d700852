/* Folded stacks, as flame graph scripts read them: one line per stack, "root;...;leaf COUNT".
 *
 * Only names are kept: no lines, no files, no kinds, and threads on request. The count is the first value that is
 * counted in "count", else the default one. A ";" or a line break in a name would end it, so they are written as ":"
 * and a space; so is every control character, because the lines may go to a terminal. Samples without a stack are "[no stack]".
 *
 * Read: lines of "#" are remarks; a line may end in CR LF; a count may have a fraction and is rounded then; a frame
 * that ends in "_[k]" is of the kernel, one that ends in "_[i]" was inlined, as some writers mark them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/reader.h"
#include "format/format.h"
#include "format/utf8.h"

enum { MOST_FRAMES = 100000, RECOGNISED_BY = 4096, MOST_DIGITS = 17 };

#define MOST_COUNT 99999999999999999 /* MOST_DIGITS nines */

/* ---- writing ---- */

/* A sum that stays within what can be read again. */
static int64_t added(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) || sum > MOST_COUNT ? MOST_COUNT : sum;
}

static unsigned counted_value(const struct profile *p) {
    for (unsigned v = 0; v < p->n_value_types; v++)
        if (strcmp(profile_str(p, p->value_types[v].unit), "count") == 0)
            return v;
    return p->default_value;
}

/* How many bytes at `c` are a control character or a line break of Unicode; 0 when it is something else. */
static size_t steering_bytes(const unsigned char *c, size_t n) {
    if (*c < ' ' || *c == 0x7f)
        return 1;
    if (n >= 2 && c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
        return 2;
    return n >= 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9) ? 3 : 0;
}

static void write_frame(struct buf *out, const struct profile *p, frame_id id) {
    const struct profile_frame *f = &p->frames[id];
    const char *name = profile_str(p, p->functions[f->function].name);
    size_t start = out->len, to = start;
    utf8_add(out, name[0] ? name : "?", MAX(strlen(name), (size_t)1));
    for (size_t i = start; i < out->len; to++) {
        size_t bad = steering_bytes((const unsigned char *)out->data + i, out->len - i);
        out->data[to] = bad ? ' ' : out->data[i] == ';' ? ':' : out->data[i];
        i += bad ? bad : 1;
    }
    out->len = to;
}

/* The frames of a stack, root first. `trail` has room for the deepest stack. */
static void write_stack(struct buf *out, const struct profile *p, stack_id s, stack_id *trail) {
    size_t n = 0;
    for (; s; s = p->stacks[s].parent)
        trail[n++] = s;
    while (n-- > 0) {
        write_frame(out, p, p->stacks[trail[n]].frame);
        if (n)
            buf_addc(out, ';');
    }
}

struct folded_line {
    const char *text;
    size_t length;
    int64_t count;
};

static int compare_lines(const void *a, const void *b) {
    const struct folded_line *x = a, *y = b;
    int order = memcmp(x->text, y->text, MIN(x->length, y->length));
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

/* Lines in the order of the alphabet, equal ones added up. */
static void write_lines(struct buf *out, struct folded_line *lines, size_t n) {
    if (n)
        qsort(lines, n, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && compare_lines(&lines[i], &lines[i + 1]) == 0) {
            lines[i + 1].count = added(lines[i + 1].count, lines[i].count);
            continue;
        }
        buf_add(out, lines[i].text, lines[i].length);
        buf_addf(out, " %" PRId64 "\n", lines[i].count);
    }
}

static int write_profile(const struct profile *p, struct buf *out, struct err *err) {
    _cleanup_(freep) int64_t *counts = mem_zalloc(p->n_stacks, sizeof(*counts));
    _cleanup_(freep) stack_id *trail = mem_zalloc(p->n_stacks, sizeof(*trail));
    _cleanup_(freep) struct folded_line *lines = mem_zalloc(p->n_stacks, sizeof(*lines));
    _cleanup_(buf_free) struct buf text = {0};
    if (!counts || !trail || !lines)
        return err_nomem(err);
    unsigned value = counted_value(p);
    for (size_t i = 0; i < p->n_samples; i++)
        counts[p->samples[i].stack] = added(counts[p->samples[i].stack], profile_value(p, i, value));
    size_t n = 0;
    for (size_t s = 0; s < p->n_stacks; s++) {
        if (counts[s] == 0)
            continue;
        size_t start = text.len;
        if (s == 0)
            buf_adds(&text, "[no stack]");
        write_stack(&text, p, (stack_id)s, trail);
        lines[n++] = (struct folded_line){.text = (const char *)start, .length = text.len - start, .count = counts[s]};
    }
    if (text.failed)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++) /* the buffer may have moved while it grew */
        lines[i].text = text.data + (size_t)lines[i].text;
    write_lines(out, lines, n);
    return out->failed ? err_nomem(err) : 0;
}

static int folded_write(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err) {
    _cleanup_(profile_view_free) struct profile_view v = {0};
    int rc = profile_view(p, format_view(o), &v, err);
    return rc < 0 ? rc : write_profile(v.p, out, err);
}

/* ---- reading ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* How many digits a text ends in. */
static size_t last_digits(const char *text, size_t n) {
    size_t digits = 0;
    while (digits < n && is_digit(text[n - 1 - digits]))
        digits++;
    return digits;
}

struct line_count {
    size_t stack_length; /* of what stands before the number */
    int64_t count;
    bool rounded;
};

/* The number at the end of a line. */
static bool line_count(const char *line, size_t n, struct line_count *ret) {
    size_t digits = last_digits(line, n), fraction = 0;
    if (digits && digits + 1 < n && line[n - 1 - digits] == '.') {
        fraction = digits + 1;
        digits = last_digits(line, n - fraction);
    }
    size_t start = n - fraction - digits;
    if (digits == 0 || digits > MOST_DIGITS || start < 2 || (line[start - 1] != ' ' && line[start - 1] != '\t'))
        return false;
    *ret = (struct line_count){.stack_length = start - 1, .rounded = fraction > 0};
    for (size_t i = 0; i < digits; i++)
        ret->count = ret->count * 10 + (line[start + i] - '0');
    if (fraction && line[n - fraction + 1] >= '5')
        ret->count++;
    return true;
}

struct folded_frame {
    size_t end; /* in its line */
    stack_id stack;
};

struct folded_reader {
    struct profile *p;
    string_id native;
    /* The stack of the line before: lines are sorted, as a rule, and much of it is the next one's too. */
    const char *before;
    size_t before_length;
    struct folded_frame *frames;
    size_t n_frames, cap_frames;
};

static void reader_free(struct folded_reader *r) {
    profile_free(r->p);
    free(r->frames);
}

static frame_id read_frame(struct folded_reader *r, const char *name, size_t n) {
    struct profile *p = r->p;
    struct profile_frame frame = {.kind = r->native};
    for (; n > 4 && (memcmp(name + n - 4, "_[k]", 4) == 0 || memcmp(name + n - 4, "_[i]", 4) == 0); n -= 4)
        if (name[n - 2] == 'k')
            frame.kind = profile_string(p, "kernel");
        else
            frame.flags = FRAME_INLINED;
    struct profile_function function = {.name = profile_string_n(p, name, n)};
    frame.function = profile_function(p, &function);
    return profile_frame(p, &frame);
}

/* How many frames the line begins with that the line before began with. */
static size_t shared_frames(const struct folded_reader *r, const char *line, size_t n) {
    size_t most = MIN(n, r->before_length), same = 0, shared = 0;
    while (same < most && line[same] == r->before[same])
        same++;
    while (shared < r->n_frames && r->frames[shared].end <= same &&
           (r->frames[shared].end == n || line[r->frames[shared].end] == ';'))
        shared++;
    return shared;
}

static int read_stack(struct folded_reader *r, const char *line, size_t n, stack_id *ret) {
    size_t shared = shared_frames(r, line, n);
    stack_id s = 0;
    size_t at = 0;
    if (shared > 0 && r->frames) {
        s = r->frames[shared - 1].stack;
        at = r->frames[shared - 1].end + 1;
    }
    r->before = line;
    r->before_length = n;
    for (r->n_frames = shared; at < n; r->n_frames++) {
        if (r->n_frames >= MOST_FRAMES)
            return -EBADMSG;
        if (mem_grow((void **)&r->frames, &r->cap_frames, r->n_frames + 1, sizeof(*r->frames)) < 0)
            return -ENOMEM;
        const char *end = memchr(line + at, ';', n - at);
        size_t length = end ? (size_t)(end - line) - at : n - at;
        if (length)
            s = profile_stack(r->p, s, read_frame(r, line + at, length));
        r->frames[r->n_frames] = (struct folded_frame){.end = at + length, .stack = s};
        at += length + 1;
    }
    *ret = s;
    return 0;
}

static int read_line(struct folded_reader *r, const char *line, size_t n, size_t number, struct err *err) {
    struct profile *p = r->p;
    struct line_count c;
    struct profile_sample sample = {0};
    if (n && line[n - 1] == '\r')
        n--;
    bool counted = line_count(line, n, &c);
    if (n == 0 || (line[0] == '#' && !counted)) /* a remark */
        return 0;
    if (!counted)
        return err_set(err, -EBADMSG, "Each line is a stack, a space and a number", "Line %zu has no count", number);
    int rc = read_stack(r, line, c.stack_length, &sample.stack);
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc < 0)
        return err_set(err, -EBADMSG, NULL, "Line %zu is deeper than %d frames", number, MOST_FRAMES);
    if (c.rounded && p->quality.n_notes == 0)
        profile_note(p, "The counts in the file have fractions; they were rounded");
    profile_add_sample(p, &sample, &c.count);
    return 0;
}

static int folded_read(const void *data, size_t size, struct profile **ret, struct err *err) {
    _cleanup_(reader_free) struct folded_reader r = {.p = profile_new()};
    struct profile *p = r.p;
    if (!p)
        return err_nomem(err);
    r.native = profile_string(p, "native");
    if (size && memchr(data, 0, size))
        return err_set(err, -EBADMSG, NULL, "It is not text: it has a zero byte");
    profile_value_type(p, "samples", "count");
    const char *at = data, *end = at + size;
    for (size_t number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        int rc = read_line(&r, at, n, number, err);
        if (rc < 0)
            return rc;
        at += n + 1;
    }
    if (p->profile_failed)
        return err_nomem(err);
    if (p->n_samples == 0)
        return err_set(err, -EBADMSG, NULL, "There is no stack in it");
    *ret = TAKE_PTR(r.p);
    return 0;
}

static bool begins_json(const char *line, size_t n) {
    return n > 1 && line[0] == '{' && (line[1] == '"' || line[1] == '\r' || line[1] == '\n');
}

/* Text whose first line ends in a number. */
static bool folded_recognise(const void *data, size_t size) {
    const char *line = data;
    size_t n = MIN(size, (size_t)RECOGNISED_BY);
    struct line_count c;
    if (n == 0 || memchr(line, 0, n))
        return false;
    while (n && (*line == '#' || *line == '\n')) {
        const char *next = memchr(line, '\n', n);
        if (!next)
            return false;
        n -= (size_t)(next + 1 - line);
        line = next + 1;
    }
    if (begins_json(line, n))
        return false;
    const char *stop = memchr(line, '\n', n);
    if (!stop && size > RECOGNISED_BY)
        return n > 0 && memchr(line, ';', n); /* a first line too long to see whole */
    size_t whole = stop ? (size_t)(stop - line) : n;
    return line_count(line, whole && line[whole - 1] == '\r' ? whole - 1 : whole, &c);
}

const struct format format_folded = {
    .name = "folded",
    .ending = ".folded",
    .title = "folded stacks",
    .write = folded_write,
    .recognise = folded_recognise,
    .read = folded_read,
};
