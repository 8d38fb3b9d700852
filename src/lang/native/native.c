/* Native code: walked by unwind/native_walk.h and named by symbol/; here it only has its names. */
#include "lang/lang.h"

extern const struct lang lang_native;
const struct lang lang_native = {.name = "native", .title = "native code"};
