#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* How far apart two words are: insertions, deletions and changes of one letter. Long words are far
 * from everything. */
static unsigned word_distance(const char *a, const char *b) {
    enum { LONGEST = 32 };
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    unsigned row[LONGEST + 1];
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned corner = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned change = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

/* Whether `candidate` is what the user may have meant, and nearer than the best so far. */
static bool nearer(const char *word, const char *candidate, unsigned *best) {
    unsigned d = word_distance(word, candidate);
    if (strlen(word) >= 3 && strncmp(word, candidate, strlen(word)) == 0)
        d = 1; /* the beginning of a longer word */
    if (d >= *best || d > 1 + strlen(candidate) / 4)
        return false;
    *best = d;
    return true;
}

/* ---- finding options ---- */

static const struct option_spec *find_name(const struct verb *v, const char *name, size_t n) {
    for (size_t i = 0; i < n_option_specs; i++) {
        const struct option_spec *s = &option_specs[i];
        if (option_belongs(s, v) && strlen(s->name) == n && memcmp(s->name, name, n) == 0)
            return s;
    }
    return NULL;
}

static const struct option_spec *find_letter(const struct verb *v, char letter) {
    for (size_t i = 0; i < n_option_specs; i++)
        if (option_belongs(&option_specs[i], v) && option_specs[i].letter == letter)
            return &option_specs[i];
    return NULL;
}

static int bad_usage_advice(const struct verb *v, struct err *err) {
    if (err && !err->advice[0])
        snprintf(err->advice, sizeof(err->advice), "See scry %s --help", v->name);
    return CMD_BAD_USAGE;
}

static const char *verb_with_option(const char *name) {
    for (size_t i = 0; i < n_option_specs; i++)
        for (size_t v = 0; v < VERB_COUNT; v++)
            if (strcmp(option_specs[i].name, name) == 0 && option_belongs(&option_specs[i], &verbs[v]))
                return verbs[v].name;
    return NULL;
}

static int unknown_option(const struct verb *v, const char *name, struct err *err) {
    const char *nearest = NULL;
    unsigned best = 99;
    for (size_t i = 0; i < n_option_specs; i++)
        if (option_belongs(&option_specs[i], v) && nearer(name, option_specs[i].name, &best))
            nearest = option_specs[i].name;
    err_set(err, CMD_BAD_USAGE, NULL, "scry %s has no option --%s", v->name, name);
    const char *other = verb_with_option(name);
    if (err && other)
        snprintf(err->advice, sizeof(err->advice), "It is an option of scry %s; see scry %s --help", other, v->name);
    else if (err && nearest)
        snprintf(err->advice, sizeof(err->advice), "Did you mean --%s?", nearest);
    return bad_usage_advice(v, err);
}

/* ---- values ---- */

/* A value being taken: where from, where to. */
struct taking {
    struct options *o;
    const struct option_spec *spec;
    bool letter; /* the option was given by its letter, so messages call it so */
    const char *text;
    struct err *err;
};

static void *field_of(const struct taking *t) {
    return (char *)t->o + t->spec->at;
}

static const char *given_as(const struct taking *t, char ret[64]) {
    if (t->letter)
        snprintf(ret, 64, "-%c", t->spec->letter);
    else
        snprintf(ret, 64, "--%s", t->spec->name);
    return ret;
}

static int bad_value(const struct taking *t, const char *wanted) {
    char name[64];
    return err_set(t->err, CMD_BAD_USAGE, NULL, "%s wants %s, not \"%s\"", given_as(t, name), wanted, t->text);
}

static int out_of_range(const struct taking *t, const char *unit) {
    char name[64];
    return err_set(t->err, CMD_BAD_USAGE, NULL, "%s %s is out of range: it goes from %llu to %llu%s", given_as(t, name),
                   t->text, (unsigned long long)t->spec->least, (unsigned long long)t->spec->most, unit);
}

/* A non-negative decimal number at the start of `text`; *ret_rest is what follows. False when there is none. */
static bool take_decimal(const char *text, double *ret, const char **ret_rest) {
    if (!(*text >= '0' && *text <= '9') && *text != '.')
        return false;
    size_t n = strspn(text, "0123456789.");
    char copy[32];
    if (n >= sizeof(copy))
        return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    char *end;
    *ret = strtod(copy, &end);
    *ret_rest = text + n;
    return *end == 0;
}

static int take_number(const struct taking *t) {
    char *end;
    errno = 0;
    bool digits = t->text[0] >= '0' && t->text[0] <= '9';
    unsigned long long v = strtoull(t->text, &end, 10);
    if (t->text[0] == '-' && t->text[1] >= '0' && t->text[1] <= '9')
        return out_of_range(t, "");
    if (!digits || *end)
        return bad_value(t, "a whole number");
    if (errno || v < t->spec->least || v > t->spec->most)
        return out_of_range(t, "");
    *(uint32_t *)field_of(t) = (uint32_t)v;
    return 0;
}

static int take_percent(const struct taking *t) {
    double v;
    const char *rest;
    if (!take_decimal(t->text, &v, &rest) || (*rest && strcmp(rest, "%") != 0))
        return bad_value(t, "a percentage");
    if (v < (double)t->spec->least || v > (double)t->spec->most)
        return out_of_range(t, " %");
    *(double *)field_of(t) = v;
    return 0;
}

static int take_duration(const struct taking *t) {
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"", 1e3}, {"s", 1e3}, {"ms", 1}, {"m", 60e3}, {"min", 60e3}, {"h", 3600e3}};
    double v;
    const char *rest;
    if (!take_decimal(t->text, &v, &rest))
        return bad_value(t, "a time such as 10, 1.5s, 500ms or 2m");
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcmp(rest, units[i].name) != 0)
            continue;
        char name[64];
        double ms = v * units[i].ms;
        if (ms < (double)t->spec->least || ms > (double)t->spec->most)
            return err_set(t->err, CMD_BAD_USAGE, NULL, "%s %s is out of range: it goes from 10ms to 30 days (720h)",
                           given_as(t, name), t->text);
        *(uint64_t *)field_of(t) = (uint64_t)llround(ms * 1e6);
        return 0;
    }
    return bad_value(t, "a time such as 10, 1.5s, 500ms or 2m");
}

/* A process that is named twice is still one. */
static int add_pid(struct options *o, pid_t pid, struct err *err) {
    for (size_t i = 0; i < o->n_pids; i++)
        if (o->pids[i] == pid)
            return 0;
    pid_t *grown = mem_realloc(o->pids, (o->n_pids + 1) * sizeof(*grown));
    if (!grown)
        return err_nomem(err);
    o->pids = grown;
    grown[o->n_pids++] = pid;
    return 0;
}

static int take_pids(const struct taking *t) {
    const char *at = t->text;
    for (;;) {
        char *end;
        bool digits = *at >= '0' && *at <= '9';
        unsigned long long v = strtoull(at, &end, 10);
        if (!digits || (*end && *end != ','))
            return bad_value(t, "a process id");
        if (v < t->spec->least || v > t->spec->most)
            return out_of_range(t, "");
        int rc = add_pid(t->o, (pid_t)v, t->err);
        if (rc < 0 || !*end)
            return rc;
        at = end + 1;
    }
}

static int take_choice(const struct taking *t) {
    uint32_t index = 0;
    size_t n = strlen(t->text);
    for (const char *word = t->spec->choices;; index++) {
        size_t length = strcspn(word, "|");
        if (length == n && memcmp(word, t->text, n) == 0) {
            *(uint32_t *)field_of(t) = index;
            return 0;
        }
        if (!word[length])
            break;
        word += length + 1;
    }
    char name[64];
    return err_set(t->err, CMD_BAD_USAGE, NULL, "%s is one of %s, not \"%s\"", given_as(t, name), t->spec->choices,
                   t->text);
}

static int take_value(const struct taking *t) {
    void *field = field_of(t);
    switch (t->spec->type) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return 0;
    case OPTION_STRING:
    case OPTION_FILE:
    case OPTION_DIRECTORY:
        if (!t->text[0])
            return bad_value(t, "a name");
        *(const char **)field = t->text;
        return 0;
    case OPTION_NUMBER:
        return take_number(t);
    case OPTION_PERCENT:
        return take_percent(t);
    case OPTION_DURATION:
        return take_duration(t);
    case OPTION_PIDS:
        return take_pids(t);
    case OPTION_CHOICE:
        return take_choice(t);
    }
    return -EINVAL;
}

/* ---- the words of the command line ---- */

struct words {
    char **argv;
    int argc, at; /* argv[at] is the next word */
    struct options *o;
    struct err *err;
};

/* The value of an option that wants one: what is attached to it, or the next word. */
static int option_value(struct words *w, const struct option_spec *s, bool letter, const char *attached) {
    struct taking t = {.o = w->o, .spec = s, .letter = letter, .text = attached, .err = w->err};
    char name[64];
    w->o->given |= 1ull << (s - option_specs);
    if (!attached && w->at >= w->argc)
        return err_set(w->err, CMD_BAD_USAGE, NULL, "%s wants a value: %s", given_as(&t, name), s->argument);
    if (!attached)
        t.text = w->argv[w->at++];
    return take_value(&t);
}

static int parse_long(struct words *w, const char *word) {
    size_t n = strcspn(word, "=");
    const char *attached = word[n] ? word + n + 1 : NULL;
    const struct option_spec *s = find_name(w->o->verb, word, n);
    if (!s) {
        _cleanup_(freep) char *name = mem_strndup(word, n);
        return name ? unknown_option(w->o->verb, name, w->err) : err_nomem(w->err);
    }
    if (s->type != OPTION_FLAG)
        return option_value(w, s, false, attached);
    if (attached)
        return err_set(w->err, CMD_BAD_USAGE, NULL, "--%s takes no value", s->name);
    return take_value(&(struct taking){.o = w->o, .spec = s, .text = ""});
}

/* A cluster of letters: flags, and at most one option with a value at its end. */
static int parse_letters(struct words *w, const char *letters) {
    for (; *letters; letters++) {
        const struct option_spec *s = find_letter(w->o->verb, *letters);
        if (!s)
            return err_set(w->err, CMD_BAD_USAGE, NULL, "scry %s has no option -%c", w->o->verb->name, *letters);
        if (s->type != OPTION_FLAG)
            return option_value(w, s, true, letters[1] ? letters + 1 : NULL);
        take_value(&(struct taking){.o = w->o, .spec = s, .text = ""});
    }
    return 0;
}

static int set_defaults(struct options *o, struct err *err) {
    for (size_t i = 0; i < n_option_specs; i++) {
        const struct option_spec *s = &option_specs[i];
        struct taking t = {.o = o, .spec = s, .text = s->fallback, .err = err};
        int rc = s->fallback ? take_value(&t) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int parse_words(struct words *w) {
    struct options *o = w->o;
    bool options_ended = false;
    while (w->at < w->argc) {
        char *word = w->argv[w->at++];
        int rc = 0;
        if (options_ended || word[0] != '-' || !word[1]) {
            o->operands[o->n_operands++] = word;
            if (o->verb->most == VERB_COMMAND) /* a command without "--": what follows is its own */
                break;
        } else if (strcmp(word, "--") == 0) {
            options_ended = true;
            if (o->verb->most == VERB_COMMAND) {
                o->command = w->argv + w->at;
                break;
            }
        } else {
            rc = word[1] == '-' ? parse_long(w, word + 2) : parse_letters(w, word + 1);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int unknown_verb(const char *name, struct err *err) {
    const char *nearest = NULL;
    unsigned best = 99;
    if (name[0] == '-')
        return err_set(err, CMD_BAD_USAGE, "Options follow the verb, as in scry cpu -p 1234; see scry --help",
                       "A verb is wanted first, not %s", name);
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i].run && nearer(name, verbs[i].name, &best))
            nearest = verbs[i].name;
    err_set(err, CMD_BAD_USAGE, "See scry --help for what there is", "There is no scry %s", name);
    if (err && nearest)
        snprintf(err->advice, sizeof(err->advice), "Did you mean scry %s?", nearest);
    return CMD_BAD_USAGE;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err) {
    *ret = (struct options){0};
    ret->verb = verb_find(argv[1]);
    if (!ret->verb)
        return unknown_verb(argv[1], err);
    ret->operands = mem_zalloc((size_t)argc, sizeof(char *));
    if (!ret->operands)
        return err_nomem(err);
    struct words w = {.argv = argv, .argc = argc, .at = 2, .o = ret, .err = err};
    int rc = set_defaults(ret, err);
    if (rc == 0)
        rc = parse_words(&w);
    if (rc == 0 && !ret->help)
        rc = options_check(ret, err);
    return rc == CMD_BAD_USAGE ? bad_usage_advice(ret->verb, err) : rc;
}

void options_free(struct options *o) {
    free(TAKE_PTR(o->pids));
    free(TAKE_PTR(o->operands));
}
