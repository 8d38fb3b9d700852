/* What is read as speedscope may be anything; what came of it must be fit to be shown and written in every format. */
#include <stdlib.h>

#include "../unit/validate.h"
#include "format/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct format *f = format_by_name("x.speedscope.json");
    _cleanup_(profile_freep) struct profile *p = NULL;
    struct err err = {0};
    struct format_options options = {0};
    f->recognise(data, size);
    if (f->read(data, size, &p, &err) < 0)
        return 0;
    if (profile_validate(p))
        abort();
    if (p->n_samples > 1000)
        return 0;
    for (size_t i = 0; i < n_formats; i++) {
        _cleanup_(buf_free) struct buf out = {.limit = 1 << 20};
        if (formats[i]->write)
            formats[i]->write(p, &options, &out, &err);
    }
    return 0;
}
