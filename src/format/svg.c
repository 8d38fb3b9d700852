/* A flame graph as one SVG picture: the root at the bottom, each function as wide as its share; name, share and place
 * in its tooltip. It is whole as a still picture; in a browser a script of its own adds zoom, search and details
 * (svg_script.js), offline. Branches narrower than a tenth of a pixel are left out, and counted. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyse/analyse.h"
#include "analyse/text.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/format.h"
#include "format/svg_script.h"

enum { WIDTH = 1200, ROW = 17, HEAD = 62, FOOT = 54, MARGIN = 10, MOST_KINDS = 8 };

#define NARROWEST 0.1
#define LETTER 6.6

struct picture {
    const struct profile *p;
    const struct analyse_tree *tree;
    struct buf *out;
    double *x;       /* per node: its left edge */
    uint32_t *depth; /* per node */
    uint32_t deepest;
    double scale; /* pixels per unit of value */
    size_t left_out;
    string_id kinds[MOST_KINDS]; /* that are in the picture */
    size_t n_kinds;
};

/* ---- text ---- */

static void add_escaped(struct buf *out, char c) {
    if (c == '<')
        buf_adds(out, "&lt;");
    else if (c == '>')
        buf_adds(out, "&gt;");
    else if (c == '&')
        buf_adds(out, "&amp;");
    else if (c == '"')
        buf_adds(out, "&quot;");
    else
        buf_addc(out, c);
}

/* What is no letter would make the picture ill-formed and becomes U+FFFD; so do the two that XML forbids. */
static void add_text(struct buf *out, const char *s, size_t limit) {
    const char *end = s + limit;
    while (*s && s < end) {
        const unsigned char *c = (const unsigned char *)s;
        size_t n = utf8_length(c);
        if (n == 0 || (n == 3 && c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe)) {
            buf_adds(out, "\xef\xbf\xbd");
            s += n ? n : 1;
        } else if (utf8_steers(c)) {
            buf_addc(out, ' ');
            s += n;
        } else if (n == 1) {
            add_escaped(out, *s++);
        } else {
            buf_add(out, s, n);
            s += n;
        }
    }
}

/* ---- where everything is ---- */

static bool is_wide(const struct picture *v, size_t node) {
    return (double)v->tree->nodes[node].total * v->scale >= NARROWEST;
}

static void note_kind(struct picture *v, size_t node) {
    string_id kind = v->p->frames[v->tree->nodes[node].frame].kind;
    for (size_t i = 0; i < v->n_kinds; i++)
        if (v->kinds[i] == kind)
            return;
    if (kind && v->n_kinds < MOST_KINDS)
        v->kinds[v->n_kinds++] = kind;
}

/* Nodes come parents first, so that one pass places them: each beside the sibling before it. */
static void place(struct picture *v) {
    const struct analyse_node *nodes = v->tree->nodes;
    for (size_t i = 0; i < v->tree->n_nodes; i++) {
        double x = v->x[i];
        for (uint32_t c = nodes[i].first_child; c; c = nodes[c].next_sibling) {
            v->x[c] = x;
            v->depth[c] = v->depth[i] + 1;
            x += MAX(0, (double)nodes[c].total) * v->scale;
            if (is_wide(v, c)) {
                v->deepest = MAX(v->deepest, v->depth[c]);
                note_kind(v, c);
            } else if (is_wide(v, i)) {
                v->left_out++;
            }
        }
    }
}

/* ---- colours: those of the page (web/src/flame/palette.ts), a hue for each kind of code ---- */

enum { SHADES = 6 };

struct tint {
    unsigned hue, saturation;
};

#define HASH_BEGIN 0x811c9dc5u

static uint32_t hash_more(uint32_t hash, const char *s) {
    enum { ENOUGH = 1000 };
    for (const char *end = s + strnlen(s, ENOUGH); s < end; s++)
        hash = (hash ^ (unsigned char)*s) * 0x01000193;
    return hash;
}

static uint32_t hash_end(uint32_t hash) {
    hash ^= hash >> 15;
    return hash ^ (hash >> 7);
}

static struct tint tint_of(const char *kind) {
    static const struct {
        const char *kind;
        struct tint tint;
    } known[] = {
        {"native", {212, 52}}, {"kernel", {8, 62}}, {"python", {44, 78}}, {"thread", {220, 6}}, {"unknown", {220, 4}}};
    static const unsigned free_hues[] = {158, 282, 328, 92, 186, 256};
    kind = kind[0] ? kind : "unknown";
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strcmp(known[i].kind, kind) == 0)
            return known[i].tint;
    return (struct tint){free_hues[hash_end(hash_more(HASH_BEGIN, kind)) % ARRAY_SIZE(free_hues)], 45};
}

/* The shade by the name, so that a function has one colour in every picture. */
static void add_colour(struct buf *out, const struct profile *p, const struct analyse_node *n) {
    const struct profile_frame *f = &p->frames[n->frame];
    if (!n->function) {
        buf_adds(out, "#dfe3e8");
        return;
    }
    struct tint tint = tint_of(profile_str(p, f->kind));
    uint32_t hash = hash_more(HASH_BEGIN, profile_str(p, p->mappings[f->mapping].file));
    hash = hash_end(hash_more(hash_more(hash, "\n"), profile_str(p, p->functions[n->function].name)));
    double step = hash % SHADES - (SHADES - 1) / 2.0;
    buf_addf(out, "hsl(%.1f,%u%%,%.2f%%)", tint.hue + 2.4 * step, tint.saturation, 79 + 1.5 * step);
}

/* ---- boxes ---- */

/* Nothing of what is counted: the samples say it. */
static void add_value(struct buf *out, int64_t value, const char *unit) {
    if (strcmp(unit, "nanoseconds") == 0) {
        buf_addf(out, ", %.3f s", (double)value / 1e9);
    } else if (strcmp(unit, "count") != 0) {
        buf_addf(out, ", %" PRId64 " ", value);
        add_text(out, unit, 100);
    }
}

static void add_title(struct picture *v, const struct analyse_node *n, const char *name) {
    const struct profile *p = v->p;
    string_id file = p->functions[n->function].file;
    double whole = v->tree->total > 0 ? (double)v->tree->total : 1;
    add_text(v->out, name, 1000);
    buf_addf(v->out, ": %.2f %%, self %.2f %%\n%" PRIu64 " samples", 100 * (double)n->total / whole,
             100 * (double)n->self / whole, n->total_samples);
    add_value(v->out, n->total, profile_str(p, p->value_types[p->default_value].unit));
    if (file || p->frames[n->frame].mapping) {
        buf_addc(v->out, '\n');
        add_text(v->out, profile_str(p, file ? file : p->mappings[p->frames[n->frame].mapping].file), 1000);
    }
}

/* The beginning and the end of a name; where there is no room for both, the beginning and a mark that it is cut. */
static void add_cut(struct buf *out, const char *name, size_t letters) {
    if (letters >= 6 || text_columns(name) <= letters) {
        text_add(out, name, letters);
    } else {
        text_add_padded(out, name, letters - 2);
        buf_adds(out, "..");
    }
}

static void add_name(struct buf *out, const char *name, double x, double y, double width) {
    size_t letters = width > 6 ? (size_t)((width - 6) / LETTER) : 0;
    struct buf shown = {0};
    if (letters < 3)
        return;
    add_cut(&shown, name, letters);
    buf_addf(out, "<text x=\"%.1f\" y=\"%.0f\">", x + 3, y + ROW - 5);
    add_text(out, buf_cstr(&shown), SIZE_MAX / 4);
    buf_adds(out, "</text>");
    out->failed |= shown.failed;
    buf_free(&shown);
}

static void add_box(struct picture *v, uint32_t node) {
    const struct analyse_node *n = &v->tree->nodes[node];
    const char *name = n->function ? profile_str(v->p, v->p->functions[n->function].name) : "everything";
    double x = v->x[node], width = (double)n->total * v->scale;
    double y = HEAD + (double)(v->deepest - v->depth[node]) * ROW;
    name = name[0] ? name : "?";
    bool odd = v->p->frames[n->frame].flags & (FRAME_MARK | FRAME_UNNAMED);
    buf_addf(v->out, "<g class=\"b%s\"><title>", odd ? " odd" : "");
    add_title(v, n, name);
    buf_addf(v->out,
             "</title><rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%d\" data-x=\"%.4f\" data-w=\"%.4f\" fill=\"",
             x, y, MAX(width - 0.3, NARROWEST), ROW - 1, x, width);
    add_colour(v->out, v->p, n);
    buf_adds(v->out, "\"/>");
    add_name(v->out, name, x, y, width);
    buf_adds(v->out, "</g>\n");
}

/* ---- around them ---- */

static const char style[] =
    "text{font:11px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1b1b1b}"
    ".paper{fill:#fff}.title{font:600 16px system-ui,sans-serif}.dim{fill:#666}"
    "g.b rect{rx:2px}g.b text{pointer-events:none}.live g.b{cursor:pointer}g.b:hover rect{stroke:#000;stroke-width:.8}"
    "g.odd text{font-style:italic}g.above rect{opacity:.45}rect.hit{fill:#e040fb!important}"
    "#reset{cursor:pointer;fill:#0a58ca}#search{font:12px system-ui,sans-serif;width:170px;box-sizing:border-box;"
    "padding:2px 6px;border:1px solid #999;border-radius:4px}.tool{display:none}.live .tool{display:inline}"
    "@media(prefers-color-scheme:dark){.paper{fill:#1e1f22}text{fill:#e4e4e4}.dim{fill:#9a9a9a}g.b text{fill:#111}"
    "#reset{fill:#7ab7ff}}";

static void add_legend(struct picture *v) {
    double x = MARGIN;
    for (size_t i = 0; i < v->n_kinds; i++) {
        const char *kind = profile_str(v->p, v->kinds[i]);
        struct tint tint = tint_of(kind);
        buf_addf(v->out, "<rect x=\"%.0f\" y=\"40\" width=\"11\" height=\"11\" fill=\"hsl(%u,%u%%,79%%)\"/>", x,
                 tint.hue, tint.saturation);
        buf_addf(v->out, "<text class=\"dim\" x=\"%.0f\" y=\"50\">", x + 15);
        add_text(v->out, kind, 40);
        buf_adds(v->out, "</text>");
        x += 30 + LETTER * (double)text_columns(kind);
    }
    buf_addf(v->out,
             "<text class=\"tool dim\" id=\"matched\" x=\"%d\" y=\"50\" text-anchor=\"end\"></text>"
             "<text class=\"tool\" x=\"%d\" y=\"24\"><tspan id=\"reset\" style=\"display:none\">show all</tspan></text>"
             "<foreignObject class=\"tool\" x=\"%d\" y=\"8\" width=\"176\" height=\"28\"><input "
             "xmlns=\"http://www.w3.org/1999/xhtml\" id=\"search\" type=\"search\" placeholder=\"search ( / )\" "
             "aria-label=\"search functions\"/></foreignObject>\n",
             WIDTH - MARGIN, WIDTH - MARGIN - 250, WIDTH - MARGIN - 174);
}

static void add_head(struct picture *v, const char *title, double height) {
    buf_addf(v->out,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
             "height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n<style>%s</style>\n<rect class=\"paper\" width=\"100%%\" "
             "height=\"100%%\"/>\n<text class=\"title\" x=\"%d\" y=\"25\">",
             WIDTH, height, WIDTH, height, style, MARGIN);
    add_text(v->out, title, 110);
    buf_adds(v->out, "</text>\n");
    add_legend(v);
}

static void add_foot(struct picture *v, double height) {
    const struct profile_quality *q = &v->p->quality;
    buf_addf(v->out, "<text id=\"details\" x=\"%d\" y=\"%.0f\"></text>\n", MARGIN, height - 36);
    buf_addf(v->out, "<text class=\"dim\" x=\"%d\" y=\"%.0f\">%" PRIu64 " %s", MARGIN, height - 14,
             analyse_sample_count(v->p), analyse_samples_known(v->p) ? "samples" : "rows");
    if (v->p->duration_ns)
        buf_addf(v->out, " in %.1f s", (double)v->p->duration_ns / 1e9);
    if (q->samples_taken)
        buf_addf(v->out, ", %" PRIu64 " lost, %.2f %% of the stacks whole, %.2f %% of the frames without a name",
                 q->samples_lost, 100.0 * (double)q->stacks_whole / (double)q->samples_taken,
                 q->frames ? 100.0 * (double)q->frames_unnamed / (double)q->frames : 0);
    if (v->left_out)
        buf_addf(v->out, "; %zu branches below %.3f %% are too narrow to be drawn", v->left_out,
                 100 * NARROWEST / (WIDTH - 2 * MARGIN));
    buf_addf(v->out, "</text>\n<script><![CDATA[\n%s]]></script>\n</svg>\n", svg_script);
}

static void draw(struct picture *v, const char *title) {
    double height = HEAD + (double)(v->deepest + 1) * ROW + FOOT;
    add_head(v, title, height);
    for (size_t i = 0; i < v->tree->n_nodes; i++)
        if (i == 0 || is_wide(v, i))
            add_box(v, (uint32_t)i);
    add_foot(v, height);
}

static int draw_profile(const struct profile *p, const char *title, struct buf *out, struct err *err) {
    _cleanup_(analyse_tree_free) struct analyse_tree tree = {0};
    unsigned value;
    int rc = analyse_value_type(p, NULL, &value, err);
    if (rc == 0)
        rc = analyse_tree(p, value, &tree, err);
    if (rc < 0)
        return rc;
    _cleanup_(freep) double *x = mem_zalloc(tree.n_nodes, sizeof(*x));
    _cleanup_(freep) uint32_t *depth = mem_zalloc(tree.n_nodes, sizeof(*depth));
    if (!x || !depth)
        return err_nomem(err);
    struct picture v = {.p = p, .tree = &tree, .out = out, .x = x, .depth = depth};
    v.scale = tree.total > 0 ? (WIDTH - 2.0 * MARGIN) / (double)tree.total : 0;
    x[0] = MARGIN;
    place(&v);
    draw(&v, title);
    return out->failed ? err_nomem(err) : 0;
}

static int svg_write(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err) {
    _cleanup_(profile_view_free) struct profile_view v = {0};
    int rc = profile_view(p, format_view(o), &v, err);
    const char *title = p->command ? profile_str(p, p->command) : "Flame graph";
    return rc < 0 ? rc : draw_profile(v.p, title, out, err);
}

const struct format format_svg = {
    .name = "svg",
    .ending = ".svg",
    .title = "flame graph picture",
    .write = svg_write,
};
