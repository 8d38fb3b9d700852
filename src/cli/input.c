#include "cli/input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cli/options.h"

/* A profile is read whole; nobody's is larger. */
#define MOST_BYTES (4ull << 30)

int input_profile(const char *path, struct profile **ret, struct err *err) {
    _cleanup_(buf_free) struct buf data = {0};
    int rc = file_read(path, MOST_BYTES, &data, err);
    if (rc < 0)
        return rc;
    const struct format *f = format_by_content(data.data, data.len);
    if (data.len == 0)
        return err_set(err, -EBADMSG, "It may not have been written to its end: capture again", "%s is empty", path);
    if (!f || !f->read) {
        struct buf known = {0};
        for (size_t i = 0; i < n_formats; i++)
            if (formats[i]->read)
                buf_addf(&known, "%s%s (%s)", known.len ? ", " : "scry reads ", formats[i]->title, formats[i]->ending);
        rc = err_set(err, -EBADMSG, buf_cstr(&known), "%s is not a profile that scry can read", path);
        buf_free(&known);
        return rc;
    }
    rc = f->read(data.data, data.len, ret, err);
    return rc < 0 ? (err_prefix(err, "%s", path), rc) : 0;
}

static const struct format *format_called(const char *name) {
    for (size_t i = 0; i < n_formats; i++) {
        const char *ending = formats[i]->ending;
        if (strcmp(formats[i]->name, name) == 0 || strcmp(ending, name) == 0 || strcmp(ending + 1, name) == 0)
            return formats[i];
    }
    return NULL;
}

static bool is_directory(const char *path) {
    struct stat st;
    size_t n = strlen(path);
    return (n && path[n - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

int input_choose_writer(const char *path, const char *to, const struct format **ret, struct err *err) {
    const struct format *f = to ? format_called(to) : format_by_name(path);
    char known[256];
    snprintf(known, sizeof(known), "The endings are %s", format_endings());
    if (!f && to)
        return err_set(err, CMD_BAD_USAGE, known, "There is no format \"%s\"", to);
    if (!f && strcmp(path, "-") == 0)
        return err_set(err, CMD_BAD_USAGE, known, "The standard output has no ending: name the format with --to");
    if (!f && is_directory(path))
        return err_set(err, CMD_BAD_USAGE, "Name the file to write in it, such as profile.html", "%s is a directory",
                       path);
    if (!f)
        return err_set(err, CMD_BAD_USAGE, known, "The ending of %s names no format", path);
    if (!f->write)
        return err_set(err, CMD_BAD_USAGE, known, "%s is read but not written", f->title);
    *ret = f;
    return 0;
}
