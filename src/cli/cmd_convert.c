/* scry convert: a profile in another format. */
#include "base/file.h"
#include "cli/input.h"
#include "cli/options.h"

int cmd_convert(const struct options *o, struct err *err) {
    const char *in = o->operands[0], *out = o->operands[1];
    const struct format *writer = NULL;
    int rc = input_choose_writer(out, o->to, &writer, err);
    if (rc < 0)
        return rc;
    _cleanup_(profile_freep) struct profile *p = NULL;
    rc = input_profile(in, &p, err);
    if (rc < 0)
        return rc;
    struct format_options how = {.show_internal = o->internal, .threads = o->threads};
    _cleanup_(buf_free) struct buf text = {0};
    rc = writer->write(p, &how, &text, err);
    return rc < 0 ? rc : file_write(out, text.data, text.len, err);
}
