/* Call-frame information of a stretch of code, found by .eh_frame_hdr: a table of all functions that .eh_frame
 * describes, sorted by address (LSB 5 §10.6.2). Whoever looks at a few functions of a large file need not compile
 * the others. */
#include <errno.h>
#include <string.h>

#include "base/bisect.h"
#include "base/mem.h"
#include "unwind/cfi.h"

enum { HEAD_BYTES = 12, ENTRY_BYTES = 8, MAX_PART = 1 << 20 };

struct frame_index {
    struct symbol_section frames; /* .eh_frame */
    const u8 *entries;            /* two 32-bit numbers each, from the index's own address: function, its entry */
    u64 address;
    size_t count;
};

static s32 word_at(const u8 *at) {
    s32 v;
    memcpy(&v, at, sizeof(v));
    return v;
}

/* Linkers write it in one form only. */
static bool open_index(struct symbol_file *f, struct frame_index *ret) {
    static const u8 form[] = {1 /* version */, 0x1b, 0x03, 0x3b};
    struct symbol_section s;
    if (symbol_file_section(f, ".eh_frame_hdr", &s) < 0 || !s.data || s.size < HEAD_BYTES ||
        memcmp(s.data, form, sizeof(form)) != 0 || symbol_file_section(f, ".eh_frame", &ret->frames) < 0 ||
        !ret->frames.data)
        return false;
    const u8 *data = s.data;
    ret->address = s.address;
    ret->entries = data + HEAD_BYTES;
    ret->count = (u32)word_at(data + 8);
    return ret->count && ret->count <= (s.size - HEAD_BYTES) / ENTRY_BYTES;
}

static u64 function_at(const struct frame_index *x, size_t i) {
    return x->address + (u64)(s64)word_at(x->entries + i * ENTRY_BYTES);
}

static u64 offset_at(const struct frame_index *x, size_t i) {
    return x->address + (u64)(s64)word_at(x->entries + i * ENTRY_BYTES + 4) - x->frames.address;
}

bool cfi_has_index(struct symbol_file *f) {
    struct frame_index x;
    struct symbol_section s;
    return open_index(f, &x) && symbol_file_debug_section(f, ".debug_frame", &s) == -ENOENT;
}

size_t cfi_indexed(struct symbol_file *f) {
    struct frame_index x;
    return open_index(f, &x) ? x.count : 0;
}

/* Offsets of the entries for [start, end). A table that is not sorted ends where that shows, so that no more are
 * taken than there are addresses. */
static int collect(const struct frame_index *x, u64 start, u64 end, u64 **ret, size_t *ret_count) {
    size_t capacity = 0, low = bisect(i, x->count, function_at(x, i) <= start), n = 0;
    *ret = NULL;
    for (size_t i = low ? low - 1 : 0; i < x->count && function_at(x, i) < end && n < MAX_PART; i++) {
        if (n && function_at(x, i) <= function_at(x, i - 1))
            break;
        if (mem_grow((void **)ret, &capacity, n + 1, sizeof(**ret)) < 0)
            return -ENOMEM;
        (*ret)[n++] = offset_at(x, i);
    }
    *ret_count = n;
    return 0;
}

int cfi_compile_part(struct symbol_file *f, u64 start, u64 end, struct cfi_rows *ret) {
    struct frame_index x;
    _cleanup_(freep) u64 *offsets = NULL;
    size_t n;
    cfi_widen_to_stubs(f, &start, &end);
    if (!open_index(f, &x))
        return 0;
    /* What a gap is may depend on what lies behind it. */
    if (collect(&x, start, end + CFI_MAKER_BYTES, &offsets, &n) < 0)
        return -ENOMEM;
    struct cfi_section section = {
        .data = x.frames.data, .size = x.frames.size, .address = x.frames.address, .eh_frame = true};
    int rc = cfi_compile_some(&section, offsets, n, ret);
    if (rc < 0)
        return rc;
    cfi_add_thread_makers(f, ret);
    return cfi_add_entry(f, ret) < 0 ? -ENOMEM : cfi_add_stubs(f, start, end, ret);
}
