#include "lang/lang.h"

#define LANG(name, title) extern const struct lang lang_##name;
#include "lang/langs.def"
#undef LANG

const struct lang *const langs[LANG_COUNT] = {
#define LANG(name, title) [LANG_##name] = &lang_##name,
#include "lang/langs.def"
#undef LANG
};
