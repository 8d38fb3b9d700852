/* A flame graph as one SVG picture, without a script: the root at the bottom, each function as wide as its share,
 * name, share and place in its tooltip. For reports and pages that show pictures; the HTML page is for looking
 * around in. Branches narrower than a tenth of a pixel are left out, and counted. */
#include <stdio.h>
#include <string.h>

#include "analyse/analyse.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/format.h"

enum { WIDTH = 1200, ROW = 17, HEAD = 40, FOOT = 34, MARGIN = 10, LETTER_TENTHS = 66 };

#define NARROWEST 0.1

struct picture {
    const struct profile *p;
    const struct analyse_tree *tree;
    struct buf *out;
    double *x;       /* per node: its left edge */
    uint32_t *depth; /* per node */
    uint32_t deepest;
    double scale; /* pixels per unit of value */
    size_t left_out;
};

static void add_text(struct buf *out, const char *s, size_t limit) {
    for (size_t n = 0; *s && n < limit; s++, n++) {
        if (*s == '<')
            buf_adds(out, "&lt;");
        else if (*s == '>')
            buf_adds(out, "&gt;");
        else if (*s == '&')
            buf_adds(out, "&amp;");
        else if (*s == '"')
            buf_adds(out, "&quot;");
        else if ((unsigned char)*s < ' ' || *s == 0x7f)
            buf_addc(out, ' ');
        else
            buf_addc(out, *s);
    }
}

/* Bytes of `s` that are no letters would make the picture ill-formed: they become "?". So do the two letters
 * that XML forbids, U+FFFE and U+FFFF. */
static char *clean_copy(const char *s) {
    char *copy = mem_strdup(s);
    unsigned char *c = (unsigned char *)copy;
    while (c && *c) {
        size_t n = utf8_length(c);
        bool forbidden = n == 3 && c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe;
        if (n == 0 || forbidden)
            *c = '?';
        c += n == 0 || forbidden ? 1 : n;
    }
    return copy;
}

/* ---- where everything is ---- */

/* Nodes come parents first, so that one pass places them: each beside the sibling before it. */
static void place(struct picture *v) {
    const struct analyse_node *nodes = v->tree->nodes;
    for (size_t i = 0; i < v->tree->n_nodes; i++) {
        double x = v->x[i];
        for (uint32_t c = nodes[i].first_child; c; c = nodes[c].next_sibling) {
            v->x[c] = x;
            v->depth[c] = v->depth[i] + 1;
            x += (double)nodes[c].total * v->scale;
            bool wide = (double)nodes[c].total * v->scale >= NARROWEST;
            if (wide)
                v->deepest = MAX(v->deepest, v->depth[c]);
            else
                v->left_out++;
        }
    }
}

/* ---- drawing ---- */

/* A warm colour for native code, cool ones for runtimes, by the name, so that it is the same in every picture. */
static void add_colour(struct buf *out, const struct profile *p, const struct analyse_node *n) {
    const char *kind = profile_str(p, p->frames[n->frame].kind);
    const char *name = profile_str(p, p->functions[n->function].name);
    unsigned hash = 5381, hue = 200;
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    if (!n->function || p->frames[n->frame].flags & FRAME_MARK)
        hue = 0;
    else if (strcmp(kind, "kernel") == 0)
        hue = 30;
    else if (strcmp(kind, "native") == 0 || !kind[0])
        hue = 5;
    else
        for (const char *c = kind; *c; c++)
            hue = 100 + (hue * 31 + (unsigned char)*c) % 150;
    buf_addf(out, "hsl(%u,%u%%,%u%%)", hue + hash % 18, hue ? 68 : 8, 66 + hash / 18 % 12);
}

static void add_box(struct picture *v, uint32_t node, double width, double y) {
    const struct profile *p = v->p;
    const struct analyse_node *n = &v->tree->nodes[node];
    _cleanup_(freep) char *name =
        clean_copy(n->function ? profile_str(p, p->functions[n->function].name) : "everything");
    _cleanup_(freep) char *file = clean_copy(profile_str(p, p->functions[n->function].file));
    if (!name || !file) {
        v->out->failed = true;
        return;
    }
    buf_adds(v->out, "<g><title>");
    add_text(v->out, name, 1000);
    if (file[0]) {
        buf_adds(v->out, " (");
        add_text(v->out, file, 1000);
        buf_addc(v->out, ')');
    }
    double whole = v->tree->total > 0 ? (double)v->tree->total : 1;
    buf_addf(v->out, ": %.2f %%, self %.2f %%</title><rect x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%d\" fill=\"",
             100 * (double)n->total / whole, 100 * (double)n->self / whole, v->x[node], y, MAX(width - 0.3, NARROWEST),
             ROW - 1);
    add_colour(v->out, p, n);
    buf_adds(v->out, "\"/>");
    size_t letters = (size_t)(width * 10 / LETTER_TENTHS), length = strlen(name);
    if (letters >= 3) {
        size_t shown = length <= letters ? length : letters - 2;
        while (shown && shown < length && ((unsigned char)name[shown] & 0xc0) == 0x80)
            shown--; /* not in the middle of a letter */
        buf_addf(v->out, "<text x=\"%.1f\" y=\"%.0f\">", v->x[node] + 3, y + ROW - 5);
        add_text(v->out, name, shown);
        buf_adds(v->out, shown < length ? "..</text>" : "</text>");
    }
    buf_adds(v->out, "</g>\n");
}

static void add_foot(struct picture *v, double height) {
    const struct profile_quality *q = &v->p->quality;
    buf_addf(v->out, "<text x=\"%d\" y=\"%.0f\">%zu samples", MARGIN, height - 14,
             q->samples_taken ? (size_t)q->samples_taken : v->p->n_samples);
    if (q->samples_taken)
        buf_addf(v->out, ", %llu lost, %.2f %% of the stacks whole, %.2f %% of the frames without a name",
                 (unsigned long long)q->samples_lost, 100.0 * (double)q->stacks_whole / (double)q->samples_taken,
                 q->frames ? 100.0 * (double)q->frames_unnamed / (double)q->frames : 0);
    if (v->left_out)
        buf_addf(v->out, "; %zu branches are too narrow to be shown", v->left_out);
    buf_adds(v->out, "</text>\n</svg>\n");
}

static void draw(struct picture *v, const char *title) {
    double height = HEAD + (double)(v->deepest + 1) * ROW + FOOT;
    buf_addf(
        v->out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
        "height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n<style>text{font:11px monospace;fill:#111}"
        "g:hover rect{stroke:#111;stroke-width:.6}</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
        "<text x=\"%d\" y=\"24\" style=\"font-size:15px\">",
        WIDTH, height, WIDTH, height, MARGIN);
    add_text(v->out, title, 150);
    buf_adds(v->out, "</text>\n");
    for (size_t i = 0; i < v->tree->n_nodes; i++) {
        double width = (double)v->tree->nodes[i].total * v->scale;
        if (width >= NARROWEST)
            add_box(v, (uint32_t)i, width, HEAD + (double)(v->deepest - v->depth[i]) * ROW);
    }
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
    _cleanup_(freep) char *clean = clean_copy(title);
    if (!x || !depth || !clean)
        return err_nomem(err);
    struct picture v = {.p = p, .tree = &tree, .out = out, .x = x, .depth = depth};
    v.scale = (WIDTH - 2.0 * MARGIN) / (tree.total > 0 ? (double)tree.total : 1);
    x[0] = MARGIN;
    place(&v);
    draw(&v, clean);
    return out->failed ? err_nomem(err) : 0;
}

static int svg_write(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err) {
    _cleanup_(profile_freep) struct profile *folded = NULL, *rooted = NULL;
    int rc = o && o->show_internal ? 0 : profile_fold_internal(p, &folded, err);
    if (rc == 0 && o && o->threads)
        rc = profile_root_threads(folded ? folded : p, &rooted, err);
    const char *title = o && o->title ? o->title : p->command ? profile_str(p, p->command) : "Flame graph";
    return rc < 0 ? rc : draw_profile(rooted ? rooted : folded ? folded : p, title, out, err);
}

const struct format format_svg = {
    .name = "svg",
    .ending = ".svg",
    .title = "flame graph picture",
    .write = svg_write,
};
