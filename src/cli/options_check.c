/* Whether what was asked for makes sense together. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"

/* A verb that runs a command got a word: a process id, or the command itself. */
static int stray_word(const struct verb *v, const char *word, struct err *err) {
    char advice[300];
    if (word[0] && word[strspn(word, "0123456789,")] == 0)
        snprintf(advice, sizeof(advice), "A process is named with -p: scry %s -p %.100s", v->name, word);
    else
        snprintf(advice, sizeof(advice), "A command to run stands after \"--\": scry %s -- %.100s", v->name, word);
    return err_set(err, CMD_BAD_USAGE, advice, "scry %s does not know what to do with \"%s\"", v->name, word);
}

static int check_operands(const struct options *o, struct err *err) {
    const struct verb *v = o->verb;
    if (v->most == VERB_COMMAND && o->n_operands > 0)
        return stray_word(v, o->operands[0], err);
    if (v->most == VERB_COMMAND && o->command && !o->command[0])
        return err_set(err, CMD_BAD_USAGE, NULL, "There is no command after \"--\"");
    if (v->most != VERB_COMMAND && o->n_operands > (size_t)v->most)
        return err_set(err, CMD_BAD_USAGE, NULL, "scry %s does not know what to do with \"%s\"", v->name,
                       o->operands[v->most]);
    if (o->n_operands < (size_t)v->least)
        return err_set(err, CMD_BAD_USAGE, NULL, "scry %s wants %s", v->name, v->operands);
    return 0;
}

/* ---- options that mean nothing without another, or with another, are refused rather than ignored ---- */

static bool is_given(const struct options *o, size_t field) {
    for (size_t i = 0; i < n_option_specs; i++)
        if (o->given >> i & 1 && option_specs[i].at == field)
            return true;
    return false;
}

#define GIVEN(o, field) is_given(o, offsetof(struct options, field))

static int check_report(const struct options *o, struct err *err) {
    unsigned trees = o->tree + (o->callers != NULL) + (o->callees != NULL);
    const char *of_table = GIVEN(o, limit)  ? "-n (--limit)"
                           : GIVEN(o, sort) ? "-s (--sort)"
                           : GIVEN(o, by)   ? "-b (--by)"
                                            : NULL;
    if (trees > 1)
        return err_set(err, CMD_BAD_USAGE, "Run scry report once for each",
                       "Only one of --tree, --callers and --callees can be printed at a time");
    if (o->inverted && !o->tree)
        return err_set(err, CMD_BAD_USAGE, "Add --tree", "--inverted is said of a tree");
    if (GIVEN(o, min_percent) && !trees)
        return err_set(err, CMD_BAD_USAGE, "Add --tree, --callers or --callees; a table is shortened with -n",
                       "--min is said of a tree");
    if (of_table && trees)
        return err_set(err, CMD_BAD_USAGE, "Leave it out; a tree is shortened with --min",
                       "%s is said of a table, and %s prints a tree", of_table,
                       o->tree      ? "--tree"
                       : o->callers ? "--callers"
                                    : "--callees");
    return 0;
}

static int check_dump(const struct options *o, struct err *err) {
    if (o->sysroot && !o->core)
        return err_set(err, CMD_BAD_USAGE, "Leave it out; a running process has its files here",
                       "--sysroot is said of a core file");
    return 0;
}

static int check_cpu(const struct options *o, struct err *err) {
    if (o->to && o->json && !o->output)
        return err_set(err, CMD_BAD_USAGE, "Name the file with -o FILE",
                       "-t (--to) is said of a file, and with --json none is written unless -o names one");
    return 0;
}

/* A capture looks at exactly one kind of thing. */
static int check_target(const struct options *o, struct err *err) {
    unsigned kinds = (o->n_pids > 0) + o->all + (o->cgroup != NULL) + (o->command != NULL) + (o->core != NULL);
    if (o->verb->id == VERB_cpu && kinds == 0)
        return err_set(err, CMD_BAD_USAGE,
                       "Name a process with -p PID, everything with -a, a group with --cgroup PATH, "
                       "or a command after \"--\"; scry ps lists processes",
                       "There is nothing to profile");
    if (o->verb->id == VERB_dump && (kinds != 1 || o->n_pids > 1))
        return err_set(err, CMD_BAD_USAGE, "Say scry dump -p PID, or scry dump --core FILE; scry ps lists processes",
                       kinds > 1 ? "Both a process and a core file were named" : "scry dump looks at one process");
    if (kinds > 1)
        return err_set(err, CMD_BAD_USAGE, "Choose one of them",
                       "Only one of -p, -a, --cgroup and a command can be captured at a time");
    return 0;
}

int options_check(const struct options *o, struct err *err) {
    int rc = check_operands(o, err);
    if (rc == 0)
        rc = check_target(o, err);
    if (rc == 0 && o->verb->id == VERB_cpu)
        rc = check_cpu(o, err);
    if (rc == 0 && o->verb->id == VERB_dump)
        rc = check_dump(o, err);
    if (rc == 0 && o->verb->id == VERB_report)
        rc = check_report(o, err);
    return rc;
}
