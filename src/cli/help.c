#include <string.h>

#include "cli/reference.h"

static const char *const group_titles[VERB_GROUP_COUNT] = {
    [VERB_GROUP_CAPTURE] = "Capture",
    [VERB_GROUP_LOOK] = "Look",
    [VERB_GROUP_READ] = "Read profiles",
};

static void spaces(struct buf *out, unsigned n) {
    while (n--)
        buf_addc(out, ' ');
}

/* Adds words, starting in column `column` and breaking lines at `width`; further lines are indented. */
static void wrap(struct buf *out, const char *text, unsigned column, unsigned indent, unsigned width) {
    const char *separator = "";
    for (size_t n; *text; text += n + strspn(text + n, " ")) {
        n = strcspn(text, " ");
        if (*separator && column + 1 + n > width) {
            buf_addc(out, '\n');
            spaces(out, indent);
            column = indent;
            separator = "";
        }
        buf_adds(out, separator);
        buf_add(out, text, n);
        column += (unsigned)(strlen(separator) + n);
        separator = " ";
    }
    buf_addc(out, '\n');
}

static void help_examples(struct buf *out, const char *examples) {
    buf_adds(out, "\nExamples:\n");
    for (const char *line = examples; *line;) {
        size_t command = strcspn(line, "\t");
        size_t purpose = strcspn(line + command + 1, "\n");
        buf_addf(out, "  %.*s\n      %.*s\n", (int)command, line, (int)purpose, line + command + 1);
        line += command + purpose + 2;
    }
}

static void help_option(struct buf *out, const struct option_spec *s, unsigned width) {
    enum { COLUMN = 24 };
    size_t start = out->len;
    if (s->letter)
        buf_addf(out, "  -%c, --%s", s->letter, s->name);
    else
        buf_addf(out, "      --%s", s->name);
    if (s->argument)
        buf_addf(out, " %s", s->argument);
    unsigned column = (unsigned)(out->len - start);
    if (column + 2 > COLUMN) {
        buf_addc(out, '\n');
        column = 0;
    }
    spaces(out, COLUMN - column);
    struct buf text = {0};
    buf_adds(&text, s->help);
    if (s->fallback)
        buf_addf(&text, " Default: %s.", s->fallback);
    wrap(out, buf_cstr(&text), COLUMN, COLUMN, width);
    buf_free(&text);
}

void help_verb(struct buf *out, const struct verb *v, unsigned width) {
    buf_addf(out, "scry %s: %s.\n\nUsage: scry %s [OPTION...]%s%s\n\n", v->name, v->summary, v->name,
             v->operands[0] ? " " : "", v->operands);
    wrap(out, v->description, 0, 0, width);
    buf_adds(out, "\nOptions:\n");
    for (size_t i = 0; i < n_option_specs; i++)
        if (option_belongs(&option_specs[i], v))
            help_option(out, &option_specs[i], width);
    help_examples(out, v->examples);
}

static void help_runtimes(struct buf *out, unsigned width) {
    static const char *const titles[] = {
#define LANG(name, title) title,
#include "lang/langs.def"
#undef LANG
    };
    struct buf text = {0};
    buf_adds(&text, "Stacks are shown whole, with the names and lines of ");
    for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
        buf_addf(&text, "%s%s", i ? ", " : "", titles[i]);
    buf_adds(&text, " and the kernel.");
    buf_addc(out, '\n');
    wrap(out, buf_cstr(&text), 0, 0, width);
    buf_free(&text);
}

/* The words in a verb's place that have no options. */
static const struct {
    const char *name, *operands, *summary;
} help_words[] = {
    {"help", " [VERB]", "print the help of scry, or of a verb"},
    {"version", "", "print the version"},
};

bool help_word(struct buf *out, const char *name) {
    for (size_t i = 0; i < ARRAY_SIZE(help_words); i++) {
        if (strcmp(help_words[i].name, name) != 0)
            continue;
        buf_addf(out, "scry %s: %s.\n\nUsage: scry %s%s\n", name, help_words[i].summary, name, help_words[i].operands);
        return true;
    }
    return false;
}

void help_program(struct buf *out, unsigned width) {
    buf_adds(out, "scry " SCRY_VERSION ": look inside running programs, without restarting or changing them.\n\n"
                  "Usage: scry VERB [OPTION...] [OPERAND...]\n");
    for (int group = 0; group < VERB_GROUP_COUNT; group++) {
        bool titled = false;
        for (size_t i = 0; i < VERB_COUNT; i++) {
            if (!verbs[i].run || verbs[i].group != (enum verb_group)group)
                continue;
            if (!titled)
                buf_addf(out, "\n%s:\n", group_titles[group]);
            titled = true;
            buf_addf(out, "  %-10s%s\n", verbs[i].name, verbs[i].summary);
        }
    }
    buf_adds(out, "\nOther:\n");
    for (size_t i = 0; i < ARRAY_SIZE(help_words); i++)
        buf_addf(out, "  %-10s%s\n", help_words[i].name, help_words[i].summary);
    help_runtimes(out, width);
    buf_adds(out, "\nBegin with:\n"
                  "  scry ps                  what is running, and what can be seen of it\n"
                  "  scry cpu -p PID -d 10    where does its CPU time go?\n"
                  "  scry VERB --help         what a verb does, its options and examples\n"
                  "\nExit status: 0 done, 1 could not, 2 bad usage.\n");
}
