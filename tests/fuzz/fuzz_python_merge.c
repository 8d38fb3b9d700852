/* What the walk of a hostile interpreter may emit: any frames, marks and records, beside any native stack. Input: how the
 * loops are told apart, how many native frames, then 4 bytes for each frame: {kind, place, place, second}. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lang/python/python_process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAME_BYTES = 4, MOST = 4096 };

/* Small places, so that they meet; the last few are kinds that no walk emits. */
static struct raw_frame frame_of(const uint8_t *at, bool native) {
    static const u8 kinds[] = {PYTHON_RAW_FRAME,  PYTHON_RAW_LOOP, PYTHON_RAW_STATE,
                               PYTHON_RAW_OBJECT, PYTHON_RAW_HELD, 7};
    u64 place = (u64)at[1] << 8 | at[2], second = (u64)at[3] << 4 | (native ? at[0] & RAW_FLAGS : 0);
    if (at[0] == 255) /* a cut */
        return (struct raw_frame){{0, at[1]}};
    if (native)
        return raw_frame(RAW_NATIVE, place, second);
    u8 kind = kinds[at[0] % sizeof(kinds)];
    return raw_frame(RAW_LANG(LANG_python, kind), place, kind == PYTHON_RAW_STATE ? at[3] : second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    struct lang_process lp = {.config = {.loops = data[0] % (PYTHON_LOOPS_SHIM + 1), .loop = {{0, data[0] << 7}}}};
    size_t n = MIN((size - 3) / FRAME_BYTES, (size_t)MOST), n_native = MIN((size_t)data[1], n);
    struct raw_frame *native = mem_alloc((n_native + 1) * sizeof(*native));
    struct raw_frame *python = mem_alloc((n - n_native + 1) * sizeof(*python));
    struct lang_merged *merged = mem_alloc((n + 1) * sizeof(*merged));
    bool *switching = mem_zalloc(n_native + 1, sizeof(*switching));
    if (!native || !python || !merged || !switching)
        abort();
    for (size_t i = 0; i < n; i++)
        if (i < n_native)
            native[i] = frame_of(data + 3 + i * FRAME_BYTES, true);
        else
            python[i - n_native] = frame_of(data + 3 + i * FRAME_BYTES, false);
    if (data[2] & 2 && n_native)
        switching[data[2] % n_native] = true;
    struct lang_streams in = {.native = native,
                              .n_native = (u32)n_native,
                              .runtime = python,
                              .n_runtime = (u32)(n - n_native),
                              .whole = data[2] & 1,
                              .leaf_sp = data[2],
                              .switching = data[2] & 2 ? switching : NULL};
    u32 count = python_merge(&lp, &in, merged);
    if (count > n)
        abort();
    for (u32 i = 0; i < count; i++)
        if (merged[i].index >= (merged[i].lang ? in.n_runtime : in.n_native))
            abort();
    free(native);
    free(python);
    free(merged);
    free(switching);
    return 0;
}
