/* Folded stacks, as flame graph scripts read them: one line per stack, "root;...;leaf COUNT".
 *
 * Only names are kept: no lines, no files, no kinds, and threads on request. The count is the first value that is
 * counted in "count", else the default one; where that is not samples, a remark in the first line says what it is, which
 * is read again. A ";" or a line break in a name would end it, so they are written as ":"
 * and a space; so is everything that steers a terminal, because the lines may go to one. Samples without a stack are
 * "[no stack]". A count is a number of digits for all who read it: values below zero, as of a difference of two profiles,
 * count as nothing here too, and a remark in the first line counts them.
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
#include "base/utf8.h"
#include "format/format.h"
#include "format/utf8.h"

enum { MOST_FRAMES = 100000, RECOGNISED_BY = 4096, MOST_DIGITS = 17, MOST_TEXT = 1 << 30 };

#define MOST_COUNT 99999999999999999 /* MOST_DIGITS nines */

/* ---- writing ---- */

static unsigned counted_value(const struct profile *p) {
    for (unsigned v = 0; v < p->n_value_types; v++)
        if (strcmp(profile_str(p, p->value_types[v].unit), "count") == 0)
            return v;
    return p->default_value;
}

/* The names of functions as they are written, one after the other. */
struct names {
    struct buf text;
    size_t *ends; /* per function */
};

static void names_free(struct names *n) {
    buf_free(&n->text);
    free(n->ends);
}

static void add_name(struct buf *out, struct buf *plain, const char *name) {
    buf_reset(plain);
    utf8_add(plain, name[0] ? name : "?", MAX(strlen(name), (size_t)1));
    for (const char *c = buf_cstr(plain); *c;) {
        size_t steers = utf8_steers((const unsigned char *)c);
        buf_addc(out, steers ? ' ' : *c == ';' ? ':' : *c);
        c += steers ? steers : 1;
    }
    out->failed |= plain->failed;
}

static int names_init(struct names *n, const struct profile *p) {
    _cleanup_(buf_free) struct buf plain = {0};
    n->ends = mem_zalloc(p->n_functions, sizeof(*n->ends));
    for (size_t f = 0; f < p->n_functions && n->ends; f++) {
        add_name(&n->text, &plain, profile_str(p, p->functions[f].name));
        n->ends[f] = n->text.len;
    }
    return n->ends && !n->text.failed ? 0 : -ENOMEM;
}

struct name {
    const char *text;
    size_t length;
};

static struct name name_at(const struct names *n, const struct profile *p, stack_id s) {
    function_id f = p->frames[p->stacks[s].frame].function;
    if (!n->ends) /* never here: without memory there is no writing */
        return (struct name){.text = ""};
    size_t start = f ? n->ends[f - 1] : 0;
    return (struct name){.text = n->text.data + start, .length = n->ends[f] - start};
}

struct writer {
    const struct profile *p;
    struct names names;
    int64_t *counts; /* per stack */
    size_t *lengths; /* per stack, of its line without the count */
    struct folded_line {
        const char *text;
        size_t length;
        int64_t count;
    } * lines;
    size_t n_lines, below_zero;
    struct buf text;
};

static void writer_free(struct writer *w) {
    names_free(&w->names);
    free(w->counts);
    free(w->lengths);
    free(w->lines);
    buf_free(&w->text);
}

static const char no_stack[] = "[no stack]";

static int add_up(struct writer *w, struct err *err) {
    const struct profile *p = w->p;
    w->counts = mem_zalloc(p->n_stacks, sizeof(*w->counts));
    w->lengths = mem_zalloc(p->n_stacks, sizeof(*w->lengths));
    w->lines = mem_zalloc(p->n_stacks, sizeof(*w->lines));
    if (!w->counts || !w->lengths || !w->lines || names_init(&w->names, p) < 0)
        return err_nomem(err);
    unsigned value = counted_value(p);
    for (size_t i = 0; i < p->n_samples; i++) {
        int64_t *sum = &w->counts[p->samples[i].stack], count = profile_value(p, i, value);
        *sum = profile_sum(*sum, MAX(count, (int64_t)0));
        w->below_zero += count < 0;
    }
    return 0;
}

/* Each line has all the names of its stack again: a file of a few hundred bytes may ask for gigabytes. */
static int measure(struct writer *w, size_t *ret, struct err *err) {
    const struct profile *p = w->p;
    size_t all = 0;
    for (size_t s = 1; s < p->n_stacks; s++) {
        stack_id parent = p->stacks[s].parent;
        w->lengths[s] = w->lengths[parent] + (parent != 0) + name_at(&w->names, p, (stack_id)s).length;
        all += w->counts[s] ? w->lengths[s] : 0;
        if (all > MOST_TEXT)
            return err_set(err, -EFBIG, "Write .pb.gz, which has each name once",
                           "The folded stacks would be larger than %d MB", MOST_TEXT >> 20);
    }
    *ret = all + sizeof(no_stack);
    return 0;
}

/* The line of a stack is filled from its end, which is the leaf. */
static void add_line(struct writer *w, stack_id s) {
    size_t length = s ? w->lengths[s] : strlen(no_stack);
    char *start = buf_reserve(&w->text, length);
    if (!start)
        return;
    char *to = start + length;
    if (!s)
        memcpy(start, no_stack, length);
    w->lines[w->n_lines++] = (struct folded_line){.text = start, .length = length, .count = w->counts[s]};
    w->text.len += length;
    for (; s; s = w->p->stacks[s].parent) {
        struct name name = name_at(&w->names, w->p, s);
        to -= name.length;
        memcpy(to, name.text, name.length);
        if (to > start)
            *--to = ';';
    }
}

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
            lines[i + 1].count = profile_sum(lines[i + 1].count, lines[i].count);
            continue;
        }
        buf_add(out, lines[i].text, lines[i].length);
        buf_addf(out, " %" PRId64 "\n", MIN(lines[i].count, (int64_t)MOST_COUNT));
    }
}

static const char counts_are[] = "# counts are of ", counts_in[] = " in ", counts_not[] = ", not of samples";

/* Threads of a dump are its samples. */
static bool counts_samples(const char *type) {
    return strcmp(type, "samples") == 0 || strcmp(type, "sample") == 0 || strcmp(type, "threads") == 0;
}

static void write_remarks(const struct writer *w, struct buf *out) {
    const struct profile *p = w->p;
    if (w->below_zero)
        buf_addf(out, "# %zu values below zero are left out: folded stacks have none\n", w->below_zero);
    if (!p->n_value_types || !w->n_lines) /* a remark alone would be no profile */
        return;
    _cleanup_(buf_free) struct buf plain = {0};
    const struct profile_value_type *v = &p->value_types[counted_value(p)];
    if (counts_samples(profile_str(p, v->type)))
        return;
    buf_adds(out, counts_are);
    add_name(out, &plain, profile_str(p, v->type));
    buf_adds(out, counts_in);
    add_name(out, &plain, profile_str(p, v->unit));
    buf_addf(out, "%s\n", counts_not);
}

static int write_profile(const struct profile *p, struct buf *out, struct err *err) {
    _cleanup_(writer_free) struct writer w = {.p = p};
    size_t all = 0;
    int rc = add_up(&w, err);
    if (rc == 0)
        rc = measure(&w, &all, err);
    if (rc < 0)
        return rc;
    if (!buf_reserve(&w.text, all)) /* so that lines stay where they are */
        return err_nomem(err);
    for (size_t s = 0; s < p->n_stacks; s++)
        if (w.counts[s])
            add_line(&w, (stack_id)s);
    write_remarks(&w, out);
    write_lines(out, w.lines, w.n_lines);
    return out->failed || w.text.failed ? err_nomem(err) : 0;
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

/* The remark that says what is counted, if it is that one. */
static void read_remark(struct profile *p, const char *line, size_t n) {
    size_t before = strlen(counts_are), after = strlen(counts_not);
    if (p->n_value_types || n < before + after || memcmp(line, counts_are, before) != 0 ||
        memcmp(line + n - after, counts_not, after) != 0)
        return;
    _cleanup_(freep) char *type = mem_strndup(line + before, n - before - after);
    char *unit = NULL;
    for (char *at = type; at && (at = strstr(at, counts_in)) != NULL; at++)
        unit = at;
    if (!unit)
        return;
    *unit = '\0';
    profile_value_type(p, type, unit + strlen(counts_in));
}

static int read_line(struct folded_reader *r, const char *line, size_t n, size_t number, struct err *err) {
    struct profile *p = r->p;
    struct line_count c;
    struct profile_sample sample = {0};
    if (n && line[n - 1] == '\r')
        n--;
    bool counted = line_count(line, n, &c);
    if (n == 0 || (line[0] == '#' && !counted)) {
        read_remark(p, line, n);
        return 0;
    }
    if (!counted)
        return err_set(err, -EBADMSG, "Each line is a stack, a space and a number", "Line %zu has no count", number);
    int rc = read_stack(r, line, c.stack_length, &sample.stack);
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc < 0)
        return err_set(err, -EBADMSG, NULL, "Line %zu is deeper than %d frames", number, MOST_FRAMES);
    if (c.rounded && p->quality.n_notes == 0)
        profile_note(p, "The counts in the file have fractions; they were rounded");
    if (!p->n_value_types)
        profile_value_type(p, "samples", "count");
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
