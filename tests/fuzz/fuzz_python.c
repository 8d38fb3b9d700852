/* Line tables, tables of offsets and texts, as a hostile interpreter may have them. Input: a version, where in
 * the code to look, then the bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lang/python/python_lines.h"
#include "lang/python/python_offsets.h"
#include "lang/python/python_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4)
        return 0;
    unsigned minor = PYTHON_OLDEST + data[0] % (PYTHON_NEWEST - PYTHON_OLDEST + 1);
    uint32_t index = data[1] == 255 ? UINT32_MAX : data[1] * 16u + data[2] % 16;
    python_line(minor, data + 4, size - 4, data[3], index);

    struct python_layout layout;
    struct python_config config;
    struct err err;
    if (python_layout_from_debug(data + 4, size - 4, &layout, &err) == 0 &&
        python_layout_config(&layout, &config, &err) == 0 &&
        (config.frame_bytes > PYTHON_READ || config.code_first_line + 4 > PYTHON_CODE_BYTES))
        abort();

    struct buf text = {.limit = 1 << 16};
    unsigned kind = 1u << data[2] % 3;
    python_text_decode(data + 4, (size - 4) / kind, kind, &text);
    buf_free(&text);
    return 0;
}
