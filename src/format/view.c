#include "format/view.h"

static bool has_internal(const struct profile *p) {
    for (size_t i = 0; i < p->n_frames; i++)
        if (p->frames[i].flags & FRAME_INTERNAL)
            return true;
    return false;
}

int view_of(const struct profile *p, const struct format_options *o, struct view *ret, struct err *err) {
    struct view v = {.p = p};
    int rc = 0;
    if (!(o && o->show_internal) && has_internal(p)) {
        rc = profile_fold_internal(v.p, &v.folded, err);
        v.p = v.folded;
    }
    if (rc == 0 && o && o->threads) {
        rc = profile_root_threads(v.p, &v.rooted, err);
        v.p = v.rooted;
    }
    if (rc < 0)
        view_free(&v);
    else
        *ret = v;
    return rc;
}

void view_free(struct view *v) {
    profile_free(v->folded);
    profile_free(v->rooted);
    *v = (struct view){0};
}
