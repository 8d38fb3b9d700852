/* Names of Python frames: code objects are read from the target at first sight and kept. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "lang/python/python_lines.h"
#include "lang/python/python_process.h"

enum { MAX_NAME_BYTES = 4096, MAX_TABLE_BYTES = 1 << 20, MAX_CODES = 1 << 20, MAX_FRAMES = 4 << 20 };

struct python_code {
    u64 address;
    u32 first_line;
    function_id function;
    bool readable;
    u8 *table;
    size_t table_size;
};

void python_names_free(struct lang_process *lp) {
    for (size_t i = 0; i < lp->n_codes; i++)
        free(lp->codes[i].table);
    free(lp->codes);
    u64_map_free(&lp->code_index);
    u64_map_free(&lp->frames);
    lp->codes = NULL;
    lp->n_codes = lp->cap_codes = 0;
}

static bool read_pointer(const struct lang_process *lp, u64 address, u64 *ret) {
    return target_read(lp->target, address, ret, 8) == 0;
}

/* ---- str ---- */

static void add_utf8(struct buf *out, u32 c) {
    if (c >= 0xd800 && c < 0xe000) /* a lone surrogate */
        c = 0xfffd;
    if (c < 0x80) {
        buf_addc(out, (char)c);
    } else if (c < 0x800) {
        buf_addc(out, (char)(0xc0 | c >> 6));
        buf_addc(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        buf_addc(out, (char)(0xe0 | c >> 12));
        buf_addc(out, (char)(0x80 | (c >> 6 & 63)));
        buf_addc(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x110000) {
        buf_addc(out, (char)(0xf0 | c >> 18));
        buf_addc(out, (char)(0x80 | (c >> 12 & 63)));
        buf_addc(out, (char)(0x80 | (c >> 6 & 63)));
        buf_addc(out, (char)(0x80 | (c & 63)));
    }
}

/* state: interned, then kind (1, 2 or 4 bytes a character), compact, ascii. */
static bool read_str(const struct lang_process *lp, u64 address, struct buf *out) {
    const struct python_offsets *o = &lp->offsets;
    u64 length;
    u8 state[4], bytes[MAX_NAME_BYTES];
    buf_reset(out);
    if (!address || target_read(lp->target, address + o->str_length, &length, 8) < 0 ||
        target_read(lp->target, address + o->str_state, state, 4) < 0)
        return false;
    unsigned bits = state[o->str_state_in_next_byte], shift = o->str_kind_shift;
    unsigned kind = bits >> shift & 7, compact = bits >> (shift + 3) & 1, ascii = bits >> (shift + 4) & 1;
    if ((kind != 1 && kind != 2 && kind != 4) || length > (1u << 24))
        return false;
    bool cut = length * kind > sizeof(bytes);
    if (cut)
        length = sizeof(bytes) / kind;
    u64 data = address + (ascii ? o->str_ascii : o->str_compact);
    if (!compact && !read_pointer(lp, data, &data))
        return false;
    if (target_read(lp->target, data, bytes, length * kind) < 0)
        return false;
    for (u64 i = 0; i < length; i++) {
        u32 c = 0;
        memcpy(&c, bytes + i * kind, kind);
        add_utf8(out, c);
    }
    if (cut)
        buf_adds(out, "…");
    return true;
}

static string_id intern_str(struct lang_process *lp, u64 member, struct buf *scratch) {
    u64 address;
    if (!read_pointer(lp, member, &address) || !read_str(lp, address, scratch))
        return 0;
    return profile_string_n(lp->profile, scratch->data, scratch->len);
}

/* ---- code objects ---- */

static bool read_table(const struct lang_process *lp, u64 code, struct python_code *ret) {
    u64 bytes, size;
    if (!read_pointer(lp, code + lp->offsets.code_lines, &bytes) ||
        !read_pointer(lp, bytes + lp->offsets.bytes_size, &size) || size > MAX_TABLE_BYTES)
        return false;
    ret->table = mem_alloc(size);
    if (!ret->table || target_read(lp->target, bytes + lp->offsets.bytes_data, ret->table, size) < 0)
        return false;
    ret->table_size = size;
    return true;
}

/* A code object that died or changed since the sample has another first line, or none: it gets no
 * name rather than a wrong one. */
static void read_code(struct lang_process *lp, struct python_code *ret) {
    const struct python_offsets *o = &lp->offsets;
    u32 first_line = 0;
    _cleanup_(buf_free) struct buf scratch = {0};
    if (target_read(lp->target, ret->address + lp->config.code_first_line, &first_line, 4) == 0 &&
        first_line == ret->first_line) {
        u16 name_at = o->code_qualname ? o->code_qualname : o->code_name;
        struct profile_function f = {.name = intern_str(lp, ret->address + name_at, &scratch),
                                     .file = intern_str(lp, ret->address + o->code_file, &scratch),
                                     .start_line = first_line};
        if (f.name && read_table(lp, ret->address, ret)) {
            ret->function = profile_function(lp->profile, &f);
            ret->readable = true;
            return;
        }
    }
    struct profile_function unknown = {.name = profile_string(lp->profile, "[unreadable Python code]")};
    ret->function = profile_function(lp->profile, &unknown);
}

static struct python_code *code_of(struct lang_process *lp, const struct raw_frame *f) {
    u32 first_line = (u32)(f->word[1] >> 32);
    u64 key = hash_mix(raw_address(f), first_line) << 1 | (first_line & 1);
    uint64_t *known = u64_map_get(&lp->code_index, key);
    if (known)
        return &lp->codes[*known];
    if (lp->n_codes >= MAX_CODES || mem_grow((void **)&lp->codes, &lp->cap_codes, lp->n_codes + 1, sizeof(*lp->codes)) < 0 ||
        u64_map_put(&lp->code_index, key, lp->n_codes) < 0)
        return NULL;
    struct python_code *c = &lp->codes[lp->n_codes++];
    *c = (struct python_code){.address = raw_address(f), .first_line = first_line};
    read_code(lp, c);
    return c;
}

/* Everything cached belongs to one profile; another one starts afresh. */
static void use_profile(struct lang_process *lp, struct profile *p) {
    if (lp->profile == p)
        return;
    python_names_free(lp);
    lp->profile = p;
    lp->kind = profile_string(p, "python");
}

frame_id python_name_frame(struct lang_process *lp, struct profile *p, const struct raw_frame *f) {
    if (raw_kind(f) != PYTHON_RAW_FRAME)
        return 0;
    use_profile(lp, p);
    struct python_code *c = code_of(lp, f);
    if (!c)
        return 0;
    s32 offset = (s32)(u32)f->word[1];
    u64 key = (u64)(c - lp->codes) << 32 | (u32)offset;
    uint64_t *known = u64_map_get(&lp->frames, key);
    if (known)
        return (frame_id)*known;
    struct python_position at = {0};
    if (c->readable)
        at = python_position(lp->offsets.version >> 16 & 0xff, c->table, c->table_size, c->first_line, offset);
    frame_id id = profile_frame(p, &(struct profile_frame){.function = c->function,
                                                           .line = at.line,
                                                           .column = at.column,
                                                           .kind = lp->kind,
                                                           .flags = c->readable ? 0 : FRAME_UNNAMED});
    if (lp->frames.count < MAX_FRAMES && u64_map_put(&lp->frames, key, id) < 0)
        p->profile_failed = true;
    return id;
}
