#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "analyse/analyse.h"
#include "base/mem.h"

enum { MOST_CANDIDATES = 6 };

static size_t choose(const struct profile *p, const char *name, bool part, bool *chosen) {
    size_t n = 0;
    for (size_t i = 1; i < p->n_functions; i++) {
        const char *is = profile_str(p, p->functions[i].name);
        chosen[i] = part ? strstr(is, name) != NULL : strcmp(is, name) == 0;
        n += chosen[i];
    }
    return n;
}

/* Names the different names among the chosen; returns how many there are, up to one more than are named. */
static size_t name_candidates(const struct profile *p, const bool *chosen, char *ret, size_t size) {
    string_id seen[MOST_CANDIDATES + 1];
    size_t n = 0, at = (size_t)snprintf(ret, size, "It may be");
    for (size_t i = 1; i < p->n_functions && n <= MOST_CANDIDATES; i++) {
        string_id name = p->functions[i].name;
        bool known = !chosen[i];
        for (size_t k = 0; k < n && !known; k++)
            known = seen[k] == name;
        if (known)
            continue;
        if (n < MOST_CANDIDATES && at < size)
            at += (size_t)snprintf(ret + at, size - at, "%s %.60s", n ? "," : "", profile_str(p, name));
        else if (at < size)
            at += (size_t)snprintf(ret + at, size - at, ", and others");
        seen[n++] = name;
    }
    return n;
}

/* "/PATTERN/" */
static int choose_matching(const struct profile *p, const char *name, bool *chosen, struct err *err) {
    _cleanup_(freep) char *pattern = mem_strndup(name + 1, strlen(name) - 2);
    regex_t re;
    size_t n = 0;
    if (!pattern)
        return err_nomem(err);
    int problem = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
    if (problem) {
        char why[128];
        regerror(problem, &re, why, sizeof(why));
        return err_set(err, -EINVAL, "Between the slashes stands an extended regular expression", "%s: %s", name, why);
    }
    for (size_t i = 1; i < p->n_functions; i++) {
        chosen[i] = regexec(&re, profile_str(p, p->functions[i].name), 0, NULL, 0) == 0;
        n += chosen[i];
    }
    regfree(&re);
    return n ? 0
             : err_set(err, -ENOENT, "scry report lists the functions", "No function of this profile matches %s", name);
}

static bool is_pattern(const char *name) {
    size_t n = strlen(name);
    return n > 2 && name[0] == '/' && name[n - 1] == '/';
}

int analyse_find_functions(const struct profile *p, const char *name, bool **ret, struct err *err) {
    _cleanup_(freep) bool *chosen = mem_zalloc(p->n_functions, sizeof(*chosen));
    if (!chosen)
        return err_nomem(err);
    char candidates[480];
    if (choose(p, name, false, chosen) == 0) {
        if (is_pattern(name)) {
            int rc = choose_matching(p, name, chosen, err);
            if (rc == 0)
                *ret = TAKE_PTR(chosen);
            return rc;
        }
        if (choose(p, name, true, chosen) == 0)
            return err_set(err, -ENOENT, "scry report lists the functions; a part of a name is enough",
                           "No function of this profile is called \"%s\"", name);
        if (name_candidates(p, chosen, candidates, sizeof(candidates)) > 1)
            return err_set(err, -ENOENT, candidates, "Several functions have \"%s\" in their names", name);
    }
    *ret = TAKE_PTR(chosen);
    return 0;
}

int analyse_value_type(const struct profile *p, const char *name, unsigned *ret, struct err *err) {
    char known[256] = "The profile has no values at all";
    size_t at = 0;
    if (!name && p->n_value_types) {
        *ret = p->default_value < p->n_value_types ? p->default_value : 0;
        return 0;
    }
    for (unsigned v = 0; v < p->n_value_types; v++) {
        const char *type = profile_str(p, p->value_types[v].type);
        if (name && strcmp(type, name) == 0) {
            *ret = v;
            return 0;
        }
        if (at < sizeof(known))
            at += (size_t)snprintf(known + at, sizeof(known) - at, "%s %s", v ? "," : "It has", type);
    }
    return err_set(err, -ENOENT, known, "This profile has no value type \"%s\"", name ? name : "");
}
