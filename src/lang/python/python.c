/* CPython, as one of the runtimes: ties detection, walk, merging and naming together. */
#include <errno.h>

#include "lang/lang.h"
#include "lang/python/python_walk.h"

static int attach(struct target *t, struct lang_process **ret, struct err *err) {
    (void)t, (void)ret, (void)err;
    return -ENOENT;
}

static void walk(struct walk *w, const void *config) {
    python_walk(w, config);
}

extern const struct lang lang_python;
const struct lang lang_python = {
    .name = "python",
    .title = "Python",
    .attach = attach,
    .walk = walk,
};
