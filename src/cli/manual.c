#include <ctype.h>
#include <string.h>

#include "base/json.h"
#include "cli/reference.h"

/* ---- manual pages, in mdoc ---- */

#define MANUAL_DATE "November 24, 2026"

/* Text that roff shall not take for requests, escapes or typography. */
static void roff(struct buf *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        bool line_start = i == 0 || text[i - 1] == '\n';
        if (line_start && (text[i] == '.' || text[i] == '\''))
            buf_adds(out, "\\&");
        if (text[i] == '\\')
            buf_adds(out, "\\e");
        else if (text[i] == '-')
            buf_adds(out, "\\-");
        else
            buf_addc(out, text[i]);
    }
}

static void roffs(struct buf *out, const char *text) {
    roff(out, text, strlen(text));
}

/* One sentence per line, as mdoc wants it. */
static void roff_sentences(struct buf *out, const char *text) {
    while (*text) {
        const char *end = strstr(text, ". ");
        size_t n = end ? (size_t)(end - text) + 1 : strlen(text);
        roff(out, text, n);
        buf_addc(out, '\n');
        text += n + (end ? 1 : 0);
    }
}

static void manual_head(struct buf *out, const char *verb) {
    buf_adds(out, ".\\\" Made from the option table by scry itself; do not edit.\n.Dd " MANUAL_DATE "\n.Dt SCRY");
    if (verb)
        buf_addc(out, '-');
    for (const char *c = verb ? verb : ""; *c; c++)
        buf_addc(out, (char)toupper((unsigned char)*c));
    buf_addf(out, " 1\n.Os scry " SCRY_VERSION "\n.Sh NAME\n.Nm scry%s%s\n", verb ? "-" : "", verb ? verb : "");
}

static void manual_option(struct buf *out, const struct option_spec *s) {
    buf_adds(out, ".It ");
    if (s->letter)
        buf_addf(out, "Fl %c , ", s->letter);
    buf_adds(out, "Fl \\-");
    roffs(out, s->name);
    if (s->argument)
        buf_addf(out, " Ar %s", s->argument);
    buf_addc(out, '\n');
    roff_sentences(out, s->help);
    if (s->fallback)
        buf_addf(out, "The default is %s.\n", s->fallback);
    if (s->type == OPTION_NUMBER)
        buf_addf(out, "From %llu to %llu.\n", (unsigned long long)s->least, (unsigned long long)s->most);
}

static void manual_examples(struct buf *out, const char *examples) {
    buf_adds(out, ".Sh EXAMPLES\n");
    for (const char *line = examples; *line;) {
        size_t command = strcspn(line, "\t");
        size_t purpose = strcspn(line + command + 1, "\n");
        buf_adds(out, line == examples ? "" : ".Pp\n");
        buf_addc(out, (char)toupper((unsigned char)line[command + 1]));
        roff(out, line + command + 2, purpose - 1);
        buf_adds(out, line[command + purpose] == '?' ? "\n.Pp\n.Dl " : ":\n.Pp\n.Dl ");
        roff(out, line, command);
        buf_addc(out, '\n');
        line += command + purpose + 2;
    }
}

static void manual_exit(struct buf *out, const struct verb *v) {
    buf_adds(out,
             ".Sh EXIT STATUS\n.Bl -tag -width Ds\n.It 0\ndone\n.It 1\ncould not; the standard error says why, and "
             "what to do next\n.It 2\nbad usage\n.El\n");
    if (v && v->most == VERB_COMMAND)
        buf_adds(out, "With a command, its exit status, or 128 and the number of the signal that ended it.\n");
}

void manual_verb(struct buf *out, const struct verb *v) {
    manual_head(out, v->name);
    buf_addf(out, ".Nd %s\n.Sh SYNOPSIS\n.Nm scry %s\n.Op Ar OPTION ...\n", v->summary, v->name);
    if (v->operands[0]) {
        roffs(out, v->operands);
        buf_addc(out, '\n');
    }
    buf_adds(out, ".Sh DESCRIPTION\n");
    roff_sentences(out, v->description);
    buf_adds(out, ".Sh OPTIONS\n.Bl -tag -width Ds\n");
    for (size_t i = 0; i < n_option_specs; i++)
        if (option_belongs(&option_specs[i], v))
            manual_option(out, &option_specs[i]);
    buf_adds(out, ".El\n");
    manual_exit(out, v);
    manual_examples(out, v->examples);
    buf_adds(out, ".Sh SEE ALSO\n.Xr scry 1\n");
}

/* Cross-references stand in the order of the alphabet. */
static void manual_see_also(struct buf *out) {
    const char *last = "", *separator = ".Sh SEE ALSO\n";
    for (;;) {
        const struct verb *next = NULL;
        for (size_t i = 0; i < VERB_COUNT; i++)
            if (verbs[i].run && strcmp(verbs[i].name, last) > 0 && (!next || strcmp(verbs[i].name, next->name) < 0))
                next = &verbs[i];
        if (!next)
            break;
        buf_addf(out, "%s.Xr scry-%s 1", separator, next->name);
        separator = " ,\n";
        last = next->name;
    }
    buf_addc(out, '\n');
}

void manual_program(struct buf *out) {
    manual_head(out, NULL);
    buf_adds(out, ".Nd look inside running programs\n.Sh SYNOPSIS\n.Nm scry\n.Ar VERB\n.Op Ar OPTION ...\n"
                  ".Op Ar OPERAND ...\n.Sh DESCRIPTION\n.Nm\n"
                  "says where the CPU time of a running program goes, without restarting or changing it,\n"
                  "in one picture from the interpreter's line down to the kernel.\n.Sh VERBS\n.Bl -tag -width Ds\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            buf_addf(out, ".It Nm scry %s\n%s; see\n.Xr scry-%s 1\n", verbs[i].name, verbs[i].summary, verbs[i].name);
    buf_adds(out, ".It Nm scry help Op Ar VERB\nprint help\n.It Nm scry version\nprint the version\n.El\n");
    buf_adds(
        out,
        ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev NO_COLOR\nprint without colour\n.It Ev COLUMNS\n"
        "width of text where there is no terminal to ask\n.It Ev SCRY_CACHE\nthe folder in which is kept what takes "
        "long to make anew; empty for none\n.It Ev TMPDIR\nwhere a captured profile is kept that "
        "cannot be written where it was wanted, before\n.Pa /tmp ,\n.Pa /var/tmp\nand the present directory are tried\n.El\n"
        ".Sh FILES\n.Bl -tag -width Ds\n.It Pa ~/.cache/scry/debug\ndebug information that had to be decompressed, for "
        "the next time:\nat most 256 MB, and an eighth of what is free on the disk.\n"
        "It may be deleted at any time.\nAnother folder than\n.Pa ~/.cache/scry\nis used where\n.Ev SCRY_CACHE or "
        "Ev XDG_CACHE_HOME\nsays so.\nWith capabilities of its own (setcap) scry keeps nothing.\n.El\n");
    manual_exit(out, NULL);
    manual_see_also(out);
}

/* ---- the guide's reference ---- */

static void markdown_options(struct buf *out, const struct verb *v) {
    buf_adds(out, "\n| option | default | |\n|---|---|---|\n");
    for (size_t i = 0; i < n_option_specs; i++) {
        const struct option_spec *s = &option_specs[i];
        if (!option_belongs(s, v))
            continue;
        buf_adds(out, "| ");
        if (s->letter)
            buf_addf(out, "`-%c`, ", s->letter);
        buf_addf(out, "`--%s%s%s` | %s | %s |\n", s->name, s->argument ? " " : "", s->argument ? s->argument : "",
                 s->fallback ? s->fallback : "", s->help);
    }
}

void reference_markdown(struct buf *out) {
    buf_adds(out, "# Reference\n\nMade from the option table by `scry _reference markdown`; do not edit.\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        const struct verb *v = &verbs[i];
        if (!v->run)
            continue;
        buf_addf(out, "\n## scry %s\n\n`scry %s [OPTION...]%s%s`: %s.\n\n%s\n", v->name, v->name,
                 v->operands[0] ? " " : "", v->operands, v->summary, v->description);
        markdown_options(out, v);
    }
    buf_adds(out, "\nExit status: 0 done, 1 could not, 2 bad usage; with a command, that of the command.\n");
}

static void json_option(struct json *j, const struct option_spec *s) {
    char letter[2] = {s->letter, 0};
    json_object(j);
    json_kstring(j, "name", s->name);
    json_kstring(j, "letter", letter);
    json_kstring(j, "argument", s->argument ? s->argument : "");
    json_kstring(j, "choices", s->choices ? s->choices : "");
    json_kstring(j, "default", s->fallback ? s->fallback : "");
    json_kstring(j, "help", s->help);
    json_object_end(j);
}

void reference_json(struct buf *out) {
    struct json j = json_to(out);
    json_object(&j);
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (!verbs[i].run)
            continue;
        json_key(&j, verbs[i].name);
        json_object(&j);
        json_kstring(&j, "summary", verbs[i].summary);
        json_kstring(&j, "examples", verbs[i].examples);
        json_key(&j, "options");
        json_array(&j);
        for (size_t k = 0; k < n_option_specs; k++)
            if (option_belongs(&option_specs[k], &verbs[i]))
                json_option(&j, &option_specs[k]);
        json_array_end(&j);
        json_object_end(&j);
    }
    json_object_end(&j);
    buf_addc(out, '\n');
}

int reference_print(struct buf *out, const char *what, const char *verb, struct err *err) {
    static const struct {
        const char *name;
        void (*print)(struct buf *out);
    } all[] = {{"man", manual_program},  {"markdown", reference_markdown},
               {"json", reference_json}, {"bash", complete_bash},
               {"zsh", complete_zsh},    {"fish", complete_fish}};
    const struct verb *v = verb ? verb_find(verb) : NULL;
    if (v && strcmp(what, "man") == 0) {
        manual_verb(out, v);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(all) && !verb; i++) {
        if (strcmp(all[i].name, what) != 0)
            continue;
        all[i].print(out);
        return 0;
    }
    return err_set(err, CMD_BAD_USAGE, "There are man [VERB], markdown, json, bash, zsh and fish",
                   "There is no reference \"%s\"", what);
}
