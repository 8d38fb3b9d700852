#include "lang/python/python_offsets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NONE = PYTHON_NONE };

static const struct {
    const char *name;
    size_t at; /* in struct python_layout */
    uint16_t offset[7];
} old_fields[] = {
#define F(field, ...) {#field, offsetof(struct python_layout, field), {__VA_ARGS__}},
#include "lang/python/python_offsets.def"
#undef F
};

static const struct {
    const char *name;
    size_t at;
    uint16_t place[3];
} debug_fields[] = {
#define F(field, ...) {#field, offsetof(struct python_layout, field), {__VA_ARGS__}},
#include "lang/python/python_debug_fields.def"
#undef F
};

static void set_field(struct python_layout *l, size_t at, uint16_t value) {
    memcpy((char *)l + at, &value, sizeof(value));
}

static int unknown_version(unsigned minor, struct err *err) {
    return err_set(err, -ENOTSUP, "Ask for a newer scry, or use native frames only.",
                   "Python 3.%u cannot be read: 3.%d to 3.%d are known", minor, PYTHON_OLDEST, PYTHON_NEWEST);
}

int python_layout_of(unsigned minor, struct python_layout *ret, struct err *err) {
    if (minor < PYTHON_OLDEST || minor > 12)
        return unknown_version(minor, err);
    *ret = (struct python_layout){.minor = (uint8_t)minor, .level = 15, .text_state_shift = 2};
    for (size_t i = 0; i < ARRAY_SIZE(old_fields); i++)
        set_field(ret, old_fields[i].at, old_fields[i].offset[minor - PYTHON_OLDEST]);
    return 0;
}

void python_layout_set_version(struct python_layout *l, uint64_t version_hex) {
    l->minor = (uint8_t)(version_hex >> 16);
    l->micro = (uint8_t)(version_hex >> 8);
    l->level = version_hex >> 4 & 15;
    l->serial = version_hex & 15;
}

void python_layout_describe(const struct python_layout *l, char *ret, size_t size) {
    char level[16] = "";
    const char *name = l->level == 10 ? "a" : l->level == 11 ? "b" : l->level == 12 ? "rc" : NULL;
    if (name)
        snprintf(level, sizeof(level), "%s%u", name, l->serial);
    if (l->micro == PYTHON_UNKNOWN_MICRO) {
        snprintf(ret, size, "3.%u", l->minor);
        return;
    }
    snprintf(ret, size, "3.%u.%u%s%s", l->minor, l->micro, level, l->free_threaded ? " free-threaded" : "");
}

/* ---- 3.13+ ---- */

/* What the table does not say, or says only in later versions. */
static void complete(struct python_layout *l) {
    static const uint16_t keys[] = {2160 + 4, 2336 + 4, NONE}; /* autoTSSkey._key; verified before use */
    l->runtime_key = keys[l->minor - 13];
    if (l->text_compact == NONE)
        l->text_compact = (uint16_t)(l->text_ascii + 16);
    l->type_keys = (uint16_t)(l->object_type + (l->minor == 15 ? 880 : 872)); /* PyHeapTypeObject.ht_cached_keys */
    if (!l->free_threaded)
        l->frame_copy = l->code_copies = NONE;
    /* Free-threaded 3.14+ gives `interned` a byte of its own, and the other bits begin in the next. */
    l->text_state_shift = l->free_threaded && l->minor >= 14 ? 8 : 2;
}

int python_layout_from_debug(const void *bytes, size_t size, struct python_layout *ret, struct err *err) {
    static const char cookie[8] = {'x', 'd', 'e', 'b', 'u', 'g', 'p', 'y'};
    uint64_t head[3]; /* cookie, version, free_threaded */
    if (size < sizeof(head) || memcmp(bytes, cookie, sizeof(cookie)) != 0)
        return err_set(err, -EAGAIN, NULL, "The Python interpreter has not started yet");
    memcpy(head, bytes, sizeof(head));
    unsigned minor = head[1] >> 16 & 255;
    if (head[1] >> 24 != 3 || minor < 13 || minor > PYTHON_NEWEST)
        return unknown_version(minor, err);
    struct python_layout l;
    memset(&l, 0xff, sizeof(l));
    l.free_threaded = head[2] & 1;
    for (size_t i = 0; i < ARRAY_SIZE(debug_fields); i++) {
        size_t place = debug_fields[i].place[minor - 13];
        uint64_t value;
        if (place == 0)
            continue;
        if (place + sizeof(value) > size)
            return err_set(err, -EBADMSG, NULL, "Python's table of offsets is cut short");
        memcpy(&value, (const char *)bytes + place, sizeof(value));
        if (value >= NONE)
            return err_set(err, -EBADMSG, NULL, "Python's table of offsets holds nonsense for %s: %llu",
                           debug_fields[i].name, (unsigned long long)value);
        set_field(&l, debug_fields[i].at, (uint16_t)value);
    }
    python_layout_set_version(&l, head[1]);
    complete(&l);
    *ret = l;
    return 0;
}

/* ---- for the walk ---- */

static uint16_t or_zero(uint16_t offset) {
    return offset == NONE ? 0 : offset;
}

/* How much of a structure must be read to have these fields: the end of the last one. */
static unsigned span(const uint16_t *ends, size_t n) {
    unsigned most = 0;
    for (size_t i = 0; i < n; i++)
        most = MAX(most, (unsigned)ends[i]);
    return most;
}

static uint16_t end_of(uint16_t offset, unsigned size) {
    return offset == NONE ? 0 : (uint16_t)(offset + size);
}

static void set_reads(const struct python_layout *l, struct python_config *c, unsigned *ret_most) {
    unsigned instruction = l->minor <= 10 ? 4 : 8;
    const uint16_t frame[] = {end_of(l->frame_code, 8), end_of(l->frame_previous, 8),
                              end_of(l->frame_instruction, instruction), end_of(l->frame_mark, 1),
                              end_of(l->frame_copy, 4)};
    unsigned frame_bytes = span(frame, ARRAY_SIZE(frame));
    c->frame_bytes = (uint16_t)frame_bytes;
    *ret_most = MAX(frame_bytes, (unsigned)PYTHON_CODE_BYTES);
}

/* Words are read at multiples of 8, halves at multiples of 4: the walk masks offsets so. */
static bool aligned(const struct python_layout *l) {
    unsigned words = l->frame_code | l->frame_previous | l->object_type;
    unsigned halves = l->code_first_line | or_zero(l->frame_copy);
    return (words & 7) == 0 && (halves & 3) == 0 && (l->frame_instruction & (l->minor <= 10 ? 3 : 7)) == 0;
}

int python_layout_config(const struct python_layout *l, struct python_config *ret, struct err *err) {
    struct python_config c = {
        .loops = l->minor >= 12   ? PYTHON_LOOPS_SHIM
                 : l->minor == 11 ? PYTHON_LOOPS_CFRAME_MARKED
                 : l->minor == 10 ? PYTHON_LOOPS_CFRAME_EACH
                                  : PYTHON_LOOPS_FRAME,
        .instruction_shift = l->minor <= 9,
        .thread_through_cframe = l->minor == 11 || l->minor == 12,
        .interpreter_next = l->interpreter_next,
        .interpreter_threads = l->interpreter_threads,
        .thread_next = l->thread_next,
        .thread_interpreter = l->thread_interpreter,
        .thread_id = l->thread_id,
        .thread_native_id = or_zero(l->thread_native_id),
        .thread_frame = or_zero(l->thread_frame),
        .thread_cframe = or_zero(l->thread_cframe),
        .thread_root_cframe = or_zero(l->thread_root_cframe),
        .cframe_frame = or_zero(l->cframe_frame),
        .cframe_previous = or_zero(l->cframe_previous),
        .frame_code = l->frame_code,
        .frame_previous = l->frame_previous,
        .frame_instruction = l->frame_instruction,
        .frame_mark = or_zero(l->frame_mark),
        .frame_copy = or_zero(l->frame_copy),
        .code_type_at = l->object_type,
        .code_first_line = l->code_first_line,
        .code_filename = l->minor <= 11 ? l->code_filename : 0,
        .code_instructions = or_zero(l->code_instructions),
        .code_copies = or_zero(l->code_copies),
    };
    unsigned most;
    set_reads(l, &c, &most);
    if (most > PYTHON_READ || l->object_type + 8u > PYTHON_CODE_BYTES || l->code_first_line + 4u > PYTHON_CODE_BYTES ||
        !aligned(l))
        return err_set(err, -EBADMSG, NULL, "Python's frames or code objects are laid out in an unknown way");
    *ret = c;
    return 0;
}
