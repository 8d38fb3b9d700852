/* What a pprof file has no field for, read back: the quality block and kinds of frames from the comments that
 * scry's writer leaves, or guessed for files of others. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/pprof.h"
#include "format/pprof_read.h"

/* ---- kinds ---- */

/* Another tool may have merged or numbered the functions anew; then the ids in comments mean nothing. */
static void check_functions(struct pprof_reader *r, const char *value) {
    uint64_t hash = 0;
    if (r->functions_checked)
        return;
    r->functions_checked = true;
    for (size_t i = 0; i < r->functions.count; i++) {
        const struct read_function *f = &r->read_functions[i];
        string_id name = r->p->functions[f->function].name;
        hash = pprof_function_hash(hash, f->id, profile_str(r->p, name), r->p->string_lengths[name]);
    }
    r->kinds_known = strtoull(value, NULL, 16) == hash;
}

/* "KIND FLAGS ID…" */
static void read_kind(struct pprof_reader *r, const char *value) {
    const char *space = strchr(value, ' ');
    char *at;
    if (!space || !r->kinds_known)
        return;
    string_id kind = strncmp(value, "- ", 2) == 0 ? 0 : profile_string_n(r->p, value, (size_t)(space - value));
    uint32_t flags = (uint32_t)strtoul(space, &at, 10) & ~(uint32_t)FRAME_INLINED;
    for (;;) {
        char *end;
        uint64_t id = strtoull(at, &end, 10);
        if (end == at)
            return;
        at = end;
        const uint64_t *index = u64_map_get(&r->function_ids, id);
        if (!index)
            continue;
        r->read_functions[*index].kind = kind;
        r->read_functions[*index].flags = flags;
    }
}

string_id pprof_guess_kind(struct pprof_reader *r, function_id function, mapping_id mapping) {
    static const struct {
        const char *ending, *kind;
    } languages[] = {{".py", "python"},      {".js", "javascript"}, {".mjs", "javascript"},
                     {".cjs", "javascript"}, {".ts", "javascript"}, {".go", "go"}};
    const char *file = profile_str(r->p, r->p->functions[function].file);
    const char *object = profile_str(r->p, r->p->mappings[mapping].file);
    size_t n = strlen(file);
    if (strncmp(object, "[kernel", 7) == 0 || strcmp(object, "[guest.kernel.kallsyms]") == 0)
        return profile_string(r->p, "kernel");
    for (size_t i = 0; i < ARRAY_SIZE(languages); i++) {
        size_t length = strlen(languages[i].ending);
        if (n > length && strcmp(file + n - length, languages[i].ending) == 0)
            return profile_string(r->p, languages[i].kind);
    }
    return profile_string(r->p, "native");
}

/* ---- the rest ---- */

enum { MOST_SENTENCES = 100 };

/* What follows "KEY " when the text begins with it, or NULL. */
static const char *value_of(const char *text, const char *key) {
    size_t n = strlen(key);
    return strncmp(text, key, n) == 0 && text[n] == ' ' ? text + n + 1 : NULL;
}

static void read_count(struct profile_quality *q, const char *text) {
    const char *value;
#define QUALITY(field)                                                                                                 \
    if ((value = value_of(text, #field)) != NULL)                                                                      \
        q->field = MIN(strtoull(value, NULL, 10), (unsigned long long)INT64_MAX); /* so that two can be added */
#include "format/quality.def"
#undef QUALITY
}

static void read_truncated(struct profile *p, const char *value) {
    char *end;
    uint64_t count = strtoull(value, &end, 10);
    if (end != value && *end == ' ' && p->quality.n_truncated < MOST_SENTENCES)
        profile_count_truncated(p, end + 1, count);
}

void pprof_read_comment(struct pprof_reader *r, const char *text) {
    struct profile *p = r->p;
    size_t n = strlen(PPROF_COMMENT);
    const char *value;
    if (strncmp(text, PPROF_COMMENT, n) != 0)
        return;
    text += n;
    if ((value = value_of(text, "command")) != NULL)
        p->command = profile_string(p, value);
    else if ((value = value_of(text, "host")) != NULL)
        p->host = profile_string(p, value);
    else if ((value = value_of(text, "slowdown_bound")) != NULL)
        p->quality.slowdown_bound = strtod(value, NULL);
    else if ((value = value_of(text, "note")) != NULL && p->quality.n_notes < MOST_SENTENCES)
        profile_note(p, "%s", value);
    else if ((value = value_of(text, "functions")) != NULL)
        check_functions(r, value);
    else if ((value = value_of(text, "kind")) != NULL)
        read_kind(r, value);
    else if ((value = value_of(text, "truncated")) != NULL)
        read_truncated(p, value);
    else
        read_count(&p->quality, text);
}
