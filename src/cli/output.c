#include "cli/output.h"

#include <errno.h>
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

/* scry-cpu-20240131-235959 */
static void default_name(const char *what, char ret[64]) {
    char stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
    snprintf(ret, 64, "scry-%.20s-%s", what, stamp);
}

int output_plan(const struct options *o, const char *what, struct output *ret, struct err *err) {
    char name[64];
    const char *path = o->output ? o->output : "x.html";
    *ret = (struct output){.path = "", .what = what, .own_name = !o->output};
    if (!o->output && o->json)
        return 0;
    int rc = input_choose_writer(path, o->to, &ret->format, err);
    if (rc < 0)
        return rc;
    default_name(what, name);
    if (o->output)
        snprintf(ret->path, sizeof(ret->path), "%s", o->output);
    else
        snprintf(ret->path, sizeof(ret->path), "%s%s", name, ret->format->ending);
    return file_check_writable(ret->path, err);
}

static int make_bytes(const struct options *o, const struct format *format, const struct profile *p, struct buf *ret,
                      struct err *err) {
    struct format_options how = {.show_internal = o->internal, .threads = o->threads};
    int rc = format->write(p, &how, ret, err);
    return rc == 0 && ret->failed ? err_nomem(err) : rc;
}

int output_write(const struct options *o, const struct format *format, const char *path, const struct profile *p,
                 struct err *err) {
    _cleanup_(buf_free) struct buf bytes = {0};
    int rc = make_bytes(o, format, p, &bytes, err);
    return rc < 0 ? rc : file_write(path, bytes.data, bytes.len, err);
}

/* ---- when it cannot be written where it was wanted ---- */

/* A capture cannot be repeated: its profile is kept in the first place that takes it, and *output says where. */
static bool keep_elsewhere(const struct buf *bytes, struct output *output) {
    enum { LONGEST = 128 };
    const char *own = getenv("TMPDIR");
    const char *const places[] = {own ? own : "", "/tmp/", "/var/tmp/", "./"};
    const char *ending = output->format->ending;
    char name[64];
    default_name(output->what, name);
    for (size_t i = own && own[0] && strlen(own) < LONGEST ? 0 : 1; i < ARRAY_SIZE(places); i++) {
        snprintf(output->path, sizeof(output->path), "%s%s%s-XXXXXX%s", places[i], i == 0 ? "/" : "", name, ending);
        if (file_write_new(output->path, (int)strlen(ending), bytes->data, bytes->len, true, NULL) == 0)
            return true;
    }
    output->path[0] = '\0';
    return false;
}

/* Two captures may begin in one second. */
static int write_where_planned(struct output *output, const struct buf *bytes, struct err *err) {
    if (!output->own_name)
        return file_write(output->path, bytes->data, bytes->len, err);
    int rc = file_write_unless_there(output->path, bytes->data, bytes->len, err);
    if (rc != -EEXIST)
        return rc;
    const char *ending = output->format->ending;
    size_t stem = strlen(output->path) - strlen(ending);
    snprintf(output->path + stem, sizeof(output->path) - stem, "-XXXXXX%s", ending);
    return file_write_new(output->path, (int)strlen(ending), bytes->data, bytes->len, false, err);
}

/* Writes the file, or keeps its content elsewhere and still fails. *output is where it is at last. */
static int write_or_keep(const struct options *o, struct output *output, const struct profile *p, struct err *err) {
    _cleanup_(buf_free) struct buf bytes = {0};
    struct err why = {0};
    int rc = make_bytes(o, output->format, p, &bytes, err);
    if (rc < 0) {
        output->path[0] = '\0';
        return rc;
    }
    rc = write_where_planned(output, &bytes, &why);
    if (rc == 0)
        return 0;
    if (keep_elsewhere(&bytes, output))
        return err_set(err, rc, "Move it to where you want it", "%.320s. The profile is in %.160s", why.text,
                       output->path);
    return err_set(err, rc, why.advice, "%.320s. No other place took the profile: it is lost", why.text);
}

/* ---- the summary ---- */

enum { SUMMARY_ROWS = 12 };

static void add_hint(struct buf *out, const char *path) {
    buf_adds(out, "; scry report ");
    text_add(out, path, TEXT_WHOLE);
    buf_adds(out, " shows more of it");
}

static void next_steps(struct buf *out, const struct output *output, bool empty) {
    if (!output->path[0] || strcmp(output->path, "-") == 0)
        return;
    bool page = strcmp(output->format->ending, ".html") == 0;
    buf_adds(out, "\nWritten to ");
    text_add(out, output->path, TEXT_WHOLE);
    if (page)
        buf_adds(out, ": open it in a browser");
    else if (output->format->read && !empty)
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
    struct summary_style style = {
        .terminal = terminal_styles(fd), .width = terminal_width(fd), .wraps = terminal_is(fd), .limit = SUMMARY_ROWS};
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
    if (t.n_rows > 0) {
        buf_addc(out, '\n');
        summary_table(out, p, &t, &style);
        buf_addc(out, '\n');
        summary_paths(out, p, &tree, &style);
    }
    next_steps(out, output, p->n_samples == 0);
    return 0;
}

/* The standard output is taken by the profile itself, or, for people, by the command: its own output is there. A
 * program that reads JSON wants it in one place always. */
static bool is_taken(const struct options *o, const struct output *output) {
    return strcmp(output->path, "-") == 0 || (o->command && !o->json);
}

static int print_summary(const struct options *o, const struct output *output, bool taken, const struct profile *p,
                         struct err *err) {
    _cleanup_(profile_view_free) struct profile_view v = {0};
    _cleanup_(buf_free) struct buf text = {0};
    /* The table of JSON is of functions alone. */
    struct profile_view_options how = {.internal = o->internal, .threads = o->threads && !o->json};
    int rc = profile_view(p, how, &v, err);
    if (rc == 0)
        rc = summarise(o, output, v.p, taken ? STDERR_FILENO : STDOUT_FILENO, &text, err);
    if (rc < 0)
        return rc;
    if (!taken)
        return output_text(&text, err);
    if (text.failed)
        return err_nomem(err);
    fwrite(text.data, 1, text.len, stderr);
    return 0;
}

int output_profile(const struct options *o, const struct output *output, const struct profile *p, struct err *err) {
    struct output at = *output;
    int written = output->path[0] ? write_or_keep(o, &at, p, err) : 0, rc = 0;
    if (!o->quiet || o->json)
        rc = print_summary(o, &at, is_taken(o, output), p, written < 0 ? NULL : err);
    return written < 0 ? written : rc;
}
