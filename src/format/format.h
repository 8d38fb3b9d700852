/* The outside formats of a profile: one file per format, its reader and its writer together;
 * format/formats.def lists them, and file endings, help and tests come out of that table.
 * May use: base/, model/, analyse/.
 * Must not: include the capture wing, print, or open files. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "model/profile.h"

struct format_options {
    bool show_internal; /* keep FRAME_INTERNAL frames, which writers for people fold by default */
    bool threads;       /* a root frame per thread */
};

struct format {
    const char *name;   /* "pprof" */
    const char *ending; /* ".pb.gz" */
    const char *title;  /* for help */
    /* Writes into `out`. NULL when the format is only read. */
    int (*write)(const struct profile *p, const struct format_options *o, struct buf *out, struct err *err);
    /* Whether the bytes look like this format. NULL when it is only written. */
    bool (*recognise)(const void *data, size_t size);
    /* Reads hostile bytes. -EBADMSG with a sentence that says where they are wrong. */
    int (*read)(const void *data, size_t size, struct profile **ret, struct err *err);
};

/* The view of a profile that the options of a call ask for; `o` may be NULL. */
static inline struct profile_view_options format_view(const struct format_options *o) {
    return (struct profile_view_options){.internal = o && o->show_internal, .threads = o && o->threads};
}

/* Formats that write each stack out whole may ask for gigabytes where the profile has megabytes: the bytes of a file,
 * before they are packed, are at most these, or what the caller's buffer is limited to. */
#define FORMAT_MOST_BYTES (2ull << 30)

/* How writing ended: 0, -ENOMEM, or -EFBIG with a sentence. */
int format_written(const struct buf *bytes, struct err *err);

extern const struct format *const formats[];
extern const size_t n_formats;

/* By the longest matching ending of a file name. NULL when none matches. */
const struct format *format_by_name(const char *path);
/* By content. NULL when nothing recognises it. */
const struct format *format_by_content(const void *data, size_t size);
/* Every ending, for messages: ".html, .svg, …". */
const char *format_endings(void);
