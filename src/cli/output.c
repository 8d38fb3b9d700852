#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "cli/terminal.h"
#include "format/format.h"

int output_text(struct buf *text, struct err *err) {
    if (text->failed)
        return err_nomem(err);
    return file_write("-", text->data, text->len, err);
}

static const struct format *find_format(const char *name) {
    for (size_t i = 0; i < n_formats; i++)
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

static int choose_format(const struct options *o, struct output *out, struct err *err) {
    if (o->to)
        out->format = find_format(o->to);
    else if (o->output && strcmp(o->output, "-") == 0)
        return err_set(err, CMD_BAD_USAGE, "Add --to FORMAT, for example --to folded",
                       "Standard output has no ending to tell the format by");
    else
        out->format = format_by_name(out->path);
    if (out->format && out->format->write)
        return 0;
    return err_set(err, CMD_BAD_USAGE, "Choose an ending scry can write: see scry convert --help", "%s cannot be written: %s",
                   o->to ? "That format" : out->path, o->to ? o->to : "unknown ending");
}

/* The place must be writable before anything is captured. */
static int check_writable(const char *path, struct err *err) {
    char directory[4096];
    snprintf(directory, sizeof(directory), "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash)
        slash[slash == directory] = '\0';
    else
        strcpy(directory, ".");
    if (strcmp(path, "-") == 0 || access(path, W_OK) == 0 || (errno == ENOENT && access(directory, W_OK) == 0))
        return 0;
    return err_set(err, -errno, "Name a place you may write to with -o", "Cannot write %s: %s", path, strerror(errno));
}

int output_plan(const struct options *o, const char *what, struct output *ret, struct err *err) {
    *ret = (struct output){.path = ""};
    if (!o->output && o->json)
        return 0;
    if (o->output) {
        snprintf(ret->path, sizeof(ret->path), "%s", o->output);
    } else {
        char stamp[32];
        time_t now = time(NULL);
        struct tm tm;
        strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
        snprintf(ret->path, sizeof(ret->path), "scry-%s-%s%s", what, stamp, o->to ? "" : ".html");
        const struct format *f = o->to ? find_format(o->to) : NULL;
        if (f)
            snprintf(ret->path, sizeof(ret->path), "scry-%s-%s%s", what, stamp, f->ending);
    }
    int rc = choose_format(o, ret, err);
    return rc < 0 ? rc : check_writable(ret->path, err);
}

static int write_profile(const struct options *o, const struct output *output, const struct profile *p,
                         struct err *err) {
    _cleanup_(buf_free) struct buf bytes = {0};
    struct format_options options = {.show_internal = o->internal, .threads = o->threads};
    int rc = output->format->write(p, &options, &bytes, err);
    if (rc == 0 && bytes.failed)
        rc = err_nomem(err);
    return rc < 0 ? rc : file_write(output->path, bytes.data, bytes.len, err);
}

int output_profile(const struct options *o, const struct output *output, const struct profile *p, struct err *err) {
    int rc = output->path[0] ? write_profile(o, output, p, err) : 0;
    if (rc < 0)
        return rc;
    const struct profile_quality *q = &p->quality;
    fprintf(stderr, "samples %llu lost %llu whole %llu frames %llu unnamed %llu approx %llu cpu %.1f ms rss %.1f MB maps %.1f MB probe %.0f ns/run slowdown %.4f\n",
            (unsigned long long)q->samples_taken, (unsigned long long)q->samples_lost, (unsigned long long)q->stacks_whole,
            (unsigned long long)q->frames, (unsigned long long)q->frames_unnamed, (unsigned long long)q->frames_approximate,
            q->self_cpu_ns / 1e6, q->self_rss_bytes / 1e6, q->self_map_bytes / 1e6, q->probe_runs ? (double)q->probe_ns / q->probe_runs : 0, q->slowdown_bound);
    for (size_t i = 0; i < q->n_truncated; i++) fprintf(stderr, "  %s: %llu\n", profile_str(p, q->truncated[i].reason), (unsigned long long)q->truncated[i].count);
    for (size_t i = 0; i < q->n_notes; i++) fprintf(stderr, "  note: %s\n", profile_str(p, q->notes[i]));
    return 0;
}
