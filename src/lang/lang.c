#include "lang/lang.h"

#include <errno.h>

#define LANG(name, title) extern const struct lang lang_##name;
#include "lang/langs.def"
#undef LANG

const struct lang *const langs[LANG_COUNT] = {
#define LANG(name, title) [LANG_##name] = &lang_##name,
#include "lang/langs.def"
#undef LANG
};

int lang_attach(struct target *t, enum lang_id *ret_lang, struct lang_process **ret, struct err *err) {
    int result = -ENOENT;
    for (unsigned i = 0; i < LANG_COUNT; i++) {
        struct err why = {0};
        int rc = langs[i]->attach ? langs[i]->attach(t, ret, &why) : -ENOENT;
        if (rc == -ENOENT || (rc < 0 && result != -ENOENT)) /* of several that cannot be read, the first is told */
            continue;
        *ret_lang = (enum lang_id)i;
        if (rc == 0)
            return 0;
        *err = why;
        result = rc;
    }
    return result;
}

bool lang_switches_stacks(const char *path) {
    bool found = false;
    for (unsigned i = 0; i < LANG_COUNT && !found; i++)
        found = langs[i]->switches_stacks && langs[i]->switches_stacks(path);
    return found;
}
