/* Profiles that verbs of the report wing read from files.
 * May use: base/, model/, format/format.h.
 * Must not: know one format from another. */
#pragma once

#include "base/err.h"
#include "format/format.h"

/* Reads a profile in whatever format its content is; "-" is the standard input. */
int input_profile(const char *path, struct profile **ret, struct err *err) _must_check_;

/* The format to write: `to` is a name or an ending and wins over the ending of `path`. CMD_BAD_USAGE when there
 * is none, or when it can only be read. */
int input_choose_writer(const char *path, const char *to, const struct format **ret, struct err *err) _must_check_;
