#include <string.h>

#include "cli/reference.h"

/* Options of several verbs are one line each per verb: completion knows the verb first. What follows "--" is no longer
 * scry's: a command is completed as if it stood alone. */

static const char *first_sentence(const char *help, int *ret_length) {
    const char *end = strpbrk(help, ".:");
    *ret_length = end ? (int)(end - help) : (int)strlen(help);
    return help;
}

/* The words that a value is one of, or is likely to be one of. */
static void add_choices(struct buf *out, const struct option_spec *s) {
    for (const char *c = s->choices; *c; c++)
        buf_addc(out, *c == '|' ? ' ' : *c);
}

static void add_verbs(struct buf *out) {
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            buf_addf(out, "%s ", verbs[i].name);
    buf_adds(out, "help version");
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
    buf_addf(out, "'%s ;;\n", v->most > 0 ? " files=1" : "");
}

static bool named_before(size_t spec) {
    for (size_t i = 0; i < spec; i++)
        if (strcmp(option_specs[i].name, option_specs[spec].name) == 0)
            return true;
    return false;
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
        buf_adds(out, "COMPREPLY=($(compgen -P \"${word%\"${word##*,}\"}\" -W \"$(cd /proc && echo [0-9]*)\" -- "
                      "\"${word##*,}\")); ");
    else if (s->choices) {
        buf_adds(out, "COMPREPLY=($(compgen -W '");
        add_choices(out, s);
        buf_adds(out, "' -- \"$word\")); ");
    } else if (s->type == OPTION_FILE)
        buf_adds(out, "_scry_paths -f; ");
    else if (s->type == OPTION_DIRECTORY)
        buf_adds(out, "_scry_paths -d; ");
    buf_adds(out, "return ;;\n");
}

/* Names of files may have spaces: a line is one. */
static const char bash_helpers[] =
    "_scry_paths() {\n"
    "  mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$word\")\n"
    "}\n"
    "_scry_command() {\n"
    "  if declare -F _comp_command_offset >/dev/null; then\n    _comp_command_offset \"$1\"\n"
    "  elif declare -F _command_offset >/dev/null; then\n    _command_offset \"$1\"\n"
    "  elif ((COMP_CWORD == $1)); then\n    COMPREPLY=($(compgen -c -- \"$word\"))\n"
    "  else\n    _scry_paths -f\n  fi\n"
    "}\n";

static void bash_after_dashes(struct buf *out) {
    buf_adds(out, "  for ((i = 2; i < COMP_CWORD; i++)); do\n    [[ ${COMP_WORDS[i]} == -- ]] || continue\n"
                  "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run && verbs[i].most == VERB_COMMAND)
            buf_addf(out, "    %s) _scry_command $((i + 1)) ;;\n", verbs[i].name);
    buf_adds(out, "    *) _scry_paths -f ;;\n    esac\n    return\n  done\n");
}

void complete_bash(struct buf *out) {
    buf_adds(out, "# bash completion for scry, made from its option table; do not edit.\n");
    buf_adds(out, bash_helpers);
    buf_adds(out, "_scry() {\n"
                  "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options= files= i\n"
                  "  COMPREPLY=()\n"
                  "  if ((COMP_CWORD == 1)); then\n    COMPREPLY=($(compgen -W '");
    add_verbs(out);
    buf_adds(out, "' -- \"$word\"))\n    return\n  fi\n");
    bash_after_dashes(out);
    buf_adds(out,
             "  # --name=value is three words here.\n"
             "  if [[ $word == = ]]; then word=; elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
             "  case $before in\n");
    for (size_t i = 0; i < n_option_specs; i++)
        if (!named_before(i))
            bash_value(out, &option_specs[i]);
    buf_adds(out, "  esac\n  case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            bash_verb(out, &verbs[i]);
    buf_adds(out, "    help) options='");
    add_verbs(out);
    buf_adds(out, "' ;;\n  esac\n"
                  "  COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
                  "  [[ $word == -* || ! $files ]] || _scry_paths -f\n"
                  "}\ncomplete -o filenames -F _scry scry\n");
}

/* ---- zsh ---- */

/* Text inside single quotes, and inside square brackets when `brackets`. */
static void zsh_text(struct buf *out, const char *text, int n, bool brackets) {
    for (int i = 0; i < n; i++) {
        if (text[i] == '\'')
            buf_adds(out, "'\\''");
        else if (brackets && (text[i] == '[' || text[i] == ']'))
            buf_addf(out, "\\%c", text[i]);
        else
            buf_addc(out, text[i]);
    }
}

static void zsh_action(struct buf *out, const struct option_spec *s) {
    if (s->type == OPTION_PIDS)
        buf_adds(out, "_sequence _pids");
    else if (s->type == OPTION_FILE)
        buf_adds(out, "_files");
    else if (s->type == OPTION_DIRECTORY)
        buf_adds(out, "_directories");
    else if (s->choices) {
        buf_addc(out, '(');
        add_choices(out, s);
        buf_addc(out, ')');
    } else
        buf_addc(out, ' ');
}

static void zsh_option(struct buf *out, const struct option_spec *s) {
    const char *repeat = s->type == OPTION_PIDS ? "*" : "";
    int n;
    first_sentence(s->help, &n);
    for (int letter = s->letter ? 1 : 0; letter >= 0; letter--) {
        if (letter)
            buf_addf(out, " \\\n        '%s-%c[", repeat, s->letter);
        else
            buf_addf(out, " \\\n        '%s--%s%s[", repeat, s->name, s->type == OPTION_FLAG ? "" : "=");
        zsh_text(out, s->help, n, true);
        buf_addc(out, ']');
        if (s->type != OPTION_FLAG) {
            buf_addf(out, ":%s:", s->argument);
            zsh_action(out, s);
        }
        buf_addc(out, '\'');
    }
}

static void zsh_verb(struct buf *out, const struct verb *v) {
    buf_addf(out, "    %s)\n", v->name);
    if (v->most == VERB_COMMAND)
        buf_adds(out, "      local -i end=$words[(i)--]\n"
                      "      if ((end < CURRENT)); then\n        shift $end words\n        ((CURRENT -= end))\n"
                      "        _normal\n        return\n      fi\n");
    buf_adds(out, "      _arguments -s -S");
    for (size_t k = 0; k < n_option_specs; k++)
        if (option_belongs(&option_specs[k], v))
            zsh_option(out, &option_specs[k]);
    buf_adds(out, v->most > 0 ? " \\\n        '*:file:_files'\n      ;;\n" : "\n      ;;\n");
}

void complete_zsh(struct buf *out) {
    buf_adds(out, "#compdef scry\n# Made from scry's option table; do not edit.\n_scry() {\n"
                  "  local -a verbs\n  verbs=(\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (!verbs[i].run)
            continue;
        buf_addf(out, "    '%s:", verbs[i].name);
        zsh_text(out, verbs[i].summary, (int)strlen(verbs[i].summary), false);
        buf_adds(out, "'\n");
    }
    buf_adds(out, "    'help:print help'\n    'version:print the version'\n  )\n"
                  "  if ((CURRENT == 2)); then\n    _describe verb verbs\n    return\n  fi\n"
                  "  shift words\n  ((CURRENT--))\n  case $words[1] in\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            zsh_verb(out, &verbs[i]);
    buf_adds(out, "    help) _describe verb verbs ;;\n  esac\n}\n_scry \"$@\"\n");
}

/* ---- fish ---- */

static void fish_text(struct buf *out, const char *text, int n) {
    buf_addc(out, '\'');
    for (int i = 0; i < n; i++) {
        if (text[i] == '\'' || text[i] == '\\')
            buf_addc(out, '\\');
        buf_addc(out, text[i]);
    }
    buf_adds(out, "'\n");
}

static void fish_option(struct buf *out, const struct verb *v, const struct option_spec *s) {
    int n;
    first_sentence(s->help, &n);
    buf_addf(out, "complete -c scry -n '__scry_is %s' -l %s", v->name, s->name);
    if (s->letter)
        buf_addf(out, " -s %c", s->letter);
    if (s->type == OPTION_FILE || s->type == OPTION_DIRECTORY)
        buf_adds(out, " -r -F");
    else if (s->type == OPTION_PIDS)
        buf_adds(out, " -x -a '(__fish_complete_list , __fish_complete_pids)'");
    else if (s->choices) {
        buf_adds(out, " -x -a '");
        add_choices(out, s);
        buf_addc(out, '\'');
    } else if (s->type != OPTION_FLAG)
        buf_adds(out, " -x");
    buf_adds(out, " -d ");
    fish_text(out, s->help, n);
}

static void fish_verb(struct buf *out, const char *name, const char *summary) {
    buf_addf(out, "complete -c scry -n __fish_use_subcommand -f -a %s -d ", name);
    fish_text(out, summary, (int)strlen(summary));
}

static const char fish_helpers[] = "function __scry_is\n"
                                   "    set -l words (commandline -opc)\n"
                                   "    test \"$words[2]\" = $argv[1]; and not contains -- -- $words\n"
                                   "end\n"
                                   "function __scry_runs\n"
                                   "    set -l words (commandline -opc)\n"
                                   "    test \"$words[2]\" = $argv[1]; and contains -- -- $words\n"
                                   "end\n"
                                   "function __scry_command\n"
                                   "    set -l words (commandline -opc)\n"
                                   "    set -e words[1..(contains -i -- -- $words)]\n"
                                   "    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))\n"
                                   "end\n";

void complete_fish(struct buf *out) {
    buf_adds(out, "# fish completion for scry, made from its option table; do not edit.\n");
    buf_adds(out, fish_helpers);
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run)
            fish_verb(out, verbs[i].name, verbs[i].summary);
    fish_verb(out, "help", "print help");
    fish_verb(out, "version", "print the version");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        const struct verb *v = &verbs[i];
        for (size_t k = 0; k < n_option_specs && v->run; k++)
            if (option_belongs(&option_specs[k], v))
                fish_option(out, v, &option_specs[k]);
        if (v->run && v->most <= 0)
            buf_addf(out, "complete -c scry -n '__scry_is %s' -f\n", v->name);
        if (v->run && v->most == VERB_COMMAND)
            buf_addf(out, "complete -c scry -n '__scry_runs %s' -x -a '(__scry_command)'\n", v->name);
    }
    buf_adds(out, "complete -c scry -n '__scry_is help' -f -a '");
    add_verbs(out);
    buf_adds(out, "'\ncomplete -c scry -n '__scry_is version' -f\n");
}
