#include "lang/python/python_offsets.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"

/* ---- 3.6 – 3.12 ---- */

/* Parts that several versions share. */
#define STRINGS_BEFORE_3_12 .str_length = 16, .str_state = 32, .str_ascii = 48, .str_compact = 72, .str_kind_shift = 2, .bytes_size = 16, .bytes_data = 32
#define STRINGS_3_12 .str_length = 16, .str_state = 32, .str_ascii = 40, .str_compact = 56, .str_kind_shift = 2, .bytes_size = 16, .bytes_data = 32

static const struct python_offsets known[] = {
    {.version = 0x03060000, .tstate_interp = 16, .code_file = 96, .code_name = 104, .code_lines = 112, STRINGS_BEFORE_3_12,
     .walk = {.style = PYTHON_FRAME_OBJECTS, .units = 1, .interp_next = 0, .interp_threads = 8, .tstate_next = 8,
              .tstate_thread_id = 152, .tstate_frame = 24, .frame_back = 24, .frame_code = 32, .frame_instr = 120,
              .code_first_line = 36}},
    {.version = 0x03070000, .interpreters_head = 24, .tss_key = 1504 + 4, .tstate_interp = 16, .code_file = 96, .code_name = 104, .code_lines = 112, STRINGS_BEFORE_3_12,
     .walk = {.style = PYTHON_FRAME_OBJECTS, .units = 1, .interp_next = 0, .interp_threads = 8, .tstate_next = 8,
              .tstate_thread_id = 176, .tstate_frame = 24, .frame_back = 24, .frame_code = 32, .frame_instr = 104,
              .code_first_line = 36}},
    {.version = 0x03080000, .interpreters_head = 32, .tss_key = 1392 + 4, .tstate_interp = 16, .code_file = 104, .code_name = 112, .code_lines = 120, STRINGS_BEFORE_3_12,
     .walk = {.style = PYTHON_FRAME_OBJECTS, .units = 1, .interp_next = 0, .interp_threads = 8, .tstate_next = 8,
              .tstate_thread_id = 176, .tstate_frame = 24, .frame_back = 24, .frame_code = 32, .frame_instr = 104,
              .code_first_line = 40}},
    {.version = 0x03090000, .interpreters_head = 32, .tss_key = 584 + 4, .tstate_interp = 16, .code_file = 104, .code_name = 112, .code_lines = 120, STRINGS_BEFORE_3_12,
     .walk = {.style = PYTHON_FRAME_OBJECTS, .units = 1, .interp_next = 0, .interp_threads = 8, .tstate_next = 8,
              .tstate_thread_id = 176, .tstate_frame = 24, .frame_back = 24, .frame_code = 32, .frame_instr = 104,
              .code_first_line = 40}},
    {.version = 0x030a0000, .interpreters_head = 32, .tss_key = 584 + 4, .tstate_interp = 16, .code_file = 104, .code_name = 112, .code_lines = 120, STRINGS_BEFORE_3_12,
     .walk = {.style = PYTHON_FRAME_OBJECTS_CFRAME, .units = 2, .interp_next = 0, .interp_threads = 8, .tstate_next = 8,
              .tstate_thread_id = 176, .tstate_frame = 24, .tstate_cframe = 48, .cframe_previous = 8, .frame_back = 24,
              .frame_code = 32, .frame_instr = 96, .code_first_line = 40}},
    {.version = 0x030b0000, .interpreters_head = 40, .tss_key = 592 + 4, .tstate_interp = 16, .code_file = 112, .code_name = 120, .code_qualname = 128, .code_lines = 136, STRINGS_BEFORE_3_12,
     .walk = {.style = PYTHON_CFRAME_ENTRY, .units = 1, .interp_next = 0, .interp_threads = 16, .tstate_next = 8,
              .tstate_thread_id = 152, .tstate_frame = 56, .has_cframe = 1, .cframe_frame = 8, .cframe_previous = 16,
              .frame_code = 32, .frame_back = 48, .frame_instr = 56, .frame_owner = 68, .code_first_line = 72,
              .code_bytes = 184}},
    {.version = 0x030c0000, .interpreters_head = 40, .tss_key = 1544 + 4, .tstate_interp = 16, .code_file = 112, .code_name = 120, .code_qualname = 128, .code_lines = 136, STRINGS_3_12,
     .walk = {.style = PYTHON_SHIMS, .units = 1, .interp_next = 0, .interp_threads = 72, .tstate_next = 8,
              .tstate_thread_id = 136, .tstate_frame = 56, .has_cframe = 1, .cframe_frame = 0, .cframe_previous = 8,
              .frame_code = 0, .frame_back = 8, .frame_instr = 56, .frame_owner = 70, .code_first_line = 68,
              .code_bytes = 192}},
};

int python_offsets_known(u32 version, struct python_offsets *ret) {
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].version >> 16 == version >> 16) {
            *ret = known[i];
            ret->version = version;
            return 0;
        }
    return -ENOTSUP;
}

/* ---- 3.13 and newer: _Py_DebugOffsets ---- */

/* Where a value stands inside the structure, for 3.13, 3.14, 3.15; 0 = not there. */
struct debug_field {
    u16 at[3];
};

enum {
    FIELD_interpreters_head,
    FIELD_interp_next,
    FIELD_interp_threads,
    FIELD_tstate_next,
    FIELD_tstate_interp,
    FIELD_tstate_frame,
    FIELD_tstate_thread_id,
    FIELD_frame_previous,
    FIELD_frame_code,
    FIELD_frame_instr,
    FIELD_frame_owner,
    FIELD_frame_tlbc,
    FIELD_code_file,
    FIELD_code_name,
    FIELD_code_qualname,
    FIELD_code_lines,
    FIELD_code_first_line,
    FIELD_code_bytes,
    FIELD_code_tlbc,
    FIELD_bytes_size,
    FIELD_bytes_data,
    FIELD_str_state,
    FIELD_str_length,
    FIELD_str_ascii,
    FIELD_COUNT
};

static const struct debug_field fields[FIELD_COUNT] = {
    [FIELD_interpreters_head] = {{40, 40, 40}},  [FIELD_interp_next] = {{64, 64, 64}},
    [FIELD_interp_threads] = {{72, 72, 72}},     [FIELD_tstate_next] = {{168, 192, 192}},
    [FIELD_tstate_interp] = {{176, 200, 200}},   [FIELD_tstate_frame] = {{184, 208, 208}},
    [FIELD_tstate_thread_id] = {{192, 216, 240}}, [FIELD_frame_previous] = {{232, 256, 320}},
    [FIELD_frame_code] = {{240, 264, 328}},      [FIELD_frame_instr] = {{248, 272, 336}},
    [FIELD_frame_owner] = {{264, 288, 352}},     [FIELD_frame_tlbc] = {{0, 304, 368}},
    [FIELD_code_file] = {{280, 320, 384}},       [FIELD_code_name] = {{288, 328, 392}},
    [FIELD_code_qualname] = {{296, 336, 400}},   [FIELD_code_lines] = {{304, 344, 408}},
    [FIELD_code_first_line] = {{312, 352, 416}}, [FIELD_code_bytes] = {{344, 384, 448}},
    [FIELD_code_tlbc] = {{0, 392, 456}},         [FIELD_bytes_size] = {{520, 600, 696}},
    [FIELD_bytes_data] = {{528, 608, 704}},      [FIELD_str_state] = {{544, 624, 720}},
    [FIELD_str_length] = {{552, 632, 728}},      [FIELD_str_ascii] = {{560, 640, 736}},
};

/* The pthread key of the thread state, relative to _PyRuntime (autoTSSkey._key); 3.15 has none. */
static u32 tss_key_of(unsigned minor) {
    return minor == 13 ? 2160 + 4 : minor == 14 ? 2336 + 4 : 0;
}

static bool read_fields(struct target *t, u64 runtime, unsigned minor, u32 *ret) {
    u8 bytes[760];
    if (target_read(t, runtime, bytes, minor == 13 ? 584 : 760) < 0)
        return false;
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        u16 at = fields[i].at[minor - 13];
        u64 v = 0;
        if (at)
            memcpy(&v, bytes + at, 8);
        if (v > 1u << 20) /* no offset inside these structures is that large */
            return false;
        ret[i] = (u32)v;
    }
    return true;
}

static void fill_walk(const u32 *f, bool free_threaded, unsigned minor, struct python_config *c) {
    *c = (struct python_config){
        .style = PYTHON_SHIMS,
        .units = 1,
        .tagged = minor >= 14,
        .interp_next = f[FIELD_interp_next],
        .interp_threads = f[FIELD_interp_threads],
        .tstate_next = (u16)f[FIELD_tstate_next],
        .tstate_thread_id = (u16)f[FIELD_tstate_thread_id],
        .tstate_frame = (u16)f[FIELD_tstate_frame],
        .frame_back = (u16)f[FIELD_frame_previous],
        .frame_code = (u16)f[FIELD_frame_code],
        .frame_instr = (u16)f[FIELD_frame_instr],
        .frame_owner = (u16)f[FIELD_frame_owner],
        .frame_tlbc = free_threaded ? (u16)f[FIELD_frame_tlbc] : 0,
        .code_tlbc = (u16)f[FIELD_code_tlbc],
        .code_first_line = (u16)f[FIELD_code_first_line],
        .code_bytes = (u16)f[FIELD_code_bytes],
    };
}

int python_offsets_read(struct target *t, u64 runtime, struct python_offsets *ret) {
    struct {
        char cookie[8];
        u64 version, free_threaded;
    } head;
    u32 f[FIELD_COUNT];
    if (target_read(t, runtime, &head, sizeof(head)) < 0 || memcmp(head.cookie, "xdebugpy", 8) != 0)
        return -ENOENT;
    unsigned minor = head.version >> 16 & 0xff;
    if (head.version >> 24 != 3 || minor < 13 || minor > 15)
        return -ENOTSUP;
    if (!read_fields(t, runtime, minor, f))
        return -EBADMSG;
    bool wide = head.free_threaded && minor >= 14;
    *ret = (struct python_offsets){
        .version = (u32)head.version,
        .free_threaded = head.free_threaded != 0,
        .interpreters_head = f[FIELD_interpreters_head],
        .tss_key = tss_key_of(minor),
        .tstate_interp = (u16)f[FIELD_tstate_interp],
        .code_file = (u16)f[FIELD_code_file],
        .code_name = (u16)f[FIELD_code_name],
        .code_qualname = (u16)f[FIELD_code_qualname],
        .code_lines = (u16)f[FIELD_code_lines],
        .str_length = (u16)f[FIELD_str_length],
        .str_state = (u16)f[FIELD_str_state],
        .str_ascii = (u16)f[FIELD_str_ascii],
        .str_compact = (u16)(f[FIELD_str_ascii] + 16), /* utf8_length and utf8 follow */
        .str_kind_shift = wide ? 0 : 2,
        .str_state_in_next_byte = wide,
        .bytes_size = (u16)f[FIELD_bytes_size],
        .bytes_data = (u16)f[FIELD_bytes_data],
    };
    fill_walk(f, ret->free_threaded, minor, &ret->walk);
    return 0;
}
