#include "cli/output.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "analyse/text.h"
#include "base/file.h"
#include "cli/input.h"
#include "cli/summary.h"
#include "cli/terminal.h"
#include "format/format.h"

int output_text(struct buf *text, struct err *err) {
    if (text->failed)
        return err_nomem(err);
    return file_write("-", text->data, text->len, err);
}

/* scry-cpu-20240131-235959.html, in the present directory. */
static void default_name(const char *what, char *ret, size_t size) {
    char stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
    snprintf(ret, size, "scry-%s-%s.html", what, stamp);
}

int output_plan(const struct options *o, const char *what, struct output *ret, struct err *err) {
    *ret = (struct output){.path = ""};
    if (!o->output && o->json)
        return 0;
    if (o->output)
        snprintf(ret->path, sizeof(ret->path), "%s", o->output);
    else
        default_name(what, ret->path, sizeof(ret->path));
    int rc = input_choose_writer(ret->path, o->to, &ret->format, err);
    return rc < 0 ? rc : file_check_writable(ret->path, err);
}

int output_write(const struct options *o, const struct format *format, const char *path, const struct profile *p,
                 struct err *err) {
    _cleanup_(buf_free) struct buf bytes = {0};
    int rc =
        format->write(p, &(struct format_options){.show_internal = o->internal, .threads = o->threads}, &bytes, err);
    if (rc == 0 && bytes.failed)
        rc = err_nomem(err);
    return rc < 0 ? rc : file_write(path, bytes.data, bytes.len, err);
}

/* ---- the summary ---- */

enum { SUMMARY_ROWS = 12 };

static void add_hint(struct buf *out, const char *path) {
    buf_adds(out, "; scry report ");
    text_add(out, path, TEXT_WHOLE);
    buf_adds(out, " shows more of it");
}

static void next_steps(struct buf *out, const struct output *output) {
    if (!output->path[0] || strcmp(output->path, "-") == 0)
        return;
    bool page = strcmp(output->format->ending, ".html") == 0;
    buf_adds(out, "\nWritten to ");
    text_add(out, output->path, TEXT_WHOLE);
    if (page)
        buf_adds(out, ": open it in a browser");
    else if (output->format->read)
        add_hint(out, output->path);
    buf_addc(out, '\n');
}

static void summarise_json(const struct output *output, const struct profile *p, const struct analyse_table *t,
                           unsigned value, struct buf *out) {
    struct json j = json_to(out);
    json_object(&j);
    summary_quality_json(&j, p, value);
    summary_table_json(&j, p, t, ANALYSE_FUNCTIONS, 0);
    json_kstring(&j, "output", output->path);
    json_object_end(&j);
    buf_addc(out, '\n');
}

static int summarise(const struct options *o, const struct output *output, const struct profile *p, int fd,
                     struct buf *out, struct err *err) {
    struct summary_style style = {.terminal = terminal_styles(fd), .width = terminal_width(fd), .limit = SUMMARY_ROWS};
    _cleanup_(analyse_table_free) struct analyse_table t = {0};
    _cleanup_(analyse_tree_free) struct analyse_tree tree = {0};
    int rc = analyse_value_type(p, NULL, &style.value, err);
    if (rc == 0)
        rc = analyse_top(p, style.value, ANALYSE_BY_SELF, &t, err);
    if (rc == 0 && !o->json)
        rc = analyse_tree(p, style.value, &tree, err);
    if (rc < 0)
        return rc;
    if (o->json) {
        summarise_json(output, p, &t, style.value, out);
        return 0;
    }
    summary_quality(out, p, &style);
    buf_addc(out, '\n');
    if (t.n_rows > 0) {
        summary_table(out, p, &t, &style);
        buf_addc(out, '\n');
        summary_paths(out, p, &tree, &style);
    }
    next_steps(out, output);
    return 0;
}

int output_profile(const struct options *o, const struct output *output, const struct profile *p, struct err *err) {
    int rc = output->path[0] ? output_write(o, output->format, output->path, p, err) : 0;
    if (rc < 0 || (o->quiet && !o->json))
        return rc;
    _cleanup_(profile_view_free) struct profile_view v = {0};
    if ((rc = profile_view(p, (struct profile_view_options){.internal = o->internal}, &v, err)) < 0)
        return rc;
    bool taken = o->command || strcmp(output->path, "-") == 0;
    int fd = taken ? STDERR_FILENO : STDOUT_FILENO;
    _cleanup_(buf_free) struct buf text = {0};
    rc = summarise(o, output, v.p, fd, &text, err);
    if (rc < 0)
        return rc;
    if (!taken)
        return output_text(&text, err);
    if (text.failed)
        return err_nomem(err);
    fwrite(text.data, 1, text.len, stderr);
    return 0;
}
