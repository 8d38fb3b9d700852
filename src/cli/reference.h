/* Everything that is said about the command line, made from its tables: help, manual pages, shell
 * completion, the reference in the guide, and a list for tests.
 * May use: base/, cli/options.h.
 * Must not: say anything about an option that is not in its table. */
#pragma once

#include "base/buf.h"
#include "cli/options.h"

/* Text for people, wrapped at `width` columns. */
void help_program(struct buf *out, unsigned width);
void help_verb(struct buf *out, const struct verb *v, unsigned width);
/* Of help and version, which stand in a verb's place and have no options. False when it is neither. */
bool help_word(struct buf *out, const char *name);

/* Manual pages in mdoc: scry(1), and scry-VERB(1). */
void manual_program(struct buf *out);
void manual_verb(struct buf *out, const struct verb *v);

/* The guide's reference, in Markdown. */
void reference_markdown(struct buf *out);
/* The tables as JSON: what tests compare the rest with. */
void reference_json(struct buf *out);

void complete_bash(struct buf *out);
void complete_zsh(struct buf *out);
void complete_fish(struct buf *out);

/* The hidden verb: scry _reference man [VERB] | bash | zsh | fish | markdown | json.
 * 0, or CMD_BAD_USAGE when there is nothing of that name. */
int reference_print(struct buf *out, const char *what, const char *verb, struct err *err);
