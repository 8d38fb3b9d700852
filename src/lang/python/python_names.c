/* Names Python frames: reads a code object at first sight, keeps what it found. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lang/python/python_lines.h"
#include "lang/python/python_process.h"
#include "lang/python/python_text.h"

enum {
    MAX_NAME = 4096, /* characters */
    MAX_FILENAME = 8192,
    MAX_TABLE = 4 << 20,   /* bytes of one line table */
    MAX_TABLES = 64 << 20, /* of all that are kept */
    MAX_CODES = 1 << 17,   /* code objects kept; at a limit everything is forgotten and read again */
    MAX_FRAMES = 1 << 20,
};

struct named_code {
    uint64_t code;
    uint32_t stamp;
    uint32_t first_line;
    function_id function; /* 0: it could not be read */
    uint8_t *table;       /* owned */
    uint32_t table_size;
    bool hidden; /* no Python function: nor does the interpreter show it */
};

struct named_frame {
    struct raw_frame raw;
    frame_id id;
};

struct python_names {
    const struct profile *profile; /* that the ids are of */
    string_id kind;
    struct named_code *codes;
    size_t n_codes, cap_codes;
    struct hash_index code_index;
    struct named_frame *frames;
    size_t n_frames, cap_frames;
    struct hash_index frame_index;
    size_t table_bytes;
    struct buf text, bytes;
};

struct python_names *python_names_new(void) {
    return mem_zalloc(1, sizeof(struct python_names));
}

static void forget(struct python_names *n) {
    for (size_t i = 0; i < n->n_codes; i++)
        free(n->codes[i].table);
    n->n_codes = n->n_frames = n->table_bytes = 0;
    hash_index_clear(&n->code_index);
    hash_index_clear(&n->frame_index);
}

void python_names_free(struct python_names *n) {
    if (!n)
        return;
    forget(n);
    hash_index_free(&n->code_index);
    hash_index_free(&n->frame_index);
    free(n->codes);
    free(n->frames);
    buf_free(&n->text);
    buf_free(&n->bytes);
    free(n);
}

static void use_profile(struct python_names *n, struct profile *p) {
    bool full = n->n_codes >= MAX_CODES || n->n_frames >= MAX_FRAMES || n->table_bytes >= MAX_TABLES;
    if (n->profile == p && !full)
        return;
    forget(n);
    n->profile = p;
    n->kind = profile_string(p, "python");
}

/* ---- code objects ---- */

static int read_pointer(struct lang_process *lp, uint64_t code, uint16_t offset, uint64_t *ret) {
    return target_read(lp->target, code + offset, ret, 8);
}

/* Interns the str that a field of the code object points to. 0 when it cannot be read. */
static string_id read_string(struct lang_process *lp, struct profile *p, uint64_t code, uint16_t offset, size_t limit) {
    struct python_names *n = lp->names;
    uint64_t object;
    buf_reset(&n->text);
    if (offset == PYTHON_NONE || read_pointer(lp, code, offset, &object) < 0 ||
        python_text_read(lp->target, &lp->layout, object, limit, &n->text) < 0)
        return 0;
    return profile_string_n(p, n->text.data, n->text.len);
}

/* As the walk does. */
static u32 stamp_of(struct lang_process *lp, const u64 *code) {
    u64 text[PYTHON_CODE_BYTES / 8];
    u32 stamp = python_stamp(code, lp->layout.code_first_line);
    if (lp->config.code_filename &&
        target_read(lp->target, code[lp->config.code_filename / 8], text, sizeof(text)) == 0)
        stamp = python_stamp_of_text(stamp, text);
    return stamp;
}

/* Whether the code object that a frame spoke of is still there; reads its first line. */
static bool still_there(struct lang_process *lp, struct named_code *c) {
    const struct python_layout *l = &lp->layout;
    u64 words[PYTHON_CODE_BYTES / 8];
    if (target_read(lp->target, c->code, words, sizeof(words)) < 0)
        return false;
    memcpy(&c->first_line, (const char *)words + l->code_first_line, sizeof(c->first_line));
    return (!lp->config.code_type || words[l->object_type / 8] == lp->config.code_type) &&
           stamp_of(lp, words) == c->stamp;
}

static void read_table(struct lang_process *lp, struct named_code *c) {
    struct python_names *n = lp->names;
    uint64_t object;
    if (read_pointer(lp, c->code, lp->layout.code_line_table, &object) < 0 ||
        python_bytes_read(lp->target, &lp->layout, object, MAX_TABLE, &n->bytes) < 0)
        return;
    c->table = mem_alloc(n->bytes.len);
    if (!c->table)
        return;
    if (n->bytes.len)
        memcpy(c->table, n->bytes.data, n->bytes.len);
    c->table_size = (uint32_t)n->bytes.len;
    n->table_bytes += n->bytes.len;
}

/* From 3.13 on: behind __init__() of a class that is called often stands a frame which sees to what it returned. Its
 * code is the interpreter's own, and has one object for both names. (Objects/codeobject.c: _Py_InitCleanup) */
static bool cleans_up(struct lang_process *lp, struct profile *p, const struct named_code *c, string_id name) {
    uint64_t of_function, of_file;
    return lp->layout.minor >= 13 && strcmp(profile_str(p, name), "__init__") == 0 &&
           read_pointer(lp, c->code, lp->layout.code_name, &of_function) == 0 &&
           read_pointer(lp, c->code, lp->layout.code_filename, &of_file) == 0 && of_function == of_file;
}

static void read_code(struct lang_process *lp, struct profile *p, struct named_code *c) {
    const struct python_layout *l = &lp->layout;
    if (!still_there(lp, c))
        return;
    struct profile_function f = {.start_line = c->first_line};
    f.name = read_string(lp, p, c->code, l->code_qualname, MAX_NAME);
    if (!f.name)
        f.name = read_string(lp, p, c->code, l->code_name, MAX_NAME);
    f.file = read_string(lp, p, c->code, l->code_filename, MAX_FILENAME);
    c->hidden = cleans_up(lp, p, c, f.name);
    read_table(lp, c);
    if (f.name && still_there(lp, c))
        c->function = profile_function(p, &f);
}

struct code_key {
    const struct python_names *n;
    uint64_t code;
    uint32_t stamp;
};

static bool code_equal(const void *ctx, uint32_t id) {
    const struct code_key *k = ctx;
    return k->n->codes[id].code == k->code && k->n->codes[id].stamp == k->stamp;
}

static const struct named_code *code_of(struct lang_process *lp, struct profile *p, uint64_t code, uint32_t stamp) {
    struct python_names *n = lp->names;
    uint64_t hash = hash_mix(hash_mix(0, code), stamp);
    uint32_t id = hash_index_find(&n->code_index, hash, code_equal, &(struct code_key){n, code, stamp});
    if (id != UINT32_MAX)
        return &n->codes[id];
    if (mem_grow((void **)&n->codes, &n->cap_codes, n->n_codes + 1, sizeof(*n->codes)) < 0 ||
        hash_index_add(&n->code_index, hash, (uint32_t)n->n_codes) < 0) {
        p->profile_failed = true;
        return NULL;
    }
    struct named_code *c = &n->codes[n->n_codes++];
    *c = (struct named_code){.code = code, .stamp = stamp};
    read_code(lp, p, c);
    return c;
}

/* ---- frames ---- */

static frame_id unknown_frame(struct lang_process *lp, struct profile *p) {
    struct profile_function f = {.name = profile_string(p, "[Python code that is gone]")};
    return profile_frame(p, &(struct profile_frame){
                                .function = profile_function(p, &f), .kind = lp->names->kind, .flags = FRAME_UNNAMED});
}

static frame_id make_frame(struct lang_process *lp, struct profile *p, const struct raw_frame *raw) {
    uint32_t stamp = (uint32_t)(raw->word[1] >> 32), index = (uint32_t)raw->word[1];
    const struct named_code *c = code_of(lp, p, raw_address(raw), stamp);
    if (!c || !c->function)
        return unknown_frame(lp, p);
    if (c->hidden)
        return 0;
    struct python_position at = python_line(lp->layout.minor, c->table, c->table_size, c->first_line, index);
    return profile_frame(p,
                         &(struct profile_frame){
                             .function = c->function, .line = at.line, .column = at.column, .kind = lp->names->kind});
}

struct frame_key {
    const struct python_names *n;
    const struct raw_frame *raw;
};

static bool frame_equal(const void *ctx, uint32_t id) {
    const struct frame_key *k = ctx;
    return memcmp(&k->n->frames[id].raw, k->raw, sizeof(*k->raw)) == 0;
}

frame_id python_name_frame(struct lang_process *lp, struct profile *p, const struct raw_frame *f) {
    struct python_names *n = lp->names;
    if (raw_kind(f) != RAW_LANG(LANG_python, PYTHON_RAW_FRAME))
        return 0;
    use_profile(n, p);
    uint64_t hash = hash_mix(hash_mix(0, f->word[0]), f->word[1]);
    uint32_t known = hash_index_find(&n->frame_index, hash, frame_equal, &(struct frame_key){n, f});
    if (known != UINT32_MAX)
        return n->frames[known].id;
    frame_id id = make_frame(lp, p, f);
    if (mem_grow((void **)&n->frames, &n->cap_frames, n->n_frames + 1, sizeof(*n->frames)) == 0 &&
        hash_index_add(&n->frame_index, hash, (uint32_t)n->n_frames) == 0)
        n->frames[n->n_frames++] = (struct named_frame){*f, id};
    return id;
}
