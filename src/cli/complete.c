#include <string.h>

#include "cli/reference.h"

/* Options of several verbs are one line each per verb: completion knows the verb first. */

static const char *first_sentence(const char *help, int *ret_length) {
    const char *end = strpbrk(help, ".:");
    *ret_length = end ? (int)(end - help) : (int)strlen(help);
    return help;
}

/* ---- bash ---- */

static void bash_verb(struct buf *out, const struct verb *v) {
    buf_addf(out, "    %s) options='", v->name);
    for (size_t i = 0; i < n_option_specs; i++) {
        const struct option_spec *s = &option_specs[i];
        if (!option_belongs(s, v))
            continue;
        if (s->letter)
            buf_addf(out, "-%c ", s->letter);
        buf_addf(out, "--%s ", s->name);
    }
    buf_adds(out, "' ;;\n");
}

/* What follows an option that wants a value. */
static void bash_value(struct buf *out, const struct option_spec *s) {
    if (s->type == OPTION_FLAG)
        return;
    buf_adds(out, "    ");
    if (s->letter)
        buf_addf(out, "-%c|", s->letter);
    buf_addf(out, "--%s) ", s->name);
    if (s->type == OPTION_PIDS)
        buf_adds(out, "COMPREPLY=($(compgen -W \"$(cd /proc && echo [0-9]*)\" -- \"$word\"))");
    else if (s->type == OPTION_CHOICE) {
        buf_adds(out, "COMPREPLY=($(compgen -W '");
        for (const char *c = s->choices; *c; c++)
            buf_addc(out, *c == '|' ? ' ' : *c);
        buf_adds(out, "' -- \"$word\"))");
    } else if (s->type == OPTION_FILE)
        buf_adds(out, "COMPREPLY=($(compgen -f -- \"$word\"))");
    else if (s->type == OPTION_DIRECTORY)
        buf_adds(out, "COMPREPLY=($(compgen -d -- \"$word\"))");
    else
        buf_adds(out, "COMPREPLY=()");
    buf_adds(out, "; return ;;\n");
}

void complete_bash(struct buf *out) {
    buf_adds(out, "# bash completion for scry, made from its option table; do not edit.\n"
                  "_scry() {\n"
                  "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options=\n"
                  "  COMPREPLY=()\n"
                  "  if ((COMP_CWORD == 1)); then\n    COMPREPLY=($(compgen -W '");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            buf_addf(out, "%s ", verbs[i].name);
    buf_adds(out, "help version' -- \"$word\"))\n    return\n  fi\n  case $before in\n");
    for (size_t i = 0; i < n_option_specs; i++)
        bash_value(out, &option_specs[i]);
    buf_adds(out, "  esac\n  case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            bash_verb(out, &verbs[i]);
    buf_adds(out, "    help) options='");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            buf_addf(out, "%s ", verbs[i].name);
    buf_adds(out, "' ;;\n  esac\n"
                  "  COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
                  "  [[ $word == -* || ${COMP_WORDS[1]} == help ]] || COMPREPLY=($(compgen -f -- \"$word\"))\n"
                  "}\ncomplete -o filenames -F _scry scry\n");
}

/* ---- zsh ---- */

/* Text inside single quotes and square brackets. */
static void zsh_text(struct buf *out, const char *help) {
    int n;
    first_sentence(help, &n);
    for (int i = 0; i < n; i++) {
        if (help[i] == '\'')
            buf_adds(out, "'\\''");
        else if (help[i] == '[' || help[i] == ']')
            buf_addf(out, "\\%c", help[i]);
        else
            buf_addc(out, help[i]);
    }
}

static void zsh_action(struct buf *out, const struct option_spec *s) {
    if (s->type == OPTION_PIDS)
        buf_adds(out, "_pids");
    else if (s->type == OPTION_FILE)
        buf_adds(out, "_files");
    else if (s->type == OPTION_DIRECTORY)
        buf_adds(out, "_directories");
    else if (s->type == OPTION_CHOICE) {
        buf_addc(out, '(');
        for (const char *c = s->choices; *c; c++)
            buf_addc(out, *c == '|' ? ' ' : *c);
        buf_addc(out, ')');
    } else
        buf_addc(out, ' ');
}

static void zsh_option(struct buf *out, const struct option_spec *s) {
    const char *repeat = s->type == OPTION_PIDS ? "*" : "";
    for (int letter = s->letter ? 1 : 0; letter >= 0; letter--) {
        if (letter)
            buf_addf(out, " \\\n        '%s-%c[", repeat, s->letter);
        else
            buf_addf(out, " \\\n        '%s--%s%s[", repeat, s->name, s->type == OPTION_FLAG ? "" : "=");
        zsh_text(out, s->help);
        buf_addc(out, ']');
        if (s->type != OPTION_FLAG) {
            buf_addf(out, ":%s:", s->argument);
            zsh_action(out, s);
        }
        buf_addc(out, '\'');
    }
}

void complete_zsh(struct buf *out) {
    buf_adds(out, "#compdef scry\n# Made from scry's option table; do not edit.\n_scry() {\n"
                  "  local -a verbs\n  verbs=(\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            buf_addf(out, "    '%s:%s'\n", verbs[i].name, verbs[i].summary);
    buf_adds(out, "    'help:print help'\n    'version:print the version'\n  )\n"
                  "  if ((CURRENT == 2)); then\n    _describe verb verbs\n    return\n  fi\n"
                  "  shift words\n  ((CURRENT--))\n  case $words[1] in\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        const struct verb *v = &verbs[i];
        if (!v->run)
            continue;
        buf_addf(out, "    %s)\n      _arguments -s", v->name);
        for (size_t k = 0; k < n_option_specs; k++)
            if (option_belongs(&option_specs[k], v))
                zsh_option(out, &option_specs[k]);
        buf_adds(out, v->most == VERB_COMMAND ? " \\\n        '*::command:_normal'\n      ;;\n"
                      : v->most > 0           ? " \\\n        '*:file:_files'\n      ;;\n"
                                              : "\n      ;;\n");
    }
    buf_adds(out, "    help) _describe verb verbs ;;\n  esac\n}\n_scry \"$@\"\n");
}

/* ---- fish ---- */

static void fish_option(struct buf *out, const struct verb *v, const struct option_spec *s) {
    int n;
    first_sentence(s->help, &n);
    buf_addf(out, "complete -c scry -n '__fish_seen_subcommand_from %s' -l %s", v->name, s->name);
    if (s->letter)
        buf_addf(out, " -s %c", s->letter);
    if (s->type == OPTION_FILE || s->type == OPTION_DIRECTORY)
        buf_adds(out, " -r -F");
    else if (s->type == OPTION_PIDS)
        buf_adds(out, " -x -a '(__fish_complete_pids)'");
    else if (s->type == OPTION_CHOICE) {
        buf_adds(out, " -x -a '");
        for (const char *c = s->choices; *c; c++)
            buf_addc(out, *c == '|' ? ' ' : *c);
        buf_addc(out, '\'');
    } else if (s->type != OPTION_FLAG)
        buf_adds(out, " -x");
    buf_adds(out, " -d \"");
    buf_add(out, s->help, (size_t)n);
    buf_adds(out, "\"\n");
}

void complete_fish(struct buf *out) {
    buf_adds(out, "# fish completion for scry, made from its option table; do not edit.\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            buf_addf(out, "complete -c scry -n __fish_use_subcommand -f -a %s -d \"%s\"\n", verbs[i].name,
                     verbs[i].summary);
    buf_adds(out, "complete -c scry -n __fish_use_subcommand -f -a help -d \"print help\"\n"
                  "complete -c scry -n __fish_use_subcommand -f -a version -d \"print the version\"\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        for (size_t k = 0; k < n_option_specs && verbs[i].run; k++)
            if (option_belongs(&option_specs[k], &verbs[i]))
                fish_option(out, &verbs[i], &option_specs[k]);
}
