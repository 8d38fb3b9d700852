/* Folded stacks: reading never fails badly, and what was read is written and read again the same. */
#include <stdlib.h>
#include <string.h>

#include "../unit/validate.h"
#include "format/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct format *f = format_by_name("x.folded");
    _cleanup_(profile_freep) struct profile *p = NULL, *again = NULL;
    _cleanup_(buf_free) struct buf text = {0}, text_again = {0};
    struct err err = {0};
    f->recognise(data, size);
    if (f->read(data, size, &p, &err) < 0)
        return 0;
    if (profile_validate(p))
        abort();
    if (f->write(p, NULL, &text, &err) < 0 || text.len == 0)
        return 0;
    if (f->read(text.data, text.len, &again, &err) < 0 || f->write(again, NULL, &text_again, &err) < 0)
        abort();
    if (text.len != text_again.len || memcmp(text.data, text_again.data, text.len) != 0)
        abort();
    return 0;
}
