#include "cli/summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyse/summary.h"
#include "analyse/text.h"

/* ---- numbers for people ---- */

static void add_bytes(struct buf *out, double bytes) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    size_t u = 0;
    for (; bytes >= 1000 && u + 1 < ARRAY_SIZE(units); u++)
        bytes /= 1000;
    buf_addf(out, bytes < 10 && u > 0 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
}

static void add_value(struct buf *out, int64_t value, const char *unit) {
    double v = (double)value;
    if (strcmp(unit, "nanoseconds") == 0 && v >= 1e9)
        buf_addf(out, "%.2f s", v / 1e9);
    else if (strcmp(unit, "nanoseconds") == 0)
        buf_addf(out, "%.1f ms", v / 1e6);
    else if (strcmp(unit, "bytes") == 0)
        add_bytes(out, v);
    else
        buf_addf(out, "%" PRId64, value);
}

/* ---- quality ---- */

enum { NOTE_COLUMNS = 400, NAME_COLUMNS = 120 };

static void add_capture(struct buf *out, const struct profile *p) {
    uint64_t count = analyse_sample_count(p);
    buf_addf(out, "%" PRIu64 " %s%s", count, analyse_samples_known(p) ? "sample" : "row", count == 1 ? "" : "s");
    if (p->command) {
        buf_adds(out, " of ");
        text_add(out, profile_str(p, p->command), NAME_COLUMNS);
    }
    if (p->duration_ns)
        buf_addf(out, " in %.1f s", (double)p->duration_ns / 1e9);
    if (p->period_ns)
        buf_addf(out, ", about %.0f per second and busy CPU", 1e9 / (double)p->period_ns);
    buf_addc(out, '\n');
}

/* What would be shown as 0.0 % is no defect. */
static void add_frames(struct buf *out, const struct profile_quality *q) {
    const double least = 0.05;
    double unnamed = analyse_percent((double)q->frames_unnamed, (double)q->frames);
    double approximate = analyse_percent((double)q->frames_approximate, (double)q->frames);
    if (unnamed >= least)
        buf_addf(out, "; %.1f %% of the frames have no name", unnamed);
    if (approximate >= least)
        buf_addf(out, "; %.1f %%%s were found by frame pointer only", approximate,
                 unnamed >= least ? "" : " of the frames");
}

static void add_stacks(struct buf *out, const struct profile *p) {
    const struct profile_quality *q = &p->quality;
    uint64_t all = q->samples_taken + q->samples_lost;
    if (q->samples_lost)
        buf_addf(out, "%" PRIu64 " samples (%.2f %%) were lost; ", q->samples_lost,
                 analyse_percent((double)q->samples_lost, (double)all));
    else
        buf_adds(out, "no sample was lost; ");
    if (q->stacks_whole >= q->samples_taken)
        buf_adds(out, "every stack is whole");
    else
        buf_addf(out, "%.2f %% of the stacks are whole",
                 analyse_percent((double)q->stacks_whole, (double)q->samples_taken));
    const char *separator = ": ";
    for (size_t i = 0; i < q->n_truncated; i++) {
        buf_adds(out, separator);
        text_add(out, profile_str(p, q->truncated[i].reason), NAME_COLUMNS);
        buf_addf(out, " (%" PRIu64 ")", q->truncated[i].count);
        separator = ", ";
    }
    add_frames(out, q);
    buf_addc(out, '\n');
}

static void add_cost(struct buf *out, const struct profile *p) {
    const struct profile_quality *q = &p->quality;
    if (!q->self_cpu_ns && !q->self_rss_bytes)
        return;
    buf_addf(out, "scry itself used %.2f s of CPU and ", (double)q->self_cpu_ns / 1e9);
    add_bytes(out, (double)(q->self_rss_bytes + q->self_map_bytes));
    if (q->probe_runs)
        buf_addf(out, "; a sample took %.1f us", (double)q->probe_ns / (double)q->probe_runs / 1e3);
    if (q->slowdown_bound >= 0)
        buf_addf(out, "; the target lost at most %.2f %% of its speed", 100 * q->slowdown_bound);
    buf_addc(out, '\n');
}

static void add_verdict(struct buf *out, const struct profile *p, const struct summary_style *style) {
    struct analyse_verdict v;
    const struct terminal_styles *s = &style->terminal;
    struct analyse_style how = {
        .width = style->width, .bold = s->bold, .good = s->green, .fair = s->yellow, .poor = s->red, .plain = s->plain};
    analyse_verdict(p, &v);
    analyse_verdict_text(out, &v, &how);
}

/* The columns of a word, in which a colour may begin or end: only we can have put an escape there. */
static size_t word_columns(const char *word) {
    size_t columns = text_columns(word);
    for (const char *at = word; (at = strchr(at, '\033')); at++)
        columns -= strcspn(at, "m") + (strchr(at, 'm') != NULL);
    return columns;
}

/* Breaks the lines that begin at `start` between words; a number keeps its "%". */
static void break_lines(struct buf *out, size_t start, unsigned width) {
    enum { INDENT = 4 };
    _cleanup_(buf_free) struct buf text = {0};
    buf_add(&text, out->data + start, out->len - start);
    size_t column = 0, spaces = 0;
    out->len = start;
    for (const char *at = buf_cstr(&text); *at;) {
        size_t n = strcspn(at, " \n");
        if (n == 0) {
            column = *at == '\n' ? 0 : column;
            spaces = *at == '\n' ? 0 : spaces + 1;
            if (*at++ == '\n')
                buf_addc(out, '\n');
            continue;
        }
        n += at[n] == ' ' && at[n + 1] == '%' ? 2 : 0;
        _cleanup_(freep) char *word = mem_strndup(at, n);
        size_t columns = word ? word_columns(word) : n;
        bool breaks = column > INDENT && column + spaces + columns > width;
        buf_addf(out, "%s%*s", breaks ? "\n" : "", breaks ? INDENT : (int)spaces, "");
        buf_add(out, at, n);
        column = (breaks ? INDENT : column + spaces) + columns;
        spaces = 0;
        at += n;
    }
    out->failed |= text.failed;
}

static void add_below_zero(struct buf *out, const struct profile *p, unsigned value) {
    struct analyse_below_zero b = analyse_below_zero(p, value);
    if (!b.rows)
        return;
    buf_addf(out, "note: values below zero, as of a difference of two profiles, count as nothing: %zu rows, together -",
             b.rows);
    add_value(out, -MAX(b.sum, -INT64_MAX), profile_str(p, p->value_types[value].unit));
    buf_addc(out, '\n');
}

static void add_quality(struct buf *out, const struct profile *p, const struct summary_style *style) {
    add_verdict(out, p, style);
    add_capture(out, p);
    if (analyse_sample_count(p) == 0 && p->duration_ns && !profile_says_why_nothing_ran(p))
        buf_adds(out, "Nothing of it ran when a sample was due: it slept, or it was too brief\n");
    if (p->quality.samples_taken) {
        add_stacks(out, p);
        add_cost(out, p);
    }
    for (size_t i = 0; i < p->quality.n_notes; i++) {
        buf_adds(out, "note: ");
        text_add(out, profile_str(p, p->quality.notes[i]), NOTE_COLUMNS);
        buf_addc(out, '\n');
    }
    add_below_zero(out, p, style->value);
}

void summary_quality(struct buf *out, const struct profile *p, const struct summary_style *style) {
    size_t start = out->len;
    add_quality(out, p, style);
    if (style->wraps && !out->failed)
        break_lines(out, start, style->width);
}

/* ---- functions ---- */

/* Where a function is: its file, or the library it is in; "" when neither is known. */
static const char *place_of(const struct profile *p, frame_id frame) {
    const struct profile_frame *f = &p->frames[frame];
    string_id file = p->functions[f->function].file;
    return profile_str(p, file ? file : p->mappings[f->mapping].file);
}

/* A path below the present directory is shown from there. */
static const char *nearby_place(const char *path) {
    static char here[4096];
    if (!here[0] && !getcwd(here, sizeof(here)))
        strcpy(here, "/");
    size_t n = strlen(here);
    return n > 1 && strncmp(path, here, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

/* The end of a path, at most `room` columns. */
static const char *short_place(const char *path, size_t room) {
    size_t n = strlen(path);
    if (n <= room)
        return path;
    for (const char *slash = strchr(path + n - room, '/'); slash; slash = strchr(slash + 1, '/'))
        if (slash[1])
            return slash + 1;
    const char *last = strrchr(path, '/');
    return last && strlen(last + 1) <= room ? last + 1 : "";
}

/* What is said beside the name of a row. */
static void add_aside(struct buf *out, const char *text, size_t room, const struct summary_style *style) {
    if (!text[0])
        return;
    buf_addf(out, "  %s", style->terminal.dim);
    text_add(out, text, room);
    buf_adds(out, style->terminal.plain);
}

/* Name and place of a function in what is left of a line. */
static void add_function(struct buf *out, const struct profile *p, function_id function, frame_id frame, size_t room,
                         const struct summary_style *style) {
    enum { LEAST_ROOM = 20, PLACE_ROOM = 8 };
    size_t used = text_add(out, profile_str(p, p->functions[function].name), MAX(room, (size_t)LEAST_ROOM)) + 2;
    if (room > used + PLACE_ROOM)
        add_aside(out, short_place(nearby_place(place_of(p, frame)), room - used), room - used, style);
    buf_addc(out, '\n');
}

/* What a row stands for: a function, a line of source, or a file. */
static void add_row_name(struct buf *out, const struct profile *p, const struct analyse_row *r, size_t room,
                         const struct summary_style *style) {
    const struct profile_frame *f = &p->frames[r->frame];
    const char *file = profile_str(p, p->functions[f->function].file);
    char place[512];
    if (style->by == ANALYSE_FUNCTIONS || (style->by == ANALYSE_LINES && !(file[0] && f->line))) {
        add_function(out, p, r->function, r->frame, room, style);
        return;
    }
    if (style->by == ANALYSE_FILES)
        snprintf(place, sizeof(place), "%s", nearby_place(place_of(p, r->frame)));
    else
        snprintf(place, sizeof(place), "%s:%u", nearby_place(file), f->line);
    size_t used = text_add(out, place[0] ? place : "(unknown)", room) + 2;
    if (style->by == ANALYSE_LINES && room > used + 8)
        add_aside(out, profile_str(p, p->functions[f->function].name), room - used, style);
    buf_addc(out, '\n');
}

static void add_heading(struct buf *out, const char *text, const struct summary_style *style) {
    buf_addf(out, "%s%s%s\n", style->terminal.bold, text, style->terminal.plain);
}

/* With threads, each has a row of its own among the functions. */
static void add_left_out(struct buf *out, const struct profile *p, const struct analyse_table *t, size_t shown,
                         const char *what) {
    size_t threads = 0, left = t->n_rows - shown;
    for (size_t i = shown; i < t->n_rows; i++) {
        const struct profile_frame *f = &p->frames[t->rows[i].frame];
        threads += f->flags & FRAME_MARK && strcmp(profile_str(p, f->kind), "thread") == 0;
    }
    left -= threads;
    if (!left && !threads)
        return;
    buf_adds(out, "... and ");
    if (left)
        buf_addf(out, "%zu %s%s%s", left, what, left == 1 ? "" : "s", threads ? " and " : "");
    if (threads)
        buf_addf(out, "%zu thread%s", threads, threads == 1 ? "" : "s");
    buf_adds(out, " more\n");
}

void summary_table(struct buf *out, const struct profile *p, const struct analyse_table *t,
                   const struct summary_style *style) {
    enum { COLUMNS = 31 };
    const char *unit = profile_str(p, p->value_types[style->value].unit);
    size_t shown = style->limit && style->limit < t->n_rows ? style->limit : t->n_rows;
    static const char *const names[] = {
        [ANALYSE_FUNCTIONS] = "function", [ANALYSE_LINES] = "line", [ANALYSE_FILES] = "file"};
    char heading[64];
    snprintf(heading, sizeof(heading), "   self    total   self value  %s", names[style->by]);
    add_heading(out, heading, style);
    for (size_t i = 0; i < shown; i++) {
        const struct analyse_row *r = &t->rows[i];
        struct buf value = {0};
        add_value(&value, r->self, unit);
        buf_addf(out, "%5.1f %%  %5.1f %%  %11s  ", analyse_percent((double)r->self, (double)t->total),
                 analyse_percent((double)r->total, (double)t->total), buf_cstr(&value));
        add_row_name(out, p, r, style->width - MIN(style->width, (unsigned)COLUMNS), style);
        buf_free(&value);
    }
    add_left_out(out, p, t, shown, names[style->by]);
}

void summary_threads(struct buf *out, const struct profile *p, const struct analyse_threads *t,
                     const struct summary_style *style) {
    struct analyse_style how = {
        .width = style->width, .limit = style->limit, .bold = style->terminal.bold, .plain = style->terminal.plain};
    analyse_threads_text(out, p, t, &how);
}

/* ---- trees ---- */

/* A walk over a tree, parents first, that leaves small branches out. */
struct tree_walk {
    const struct analyse_tree *t;
    int64_t least; /* smallest total that is shown */
    uint32_t at;   /* the node reached */
    uint32_t depth;
    size_t left_out;
    int64_t left_out_value; /* of branches that were left out, not of those within them */
};

static struct tree_walk tree_walk_of(const struct analyse_tree *t, double min_share) {
    return (struct tree_walk){.t = t, .least = analyse_least(t->total, min_share)};
}

/* Children and siblings stand in the order of their totals: the first that is too small ends its row. */
static uint32_t shown_node(struct tree_walk *w, uint32_t node) {
    const struct analyse_node *nodes = w->t->nodes;
    if (node && nodes[node].total >= w->least && nodes[node].total > 0)
        return node;
    for (; node; node = nodes[node].next_sibling) {
        w->left_out++;
        w->left_out_value = profile_sum(w->left_out_value, nodes[node].total);
    }
    return 0;
}

static bool tree_next(struct tree_walk *w) {
    const struct analyse_node *nodes = w->t->nodes;
    uint32_t next = shown_node(w, nodes[w->at].first_child);
    if (next) {
        w->at = next;
        w->depth++;
        return true;
    }
    while (w->at) {
        next = shown_node(w, nodes[w->at].next_sibling);
        if (next) {
            w->at = next;
            return true;
        }
        w->at = nodes[w->at].parent;
        w->depth--;
    }
    return false;
}

static void add_tree_node(struct buf *out, const struct profile *p, const struct analyse_tree *t, uint32_t node,
                          uint32_t depth, const struct summary_style *style) {
    enum { COLUMNS = 20, DEEPEST = 30 };
    const struct analyse_node *n = &t->nodes[node];
    unsigned indent = MIN(depth, (unsigned)DEEPEST) * 2;
    buf_addf(out, "%5.1f %%  ", analyse_percent((double)n->total, (double)t->total));
    if (!style->upwards)
        buf_addf(out, "%5.1f %%  ", analyse_percent((double)n->self, (double)t->total));
    buf_addf(out, "%*s", (int)indent, "");
    if (depth > DEEPEST)
        buf_addf(out, "(%u) ", depth);
    if (!n->function)
        buf_adds(out, "everything\n");
    else
        add_function(out, p, n->function, n->frame, style->width - MIN(style->width, COLUMNS + indent), style);
}

void summary_tree(struct buf *out, const struct profile *p, const struct analyse_tree *t,
                  const struct summary_style *style) {
    struct tree_walk w = tree_walk_of(t, style->min_share);
    add_heading(out, style->upwards ? "  total  function" : "  total     self  function", style);
    add_tree_node(out, p, t, 0, 0, style);
    while (tree_next(&w))
        add_tree_node(out, p, t, w.at, w.depth, style);
    if (w.left_out)
        buf_addf(out, "%zu branch%s below %.4g %% %s left out, together %.1f %%\n", w.left_out,
                 w.left_out == 1 ? "" : "es", 100 * style->min_share, w.left_out == 1 ? "is" : "are",
                 analyse_percent((double)w.left_out_value, (double)t->total));
}

/* ---- the heaviest paths ---- */

enum { CHAIN_MOST = 64 };

struct chain {
    uint32_t nodes[CHAIN_MOST]; /* the first ones, and in the last place the last one */
    unsigned n, in_all;
};

static bool is_shown(const struct analyse_tree *t, uint32_t node, double min_share) {
    return node && (double)t->nodes[node].total >= (double)t->total * min_share && t->nodes[node].total > 0;
}

/* The callee that gets nearly everything of a node, or 0. */
static uint32_t passes_on_to(const struct analyse_tree *t, uint32_t node, double min_share) {
    const struct analyse_node *n = &t->nodes[node];
    uint32_t child = n->first_child;
    if (!is_shown(t, child, min_share) || is_shown(t, t->nodes[child].next_sibling, min_share))
        return 0;
    return (double)t->nodes[child].total >= 0.9 * (double)n->total ? child : 0;
}

static const char *node_name(const struct profile *p, const struct analyse_tree *t, uint32_t node) {
    return profile_str(p, p->functions[t->nodes[node].function].name);
}

static struct chain chain_from(const struct profile *p, const struct analyse_tree *t, uint32_t node, double min_share) {
    struct chain c = {0};
    for (; node; node = passes_on_to(t, node, min_share)) {
        if (c.n && strcmp(node_name(p, t, c.nodes[c.n - 1]), node_name(p, t, node)) == 0)
            c.n--; /* recursion, or code without names: once is enough */
        else
            c.in_all++;
        c.nodes[MIN(c.n, (unsigned)CHAIN_MOST - 1)] = node;
        c.n = MIN(c.n + 1, (unsigned)CHAIN_MOST);
    }
    return c;
}

/* The first functions of the chain as far as there is room, and always its last. */
static void add_chain(struct buf *out, const struct profile *p, const struct analyse_tree *t, const struct chain *c,
                      size_t room) {
    static const char arrow[] = " > ", gap[] = "... > ";
    const char *last = node_name(p, t, c->nodes[c->n - 1]);
    size_t used = strlen(last) + strlen(gap);
    unsigned i = 0;
    for (; i + 1 < c->n; i++) {
        const char *name = node_name(p, t, c->nodes[i]);
        used += strlen(name) + strlen(arrow);
        if (used > room)
            break;
        text_add(out, name, room);
        buf_adds(out, arrow);
    }
    if (i + 1 < c->in_all)
        buf_adds(out, gap);
    text_add(out, last, MAX(room, (size_t)16));
    buf_addc(out, '\n');
}

/* Prints the lines below a node, or only counts them when `out` is NULL. Depth is bounded by `min_share`: a line
 * that is not the only one below its own gives a part of its total away. */
static size_t paths_below(struct buf *out, const struct profile *p, const struct analyse_tree *t, uint32_t node,
                          unsigned depth, const struct summary_style *style, double min_share) {
    enum { COLUMNS = 10, DEEPEST = 40 };
    size_t lines = 0;
    for (uint32_t at = t->nodes[node].first_child; is_shown(t, at, min_share); at = t->nodes[at].next_sibling) {
        struct chain c = chain_from(p, t, at, min_share);
        lines++;
        if (out) {
            buf_addf(out, "%5.1f %%  %*s", analyse_percent((double)t->nodes[at].total, (double)t->total),
                     (int)depth * 2, "");
            add_chain(out, p, t, &c, style->width - MIN(style->width, COLUMNS + depth * 2));
        }
        if (depth < DEEPEST)
            lines += paths_below(out, p, t, c.nodes[c.n - 1], depth + 1, style, min_share);
    }
    return lines;
}

void summary_paths(struct buf *out, const struct profile *p, const struct analyse_tree *t,
                   const struct summary_style *style) {
    double min_share = MAX(style->min_share, 0.005);
    while (min_share < 0.5 && paths_below(NULL, p, t, 0, 0, style, min_share) > style->limit)
        min_share *= 1.25;
    add_heading(out, "  total  heaviest paths", style);
    paths_below(out, p, t, 0, 0, style, min_share);
}

/* ---- JSON ---- */

static void quality_json(struct json *j, const struct profile *p) {
    const struct profile_quality *q = &p->quality;
    json_key(j, "quality");
    json_object(j);
    json_ku64(j, "samples_taken", q->samples_taken);
    json_ku64(j, "samples_lost", q->samples_lost);
    json_ku64(j, "stacks_whole", q->stacks_whole);
    json_ku64(j, "frames", q->frames);
    json_ku64(j, "frames_unnamed", q->frames_unnamed);
    json_ku64(j, "frames_approximate", q->frames_approximate);
    json_kdouble(j, "self_cpu_seconds", (double)q->self_cpu_ns / 1e9);
    json_ku64(j, "self_rss_bytes", q->self_rss_bytes);
    json_ku64(j, "self_map_bytes", q->self_map_bytes);
    json_kdouble(j, "probe_seconds", (double)q->probe_ns / 1e9);
    json_ku64(j, "probe_runs", q->probe_runs);
    json_key(j, "slowdown_bound");
    if (q->slowdown_bound < 0)
        json_null(j);
    else
        json_double(j, q->slowdown_bound);
    analyse_remarks_json(j, p);
    json_object_end(j);
}

void summary_quality_json(struct json *j, const struct profile *p, unsigned value) {
    struct analyse_verdict v;
    analyse_verdict(p, &v);
    quality_json(j, p);
    analyse_verdict_json(j, &v);
    json_kstring(j, "command", profile_str(p, p->command));
    json_ku64(j, "samples", analyse_sample_count(p));
    json_kdouble(j, "duration_seconds", (double)p->duration_ns / 1e9);
    json_ku64(j, "period_ns", p->period_ns);
    json_key(j, "value");
    json_object(j);
    json_kstring(j, "type", profile_str(p, p->value_types[value].type));
    json_kstring(j, "unit", profile_str(p, p->value_types[value].unit));
    json_ku64(j, "rows_below_zero", analyse_below_zero(p, value).rows);
    json_object_end(j);
}

struct numbers {
    int64_t self, total, whole;
    uint64_t self_samples, total_samples;
    uint32_t line; /* 0: of no line in particular */
};

static void function_json(struct json *j, const struct profile *p, function_id function, frame_id frame,
                          struct numbers n) {
    json_kstring(j, "name", function ? profile_str(p, p->functions[function].name) : "everything");
    json_kstring(j, "file", place_of(p, frame));
    json_ku64(j, "line", n.line);
    json_kstring(j, "kind", profile_str(p, p->frames[frame].kind));
    json_key(j, "self");
    json_i64(j, n.self);
    json_key(j, "total");
    json_i64(j, n.total);
    json_kdouble(j, "self_percent", analyse_percent((double)n.self, (double)n.whole));
    json_kdouble(j, "total_percent", analyse_percent((double)n.total, (double)n.whole));
    json_ku64(j, "self_samples", n.self_samples);
    json_ku64(j, "total_samples", n.total_samples);
}

void summary_table_json(struct json *j, const struct profile *p, const struct analyse_table *t, enum analyse_by by,
                        size_t limit) {
    static const char *const keys[] = {
        [ANALYSE_FUNCTIONS] = "functions", [ANALYSE_LINES] = "lines", [ANALYSE_FILES] = "files"};
    json_key(j, "total");
    json_i64(j, t->total);
    json_key(j, keys[by]);
    json_array(j);
    for (size_t i = 0; i < t->n_rows && (!limit || i < limit); i++) {
        const struct analyse_row *r = &t->rows[i];
        json_object(j);
        function_json(j, p, r->function, r->frame,
                      (struct numbers){r->self, r->total, t->total, r->self_samples, r->total_samples,
                                       by == ANALYSE_LINES ? p->frames[r->frame].line : 0});
        json_object_end(j);
    }
    json_array_end(j);
    json_ku64(j, "rows_in_all", t->n_rows);
}

/* A flat list, parents first, each with its depth: a nested one would be too deep for its readers. */
void summary_tree_json(struct json *j, const struct profile *p, const struct analyse_tree *t, double min_share) {
    struct tree_walk w = tree_walk_of(t, min_share);
    json_key(j, "total");
    json_i64(j, t->total);
    json_key(j, "tree");
    json_array(j);
    do {
        const struct analyse_node *n = &t->nodes[w.at];
        json_object(j);
        json_ku64(j, "depth", w.depth);
        function_json(j, p, n->function, n->frame,
                      (struct numbers){n->self, n->total, t->total, n->self_samples, n->total_samples, 0});
        json_object_end(j);
    } while (tree_next(&w));
    json_array_end(j);
    json_ku64(j, "branches_left_out", w.left_out);
}
