/* scry convert: a profile in another format. */
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"

int cmd_convert(const struct options *o, struct err *err) {
    const char *in = o->operands[0], *out = o->operands[1];
    const struct format *writer = NULL;
    int rc = input_choose_writer(out, o->to, &writer, err);
    if (rc < 0)
        return rc;
    _cleanup_(profile_freep) struct profile *p = NULL;
    rc = input_profile(in, &p, err);
    return rc < 0 ? rc : output_write(o, writer, out, p, err);
}
