/* What a capture leaves behind: a file in the format its name says, and a summary.
 * May use: analyse/, format/, model/, cli/options.h, cli/terminal.h.
 * Must not: capture. */
#pragma once

#include "cli/options.h"
#include "model/profile.h"

struct output {
    char path[4096];             /* "" = no file (a summary as JSON was asked for) */
    bool own_name;               /* nobody gave it: it is not to take the place of another file */
    const struct format *format; /* of the file */
    const char *what;            /* the capture's name, as the default file name has it */
};

/* Decides where the profile goes and whether that is possible, before anything is captured: an unknown
 * ending or a directory that cannot be written is told now and not after a minute. `what` names the
 * capture in the default file name. */
int output_plan(const struct options *o, const char *what, struct output *ret, struct err *err);

/* Writes the file and prints the summary (as JSON with --json). The summary goes to standard output, or to
 * standard error when that is taken: by the profile (-o -), or, as far as people read it, by the command that was
 * run. When the file cannot be written, the summary is printed all the same and the profile kept in another place,
 * which the sentence in *err names. */
int output_profile(const struct options *o, const struct output *output, const struct profile *p, struct err *err);

/* Writes a profile to a place, as the options want it shown. */
int output_write(const struct options *o, const struct format *format, const char *path, const struct profile *p,
                 struct err *err);

/* Writes text to standard output. */
struct buf;
int output_text(struct buf *text, struct err *err);
