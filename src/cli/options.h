/* The command line: one table of verbs (cli/verbs.def) and one of options (cli/options_table.c) that
 * the parser, help, man pages, completion and the reference are all made from.
 * May use: base/.
 * Must not: print, exit, or know what a verb does. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/* ---- verbs ---- */

enum verb_group { VERB_GROUP_CAPTURE, VERB_GROUP_LOOK, VERB_GROUP_READ, VERB_GROUP_COUNT };
enum { VERB_COMMAND = -1 };

enum verb_id {
#define VERB(name, ...) VERB_##name,
#include "cli/verbs.def"
#undef VERB
    VERB_COUNT
};

#define VERB_BIT(name) (1u << VERB_##name)
#define VERB_ALL ((1u << VERB_COUNT) - 1)

struct options;

struct verb {
    enum verb_id id;
    const char *name;
    enum verb_group group;
    const char *operands; /* in the synopsis */
    int least, most;      /* number of operands; most == VERB_COMMAND: a command after "--" */
    const char *summary;  /* lower case, no period */
    const char *description;
    const char *examples; /* "command\tpurpose\n"... */

    /* Returns the exit status (0 done, or that of the command that was run), or a negative errno with
     * *err filled, which main() prints before it exits with 1; CMD_BAD_USAGE exits with 2. */
    int (*run)(const struct options *o, struct err *err);
};

/* What a verb returns through err_set() when only the command line is at fault. */
enum { CMD_BAD_USAGE = -4096 };

extern const struct verb verbs[VERB_COUNT];
const struct verb *verb_find(const char *name); /* NULL when there is none */

/* Weak, so that a program without a verb links and does not show it. */
#define VERB(name, ...) __attribute__((weak)) int cmd_##name(const struct options *o, struct err *err);
#include "cli/verbs.def"
#undef VERB

/* ---- what was asked for ---- */

enum report_sort { REPORT_SORT_SELF, REPORT_SORT_TOTAL };

/* Strings point into argv. Fields of options that a verb does not have keep their default. */
struct options {
    const struct verb *verb;
    bool help;
    uint64_t given; /* bit i: the value of option_specs[i] was given, be it the default's */

    /* what to look at */
    pid_t *pids; /* owned */
    size_t n_pids;
    bool all;
    const char *cgroup;
    const char *core, *sysroot;
    char **command; /* NULL-terminated tail of argv; NULL when no "--" was given */
    char **operands;
    size_t n_operands;

    /* how to look */
    uint64_t duration_ns; /* 0: until Ctrl-C or until the targets end */
    uint32_t frequency;
    bool no_kernel;

    /* what to show */
    const char *output; /* NULL: choose a name */
    const char *to;     /* format's name; NULL: by the ending of the output */
    bool json;
    bool threads;
    bool internal;
    bool tree, inverted;
    const char *callers, *callees;
    uint32_t sort;      /* enum report_sort */
    uint32_t by;        /* enum analyse_by */
    uint32_t limit;     /* rows; 0: all */
    double min_percent; /* smallest share shown in a tree */
    const char *value;  /* value type; NULL: the profile's default */
    bool verbose, quiet;
};

/* Fills *ret from argv (argv[0] is the program's name, argv[1] the verb). 0, CMD_BAD_USAGE with a
 * sentence and an advice, or -ENOMEM. `options_free` releases what it owns, also after a failure. */
int options_parse(int argc, char **argv, struct options *ret, struct err *err);
void options_free(struct options *o);

/* The part of it that looks at all options together. */
int options_check(const struct options *o, struct err *err);

/* ---- the option table, for help, man pages and completion ---- */

enum option_type {
    OPTION_FLAG,   /* bool */
    OPTION_STRING, /* const char *: a name or a pattern */
    OPTION_FILE,   /* const char *: completed with file names */
    OPTION_DIRECTORY,
    OPTION_NUMBER,   /* uint32_t within [least, most] */
    OPTION_PERCENT,  /* double within [least, most] */
    OPTION_DURATION, /* uint64_t nanoseconds; least and most in milliseconds */
    OPTION_PIDS,     /* appends to pids */
    OPTION_CHOICE,   /* uint32_t index into `choices`, words separated by '|' */
};

struct option_spec {
    const char *name; /* without the dashes */
    char letter;      /* 0 when it has none */
    enum option_type type;
    size_t at;            /* offset of the field in struct options */
    unsigned verbs;       /* VERB_BIT()s */
    const char *argument; /* its name in help; NULL for flags */
    const char *choices;  /* words separated by '|': all there are, or, of a string, those to complete */
    uint64_t least, most;
    const char *fallback; /* default, as the user would type it; NULL when none */
    const char *help;     /* one or two sentences, "..." without the default */
};

extern const struct option_spec option_specs[];
extern const size_t n_option_specs;

static inline bool option_belongs(const struct option_spec *s, const struct verb *v) {
    return s->verbs >> v->id & 1;
}
