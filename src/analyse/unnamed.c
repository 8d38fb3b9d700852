#include "analyse/unnamed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "analyse/analyse.h"
#include "analyse/text.h"
#include "analyse/weights.h"
#include "base/mem.h"

enum { MOST_FILES = 3, FILE_COLUMNS = 32 };

struct tally {
    uint64_t *of_file; /* samples, indexed by the file's string; 0: of no file */
    uint64_t generated, all;
};

/* The frame that is shown as the one that ran; NULL when all are machinery. */
static const struct profile_frame *shown_leaf(const struct profile *p, stack_id s) {
    while (s && p->frames[p->stacks[s].frame].flags & FRAME_INTERNAL)
        s = p->stacks[s].parent;
    return s ? &p->frames[p->stacks[s].frame] : NULL;
}

static void count(const struct profile *p, const struct profile_frame *f, uint64_t samples, struct tally *t) {
    bool generated = strcmp(profile_str(p, p->functions[f->function].name), "[generated code]") == 0;
    if (!generated && !(f->flags & FRAME_UNNAMED))
        return;
    t->all += samples;
    *(generated ? &t->generated : &t->of_file[p->mappings[f->mapping].file]) += samples;
}

/* The file of the most samples, which is not found again; 0 when what is left is too little to be worth a name. */
static string_id next_file(const struct profile *p, struct tally *t) {
    string_id best = 0;
    for (string_id i = 1; i < p->n_strings; i++)
        if (t->of_file[i] > t->of_file[best])
            best = i;
    bool worth = best && t->of_file[best] >= t->all / 10;
    t->of_file[best] = 0;
    return worth ? best : 0;
}

static int name_files(const struct profile *p, struct tally *t, struct unnamed *ret) {
    _cleanup_(buf_free) struct buf text = {0};
    string_id files[MOST_FILES];
    size_t n = 0;
    t->of_file[0] = 0;
    while (n < MOST_FILES && (files[n] = next_file(p, t)) != 0)
        n++;
    for (size_t i = 0; i < n; i++) {
        const char *path = profile_str(p, files[i]), *slash = strrchr(path, '/');
        buf_adds(&text, i == 0 ? "" : i + 1 < n ? ", " : " and ");
        text_add(&text, slash ? slash + 1 : path, FILE_COLUMNS);
    }
    if (text.len < sizeof(ret->files))
        snprintf(ret->files, sizeof(ret->files), "%s", buf_cstr(&text));
    return text.failed ? -ENOMEM : 0;
}

int unnamed_of(const struct profile *p, struct unnamed *ret) {
    _cleanup_(freep) struct stack_weight *w = NULL;
    _cleanup_(freep) uint64_t *of_file = mem_zalloc(p->n_strings, sizeof(*of_file));
    struct tally t = {.of_file = of_file};
    *ret = (struct unnamed){0};
    if (!of_file || stack_weights(p, 0, &w, NULL) < 0)
        return -ENOMEM;
    for (stack_id s = 1; s < p->n_stacks; s++) {
        const struct profile_frame *f = w[s].self_samples ? shown_leaf(p, s) : NULL;
        if (f)
            count(p, f, w[s].self_samples, &t);
    }
    ret->percent = analyse_percent((double)t.all, (double)w[0].total_samples);
    ret->generated = 2 * t.generated > t.all;
    return name_files(p, &t, ret);
}
