/* The numbers of the runtimes and the kinds of their raw frames; for all hosts of a walk.
 * May use: unwind/walk.h, lang/langs.def.
 * Must not: include anything that BPF lacks. */
#pragma once

#include "unwind/walk.h"

enum lang_id {
#define LANG(name, title) LANG_##name,
#include "lang/langs.def"
#undef LANG
    LANG_COUNT
};

/* Kind n, 0..15, of the raw frames of a runtime. */
#define RAW_LANG(id, n) ((u8)((id) << 4 | (n)))
