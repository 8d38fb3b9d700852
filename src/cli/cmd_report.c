/* scry report: a profile's tables in the terminal. */
#include <errno.h>
#include <string.h>

#include "analyse/summary.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/summary.h"
#include "cli/terminal.h"

enum { MOST_TEXT = 256 << 20 };

static int make_tree(const struct options *o, const struct profile *p, unsigned value, struct analyse_tree *ret,
                     struct err *err) {
    double min_share = o->min_percent / 100;
    if (o->tree)
        return o->inverted ? analyse_inverted_tree(p, value, min_share, ret, err) : analyse_tree(p, value, ret, err);
    _cleanup_(freep) bool *chosen = NULL;
    int rc = analyse_find_functions(p, o->callers ? o->callers : o->callees, &chosen, err);
    if (rc < 0)
        return rc;
    return o->callers ? analyse_callers(p, value, chosen, min_share, ret, err)
                      : analyse_callees(p, value, chosen, ret, err);
}

static void json_begin(struct json *j, const struct profile *p, unsigned value) {
    json_object(j);
    summary_quality_json(j, p, value);
}

static void json_finish(struct json *j, struct buf *out) {
    json_object_end(j);
    buf_addc(out, '\n');
}

static int report_tree(const struct options *o, const struct profile *p, const struct summary_style *style,
                       struct buf *out, struct err *err) {
    _cleanup_(analyse_tree_free) struct analyse_tree t = {0};
    int rc = make_tree(o, p, style->value, &t, err);
    if (rc < 0)
        return rc;
    if (o->json) {
        struct json j = json_to(out);
        json_begin(&j, p, style->value);
        summary_tree_json(&j, p, &t, style->min_share);
        json_finish(&j, out);
        return 0;
    }
    summary_quality(out, p, style);
    buf_addc(out, '\n');
    summary_tree(out, p, &t, style);
    return 0;
}

static int report_top(const struct options *o, const struct profile *p, const struct summary_style *style,
                      struct buf *out, struct err *err) {
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    _cleanup_(analyse_threads_free) struct analyse_threads threads = {0};
    enum analyse_order order = o->sort == REPORT_SORT_TOTAL ? ANALYSE_BY_TOTAL : ANALYSE_BY_SELF;
    int rc = analyse_top_by(p, style->value, style->by, order, &t, err);
    if (rc == 0 && o->threads)
        rc = analyse_threads(p, style->value, &threads, err);
    if (rc < 0)
        return rc;
    if (o->json) {
        struct json j = json_to(out);
        json_begin(&j, p, style->value);
        summary_table_json(&j, p, &t, style->by, style->limit);
        if (o->threads)
            analyse_threads_json(&j, p, &threads, style->limit);
        json_finish(&j, out);
        return 0;
    }
    summary_quality(out, p, style);
    buf_addc(out, '\n');
    summary_table(out, p, &t, style);
    if (o->threads) {
        buf_addc(out, '\n');
        summary_threads(out, p, &threads, style);
    }
    return 0;
}

int cmd_report(const struct options *o, struct err *err) {
    bool tree = o->tree || o->callers || o->callees;
    _cleanup_(profile_freep) struct profile *whole = NULL;
    _cleanup_(profile_view_free) struct profile_view v = {0};
    struct summary_style style = {.terminal = terminal_styles(STDOUT_FILENO),
                                  .width = terminal_width(STDOUT_FILENO),
                                  .wraps = terminal_is(STDOUT_FILENO),
                                  .by = (enum analyse_by)o->by,
                                  .limit = o->limit,
                                  .min_share = o->min_percent / 100,
                                  .upwards = o->inverted || o->callers};
    int rc = input_profile(o->operands[0], &whole, err);
    if (rc == 0)
        rc =
            profile_view(whole, (struct profile_view_options){.internal = o->internal, .threads = o->threads}, &v, err);
    if (rc == 0)
        rc = analyse_value_type(v.p, o->value, &style.value, err);
    _cleanup_(buf_free) struct buf out = {.limit = MOST_TEXT};
    if (rc == 0)
        rc = tree ? report_tree(o, v.p, &style, &out, err) : report_top(o, v.p, &style, &out, err);
    if (rc == 0 && out.full)
        rc = err_set(err, -EFBIG, "Ask for less, with a smaller -n or a larger --min",
                     "The report is larger than %d MB", MOST_TEXT >> 20);
    return rc < 0 ? rc : output_text(&out, err);
}
