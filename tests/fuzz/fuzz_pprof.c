/* What is read as pprof may be anything; what came of it must keep the model's promises, be fit to be shown and
 * written in every format, and be the same when it is written as pprof and read again. */
#include <stdlib.h>
#include <string.h>

#include "../unit/validate.h"
#include "format/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct format_options options = {.show_internal = true};

/* Writes `p` into `out` and returns what is read of that. */
static struct profile *through_pprof(const struct format *f, const struct profile *p, struct buf *out) {
    struct profile *again = NULL;
    struct err err = {0};
    if (f->write(p, &options, out, &err) < 0)
        return NULL;
    if (f->read(out->data, out->len, &again, &err) < 0 || profile_validate(again))
        abort();
    return again;
}

/* The first writing may mend names, and the second order them by their use; after that nothing changes. */
static void check_round_trip(const struct format *f, const struct profile *p) {
    enum { TIMES = 4 };
    struct buf out[TIMES] = {0};
    struct profile *read[TIMES] = {0};
    size_t n = 0;
    for (; n < TIMES && (n == 0 || read[n - 1]); n++)
        read[n] = through_pprof(f, n ? read[n - 1] : p, &out[n]);
    if (n == TIMES && read[TIMES - 1] &&
        (out[2].len != out[3].len || memcmp(out[2].data, out[3].data, out[2].len) != 0))
        abort();
    for (size_t i = 0; i < TIMES; i++) {
        buf_free(&out[i]);
        profile_free(read[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct format *f = format_by_name("x.pb.gz");
    _cleanup_(profile_freep) struct profile *p = NULL;
    struct err err = {0};
    f->recognise(data, size);
    if (f->read(data, size, &p, &err) < 0)
        return 0;
    if (profile_validate(p))
        abort();
    if (p->n_samples > 1000 || p->n_stacks > 10000)
        return 0;
    check_round_trip(f, p);
    for (size_t i = 0; i < n_formats; i++) {
        _cleanup_(buf_free) struct buf out = {.limit = 1 << 20};
        if (formats[i]->write)
            formats[i]->write(p, &options, &out, &err);
    }
    return 0;
}
